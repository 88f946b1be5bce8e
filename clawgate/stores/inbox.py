"""The inbox on SQLite. Ring: edge. Implements `ports.stores.Inbox`."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec
from twisted.internet.defer import Deferred, fail

from clawgate.domain import ids, inbox
from clawgate.domain.attempts import Attempt, Outcome
from clawgate.domain.delivery import Send
from clawgate.domain.errors import BadRequest, GatewayError, NotFound, Overloaded
from clawgate.domain.inbox import OPEN, Item, State
from clawgate.domain.messages import DedupeKey, MemoryEntry
from clawgate.ports.stores import Accepted, FactKey, Page, Settled
from clawgate.stores import attempt_rows, dedupe_rows, inbox_rows, memory
from clawgate.stores.readers import Readers, snapshot
from clawgate.stores.transitions import Chunk, Moved, Transitions
from clawgate.stores.writer import Writer

_COMPLETE = (inbox_rows.COMPLETE,)
_NO_ID = 1 << 62
_AFTER_ALL = (1 << 63) - 1


class SqliteInbox(msgspec.Struct, eq=False):
    """Items and the dedupe records that point at them.

    Attributes:
        high_water: open items above which new ones are refused.
        guard: why nothing new may be taken in now, or None; asked at every accept, so it does no I/O.
        open_items: open items, those included whose accept is on its way. Counted in the reactor's thread.
    """

    writer: Writer
    readers: Readers
    transitions: Transitions
    high_water: int
    guard: Callable[[], GatewayError | None]
    open_items: int = 0

    def accept(
        self,
        item: Item,
        dedupe: DedupeKey | None = None,
        memory: MemoryEntry | None = None,
        *,
        sends: Sequence[Send] = (),
        spends: FactKey | None = None,
    ) -> Deferred[Accepted]:
        """`ports.stores.Inbox.accept`."""
        refusal = self.guard()
        if refusal is not None:
            return fail(refusal)
        if not item.is_open:
            work = partial(self.transitions.accept, item=item, dedupe=dedupe, entry=memory, is_full=False, sends=sends, spends=spends)
            return self.writer.call(work)
        is_full = self.open_items >= self.high_water
        if dedupe is None and is_full:
            return fail(Overloaded("the inbox is full"))
        self.open_items += 1
        is_plain = spends is None and (item.conversation is None or item.state is not State.RUNNING)
        if dedupe is None and is_plain:
            return self._insert(item, memory)
        work = partial(self.transitions.accept, item=item, dedupe=dedupe, entry=memory, is_full=is_full, sends=sends, spends=spends)
        if dedupe is None or not is_plain or is_full or memory is not None or sends or dedupe_rows.is_bounded(dedupe):
            return self.writer.call(work, self._accepted)
        return self._insert_once(item, dedupe, work)

    def find(self, dedupe: DedupeKey, now_ms: int) -> Deferred[Item | None]:
        """`ports.stores.Inbox.find`; asked of the writer, which forgets a key that no longer counts."""
        return self.writer.call(partial(self.transitions.keys.find, dedupe=dedupe, now_ms=now_ms))

    def _insert(self, item: Item, entry: MemoryEntry | None) -> Deferred[Accepted]:
        (sql, row), accepted = inbox_rows.insertion(item), Accepted(item, False)
        may_wait = item.state is State.RUNNING and not item.promised  # it is committed beside its turn, at the latest with the outcome
        if entry is None:
            return self.writer.statements((sql,), (row,), accepted, note=self._accepted, may_wait=may_wait)
        return self.writer.statements((sql, memory.PUT), (row, memory.to_row(entry)), accepted, note=self._accepted, may_wait=may_wait)

    def _insert_once(self, item: Item, dedupe: DedupeKey, otherwise: Callable[[sqlite3.Connection], Accepted]) -> Deferred[Accepted]:
        """For a key that is new, as it is mostly; `otherwise` looks what it names."""
        sql, row = inbox_rows.insertion(item)
        rows = (dedupe_rows.to_row(dedupe, int(item.id, 16), item.accepted_ms), row)
        return self.writer.statements((dedupe_rows.INSERT_NEW, sql), rows, Accepted(item, False), otherwise, self._accepted)

    def _accepted(self, accepted: Accepted | None, is_committed: bool) -> None:
        if not is_committed or accepted is None or accepted.is_duplicate:
            self.open_items -= 1

    def claim(self, owner: str, now_ms: int, limit: int, asked: Sequence[str] = ()) -> Deferred[tuple[Item, ...]]:
        """`ports.stores.Inbox.claim`."""
        numbers = tuple(int(item_id, 16) for item_id in asked)
        return self.writer.call(partial(self.transitions.claim, owner=owner, now_ms=now_ms, limit=max(limit, 0), asked=numbers))

    def settle(self, item_id: str, event: inbox.Event, now_ms: int, sends: Sequence[Send] = ()) -> Deferred[Settled]:
        """`ports.stores.Inbox.settle`."""
        number = ids.to_number(item_id)
        if number is None:
            return fail(NotFound(f"no item {item_id[:32]}"))
        work = partial(self.transitions.settle, number=number, event=event, now_ms=now_ms, sends=sends)
        return self.writer.call(work, self._moved).addCallback(_settled)

    def _moved(self, moved: Moved | None, is_committed: bool) -> None:
        if is_committed and moved is not None:
            self.open_items += moved.settled.item.is_open - moved.was_open
            self._may_have_ended(not moved.settled.item.is_open)

    def _may_have_ended(self, has_ended: bool) -> None:
        if has_ended:
            self.transitions.keys.may_evict = True

    def complete(self, item: Item, event: inbox.Completed, now_ms: int) -> Deferred[Settled]:
        """`ports.stores.Inbox.complete`."""
        if item.conversation is not None or (item.options is not None and item.options.session):
            return self.settle(item.id, event, now_ms)
        try:
            after, effects = inbox.step(item, event, now_ms)
        except GatewayError as refusal:
            return fail(refusal)
        number = int(item.id, 16)
        params = (event.model, event.provider or None, event.answer, now_ms, number, event.owner)
        otherwise = partial(self._settle_instead, number=number, event=event, now_ms=now_ms)
        return self.writer.statements(_COMPLETE, (params,), Settled(after, effects, Outcome.COMPLETED), otherwise, self._completed)

    def _settle_instead(self, connection: sqlite3.Connection, number: int, event: inbox.Completed, now_ms: int) -> Settled:
        return self.transitions.settle(connection, number, event, now_ms).settled

    def _completed(self, settled: Settled | None, is_committed: bool) -> None:
        if is_committed:
            self.open_items -= 1
            self._may_have_ended(True)

    def get(self, item_id: str) -> Deferred[Item | None]:
        """`ports.stores.Inbox.get`."""
        number = ids.to_number(item_id)
        return self.readers.read(partial(inbox_rows.maybe, number=_NO_ID if number is None else number))

    def attempts(self, item_id: str) -> Deferred[tuple[Attempt, ...]]:
        """`ports.stores.Inbox.attempts`."""
        number = ids.to_number(item_id)
        return self.readers.read(partial(attempt_rows.of_item, number=_NO_ID if number is None else number))

    def page(self, states: frozenset[State], since_ms: int, cursor: str, limit: int) -> Deferred[Page]:
        """`ports.stores.Inbox.page`. A cursor that is none is a `BadRequest`."""
        before = ids.to_number(cursor) if cursor else _AFTER_ALL
        if before is None:
            return fail(BadRequest("cursor must be one that a page gave"))
        return self.readers.read(partial(_page, states=states, since_ms=since_ms, before=before, limit=limit))

    def history(self, conversation: str, before_id: str, limit: int) -> Deferred[tuple[Item, ...]]:
        """`ports.stores.Inbox.history`; `before_id` "" = all."""
        before = ids.to_number(before_id)
        params = (conversation, _AFTER_ALL if before is None else before, limit)
        return self.readers.read(lambda connection: inbox_rows.many(connection.execute(inbox_rows.HISTORY, params))[::-1])

    def open_in(self, conversation: str, limit: int) -> Deferred[tuple[Item, ...]]:
        """`ports.stores.Inbox.open_in`."""
        return self.readers.read(lambda connection: tuple(inbox_rows.many(connection.execute(inbox_rows.OPEN_OF, (conversation, limit)))))

    def counts(self, states: Iterable[State] = State) -> Deferred[dict[State, int]]:
        """`ports.stores.Inbox.counts`."""
        return self.readers.read(partial(_counts, states=tuple(states)))

    def oldest_open_ms(self) -> Deferred[int | None]:
        """`ports.stores.Inbox.oldest_open_ms`."""
        return self.readers.read(_oldest_open_ms)

    def next_due_ms(self) -> Deferred[int | None]:
        """`ports.stores.Inbox.next_due_ms`; an item behind another of its conversation is not next."""
        return self.readers.read(_next_due_ms)

    def mend_waits(self, now_ms: int) -> Deferred[int]:
        """`ports.stores.Inbox.mend_waits`."""
        return self.writer.call(lambda connection: connection.execute(inbox_rows.MEND, (now_ms,)).rowcount)

    def recover(self, owner: str, now_ms: int) -> Deferred[dict[State, int]]:
        """`ports.stores.Inbox.recover`, a chunk at a time."""
        return Deferred.fromCoroutine(self._recover(owner, now_ms))

    async def _recover(self, owner: str, now_ms: int) -> dict[State, int]:
        went: Counter[State] = Counter()
        for state in (State.RUNNING, State.RECEIVED):
            after: int | None = -1
            while after is not None:
                work = partial(self.transitions.recover, state=state, owner=owner, now_ms=now_ms, after=after)
                chunk = await self.writer.call(work, self._recovered)
                went.update(chunk.states)
                after = chunk.after
        return dict(went)

    def _recovered(self, chunk: Chunk | None, is_committed: bool) -> None:
        if is_committed and chunk is not None:
            self.open_items -= sum(count for state, count in chunk.states.items() if state not in OPEN)
            self._may_have_ended(True)

    def purge(self, now_ms: int, item_retention_seconds: int, stopped_retention_seconds: int | None = None) -> Deferred[int]:
        """`ports.stores.Inbox.purge`, a chunk at a time."""
        before_ms = now_ms - item_retention_seconds * 1000
        stopped_ms = before_ms if stopped_retention_seconds is None else now_ms - stopped_retention_seconds * 1000
        return Deferred.fromCoroutine(self._purge(now_ms, before_ms, stopped_ms))

    async def _purge(self, now_ms: int, before_ms: int, stopped_ms: int) -> int:
        removed = forgotten = await self.writer.call(partial(self.transitions.keys.purge, now_ms=now_ms))
        while forgotten:
            forgotten = await self.writer.call(partial(self.transitions.keys.purge, now_ms=now_ms))
            removed += forgotten
        after: int | None = -1
        while after is not None:
            chunk = await self.writer.call(partial(self.transitions.purge, before_ms=before_ms, stopped_ms=stopped_ms, after=after))
            removed, after = removed + chunk.removed, chunk.after
        return removed


def _settled(moved: Moved) -> Settled:
    return moved.settled


def _page(connection: sqlite3.Connection, states: frozenset[State], since_ms: int, before: int, limit: int) -> Page:
    """Ids carry the time they were made in, never an earlier one than `accepted_ms` (`domain.ids`): so old rows need not be looked at."""
    since = (before, ids.first_of(max(since_ms, 0)), since_ms, limit + 1)
    if not states:
        rows = connection.execute(inbox_rows.PAGE, since).fetchall()
    else:
        rows = [row for state in states for row in connection.execute(inbox_rows.PAGE_OF_STATE, (state.value, *since))]
        rows.sort(reverse=True, key=_first)
    items = inbox_rows.many(rows[:limit])
    return Page(items, items[-1].id if len(rows) > limit and items else "")


def _first(row: inbox_rows.Row) -> int:
    return row[0]


def _counts(connection: sqlite3.Connection, states: Sequence[State]) -> dict[State, int]:
    with snapshot(connection):
        return {state: connection.execute(inbox_rows.COUNT, (state.value,)).fetchone()[0] for state in states}


def _oldest_open_ms(connection: sqlite3.Connection) -> int | None:
    found = [row for state in OPEN if (row := connection.execute(inbox_rows.OLDEST_OF_STATE, (state.value,)).fetchone())]
    return min((int(row[0]) for row in found), default=None)


def _next_due_ms(connection: sqlite3.Connection) -> int | None:
    due_ms: int | None = connection.execute(inbox_rows.NEXT_DUE).fetchone()[0]
    return due_ms
