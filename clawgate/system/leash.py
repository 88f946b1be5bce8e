"""Runs a program that cannot outlive the daemon: in a session of its own, and killed by the kernel when its parent dies. Ring: system.

Executed as a script by the child itself (`python -I -S leash.py PARENT_PID PROGRAM ARGUMENT…`), because nothing may be run between fork and exec in a
process with threads. It becomes the program, so its pid is the program's and names its process group.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
NOT_FOUND, ORPHANED = 127, 126


def main(parent: int, argv: list[str]) -> int:
    """Becomes `argv`; returns an exit code only when that is impossible."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel knew that we care
        return ORPHANED
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is the point
    except OSError as problem:
        sys.stderr.write(f"{argv[0]}: {problem.strerror}\n")
        return NOT_FOUND


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
