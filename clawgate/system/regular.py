"""Opening files that anybody may have put there: a pipe in a file's place must not hold up the thread that reads. Ring: system edge."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO


def open_regular(path: str, *, is_followed: bool = True) -> BinaryIO | None:
    """The file, open for reading; None when a pipe or a device stands there.

    Args:
        is_followed: whether a symbolic link at the end of the path is.

    Raises:
        IsADirectoryError: a directory stands there. OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if is_followed else os.O_NOFOLLOW))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return None


def contents_of(path: str, most_bytes: int = -1) -> bytes | None:
    """What a file holds, at most so many bytes of it; None when there is none.

    Raises:
        OSError: it cannot be read, or something else than a file stands there.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return None
    if file is None:
        raise OSError(errno.EINVAL, "not a regular file", path)
    with file:
        return file.read(most_bytes)
