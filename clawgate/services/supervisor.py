"""Components that are started again when they end. Ring: services. Source: rantaiclaw.md §17; design §6 (one that misbehaves takes nothing else down).

run → ready            health "ok"
run fails              health "error" with its text; again after 2, 4, 8 … 60 s
run returns            health "error" "component exited unexpectedly"; again after the first wait
run lasted longer than the longest wait: the waits begin anew (upstream doubles them for ever)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from clawgate.domain.errors import GatewayError
from clawgate.ports.clock import Clock
from clawgate.ports.events import ComponentHealth
from clawgate.services.deadlines import Expired, within

_log = Logger()
_END_SECONDS = 5.0
ENDED = "component exited unexpectedly"
Ready = Callable[[], None]
Component = Callable[[Ready], Awaitable[object]]
"""A component's whole life: calls what it is given once it works, and does not return while it does. Cancelled, it ends at once."""


class Supervisor(msgspec.Struct, eq=False):
    """Runs components, each for itself."""

    clock: Clock
    health: ComponentHealth
    initial_seconds: float = 2.0
    max_seconds: float = 60.0
    _running: dict[str, Deferred[None]] = {}

    def start(self, name: str, run: Component) -> None:
        """Starts a component under a name that is not in use.

        Raises:
            ValueError: the name is in use.
        """
        if name in self._running:
            raise ValueError(f"{name} is supervised already")
        work = Deferred.fromCoroutine(self._supervise(name, run))
        self._running[name] = work
        work.addErrback(lambda failure: failure.trap(CancelledError) and None)

    async def stop(self, name: str) -> None:
        """Ends a component and forgets it; an unknown name is nothing to do."""
        work = self._running.pop(name, None)
        if work is not None:
            work.cancel()
            try:
                await within(work, _END_SECONDS, self.clock)
            except Expired:
                _log.warn("{name} did not end within {seconds} s", name=name, seconds=_END_SECONDS)
            self.health.forget(name)

    async def stop_all(self) -> None:
        """Ends every component."""
        for name in tuple(self._running):
            await self.stop(name)

    def is_running(self, name: str) -> bool:
        """Whether a component of this name is supervised."""
        return name in self._running

    async def _supervise(self, name: str, run: Component) -> None:
        wait = self.initial_seconds
        while True:
            began = self.clock.monotonic()
            problem, is_end = await self._once(name, run)
            self.health.failed(name, problem)
            if is_end or self.clock.monotonic() - began > self.max_seconds:
                wait = self.initial_seconds
            await self.clock.sleep(wait)
            wait = min(wait * 2, max(self.max_seconds, self.initial_seconds))
            self.health.restarted(name)

    async def _once(self, name: str, run: Component) -> tuple[str, bool]:
        """One life: what it ended with, and whether it simply returned."""
        try:
            await run(lambda: self.health.ok(name))
        except CancelledError:
            raise
        except GatewayError as problem:
            _log.warn("{name} failed: {problem} {detail}", name=name, problem=str(problem), detail=problem.detail)
            return str(problem), False
        except Exception as problem:
            _log.failure("{name} broke", name=name)
            return f"internal error ({type(problem).__name__})", False
        _log.warn("{name}: {ended}", name=name, ended=ENDED)
        return ENDED, True
