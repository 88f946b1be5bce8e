"""Programs that run and end, in the workspace. Ring: system (edge). Implements `ports.processes.Processes`. Source: rantaiclaw.md §12 (shell jobs).

No shell; a session and process group of its own (`leash.py`: the kernel ends it when the daemon dies); PATH, HOME and LANG are its whole environment.
When its time is over or nobody wants it any more, the group is asked to end and, a little later, made to. What a program leaves behind ends with it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.python.failure import Failure

from clawgate.ports.clock import Clock
from clawgate.ports.processes import Finished
from clawgate.system.leashed import LeashedProtocol, leashed

KILL_AFTER_SECONDS = 3.0
_PIPES_SECONDS = 1.0
_CANNOT_BEGIN = 126


class NoProcesses(msgspec.Struct, frozen=True):
    """Runs nothing; for gateways without a reactor."""

    workspace: str = "/"
    home: str = "/"

    def run(self, argv: Sequence[str], *, timeout_seconds: float, output_bytes: int) -> Deferred[Finished]:
        """Refuses."""
        return succeed(Finished(_CANNOT_BEGIN, "no programs are run here"))

    def stop(self) -> Deferred[None]:
        """Nothing runs."""
        return succeed(None)


class SystemProcesses(msgspec.Struct, frozen=True):
    """Real programs.

    Attributes:
        reactor: provides `spawnProcess`.
        workspace: made when it is missing.
    """

    reactor: Any  # Any: IReactorProcess
    clock: Clock
    workspace: str
    home: str = msgspec.field(default_factory=lambda: os.path.expanduser("~"))
    _running: set[_Child] = set()

    def run(self, argv: Sequence[str], *, timeout_seconds: float, output_bytes: int) -> Deferred[Finished]:
        """`ports.processes.Processes.run`."""
        child = _Child(self.clock, output_bytes)
        path = os.pathsep.join(folder for folder in os.get_exec_path() if os.path.isabs(folder))
        environment = {"PATH": path, "HOME": self.home, "LANG": "C.UTF-8"}
        try:
            os.makedirs(self.workspace, mode=0o700, exist_ok=True)
            self.reactor.spawnProcess(child, sys.executable, leashed(argv), env=environment, path=self.workspace)
        except (OSError, ValueError) as problem:
            return succeed(Finished(_CANNOT_BEGIN, f"cannot be started: {problem}"))
        self._running.add(child)
        child.gone.addCallback(lambda _: self._running.discard(child))
        child.begin(timeout_seconds)
        return child.done

    def stop(self) -> Deferred[None]:
        """`ports.processes.Processes.stop`."""
        return DeferredList([child.end() for child in tuple(self._running)]).addCallback(lambda _: None)


class _Child(LeashedProtocol):
    """One program.

    Attributes:
        done: how it ended, once it and its pipes are gone; cancelling it ends the program.
        gone: fires with that end, also of a program that nobody waits for any more.
    """

    def __init__(self, clock: Clock, output_bytes: int) -> None:
        super().__init__(clock, KILL_AFTER_SECONDS, _PIPES_SECONDS)
        self.done: Deferred[Finished] = Deferred(self._unwanted)
        self.gone: Deferred[None] = Deferred()
        self._most_bytes = output_bytes
        self._output = bytearray()
        self._is_cut = self._timed_out = False

    def begin(self, timeout_seconds: float) -> None:
        """Its time runs from now."""
        if not self.is_over:
            self._wait(timeout_seconds, self._late)

    def connectionMade(self) -> None:
        """It runs; it has nothing to read."""
        super().connectionMade()
        if self.transport is not None:
            self.transport.closeStdin()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Output of either kind; what is beyond the bound is read and forgotten, so that the program is not held up."""
        room = self._most_bytes - len(self._output)
        self._output += data[: max(room, 0)]
        self._is_cut = self._is_cut or len(data) > room

    def ended(self, reason: Failure) -> None:
        """Everything is read."""
        if not self.done.called:
            code = getattr(reason.value, "exitCode", None)
            output = bytes(self._output).decode("utf-8", "replace").rstrip("\n")
            self.done.callback(Finished(code, output, self._timed_out, self._is_cut))
        self.gone.callback(None)

    def _unwanted(self, _: Deferred[Finished]) -> None:
        self.end()

    def _late(self) -> None:
        self._timed_out = True
        self.end()
