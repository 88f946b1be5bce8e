"""Turns as they happen, for whoever watches one. Ring: services. Source: rantaiclaw.md §10 (SSE of agent/chat); design §1.

In memory: whoever missed a piece reads the outcome from the inbox. Nobody watches most turns; telling nobody costs one look-up.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.logger import Logger

from clawgate.domain.turn import TurnEvent

_log = Logger()
Watcher = Callable[[TurnEvent], None]


class Streams(msgspec.Struct, eq=False):
    """Who watches which item's turn."""

    _watchers: dict[str, list[Watcher]] = {}

    def watch(self, item_id: str, watcher: Watcher) -> Callable[[], None]:
        """Tells `watcher` what happens in the turn of an item from now on; returns what ends it.

        The number of watchers is bounded by the number of requests that wait (`Waiters`).
        """
        self._watchers.setdefault(item_id, []).append(watcher)

        def end() -> None:
            watchers = self._watchers.get(item_id, [])
            if watcher in watchers:
                watchers.remove(watcher)
            if not watchers:
                self._watchers.pop(item_id, None)

        return end

    def tell(self, item_id: str, event: TurnEvent) -> None:
        """Tells everybody who watches; one who breaks is logged and keeps watching."""
        for watcher in tuple(self._watchers.get(item_id, ())):
            try:
                watcher(event)
            except Exception:
                _log.failure("who watches {item} broke", item=item_id)
