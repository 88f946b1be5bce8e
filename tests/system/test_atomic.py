"""Files replaced whole, beside hands that save in the same moment."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clawgate.system import atomic
from clawgate.system.atomic import replace_unchanged

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


def test_a_rename_that_fails_leaves_what_was_there(path: Path, right_before: Callable[..., None]) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    right_before(fail)
    with pytest.raises(OSError, match="No space"):
        replace_unchanged(str(path), OURS, SEEN)
    assert path.read_bytes() == SEEN
