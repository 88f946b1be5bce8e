"""Archives and directories that want to be skills, most of them hostile. Source: rantaiclaw.md §10 (install); design §6."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clawgate.domain.errors import BadRequest, GatewayError, TooLarge
from clawgate.system.skillarchive import MOST_FILES, Entry, read_archive, read_directory, read_file, safe_parts
from clawgate.testing.skills import skill_text, zipped

SKILL = skill_text("Tool")
CAP = 100_000


def tarred(*members: tuple[tarfile.TarInfo, bytes], pack: Callable[[bytes], bytes] = gzip.compress) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, content in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    return pack(buffer.getvalue())


def member(name: str, kind: bytes = tarfile.REGTYPE, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in more.items():
        setattr(info, field, value)
    return info


GOOD_TAR = (member("SKILL.md"), SKILL.encode())


def zip_with(name: str, content: bytes = b"x", mode: int = 0, flags: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("SKILL.md", SKILL)
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, content)
    return buffer.getvalue()


def names(entries: tuple[Entry, ...]) -> set[str]:
    return {"/".join(entry.parts) for entry in entries}


@pytest.mark.parametrize("top", ["", "tool/", "tool-1.0/"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_one_directory_around_the_skill_is_taken_off(top: str, kind: str) -> None:
    files = {f"{top}SKILL.md": SKILL, f"{top}scripts/run.sh": "#!/bin/sh"}
    if kind == "zip":
        archive = zipped(files)
    else:
        archive = tarred(*[(member(name), content.encode()) for name, content in files.items()])
    assert names(read_archive(archive, CAP)) == {"SKILL.md", "scripts/run.sh"}


def test_directories_and_a_leading_dot_in_a_tar_are_no_trouble() -> None:
    archive = tarred((member(".", tarfile.DIRTYPE), b""), (member("./docs", tarfile.DIRTYPE), b""), (member("./SKILL.md"), SKILL.encode()))
    assert names(read_archive(archive, CAP)) == {"SKILL.md"}


def test_executable_files_stay_executable() -> None:
    script = member("run.sh", mode=0o755)
    found = {entry.parts: entry.is_executable for entry in read_archive(tarred(GOOD_TAR, (script, b"x")), CAP)}
    assert found == {("SKILL.md",): False, ("run.sh",): True}
    zipped_script = read_archive(zip_with("run.sh", mode=stat.S_IFREG | 0o755), CAP)
    assert {entry.parts: entry.is_executable for entry in zipped_script} == found


BAD_NAMES = [
    "/etc/passwd",
    "../SKILL2.md",
    "a/../../b",
    "a/./b",
    "a//b",
    "..",
    "a\\b",
    "C:evil",
    "a\nb",
    "a\x1b[2Jb",
    "a" * 241,
    "/".join("a" * 17),
    "\u202ecod.exe",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_name_is_refused_in_either_archive(name: str) -> None:
    for archive in (zip_with(name), tarred(GOOD_TAR, (member(name), b"x"))):
        with pytest.raises(BadRequest):
            read_archive(archive, CAP)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE, b"Z"])
def test_links_and_devices_in_a_tar_are_refused(kind: bytes) -> None:
    archive = tarred(GOOD_TAR, (member("x", kind, linkname="/etc/passwd"), b""))
    with pytest.raises(BadRequest):
        read_archive(archive, CAP)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(mode: int) -> None:
    with pytest.raises(BadRequest):
        read_archive(zip_with("x", b"/etc/passwd", mode | 0o644), CAP)


def test_what_unpacks_to_too_much_is_refused() -> None:
    for archive in (zipped({"SKILL.md": SKILL, "big": "0" * CAP}), tarred(GOOD_TAR, (member("big"), b"0" * CAP))):
        assert len(archive) < CAP // 10
        with pytest.raises(TooLarge):
            read_archive(archive, CAP)


def test_gzip_of_gigabytes_is_refused_before_it_is_unpacked() -> None:
    bomb = gzip.compress(b"\0" * 60_000_000)
    with pytest.raises(TooLarge):
        read_archive(bomb, CAP)


def test_zip_whose_header_lies_about_the_size_is_refused() -> None:
    archive = bytearray(zipped({"SKILL.md": SKILL, "big": "0" * (2 * CAP)}))
    size = (2 * CAP).to_bytes(4, "little")
    while (at := archive.find(size)) >= 0:
        archive[at : at + 4] = (10).to_bytes(4, "little")
    with pytest.raises(GatewayError):
        read_archive(bytes(archive), CAP)


def test_too_many_files_are_refused() -> None:
    many = {f"f{number}": "" for number in range(MOST_FILES)}
    for archive in (zipped({"SKILL.md": SKILL, **many}), tarred(GOOD_TAR, *[(member(name), b"") for name in many])):
        with pytest.raises(TooLarge):
            read_archive(archive, CAP)


def test_table_of_contents_that_is_too_large_is_not_read() -> None:
    archive = bytearray(zipped({"SKILL.md": SKILL}))
    archive[-10:-6] = (2**31).to_bytes(4, "little")
    with pytest.raises(TooLarge):
        read_archive(bytes(archive), CAP)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("second", ["SKILL.md", "SKILL.md/x"])
def test_one_name_twice_is_refused(second: str) -> None:
    for archive in (zip_with(second), tarred(GOOD_TAR, (member(second), b"x"))):
        with pytest.raises(BadRequest):
            read_archive(archive, CAP)


@pytest.mark.parametrize("files", [{"README.md": "x"}, {"a/SKILL.md": SKILL, "b/x": ""}, {"a/b/SKILL.md": SKILL}, {"skill.md": SKILL}])
def test_archive_without_a_skill_is_refused(files: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match=r"there is no SKILL\.md"):
        read_archive(zipped(files), CAP)


def test_encrypted_and_exotic_members_are_refused() -> None:
    archive = bytearray(zipped({"SKILL.md": SKILL}))
    directory = archive.find(b"PK\x01\x02")
    encrypted = archive.copy()
    encrypted[directory + 8] |= 1
    exotic = archive.copy()
    exotic[directory + 10] = 14
    for content in (encrypted, exotic):
        with pytest.raises(BadRequest, match="encrypted, or packed"):
            read_archive(bytes(content), CAP)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"PK",
        b"PK\x03\x04",
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x00" + b"\0" * 20,
        gzip.compress(b"", mtime=0),
        gzip.compress(b"x" * 512, mtime=0),
    ],
)
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    with pytest.raises(BadRequest):
        read_archive(content, CAP)


WHOLE = [zipped({"t/SKILL.md": SKILL, "t/x/y": "z" * 50}), tarred(GOOD_TAR, (member("x"), b"z" * 50))]


@pytest.mark.parametrize("archive", WHOLE, ids=["zip", "tar"])
def test_every_truncation_is_refused(archive: bytes) -> None:
    for end in range(len(archive)):
        with pytest.raises(BadRequest):
            read_archive(archive[:end], CAP)


@settings(deadline=None)
@given(which=st.integers(0, 1), at=st.integers(0, 5_000), bits=st.integers(1, 255))
@example(which=0, at=0, bits=1)
def test_any_damage_is_refused_or_harmless(which: int, at: int, bits: int) -> None:
    archive = bytearray(WHOLE[which])
    archive[at % len(archive)] ^= bits
    try:
        entries = read_archive(bytes(archive), CAP)
    except (BadRequest, TooLarge):
        return
    assert ("SKILL.md",) in {entry.parts for entry in entries}


@settings(deadline=None)
@given(st.integers(0, 20_000), st.integers(1, 255))
def test_damaged_tar_headers_are_refused_or_harmless(at: int, bits: int) -> None:
    plain = bytearray(gzip.decompress(WHOLE[1]))
    plain[at % len(plain)] ^= bits
    try:
        entries = read_archive(gzip.compress(bytes(plain), 0), CAP)
    except (BadRequest, TooLarge):
        return
    assert all(safe_parts("/".join(entry.parts)) == entry.parts for entry in entries)


def test_pax_header_that_promises_gigabytes_is_refused() -> None:
    header = member("x", tarfile.XHDTYPE, size=2**40)
    archive = gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)
    with pytest.raises(BadRequest):
        read_archive(archive, CAP)


def test_chain_of_extended_headers_is_refused() -> None:
    header = member("x", tarfile.GNUTYPE_LONGNAME, size=0).tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(GatewayError):
        read_archive(gzip.compress(header * 5_000), CAP * 100)


def test_directory_is_read_without_its_repository(tmp_path: Path) -> None:
    (tmp_path / "SKILL.md").write_text(SKILL)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "x.md").write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("x")
    assert names(read_directory(str(tmp_path), CAP)) == {"SKILL.md", "docs/x.md"}


def test_directory_with_a_link_or_a_pipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "SKILL.md").write_text(SKILL)
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(BadRequest):
        read_directory(str(tmp_path), CAP)
    (tmp_path / "link").unlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadRequest):
        read_directory(str(tmp_path), CAP)


def test_directory_over_the_bound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "SKILL.md").write_text(SKILL)
    (tmp_path / "big").write_bytes(b"x" * CAP)
    with pytest.raises(TooLarge):
        read_directory(str(tmp_path), CAP)


def test_pipe_and_link_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadRequest):
        read_file(str(tmp_path / "pipe"), 10)
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    with pytest.raises(OSError, match="symbolic links"):
        read_file(str(tmp_path / "link"), 10)
