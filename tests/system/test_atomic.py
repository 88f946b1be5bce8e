"""Files replaced whole, beside hands that save in the same moment."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from clawgate.system import atomic
from clawgate.system.atomic import remove_unchanged, replace_unchanged

OURS, SEEN, SAVED, LATER = b"ours\n", b"seen\n", b"saved\n", b"saved later\n"
Save = Callable[[Path, bytes], None]


def in_place(path: Path, content: bytes) -> None:
    """As `nano` and `cat >` do."""
    path.write_bytes(content)


def renamed(path: Path, content: bytes) -> None:
    """As `vim` and `sed -i` do."""
    beside = path.with_suffix(".swp")
    beside.write_bytes(content)
    beside.rename(path)


each_way = pytest.mark.parametrize("save", [in_place, renamed])


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "config.toml"
    path.write_bytes(SEEN)
    yield path
    assert set(os.listdir(tmp_path)) <= {path.name}, "nothing is left beside it"


@pytest.fixture
def right_before(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets things happen in the moment before each rename; the first before the first, and so on."""
    real = atomic._rename()

    def arrange(*moments: Callable[[], None]) -> None:
        left = list(moments)

        def rename(source: str, target: str, flags: int) -> None:
            if left:
                left.pop(0)()
            real(source, target, flags)

        monkeypatch.setattr(atomic, "_rename", lambda: rename)

    return arrange


def test_it_is_replaced(path: Path) -> None:
    path.chmod(0o644)
    assert replace_unchanged(str(path), OURS, SEEN)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (OURS, 0o600)


@each_way
def test_what_was_saved_since_it_was_seen_stays(path: Path, save: Save) -> None:
    save(path, SAVED)
    assert not replace_unchanged(str(path), OURS, SEEN)
    assert path.read_bytes() == SAVED


@each_way
def test_what_is_saved_in_the_last_moment_stays(path: Path, right_before: Callable[..., None], save: Save) -> None:
    right_before(lambda: save(path, SAVED))
    assert not replace_unchanged(str(path), OURS, SEEN)
    assert path.read_bytes() == SAVED


@each_way
def test_the_newest_stays_when_more_is_saved_while_the_first_is_put_back(path: Path, right_before: Callable[..., None], save: Save) -> None:
    right_before(lambda: save(path, SAVED), lambda: save(path, LATER))
    assert not replace_unchanged(str(path), OURS, SEEN)
    assert path.read_bytes() == LATER


def test_what_is_half_written_in_the_last_moment_can_be_finished(path: Path, right_before: Callable[..., None]) -> None:
    with path.open("r+b", buffering=0) as hand:
        right_before(lambda: hand.truncate(0))
        assert not replace_unchanged(str(path), OURS, SEEN)
        hand.write(SAVED)
    assert path.read_bytes() == SAVED


@pytest.mark.parametrize("when", ["long ago", "in the last moment"])
def test_what_a_shell_has_opened_to_append_to_stays(path: Path, right_before: Callable[..., None], when: str) -> None:
    """`program >> config.toml`: opened first, written when the program has something to say."""
    opened = contextlib.ExitStack()
    hands: list[BinaryIO] = []

    def open_it() -> None:
        hands.append(opened.enter_context(path.open("ab", buffering=0)))

    with opened:
        open_it() if when == "long ago" else right_before(open_it)
        assert not replace_unchanged(str(path), OURS, SEEN)
        hands[0].write(SAVED)
    assert path.read_bytes() == SEEN + SAVED


@pytest.mark.parametrize("problems", [(errno.EINVAL,), (errno.EAGAIN,), (0, errno.EACCES)], ids=["none known", "none given", "not for us"])
def test_it_is_replaced_where_nobody_can_tell_who_writes(path: Path, monkeypatch: pytest.MonkeyPatch, problems: tuple[int, ...]) -> None:
    """A file system without leases; one that gives none; our own file leased, and another user's not."""
    real, left = fcntl.fcntl, list(problems)

    def ask(file: BinaryIO, what: int, value: int = 0) -> int:
        if what == fcntl.F_SETLEASE:
            problem = left.pop(0) if len(left) > 1 else left[0]
            if problem:
                raise OSError(problem, os.strerror(problem))
        return int(real(file, what, value))

    monkeypatch.setattr(fcntl, "fcntl", ask)
    assert replace_unchanged(str(path), OURS, SEEN)
    assert path.read_bytes() == OURS


def test_a_mode_made_narrower_in_the_last_moment_stays(path: Path, right_before: Callable[..., None]) -> None:
    path.chmod(0o644)
    right_before(lambda: path.chmod(0o600))
    assert not replace_unchanged(str(path), OURS, SEEN, mode=None)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (SEEN, 0o600)


