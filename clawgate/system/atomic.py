"""Replacing a file so that a crash leaves the old one or the new one, never half of either. Ring: system edge. Source: libraries.md §7, design §4.11."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import stat
from collections.abc import Callable, Iterator
from functools import cache
from typing import BinaryIO

from clawgate.system.regular import contents_of, open_regular

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
    with _written(path, content, mode) as (temporary, target, _):
        os.replace(temporary, target)


def replace_unchanged(path: str, content: bytes, seen: bytes | None, *, mode: int | None = 0o600) -> bool:
    """As `replace_file`, but what somebody else does to the file meanwhile stays done; whether `path` holds `content`.

    Both files change places, and what comes out is looked at: a look before a rename would leave a moment between them, in which a save is lost. So would a
    look at the content alone: a shell opens the file of `>> config.toml` long before a program writes into it, and modes and links change as well. Where the
    file system or the C library cannot exchange (Linux can since 2014), that moment is left; where it knows no leases, that of the shell is.

    Args:
        seen: what the file held when `content` was made of it; None = there was none.
        mode: permission bits of the result; None = as they are, 0600 for a new file.

    Raises:
        OSError: nothing was replaced.
    """
    with _written(path, content, mode) as (temporary, target, before):
        try:
            if seen is not None:
                return before is not None and _exchanged(path, temporary, target, content, seen, before)
            _rename()(temporary, target, _NO_REPLACE)
        except (FileExistsError, FileNotFoundError):  # it came, or went
            return False
        except OSError as problem:
            if problem.errno not in _UNKNOWN:
                raise
            if contents_of(target) != seen:
                return False
            os.replace(temporary, target)
        return True


def remove_unchanged(path: str, seen: bytes | None) -> bool:
    """As `replace_unchanged`, with nothing in the file's place."""
    if seen is None:
        return not os.path.exists(path)
    if not replace_unchanged(path, b"", seen):
        return False
    with _written(path, b"", None) as (aside, target, _), contextlib.suppress(FileNotFoundError, FileExistsError):
        os.replace(target, aside)
        if _found(aside) != b"":  # saved since
            os.link(aside, target)
            return False
    return True


def _exchanged(path: str, temporary: str, target: str, content: bytes, seen: bytes, before: os.stat_result) -> bool:
    """Whether `target` holds `content` in the place of `seen`. Anything else that comes out is put back."""
    is_leasable = _is_leasable(temporary)
    if not _is_untouched(target, seen, before, is_leasable):
        return False
    _rename()(temporary, target, _EXCHANGE)
    if os.path.realpath(path) == target and _is_untouched(temporary, seen, before, is_leasable):
        return True
    _put_back(temporary, target, content)
    return False


def _is_untouched(path: str, seen: bytes, before: os.stat_result, is_leasable: bool) -> bool:
    """Whether the file is what it was, dressed as it was, with nobody about to write into it."""
    try:
        file = open_regular(path, is_followed=False)
    except OSError:  # a link, a directory, or not for us
        return False
    if file is None:
        return False
    with file:
        has_lease = _lease(file)
        if has_lease is False and is_leasable:
            return False
        is_same = _dress_of(os.fstat(file.fileno())) == _dress_of(before) and file.read(len(seen) + 1) == seen
        return is_same and (not has_lease or fcntl.fcntl(file, fcntl.F_GETLEASE) == fcntl.F_RDLCK)


def _put_back(temporary: str, target: str, expected: bytes | None) -> None:
    """Until out comes what was put in: of what is saved meanwhile the newest stays."""
    while True:
        placed = _found(temporary)
        _rename()(temporary, target, _EXCHANGE)
        if _found(temporary) == expected:
            return
        expected = placed


def _found(path: str) -> bytes | None:
    """None = nothing that could be read."""
    try:
        return contents_of(path)
    except OSError:
        return None


def _is_leasable(path: str) -> bool:
    """Whether a refused lease means a writer, as it does not on some network file systems: this file has none."""
    file = open_regular(path)
    if file is None:
        return False
    with file:
        return _lease(file) is not False


def _lease(file: BinaryIO) -> bool | None:
    """Whether there is a read lease now, until the file is closed: False = somebody has it open for writing, None = nobody can tell (another user's file).

    Whoever opens it for writing meanwhile waits.
    """
    try:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # told of it by a signal that is ignored, the usual one would end the process
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as problem:
        return False if problem.errno == errno.EAGAIN else None
    return True


def _dress_of(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mode, status.st_uid, status.st_gid


@cache
def _rename() -> _Rename:
    """renameat2(2), which Python does not offer."""
    call = None
    with contextlib.suppress(ImportError):  # a Python that was built without libffi
        import ctypes  # 3 ms, and a daemon may never write its configuration

        call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)

    def rename(source: str, target: str, flags: int) -> None:
        if call is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if call(_HERE, os.fsencode(source), _HERE, os.fsencode(target), flags) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)

    return rename


@contextlib.contextmanager
def _written(path: str, content: bytes, mode: int | None) -> Iterator[tuple[str, str, os.stat_result | None]]:
    """A new file with the content, on disk, beside the file that `path` stands for: both names, and what stands there now.

    It is gone afterwards, unless it was renamed.
    """
    target = os.path.realpath(path)
    directory, name = os.path.split(target)
    before = _status(target)
    temporary = os.path.join(directory, f".{name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            _dress(file.fileno(), before, mode)
            os.fsync(file.fileno())
        yield temporary, target, before
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    sync_directory(directory)


def sync_directory(directory: str) -> None:
    """Puts a directory's entries on disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def mode_of(path: str) -> int | None:
    """Permission bits; None when there is no such file, or it cannot be looked at."""
    status = _status(path)
    return None if status is None else stat.S_IMODE(status.st_mode)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _dress(descriptor: int, old: os.stat_result | None, mode: int | None) -> None:
    if old is not None and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        with contextlib.suppress(OSError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
    as_it_is = 0o600 if old is None else stat.S_IMODE(old.st_mode)
    os.fchmod(descriptor, as_it_is if mode is None else mode)
