"""Subscriptions for people: how it stands with each, and decisions. Ring: services. Source: docs/howto/subscriptions.md; domain/subscriptions.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from twisted.logger import Logger

from clawgate.domain.errors import Conflict, NotFound
from clawgate.domain.settings.model import SubscriptionSettings
from clawgate.domain.subscriptions import TEST, Attempt, Event, Line, Paused, Resumed
from clawgate.ports.clock import Clock
from clawgate.ports.subscriptions import SubscriptionRows
from clawgate.services.subscriptions import Subscriptions

_log = Logger()
ATTEMPTS_SHOWN = 20


class Shown(msgspec.Struct, frozen=True):
    """A subscription for people to see.

    Attributes:
        settings: None = it is not configured any more.
        attempts: newest first; empty in lists.
    """

    line: Line
    settings: SubscriptionSettings | None
    attempts: tuple[Attempt, ...] = ()


class SubscriptionDesk(msgspec.Struct):
    """Looking at subscriptions, and deciding about those that do not get through."""

    rows: SubscriptionRows
    clock: Clock
    configured: Callable[[], Mapping[str, SubscriptionSettings]]
    at_work: Subscriptions

    async def list(self) -> tuple[Shown, ...]:
        """All, by name; also what is not configured any more and still waits."""
        configured = self.configured()
        return tuple(Shown(line, configured.get(line.subscriber.name)) for line in await self.rows.lines() if _is_of_interest(line, configured))

    async def show(self, name: str) -> Shown:
        """One of them, with its last attempts. Raises NotFound."""
        line, configured = await self.rows.line(name), self.configured()
        if line is None or not _is_of_interest(line, configured):
            raise NotFound("subscription")
        return Shown(line, configured.get(name), await self.rows.attempts(name, ATTEMPTS_SHOWN))

    async def pause(self, name: str) -> Shown:
        """Nothing is sent to it until it is resumed; its line grows. Raises NotFound, Conflict when it is stopped."""
        return await self._decide(name, Paused())

    async def resume(self, name: str) -> Shown:
        """Its head is tried at once, and its schedule begins anew. Raises NotFound."""
        return await self._decide(name, Resumed())

    async def _decide(self, name: str, event: Event) -> Shown:
        await self.show(name)
        await self.at_work.settle(name, event)
        return await self.show(name)

    async def test(self, name: str) -> str:
        """Puts an event for trying things out into its line; returns its id. Raises NotFound, Conflict when it is switched off, Overloaded."""
        shown = await self.show(name)
        if shown.settings is None or not shown.settings.enabled:
            raise Conflict(f"subscription {name} is not switched on")
        return await self.rows.add(name, TEST, self.clock.wall_ms(), '{"message":"This is a test."}')

    async def drop(self, name: str) -> int:
        """Empties its line; returns how many events went. One that is not configured any more is forgotten. Raises NotFound."""
        await self.show(name)
        dropped = await self.rows.drop(name, is_last=name not in self.configured())
        _log.warn("the line of subscription {name} was emptied by an operator: {dropped} events", name=name, dropped=dropped)
        self.at_work.wake()
        return dropped


def _is_of_interest(line: Line, configured: Mapping[str, SubscriptionSettings]) -> bool:
    return line.subscriber.name in configured or line.head is not None
