"""The event bus: what happened, told to whoever watches. Ring: services. Source: design §1, §6 (bounded everything).

In memory and best effort: what must not be lost is in the store. A watcher that does not keep up loses the oldest events and is told how many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from attrs import define, field
from twisted.logger import Logger

from clawgate.domain.errors import Overloaded
from clawgate.domain.events import BusEvent
from clawgate.ports.clock import Clock

_log = Logger()
KEPT = 1_000
MOST_WATCHERS = 1_000


@define(eq=False)
class Events:
    """Publishes to every watcher, in order."""

    clock: Clock
    _number: int = field(default=0, init=False)
    _recent: deque[BusEvent] = field(factory=lambda: deque(maxlen=KEPT), init=False)
    _watchers: list[Callable[[BusEvent], None]] = field(factory=list, init=False)

    def publish(self, kind: str, data: Mapping[str, object]) -> None:
        """Tells that `kind` happened; a watcher that breaks is logged and stays."""
        self._number += 1
        event = BusEvent(number=self._number, kind=kind, at_ms=self.clock.wall_ms(), data=data)
        self._recent.append(event)
        for watcher in tuple(self._watchers):
            try:
                watcher(event)
            except Exception:
                _log.failure("a watcher of {kind} broke", kind=kind)

    def watch(self, watcher: Callable[[BusEvent], None]) -> Callable[[], None]:
        """Calls `watcher` with every event from now on; returns what ends it.

        Raises:
            Overloaded: too many watch already.
        """
        if len(self._watchers) >= MOST_WATCHERS:
            raise Overloaded("too many watchers")
        self._watchers.append(watcher)

        def end() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        return end

    def recent(self, after: int = 0) -> tuple[BusEvent, ...]:
        """What is remembered of the events after number `after`, oldest first."""
        return tuple(event for event in self._recent if event.number > after)
