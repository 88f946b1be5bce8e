"""Attached files on disk: whole or not there, bounded, and nothing but files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest
from twisted.internet.defer import execute

from clawgate.domain import attachments as rules
from clawgate.domain.attachments import Attachment, NoRoom, NotKept
from clawgate.domain.errors import TooLarge
from clawgate.system import attachments
from clawgate.system.attachments import AttachmentDirectory, NoAttachments
from tests.system.results import result

DAY_MS = 24 * 3600 * 1000


def attachment(file_id: str = "f1", session_id: str = "s1", size: int = 5, created_ms: int = 0) -> Attachment:
    return Attachment(file_id=file_id, session_id=session_id, principal="ann", filename="a.txt", mime="text/plain", size=size, created_ms=created_ms)


@pytest.fixture
def files(tmp_path: Path) -> AttachmentDirectory:
    return AttachmentDirectory(str(tmp_path / "state" / "attachments"), execute)


def put(files: AttachmentDirectory, one: Attachment, data: bytes = b"hello") -> None:
    result(files.put(one, data))


def test_a_file_comes_back_with_what_is_known_of_it(files: AttachmentDirectory) -> None:
    put(files, attachment())
    found = result(files.head("s1", "f1", 3))
    assert found is not None
    assert (found.attachment, found.head) == (attachment(), b"hel")
    folder = Path(files.directory) / "s1"
    assert sorted(path.name for path in folder.iterdir()) == ["f1", "f1.json"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder, folder / "f1", folder / "f1.json")] == [0o700, 0o700, 0o600, 0o600]


def test_files_of_other_sessions_and_unknown_ones_are_not_there(files: AttachmentDirectory) -> None:
    put(files, attachment())
    assert result(files.head("s2", "f1", 10)) is None
    assert result(files.head("s1", "f2", 10)) is None


@pytest.mark.parametrize("missing", ["f1", "f1.json"])
def test_half_a_file_is_none(files: AttachmentDirectory, missing: str) -> None:
    put(files, attachment())
    os.unlink(os.path.join(files.directory, "s1", missing))
    assert result(files.head("s1", "f1", 10)) is None


@pytest.mark.parametrize("name", ["f1", "f1.json"])
@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_a_link_a_pipe_and_a_directory_are_no_files(files: AttachmentDirectory, name: str, kind: str) -> None:
    put(files, attachment())
    path = Path(files.directory) / "s1" / name
    path.rename(path.with_suffix(".elsewhere"))
    match kind:
        case "link":
            path.symlink_to(path.with_suffix(".elsewhere"))
        case "pipe":
            os.mkfifo(path)
        case _:
            path.mkdir()
    assert result(files.head("s1", "f1", 10)) is None


@pytest.mark.parametrize("metadata", [b"", b"{", b'{"file_id":1}', b"\xff", b"null"])
def test_broken_metadata_is_no_file(files: AttachmentDirectory, metadata: bytes) -> None:
    put(files, attachment())
    Path(files.directory, "s1", "f1.json").write_bytes(metadata)
    assert result(files.head("s1", "f1", 10)) is None


def test_a_session_has_bounds(files: AttachmentDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MOST_SESSION_FILES", 2)
    put(files, attachment("f1"))
    put(files, attachment("f2"))
    with pytest.raises(TooLarge):
        put(files, attachment("f3"))
    put(files, attachment("f3", "s2"))
    with pytest.raises(TooLarge):
        put(files, attachment("f4", "s3", rules.MOST_SESSION_BYTES + 1))


def test_all_sessions_together_have_bounds(files: AttachmentDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MOST_ALL_FILES", 2)
    put(files, attachment("f1"))
    put(files, attachment("f1", "s2"))
    with pytest.raises(NoRoom):
        put(files, attachment("f1", "s3"))
    assert sorted(os.listdir(files.directory)) == ["s1", "s2"]
    monkeypatch.undo()
    monkeypatch.setattr(attachments, "MOST_ALL_BYTES", 1000)
    with pytest.raises(NoRoom):
        put(files, attachment("f1", "s3", 999))


def test_one_sender_takes_not_the_room_of_everybody(files: AttachmentDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MOST_SENDER_FILES", 2)
    put(files, attachment("f1", "s1"))
    put(files, attachment("f1", "s2"))
    again = AttachmentDirectory(files.directory, execute)  # what is kept counts after a restart too
    for one in (files, again):
        with pytest.raises(NoRoom, match="your attachments"):
            put(one, attachment("f1", "s3"))
    put(files, msgspec.structs.replace(attachment("f1", "s3"), principal="ben"))
    result(files.remove("s1"))
    put(files, attachment("f2", "s2"))
    monkeypatch.setattr(attachments, "MOST_SENDER_FILES", 100)
    monkeypatch.setattr(attachments, "MOST_SENDER_BYTES", 14)
    with pytest.raises(NoRoom):
        put(files, attachment("f3", "s2"))
    put(files, msgspec.structs.replace(attachment("f3", "s2"), principal="ben"))


def test_the_disk_is_not_filled_up(files: AttachmentDirectory) -> None:
    with pytest.raises(NoRoom):
        put(AttachmentDirectory(files.directory, execute, 1 << 60), attachment())


def test_what_the_disk_refuses_is_said_with_its_step(files: AttachmentDirectory) -> None:
    folder = Path(files.directory)
    folder.parent.mkdir()
    folder.write_text("in the way")
    with pytest.raises(NotKept, match="failed to create attachment storage"):
        put(files, attachment())
    folder.unlink()
    put(files, attachment())
    for name, problem in (("f2", "failed to persist file"), ("f2.json", "failed to persist metadata")):
        (folder / "s1" / name).mkdir()
        with pytest.raises(NotKept, match=problem):
            put(files, attachment("f2"))
        (folder / "s1" / name).rmdir()
    assert result(files.head("s1", "f2", 10)) is None


def test_a_link_in_a_sessions_place_is_refused(files: AttachmentDirectory, tmp_path: Path) -> None:
    put(files, attachment())
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", Path(files.directory) / "s2")
    with pytest.raises(NotKept):
        put(files, attachment(session_id="s2"))
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_sessions_files_are_forgotten_at_once(files: AttachmentDirectory) -> None:
    put(files, attachment())
    put(files, attachment(session_id="s2"))
    result(files.remove("s1"))
    result(files.remove("never"))
    assert os.listdir(files.directory) == ["s2"]


@pytest.mark.parametrize("name", ["", ".", "..", "../attachments", "s1/..", "/"])
def test_a_name_that_is_no_sessions_removes_nothing(files: AttachmentDirectory, name: str) -> None:
    put(files, attachment())
    result(files.remove(name))
    assert result(files.head("s1", "f1", 5)) is not None


def test_old_files_and_what_a_crash_left_are_swept(files: AttachmentDirectory) -> None:
    assert result(files.sweep(DAY_MS)) == 0
    put(files, attachment("old", "s1", created_ms=DAY_MS - 1))
    put(files, attachment("old", "s2", created_ms=DAY_MS - 1))
    put(files, attachment("new", "s2", created_ms=DAY_MS))
    rest = Path(files.directory) / "s1" / ".old.1.tmp"
    rest.write_bytes(b"half")
    os.utime(rest, (0, 0))
    assert result(files.sweep(DAY_MS)) == 3
    assert os.listdir(files.directory) == ["s2"]
    assert sorted(os.listdir(Path(files.directory) / "s2")) == ["new", "new.json"]


def test_without_a_directory_nothing_is_kept() -> None:
    with pytest.raises(NotKept):
        result(NoAttachments().put(attachment(), b"hello"))
    assert result(NoAttachments().head("s1", "f1", 10)) is None
    assert result(NoAttachments().sweep(0)) == 0
