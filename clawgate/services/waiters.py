"""Callers waiting for the outcome of an item. Ring: services."""

from __future__ import annotations

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.errors import GatewayError, Overloaded
from clawgate.domain.inbox import Item


class Waiters(msgspec.Struct):
    """Who waits for which item; bounded by `max_waiters`."""

    max_waiters: int
    _waiting: dict[str, list[Deferred[Item]]] = {}
    _count: int = 0

    def expect(self, item_id: str) -> Deferred[Item]:
        """Fires with the ended item. Cancelling it stops waiting and changes nothing else.

        Raises:
            Overloaded: as many callers wait as may.
        """
        if self._count >= self.max_waiters:
            raise Overloaded("too many callers wait for an answer")
        waiter: Deferred[Item] = Deferred(lambda waiter: self._remove(item_id, waiter))
        self._waiting.setdefault(item_id, []).append(waiter)
        self._count += 1
        return waiter

    def answer(self, item: Item) -> None:
        """Tells everybody who waits for this item."""
        for waiter in self._taken(item.id):
            waiter.callback(item)

    def fail(self, item_id: str, error: GatewayError) -> None:
        """Tells everybody who waits for this item that there is no telling now."""
        for waiter in self._taken(item_id):
            waiter.errback(error)

    def fail_all(self, error: GatewayError) -> None:
        """Tells everybody."""
        for item_id in tuple(self._waiting):
            self.fail(item_id, error)

    def _taken(self, item_id: str) -> list[Deferred[Item]]:
        waiters = self._waiting.pop(item_id, [])
        self._count -= len(waiters)
        return waiters

    def forget(self, item_id: str, waiter: Deferred[Item]) -> None:
        """Nobody looks at this waiter any more: it stays silent, whatever it was told."""
        self._remove(item_id, waiter)
        waiter.addErrback(lambda _: None)

    def _remove(self, item_id: str, waiter: Deferred[Item]) -> None:
        waiters = self._waiting.get(item_id, [])
        if waiter in waiters:
            waiters.remove(waiter)
            self._count -= 1
            if not waiters:
                del self._waiting[item_id]
