"""Programs that run and end, in the workspace. Ring: system (edge). Implements `ports.processes.Processes`. Source: rantaiclaw.md §12 (shell jobs).

No shell; a session and process group of its own (`leash.py`: the kernel ends it when the daemon dies); PATH, HOME and LANG are its whole environment.
When its time is over or nobody wants it any more, the group is asked to end and, a little later, made to. What a program leaves behind ends with it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from clawgate.ports.clock import Clock
from clawgate.ports.processes import Finished
from clawgate.system import leash

KILL_AFTER_SECONDS = 3.0
_DRAIN_SECONDS = 1.0
"""How long its pipes may stay open after it has gone."""
_CANNOT_BEGIN = 126


@define(frozen=True)
class NoProcesses:
    """Runs nothing; for gateways without a reactor."""

    workspace: str = "/"
    home: str = "/"

    def run(self, argv: Sequence[str], *, timeout_seconds: float, output_bytes: int) -> Deferred[Finished]:
        """Refuses."""
        return succeed(Finished(_CANNOT_BEGIN, "no programs are run here"))

    def stop(self) -> Deferred[None]:
        """Nothing runs."""
        return succeed(None)


@define(frozen=True)
class SystemProcesses:
    """Real programs.

    Attributes:
        reactor: provides `spawnProcess`.
        workspace: made when it is missing.
    """

    reactor: Any  # Any: IReactorProcess
    clock: Clock
    workspace: str
    home: str = field(factory=lambda: os.path.expanduser("~"))
    signal_group: Callable[[int, int], None] = os.killpg
    _running: set[_Child] = field(factory=set, init=False)

    def run(self, argv: Sequence[str], *, timeout_seconds: float, output_bytes: int) -> Deferred[Finished]:
        """`ports.processes.Processes.run`."""
        child = _Child(self.clock, self.signal_group, output_bytes)
        path = os.pathsep.join(folder for folder in os.get_exec_path() if os.path.isabs(folder))
        leashed = [sys.executable, "-I", "-S", str(Path(leash.__file__)), str(os.getpid()), *argv]
        environment = {"PATH": path, "HOME": self.home, "LANG": "C.UTF-8"}
        try:
            os.makedirs(self.workspace, mode=0o700, exist_ok=True)
            self.reactor.spawnProcess(child, sys.executable, leashed, env=environment, path=self.workspace)
        except (OSError, ValueError) as problem:
            return succeed(Finished(_CANNOT_BEGIN, f"cannot be started: {problem}"))
        self._running.add(child)
        child.gone.addCallback(lambda _: self._running.discard(child))
        child.begin(timeout_seconds)
        return child.done

    def stop(self) -> Deferred[None]:
        """`ports.processes.Processes.stop`."""
        running = tuple(self._running)
        for child in running:
            child.end()
        return DeferredList([child.gone for child in running]).addCallback(lambda _: None)


class _Child(ProcessProtocol):
    """One program.

    Attributes:
        done: how it ended, once it and its pipes are gone; cancelling it ends the program.
        gone: fires with that end, also of a program that nobody waits for any more.
    """

    def __init__(self, clock: Clock, signal_group: Callable[[int, int], None], output_bytes: int) -> None:
        self.done: Deferred[Finished] = Deferred(lambda _: self.end())
        self.gone: Deferred[None] = Deferred()
        self._clock, self._signal_group, self._most_bytes = clock, signal_group, output_bytes
        self._output = bytearray()
        self._pid = 0
        self._is_cut = self._timed_out = self._is_over = False
        self._timer: IDelayedCall | None = None

    def begin(self, timeout_seconds: float) -> None:
        """Its time runs from now."""
        if not self._is_over:
            self._wait(timeout_seconds, self._late)

    def connectionMade(self) -> None:
        """It runs; it has nothing to read."""
        if self.transport is not None:
            self._pid = self.transport.pid or 0
            self.transport.closeStdin()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Output of either kind; what is beyond the bound is read and forgotten, so that the program is not held up."""
        room = self._most_bytes - len(self._output)
        self._output += data[: max(room, 0)]
        self._is_cut = self._is_cut or len(data) > room

    def processExited(self, reason: Failure) -> None:
        """The program is gone: whatever it started goes too, and its pipes are not waited for."""
        self._signal(signal.SIGKILL)
        self._wait(_DRAIN_SECONDS, self._drop_pipes)

    def processEnded(self, reason: Failure) -> None:
        """Everything is read."""
        self._is_over = True
        self._wait(0, None)
        if not self.done.called:
            code = getattr(reason.value, "exitCode", None)
            output = bytes(self._output).decode("utf-8", "replace").rstrip("\n")
            self.done.callback(Finished(code, output, self._timed_out, self._is_cut))
        self.gone.callback(None)

    def _late(self) -> None:
        self._timed_out = True
        self.end()

    def end(self) -> None:
        """Asks the group to end, and insists a little later."""
        self._signal(signal.SIGTERM)
        self._wait(KILL_AFTER_SECONDS, self._insist)

    def _insist(self) -> None:
        self._signal(signal.SIGKILL)
        self._wait(_DRAIN_SECONDS, self._drop_pipes)

    def _signal(self, number: signal.Signals) -> None:
        if self._pid <= 0 or self._is_over:
            return
        try:
            self._signal_group(self._pid, number)
        except ProcessLookupError:  # it has not made its group yet, or it is over
            if self.transport is not None and self.transport.pid is not None:
                self.transport.signalProcess(number.name.removeprefix("SIG"))
        except PermissionError:
            pass  # the group has ended and somebody else's bears its number

    def _drop_pipes(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def _wait(self, seconds: float, then: Callable[[], None] | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._clock.call_later(seconds, then) if then is not None else None
