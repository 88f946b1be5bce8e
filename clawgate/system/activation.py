"""The listening socket that systemd passed. Ring: system (edge). Source: sd_listen_fds(3).

Twisted takes `LISTEN_PID` and `LISTEN_FDS` out of `os.environ` when its endpoints are imported, which `twistd` does before anything of ours runs. So the
environment that the process was started with is asked, as the kernel keeps it.
"""

from __future__ import annotations

import os
from pathlib import Path

_FIRST = 3


def activated_socket(started_with: str = "/proc/self/environ") -> int | None:
    """The first passed descriptor, or None when this process was passed none.

    Args:
        started_with: file with the environment at the start of the process, entries separated by NUL.
    """
    try:
        entries = Path(started_with).read_bytes().split(b"\0")
    except OSError:
        entries = []
    environ = dict(os.fsdecode(entry).split("=", 1) for entry in entries if b"=" in entry) | dict(os.environ)
    count = environ.get("LISTEN_FDS", "")
    is_ours = environ.get("LISTEN_PID") == str(os.getpid())
    return _FIRST if is_ours and count.isascii() and count.isdigit() and int(count) > 0 else None
