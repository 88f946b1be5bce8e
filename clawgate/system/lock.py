"""One daemon per state directory. Ring: system (edge). Source: design §3 (no second writing process ever).

`flock` on `clawgate.lock`: the kernel gives it back when the process dies, however it dies, so a stale file is no lock. The file stays; its text is the pid
of the last holder, for people. Take it after daemonizing, or the pid is the parent's.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from clawgate.domain.errors import Invalid

LOCK_NAME = "clawgate.lock"


class StateLock:
    """The right to write in a state directory."""

    def __init__(self, directory: str | Path) -> None:
        self.path = Path(directory) / LOCK_NAME
        self._descriptor = -1

    @property
    def is_held(self) -> bool:
        """Whether this object holds it."""
        return self._descriptor >= 0

    def acquire(self) -> None:
        """Takes the lock, making the directory (0700) if need be; holding it already is fine.

        Raises:
            Invalid: another process holds it (its pid is named), or the directory cannot be written.
        """
        if self.is_held:
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as problem:
            raise Invalid(str(self.path), problem.strerror or str(problem), "Make the state directory writable for this user") from problem
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as problem:
            refusal = self._refusal(descriptor, problem)
            os.close(descriptor)
            raise refusal from problem
        self._descriptor = descriptor

    def release(self) -> None:
        """Gives it back; not holding it is fine."""
        if self.is_held:
            os.close(self._descriptor)
            self._descriptor = -1

    def _refusal(self, descriptor: int, problem: OSError) -> Invalid:
        if problem.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            return Invalid(str(self.path), problem.strerror or str(problem), "Keep the state directory on a local file system with flock")
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        return Invalid(
            str(self.path.parent),
            f"another clawgate (pid {holder}) is running on this state directory",
            f"Stop process {holder}, or give this one a state directory of its own",
        )
