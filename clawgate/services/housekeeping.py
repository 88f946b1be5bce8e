"""What is done now and then: gauges, last-seen times, forgetting what has run out. Ring: services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from clawgate.domain.inbox import OPEN, STOPPED
from clawgate.domain.messages import CONVERSATION
from clawgate.ports.clock import Clock
from clawgate.ports.events import ComponentHealth, Meter
from clawgate.ports.stores import Store
from clawgate.services.access import Access

_log = Logger()
_GAUGE_SECONDS = 5.0
_SEEN_SECONDS = 30.0
_PURGE_SECONDS = 60.0
_SWEEP_SECONDS = 600.0


@define
class Housekeeping:
    """Loops that end with the gateway; one that fails says so and goes on.

    Attributes:
        seldom: what else forgets things that have run out.
    """

    store: Store
    access: Access
    clock: Clock
    meter: Meter
    health: ComponentHealth
    item_retention_seconds: int
    stopped_retention_seconds: int
    max_remembered: int
    seldom: Sequence[Callable[[], Awaitable[None]]]
    _loops: list[Deferred[None]] = field(factory=list, init=False)

    async def start(self) -> None:
        """Begins; the first round of each is one interval away."""
        seldom = ((_PURGE_SECONDS, self.purge), *((_SWEEP_SECONDS, work) for work in self.seldom))
        for seconds, work in ((_GAUGE_SECONDS, self.measure), (_SEEN_SECONDS, self.access.write_last_seen), *seldom):
            loop = Deferred.fromCoroutine(self._loop(seconds, work))
            loop.addErrback(lambda failure: failure.trap(CancelledError) and None)
            self._loops.append(loop)

    async def stop(self) -> None:
        """Ends the loops and writes what is left to write."""
        for loop in self._loops:
            loop.cancel()
        self._loops.clear()
        await self.access.write_last_seen()

    async def measure(self) -> None:
        """Sets the gauges of store and inbox, and the store's health."""
        condition = self.store.health()
        if condition.problem:
            self.health.failed("store", condition.problem)
        else:
            self.health.ok("store")
        self.meter.gauge("store_queue_depth", condition.queue_depth)
        counts = await self.store.inbox.counts()
        self.meter.gauge("queue_depth", sum(count for state, count in counts.items() if state in OPEN))
        for state in STOPPED:
            self.meter.gauge("inbox_stopped_items", counts[state], state)
        oldest_ms = await self.store.inbox.oldest_open_ms()
        self.meter.gauge("inbox_oldest_seconds", 0 if oldest_ms is None else max(0.0, (self.clock.wall_ms() - oldest_ms) / 1000))

    async def purge(self) -> None:
        """Forgets ended items and dedupe records that have run out, and the oldest of what was remembered by itself."""
        await self.store.inbox.purge(self.clock.wall_ms(), self.item_retention_seconds, self.stopped_retention_seconds)
        await self.store.facts.purge(self.clock.wall_ms())
        await self.store.memory.trim(CONVERSATION, self.max_remembered)

    async def _loop(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self.clock.sleep(seconds)
            try:
                await work()
            except CancelledError:
                raise
            except Exception as problem:
                _log.warn("{work} failed: {problem} {detail}", work=work.__qualname__, problem=str(problem), detail=getattr(problem, "detail", ""))
