"""Replacing a file so that a crash leaves the old one or the new one, never half of either. Ring: system edge. Source: libraries.md §7, design §4.11."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from functools import cache

from clawgate.system.regular import open_regular

_NO_REPLACE, _EXCHANGE = 1, 2
_HERE = -100
"""AT_FDCWD: paths are as they are anywhere."""
_UNKNOWN = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
_Rename = Callable[[str, str, int], None]


def replace_file(path: str, content: bytes, *, mode: int = 0o600) -> None:
    """Makes `path` hold `content`, on disk when this returns.

    A new file beside it is written, synchronised and renamed over it; a symbolic link is followed first. The owner is kept where the process may.

    Args:
        mode: permission bits of the result; the file is never wider than this, at no moment.

    Raises:
        OSError: nothing was replaced.
    """
    with _written(path, content, mode) as (temporary, target):
        os.replace(temporary, target)


def replace_unchanged(path: str, content: bytes, seen: bytes | None, *, mode: int = 0o600) -> bool:
    """As `replace_file`, but what somebody else saves meanwhile stays; whether `path` holds `content`.

    Both files change places, and what comes out is looked at: a look before a rename would leave a moment between them, in which a save is lost. Where the file
    system or the C library cannot do that (Linux can since 2014), that moment is left.

    Args:
        seen: what the file held when `content` was made of it; None = there was none.

    Raises:
        OSError: nothing was replaced.
    """
    with _written(path, content, mode) as (temporary, target):
        if _held(target) != seen:
            return False
        try:
            if seen is not None:
                return _exchanged(temporary, target, content, seen)
            _rename()(temporary, target, _NO_REPLACE)
        except (FileExistsError, FileNotFoundError):  # it came, or went
            return False
        except OSError as problem:
            if problem.errno not in _UNKNOWN:
                raise
            os.replace(temporary, target)
        return True


def _exchanged(temporary: str, target: str, content: bytes, seen: bytes) -> bool:
    """Whether `target` holds `content` in the place of `seen`. What came between is put back, the newest last."""
    placed, expected = content, seen
    while True:
        _rename()(temporary, target, _EXCHANGE)
        found = _held(temporary) or b""
        if found == expected:
            return placed == content
        placed, expected = found, placed


@cache
def _rename() -> _Rename:
    """renameat2(2), which Python does not offer."""
    import ctypes  # 3 ms, and a daemon may never write its configuration

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)

    def rename(source: str, target: str, flags: int) -> None:
        if call is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if call(_HERE, os.fsencode(source), _HERE, os.fsencode(target), flags) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)

    return rename


@contextlib.contextmanager
def _written(path: str, content: bytes, mode: int) -> Iterator[tuple[str, str]]:
    """A new file with the content, on disk, beside the file that `path` stands for: both names. It is gone afterwards, unless it was renamed."""
    target = os.path.realpath(path)
    directory, name = os.path.split(target)
    temporary = os.path.join(directory, f".{name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            _dress(file.fileno(), target, mode)
            os.fsync(file.fileno())
        yield temporary, target
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    sync_directory(directory)


def _held(path: str) -> bytes | None:
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return None
    if file is None:
        raise OSError(errno.EINVAL, "not a regular file", path)
    with file:
        return file.read()


def sync_directory(directory: str) -> None:
    """Puts a directory's entries on disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def mode_of(path: str) -> int | None:
    """Permission bits; None when there is no such file, or it cannot be looked at."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return None


def _dress(descriptor: int, target: str, mode: int) -> None:
    with contextlib.suppress(OSError):
        old = os.stat(target)
        if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, mode)
