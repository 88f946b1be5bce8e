"""Replacing a file so that a crash leaves the old one or the new one, never half of either. Ring: system edge. Source: libraries.md §7, design §4.11."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable


def replace_file(path: str, content: bytes, *, mode: int = 0o600, check: Callable[[], object] | None = None) -> None:
    """Makes `path` hold `content`, on disk when this returns.

    A new file beside it is written, synchronised and renamed over it; a symbolic link is followed first. The owner is kept where the process may.

    Args:
        mode: permission bits of the result; the file is never wider than this, at no moment.
        check: called when the new file is on disk, right before it takes the old one's place; what it raises leaves the old one there.

    Raises:
        OSError: nothing was replaced.
    """
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
        if check is not None:
            check()
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
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
