"""What is done now and then: gauges, last-seen times, forgetting what has run out. Ring: services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.inbox import OPEN, STOPPED
from clawgate.domain.messages import CONVERSATION
from clawgate.ports.clock import Clock
from clawgate.ports.events import ComponentHealth, Meter
from clawgate.ports.stores import Store
from clawgate.services.access import Access
from clawgate.services.repeating import every

_GAUGE_SECONDS = 5.0
_SEEN_SECONDS = 30.0
_PURGE_SECONDS = 60.0
_SWEEP_SECONDS = 600.0


class Housekeeping(msgspec.Struct):
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
    _loops: list[Deferred[None]] = []

    async def start(self) -> None:
        """Begins; the first round of each is one interval away."""
        seldom = ((_PURGE_SECONDS, self.purge), *((_SWEEP_SECONDS, work) for work in self.seldom))
        for seconds, work in ((_GAUGE_SECONDS, self.measure), (_SEEN_SECONDS, self.access.write_last_seen), *seldom):
            self._loops.append(every(seconds, work, self.clock))

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
        counts = await self.store.inbox.counts(OPEN | STOPPED)
        self.meter.gauge("queue_depth", sum(counts[state] for state in OPEN))
        for state in STOPPED:
            self.meter.gauge("inbox_stopped_items", counts[state], state)
        oldest_ms = await self.store.inbox.oldest_open_ms()
        self.meter.gauge("inbox_oldest_seconds", 0 if oldest_ms is None else max(0.0, (self.clock.wall_ms() - oldest_ms) / 1000))

    async def purge(self) -> None:
        """Forgets ended items and dedupe records that have run out, and the oldest of what was remembered by itself."""
        await self.store.inbox.purge(self.clock.wall_ms(), self.item_retention_seconds, self.stopped_retention_seconds)
        await self.store.facts.purge(self.clock.wall_ms())
        await self.store.memory.trim(CONVERSATION, self.max_remembered)
