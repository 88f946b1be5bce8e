"""Programs that end as a test says. Ring: testing; implements `ports.processes.Processes`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from twisted.internet.defer import Deferred, succeed

from clawgate.ports.processes import Finished


class ScriptedProcesses(msgspec.Struct, eq=False):
    """Keeps what was run and answers from a script.

    Attributes:
        ends: one for each run, the last one for all that follow.
        is_held: while true, programs run until `release` is called.
        runs: every argv. timeouts: the seconds that each was given. cancelled: how many were ended early.
    """

    ends: list[Finished] = msgspec.field(default_factory=lambda: [Finished(0, "done")])
    is_held: bool = False
    workspace: str = "/workspace"
    home: str = "/home/gate"
    runs: list[tuple[str, ...]] = []
    timeouts: list[float] = []
    cancelled: int = 0
    _held: list[Deferred[Finished]] = []

    def run(self, argv: Sequence[str], *, timeout_seconds: float, output_bytes: int) -> Deferred[Finished]:
        """The next end of the script."""
        self.runs.append(tuple(argv))
        self.timeouts.append(timeout_seconds)
        end = self._next()
        if not self.is_held:
            return succeed(end)
        running: Deferred[Finished] = Deferred(self._cancel)
        self._held.append(running)
        return running.addCallback(lambda _: end)

    def stop(self) -> Deferred[None]:
        """Ends what is held."""
        for running in tuple(self._held):
            running.cancel()
        return succeed(None)

    def release(self) -> None:
        """Lets everything that runs end."""
        held, self._held = self._held, []
        for running in held:
            running.callback(Finished(0, ""))

    def _next(self) -> Finished:
        return self.ends[0] if len(self.ends) == 1 else self.ends.pop(0)

    def _cancel(self, running: Deferred[Finished]) -> None:
        self.cancelled += 1
        self._held.remove(running)