@pytest.mark.parametrize(("mode", "found"), [(0o640, 0o640), (0o600, 0o600)])
def test_a_mode_that_nobody_names_is_kept(path: Path, mode: int, found: int) -> None:
    path.chmod(mode)
    assert replace_unchanged(str(path), OURS, SEEN, mode=None)
    assert path.stat().st_mode & 0o777 == found


def test_a_link_put_in_its_place_in_the_last_moment_stays(tmp_path: Path, right_before: Callable[..., None]) -> None:
    """As who moves a configuration among their dotfiles does: the link says the same as the file did."""
    path, moved = tmp_path / "config.toml", tmp_path / "dotfiles.toml"
    path.write_bytes(SEEN)

    def link() -> None:
        path.rename(moved)
        path.symlink_to(moved)

    right_before(link)
    assert not replace_unchanged(str(path), OURS, SEEN)
    assert path.is_symlink()
    assert moved.read_bytes() == SEEN
    assert sorted(os.listdir(tmp_path)) == ["config.toml", "dotfiles.toml"]


def test_a_link_that_leads_elsewhere_in_the_last_moment_is_not_taken_for_the_file(tmp_path: Path, right_before: Callable[..., None]) -> None:
    path, old, new = (tmp_path / name for name in ("config.toml", "old.toml", "new.toml"))
    old.write_bytes(SEEN)
    new.write_bytes(SAVED)
    path.symlink_to(old)

    def turn() -> None:
        path.unlink()
        path.symlink_to(new)

    right_before(turn)
    assert not replace_unchanged(str(path), OURS, SEEN)
    assert (old.read_bytes(), path.read_bytes()) == (SEEN, SAVED)


def test_what_cannot_be_read_in_the_last_moment_stays(path: Path, right_before: Callable[..., None]) -> None:
    """As another user's file."""

    def change() -> None:
        path.unlink()
        os.mkfifo(path)

    right_before(change)
    assert not replace_unchanged(str(path), OURS, SEEN)
    assert path.is_fifo()


def test_one_that_was_taken_away_stays_away(path: Path, right_before: Callable[..., None]) -> None:
    right_before(path.unlink)
    assert not replace_unchanged(str(path), OURS, SEEN)
    assert not path.exists()


def test_a_new_one_is_made_only_where_none_is(path: Path, right_before: Callable[..., None]) -> None:
    path.unlink()
    right_before(lambda: in_place(path, SAVED))
    assert not replace_unchanged(str(path), OURS, None)
    assert path.read_bytes() == SAVED
    path.unlink()
    assert replace_unchanged(str(path), OURS, None)
    assert path.read_bytes() == OURS


@pytest.mark.parametrize("seen", [SEEN, None])
def test_a_file_system_that_cannot_exchange_still_replaces(path: Path, monkeypatch: pytest.MonkeyPatch, seen: bytes | None) -> None:
    def unable(source: str, target: str, flags: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    if seen is None:
        path.unlink()
    monkeypatch.setattr(atomic, "_rename", lambda: unable)
    assert replace_unchanged(str(path), OURS, seen)
    assert path.read_bytes() == OURS


def test_a_python_without_ctypes_still_replaces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atomic._rename.cache_clear()
    monkeypatch.setitem(sys.modules, "ctypes", None)
    try:
        assert replace_unchanged(str(path), OURS, SEEN)
    finally:
        atomic._rename.cache_clear()
    assert path.read_bytes() == OURS


def test_a_rename_that_fails_leaves_what_was_there(path: Path, right_before: Callable[..., None]) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    right_before(fail)
    with pytest.raises(OSError, match="No space"):
        replace_unchanged(str(path), OURS, SEEN)
    assert path.read_bytes() == SEEN


def test_it_is_removed_unless_it_was_changed(path: Path) -> None:
    assert not remove_unchanged(str(path), SAVED)
    assert not remove_unchanged(str(path), None)
    assert path.read_bytes() == SEEN
    assert remove_unchanged(str(path), SEEN)
    assert not path.exists()
    assert remove_unchanged(str(path), None)


@each_way
@pytest.mark.parametrize("moment", ["at first", "at last"])
def test_what_is_saved_while_it_is_removed_stays(
    path: Path, right_before: Callable[..., None], monkeypatch: pytest.MonkeyPatch, save: Save, moment: str
) -> None:
    real = os.replace

    def replace(source: str, target: str) -> None:
        save(path, SAVED)
        real(source, target)

    if moment == "at first":
        right_before(lambda: save(path, SAVED))
    else:
        monkeypatch.setattr(os, "replace", replace)
    assert not remove_unchanged(str(path), SEEN)
    assert path.read_bytes() == SAVED
