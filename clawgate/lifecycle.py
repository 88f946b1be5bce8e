"""Ordered start with rollback, ordered stop with time limits. Ring: assembly. Source: design §2, §7; reference/codebases.md §5 T4, T5.

`MultiService` starts everything at once, ignores Deferreds and leaves half a tree running when one part fails. Here each step begins when the one
before has finished; if one fails, those before it are stopped in reverse order and the failure goes to whoever runs the process. A step that does
not stop in its time is left behind with a line in the log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.ports.clock import Clock
from clawgate.services.shield import shielded

_log = Logger()
Action = Callable[[], Awaitable[object]]


async def nothing() -> None:
    """A step's half that has nothing to do."""


class Step(msgspec.Struct):
    """One thing that is started and stopped.

    Attributes:
        stop_seconds: how long its stop may take.
    """

    name: str
    start: Action = nothing
    stop: Action = nothing
    stop_seconds: float = 5.0


class Lifecycle(msgspec.Struct):
    """Steps in the order of their start."""

    steps: tuple[Step, ...]
    clock: Clock
    _started: list[Step] = []
    _stopping: Deferred[None] | None = None

    async def start(self) -> None:
        """Starts every step; when one fails, stops those already started and raises what it raised.

        A step whose start is cancelled is stopped too: what it had begun may still come up.
        """
        for step in self.steps:
            try:
                await step.start()
            except CancelledError:
                self._started.append(step)
                await self.stop()
                raise
            except Exception:
                await self.stop()
                raise
            self._started.append(step)

    async def stop(self) -> None:
        """Stops what was started, last first; a failure or a hang of one step does not keep the others from stopping.

        A second call waits for the same end; cancelling it interrupts nothing.
        """
        if self._stopping is None:
            self._stopping = Deferred.fromCoroutine(self._stop_all())
        await shielded(self._stopping)
        self._stopping = None

    async def _stop_all(self) -> None:
        while self._started:
            step = self._started.pop()
            try:
                await self._within(step)
            except CancelledError:
                _log.error("{step} did not stop within {seconds} s", step=step.name, seconds=step.stop_seconds)
            except Exception:
                _log.failure("{step} did not stop cleanly", step=step.name)

    async def _within(self, step: Step) -> None:
        stopping = Deferred.fromCoroutine(_run(step.stop))
        timer = self.clock.call_later(step.stop_seconds, stopping.cancel)
        try:
            await stopping
        finally:
            if timer.active():
                timer.cancel()


async def _run(action: Action) -> None:
    await action()


class GatewayService(Service):
    """The lifecycle as a Twisted service."""

    def __init__(self, lifecycle: Lifecycle, on_failed: Callable[[Failure], object] = lambda failure: None) -> None:
        self.lifecycle, self.on_failed = lifecycle, on_failed
        self.setName("clawgate")  # type: ignore[no-untyped-call]  # twisted.application is untyped
        self._waiting: list[Deferred[None]] = []
        self._outcome: Failure | None = None
        self._has_started = False
        self._starting: Deferred[None] = succeed(None)

    @property
    def started(self) -> Deferred[None]:
        """Fires when the gateway runs; errbacks with what kept it from running, after `on_failed` was told. Each look is a Deferred of its own."""
        if self._has_started:
            return succeed(None)
        if self._outcome is not None:
            return fail(self._outcome)
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def startService(self) -> None:
        """Begins to start; the reactor need not run yet."""
        super().startService()  # type: ignore[no-untyped-call]  # twisted.application is untyped
        self._starting = Deferred.fromCoroutine(self.lifecycle.start())
        self._starting.addCallbacks(self._runs, self._failed)

    def stopService(self) -> Deferred[None]:
        """Stops; fires when everything is down."""
        super().stopService()  # type: ignore[no-untyped-call]  # twisted.application is untyped
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._starting.cancel()
        await shielded(self._starting)
        await self.lifecycle.stop()

    def _runs(self, _: None) -> None:
        self._has_started = True
        self._tell(None)

    def _failed(self, failure: Failure) -> None:
        self.running = 0
        self._outcome = failure
        if not failure.check(CancelledError):
            self.on_failed(failure)
        self._tell(failure)

    def _tell(self, outcome: Failure | None) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(outcome)
