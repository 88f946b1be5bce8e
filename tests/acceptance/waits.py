"""Waiting on the real reactor, each time with a deadline; and whether a process is at work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from clawgate.system.clock import SystemClock

T = TypeVar("T")


def within(deferred: Deferred[T], seconds: float = 30) -> Deferred[T]:
    """The same Deferred; it fails after `seconds`."""
    return deferred.addTimeout(seconds, reactor)


async def until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    """Looks again and again until it is so; fails the test after `seconds`."""
    clock = SystemClock(reactor)
    deadline = clock.monotonic() + seconds
    while not is_so():
        assert clock.monotonic() < deadline, "it never happened"
        await clock.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether there is such a process that is neither ended nor waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
