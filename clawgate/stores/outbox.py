"""The outbox on SQLite. Ring: edge. Implements `ports.stores.Outbox`."""

from __future__ import annotations

import sqlite3
from functools import partial

import msgspec
from twisted.internet.defer import Deferred, fail, succeed

from clawgate.domain import delivery, ids
from clawgate.domain.delivery import Send
from clawgate.domain.errors import NotFound
from clawgate.stores import outbox_rows
from clawgate.stores.readers import Readers
from clawgate.stores.transitions import CHUNK, Transitions
from clawgate.stores.writer import Writer


class SqliteOutbox(msgspec.Struct, eq=False):
    """The parts of replies on their way."""

    writer: Writer
    readers: Readers
    transitions: Transitions

    def claim_sends(self, channel: str, now_ms: int, limit: int) -> Deferred[tuple[Send, ...]]:
        """`ports.stores.Outbox.claim_sends`."""
        return self.writer.call(partial(self.transitions.claim_sends, channel=channel, now_ms=now_ms, limit=max(limit, 0)))

    def settle_send(self, send_id: str, event: delivery.Event, now_ms: int) -> Deferred[Send]:
        """`ports.stores.Outbox.settle_send`."""
        number = ids.to_number(send_id)
        if number is None:
            return fail(NotFound(f"no part {send_id[:32]}"))
        return self.writer.call(partial(self.transitions.settle_send, number=number, event=event, now_ms=now_ms))

    def sends_of(self, item_id: str) -> Deferred[tuple[Send, ...]]:
        """`ports.stores.Outbox.sends_of`."""
        number = ids.to_number(item_id)
        return succeed(()) if number is None else self.readers.read(partial(outbox_rows.of_item, number=number))

    def next_send_due_ms(self, channel: str) -> Deferred[int | None]:
        """`ports.stores.Outbox.next_send_due_ms`; a part behind another of its target is not next."""
        return self.readers.read(partial(_next_due_ms, channel=channel))

    def mend_waits(self, now_ms: int) -> Deferred[int]:
        """`ports.stores.Outbox.mend_waits`."""
        return self.writer.call(lambda connection: connection.execute(outbox_rows.MEND, (now_ms,)).rowcount)

    def recover_sends(self, retry_safe: frozenset[str], now_ms: int) -> Deferred[int]:
        """`ports.stores.Outbox.recover_sends`, a chunk at a time."""
        return Deferred.fromCoroutine(self._recover_sends(retry_safe, now_ms))

    async def _recover_sends(self, retry_safe: frozenset[str], now_ms: int) -> int:
        recovered, found = 0, CHUNK
        while found == CHUNK:
            found = await self.writer.call(partial(self.transitions.recover_sends, retry_safe=retry_safe, now_ms=now_ms))
            recovered += found
        return recovered


def _next_due_ms(connection: sqlite3.Connection, channel: str) -> int | None:
    due_ms: int | None = connection.execute(outbox_rows.NEXT_DUE, (channel,)).fetchone()[0]
    return due_ms
