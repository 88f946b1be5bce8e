"""The event bus: what happened, told to whoever watches. Ring: services. Source: design §1, §6 (bounded everything).

In memory and best effort: what must not be lost is in the store. Kinds of a high rate are for those who watch at the moment and cost nothing when nobody does;
of the others the last ones are kept, so that who comes back can be told what they missed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping

import msgspec
from twisted.logger import Logger

from clawgate.domain.errors import Overloaded
from clawgate.domain.events import BusEvent, rule_of
from clawgate.ports.clock import Clock

_log = Logger()
KEPT = 1_000
MOST_WATCHERS = 1_000
Watcher = Callable[[BusEvent], None]


class Events(msgspec.Struct, eq=False):
    """Publishes to every watcher, in order."""

    clock: Clock
    _number: int = 0
    _forgotten: int = 0
    _recent: deque[BusEvent] = msgspec.field(default_factory=lambda: deque(maxlen=KEPT))
    _watchers: list[Watcher] = []
    _of_kind: dict[str, dict[Watcher, None]] = {}

    @property
    def is_watched(self) -> bool:
        """Whether anybody who watches everything would be told now: whoever publishes often asks first."""
        return bool(self._watchers)

    @property
    def number(self) -> int:
        """The number of the last event, 0 = there was none."""
        return self._number

    def publish(self, kind: str, data: Mapping[str, object], principal: str | None = None) -> None:
        """Tells that `kind` happened; a watcher that breaks is logged and stays.

        Args:
            principal: whose it is, None = nobody's (`domain.events.RULES` says who is shown it).
        """
        is_kept = rule_of(kind).is_kept
        of_kind = self._of_kind.get(kind, ())
        if not (is_kept or self._watchers or of_kind):
            return
        self._number += 1
        event = BusEvent(number=self._number, kind=kind, at_ms=self.clock.wall_ms(), data=data, principal=principal)
        if is_kept:
            self._keep(event)
        for watcher in (*self._watchers, *of_kind):
            try:
                watcher(event)
            except Exception:
                _log.failure("a watcher of {kind} broke", kind=kind)

    def _keep(self, event: BusEvent) -> None:
        if len(self._recent) == KEPT:
            self._forgotten = self._recent[0].number
        self._recent.append(event)

    def watch_kinds(self, kinds: Collection[str], watcher: Watcher) -> Callable[[], None]:
        """Calls `watcher` with every event of some rare kinds from now on; returns what ends it. Whoever watches so bounds how many do."""
        for kind in kinds:
            self._of_kind.setdefault(kind, {})[watcher] = None

        def end() -> None:
            for kind in kinds:
                watchers = self._of_kind.get(kind, {})
                watchers.pop(watcher, None)
                if not watchers:
                    self._of_kind.pop(kind, None)

        return end

    def watch(self, watcher: Watcher) -> Callable[[], None]:
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
        """What is remembered of the events after number `after`, oldest first; all of it for a number of an earlier process."""
        if after > self._number:
            after = 0
        return tuple(event for event in self._recent if event.number > after)

    def forgotten_since(self, after: int) -> int:
        """At most how many events after number `after` are remembered no more; 0 for who never saw one."""
        return max(0, self._forgotten - after) if 0 < after <= self._number else 0
