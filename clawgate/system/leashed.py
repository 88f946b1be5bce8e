"""Programs on a leash (`leash.py`): how they are started, and how their process group is ended. Ring: system.

running --end: TERM, a little later KILL--> ending
   |                                          |
   +------------program exits-----------------+--> pipes are let go --> over
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from clawgate.ports.clock import Clock
from clawgate.system import leash


def leashed(argv: Sequence[str]) -> list[str]:
    """The arguments with which `sys.executable` becomes the program that `argv` names."""
    return [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *argv]


def how_it_ended(reason: Failure) -> str:
    """`exit code 3` or `signal 9`."""
    status = getattr(reason.value, "exitCode", None)
    return f"exit code {status}" if status is not None else f"signal {getattr(reason.value, 'signal', None)}"


class LeashedProtocol(ProcessProtocol):
    """One run of a program that leads a process group.

    Args:
        kill_after_seconds: between asking the group to end and making it.
        pipes_seconds: how long its pipes may stay open after it has gone: a grandchild that left the group may hold them.

    Attributes:
        is_over: the program and its pipes are gone.
    """

    def __init__(self, clock: Clock, kill_after_seconds: float, pipes_seconds: float) -> None:
        self._clock, self._kill_after_seconds, self._pipes_seconds = clock, kill_after_seconds, pipes_seconds
        self._pid = 0
        self._timer: IDelayedCall | None = None
        self._waiters: list[Deferred[None]] = []
        self._is_ending = False
        self.is_over = False

    def connectionMade(self) -> None:
        """It runs."""
        if self.transport is not None:
            self._pid = self.transport.pid or 0

    def ended(self, reason: Failure) -> None:
        """The program is gone and its output has been read. For subclasses."""

    def end(self) -> Deferred[None]:
        """Asks the group to end, insists a little later, and fires when it is gone."""
        if self.is_over:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._waiters.append(done)
        if not self._is_ending:
            self._is_ending = True
            self._signal(signal.SIGTERM)
            self._wait(self._kill_after_seconds, lambda: self._signal(signal.SIGKILL))
        return done

    def processExited(self, reason: Failure) -> None:
        """The program is gone; what it started goes with it, and its pipes are not waited for."""
        self._is_ending = True
        self._signal(signal.SIGKILL)
        self._wait(self._pipes_seconds, self._drop_pipes)

    def processEnded(self, reason: Failure) -> None:
        """The program is gone and its output has been read."""
        self._wait(0, None)
        self.is_over = True
        self.ended(reason)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def _signal(self, number: signal.Signals) -> None:
        if not self._pid:  # to a process group of 0 it would be sent to ourselves
            return
        try:
            os.killpg(self._pid, number)
        except (ProcessLookupError, PermissionError):  # it has not made its group yet, or it is over
            self._signal_leader(number)

    def _signal_leader(self, number: signal.Signals) -> None:
        if self.transport is None or self.transport.pid is None:
            return
        try:
            self.transport.signalProcess(number.name.removeprefix("SIG"))
        except (ProcessExitedAlready, PermissionError):
            pass  # its end is about to be told, or it has become somebody else's

    def _drop_pipes(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def _wait(self, seconds: float, then: Callable[[], None] | None) -> None:
        """The one timer; None stops it."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None if then is None else self._clock.call_later(seconds, then)
