"""The operator's desk: looking at items and deciding about those that stopped. Ring: services. Source: design §1, §5 (`clawgate inbox`)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from clawgate.domain.attempts import Attempt
from clawgate.domain.caller import Caller
from clawgate.domain.delivery import Send
from clawgate.domain.errors import Conflict, NotFound
from clawgate.domain.inbox import Drop, Event, Item, Retry, State
from clawgate.domain.journal import ToolStep
from clawgate.ports.clock import Clock
from clawgate.ports.journal import Journal
from clawgate.ports.stores import Inbox, Outbox, Page
from clawgate.services.dispatch import Dispatch

MAX_PAGE = 500


class ItemDetail(msgspec.Struct, frozen=True):
    """An item, its attempts, the parts of its reply, and what its tools did; each oldest first."""

    item: Item
    attempts: tuple[Attempt, ...]
    sends: tuple[Send, ...]
    steps: tuple[ToolStep, ...] = ()


class Redriven(msgspec.Struct, frozen=True):
    """How many dead items are tried again, and where to go on ("" = those were the last)."""

    retried: int
    cursor: str


class Desk(msgspec.Struct):
    """What may be seen and decided about accepted messages.

    Attributes:
        told: hears of each message that is tried again, as `Ingress.told` of new ones.
    """

    inbox: Inbox
    outbox: Outbox
    journal: Journal
    dispatch: Dispatch
    clock: Clock
    told: Callable[[Item], None] = lambda item: None

    async def show(self, item_id: str, caller: Caller) -> ItemDetail:
        """The item, for its owner or an administrator.

        Raises:
            NotFound: no such item, or not this caller's (one does not learn which).
        """
        item = await self.inbox.get(item_id)
        if item is None or not caller.may_see(item.principal):
            raise NotFound("item")
        sends = await self.outbox.sends_of(item_id) if item.reply is not None else ()
        return ItemDetail(item, await self.inbox.attempts(item_id), sends, await self.journal.steps(item_id))

    async def page(self, states: frozenset[State], since_ms: int, cursor: str, limit: int) -> Page:
        """Items of anybody, newest first; at most `MAX_PAGE`."""
        return await self.inbox.page(states, since_ms, cursor, max(1, min(limit, MAX_PAGE)))

    async def retry(self, item_id: str) -> Item:
        """Tries a stopped item again; one whose answer exists is only sent again. Raises NotFound, Conflict."""
        item = await self._decide(item_id, Retry())
        if item.is_open:
            self.told(item)
        return item

    async def retry_dead(self, cursor: str) -> Redriven:
        """Tries dead items again, the newest `MAX_PAGE` before `cursor` ("" = of all); of these the oldest first, so that conversations keep their order.

        Raises:
            StoreUnavailable: some may be tried again already; asking once more goes on with the others.
        """
        page = await self.inbox.page(frozenset({State.DEAD}), 0, cursor, MAX_PAGE)
        retried = 0
        for item in reversed(page.items):
            try:
                await self.retry(item.id)
                retried += 1
            except (Conflict, NotFound):  # somebody else has decided meanwhile
                continue
        return Redriven(retried, page.cursor)

    async def drop(self, item_id: str) -> Item:
        """Gives an item up, running or not. Raises NotFound, Conflict."""
        return await self._decide(item_id, Drop())

    async def _decide(self, item_id: str, event: Event) -> Item:
        settled = await self.inbox.settle(item_id, event, self.clock.wall_ms())
        self.dispatch.perform(settled)
        return settled.item
