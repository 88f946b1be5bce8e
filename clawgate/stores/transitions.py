"""What happens to items and parts, as functions of the connection. Ring: edge. Source: domain/inbox.py, domain/delivery.py, ports/stores.py.

Each runs inside the writer's transaction: read the record, let the domain decide, write what it said and what follows from it for keys, lines and
parts. A refusal (`GatewayError`) undoes all of it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

import msgspec

from clawgate.domain import attempts, delivery, inbox
from clawgate.domain.delivery import Send, SendState
from clawgate.domain.errors import Conflict, NotFound, Overloaded
from clawgate.domain.inbox import Effect, Item, State
from clawgate.domain.messages import PLAIN, DedupeKey, MemoryEntry
from clawgate.domain.sessions import is_worth_saving
from clawgate.ports.stores import Accepted, FactKey, Settled
from clawgate.stores import attempt_rows, dedupe_rows, facts, inbox_rows, journal, memory, outbox_rows, session_rows
from clawgate.stores.dedupe_rows import Keys

CHUNK = 500
"""Records looked at in one transaction of a long job, so that others are not held up."""


_FORGET = (outbox_rows.FORGET, journal.FORGET, attempt_rows.FORGET, inbox_rows.FORGET)


class Moved(msgspec.Struct, frozen=True):
    """A committed transition and whether the item was open before it."""

    settled: Settled
    was_open: bool


class Chunk(msgspec.Struct, frozen=True):
    """One transaction of a long job: how many records went where, and after which id to go on (None = that was all)."""

    states: dict[State, int]
    removed: int
    after: int | None


class Transitions(msgspec.Struct, eq=False):
    """The rules of the inbox and the outbox, on rows."""

    keys: Keys

    def accept(
        self,
        connection: sqlite3.Connection,
        *,
        item: Item,
        dedupe: DedupeKey | None,
        entry: MemoryEntry | None,
        is_full: bool,
        sends: Sequence[Send] = (),
        spends: FactKey | None = None,
    ) -> Accepted:
        """The stored item, or the earlier one under its key.

        Raises:
            Overloaded: `is_full` and the message is a new one; or no key can make room.
            Conflict: the fact to be spent is gone.
        """
        earlier = self.keys.find(connection, dedupe, item.accepted_ms) if dedupe is not None else None
        if earlier is not None:
            return Accepted(earlier, True)
        if is_full:
            raise Overloaded("the inbox is full")
        if dedupe is not None:
            self.keys.insert(connection, dedupe, int(item.id, 16), item.accepted_ms)
        if spends is not None and not facts.spend(connection, spends):
            raise Conflict(f"the {spends.kind} is gone")
        connection.execute(*inbox_rows.insertion(item))
        if sends:
            outbox_rows.insert(connection, sends)
        if item.conversation is not None and item.state is State.RUNNING:
            inbox_rows.relead(connection, item.conversation)
        if entry is not None:
            connection.execute(memory.PUT, memory.to_row(entry))
        return Accepted(item, False)

    def claim(self, connection: sqlite3.Connection, owner: str, now_ms: int, limit: int, asked: Sequence[int] = ()) -> tuple[Item, ...]:
        """The startable of `asked`, and then up to `limit` others in order of acceptance; running now."""
        wanted = [row for number in asked if (row := connection.execute(inbox_rows.STARTABLE_ONE, (number,)).fetchone())]
        first = self._run_now(connection, inbox_rows.many(wanted), owner, now_ms)
        received = inbox_rows.many(connection.execute(inbox_rows.STARTABLE, (limit,)))
        due = inbox_rows.many(connection.execute(inbox_rows.DUE, (now_ms, limit)))
        return (*first, *self._run_now(connection, sorted((*received, *due), key=_id)[:limit], owner, now_ms))

    def _run_now(self, connection: sqlite3.Connection, items: Sequence[Item], owner: str, now_ms: int) -> tuple[Item, ...]:
        running = tuple(inbox.step(item, inbox.Claimed(owner), now_ms)[0] for item in items)
        connection.executemany(inbox_rows.UPDATE, [inbox_rows.to_change(item) for item in running])
        return running

    def settle(self, connection: sqlite3.Connection, number: int, event: inbox.Event, now_ms: int, sends: Sequence[Send] = ()) -> Moved:
        """The item after `event`.

        Raises:
            NotFound, Conflict: as `ports.stores.Inbox.settle`.
        """
        before = inbox_rows.maybe(connection, number)
        if before is None:
            raise NotFound(f"no item {number:016x}")
        after, effects = inbox.step(before, event, now_ms)
        if after != before:
            connection.execute(inbox_rows.UPDATE, inbox_rows.to_change(after))
        outcome = attempts.outcome_of(before, event, after)
        attempt = attempts.ended(before, event, after, outcome) or attempts.kept_of(before)
        if attempt is not None:
            attempt_rows.add(connection, number, attempt)
        if after.conversation is not None and after.state is not before.state:
            inbox_rows.relead(connection, after.conversation)
        if Effect.RELEASE_KEY in effects:
            self.keys.release(connection, number)
        self._see_to_sends(connection, after, event, effects, now_ms)
        if isinstance(event, inbox.Completed) and _is_saved(after):
            session_rows.save(connection, after, now_ms)
        if before.is_open and not after.is_open and not isinstance(event, inbox.Completed):  # a turn with an answer asks nothing any more
            connection.execute(journal.WITHDRAW, (number,))
        if sends and not after.is_open:
            outbox_rows.insert(connection, sends)
        return Moved(Settled(after, effects, outcome), before.is_open)

    def _see_to_sends(self, connection: sqlite3.Connection, after: Item, event: inbox.Event, effects: tuple[Effect, ...], now_ms: int) -> None:
        number = int(after.id, 16)
        if Effect.RESEND in effects:
            outbox_rows.resend(connection, number, now_ms)
        elif isinstance(event, inbox.Retry):
            for again in journal.AGAIN:
                connection.execute(again, (number,))
            outbox_rows.supersede(connection, number)
        elif isinstance(event, inbox.Drop):
            outbox_rows.give_up(connection, number, "dropped", now_ms)

    # --- parts of replies

    def claim_sends(self, connection: sqlite3.Connection, channel: str, now_ms: int, limit: int) -> tuple[Send, ...]:
        """Up to `limit` due heads of the channel's lines, sending now, in id order."""
        due = outbox_rows.many(connection.execute(outbox_rows.DUE, (channel, now_ms, limit)))
        return tuple(outbox_rows.apply(connection, send, delivery.Started(), now_ms) for send in due)

    def settle_send(self, connection: sqlite3.Connection, number: int, event: delivery.Event, now_ms: int) -> Send:
        """The part after `event`; its item follows, unless it has moved on.

        Raises:
            NotFound, Conflict: as `ports.stores.Outbox.settle_send`.
        """
        row = connection.execute(outbox_rows.GET, (number,)).fetchone()
        if row is None:
            raise NotFound(f"no part {number:016x}")
        after = outbox_rows.apply(connection, outbox_rows.from_row(row), event, now_ms)
        follows = _follows(connection, after)
        if follows is not None:
            try:
                self.settle(connection, int(after.item_id, 16), follows, now_ms)
            except (Conflict, NotFound):
                pass  # dropped, retried or purged meanwhile; refused before anything was written
        return after

    def recover_sends(self, connection: sqlite3.Connection, retry_safe: frozenset[str], now_ms: int) -> int:
        """Settles up to a chunk of parts that a lost process was sending; returns how many."""
        found = outbox_rows.many(connection.execute(outbox_rows.SENDING, (CHUNK,)))
        for send in found:
            self.settle_send(connection, int(send.id, 16), delivery.Unanswered(send.channel in retry_safe), now_ms)
        return len(found)

    # --- long jobs, a chunk at a time

    def recover(self, connection: sqlite3.Connection, state: State, owner: str, now_ms: int, after: int) -> Chunk:
        """`OwnerLost` for up to a chunk of items in `state`: running ones of another owner, received ones that nobody has been promised yet."""
        rows = connection.execute(inbox_rows.OF_STATE, (state.value, after, CHUNK)).fetchall()
        went: Counter[State] = Counter()
        for number, promised, holder in rows:
            is_lost = holder != owner if state is State.RUNNING else not promised
            if is_lost:
                went[self.settle(connection, number, inbox.OwnerLost(), now_ms).settled.item.state] += 1
        return Chunk(dict(went), 0, rows[-1][0] if len(rows) == CHUNK else None)

    def purge(self, connection: sqlite3.Connection, before_ms: int, stopped_ms: int, after: int) -> Chunk:
        """Forgets what ended before `before_ms`, or stopped before `stopped_ms`, among up to a chunk of the oldest items, with all that hangs on it.

        Not what a key names or a part is left of.
        """
        rows = connection.execute(inbox_rows.OLDEST, (after, CHUNK)).fetchall()
        old = [row for row in rows if row[2] < max(before_ms, stopped_ms)]
        removed = 0
        for number, state, _, updated_ms in old:
            end_ms = stopped_ms if State(state) in inbox.STOPPED else before_ms
            if State(state) not in inbox.OPEN and updated_ms < end_ms and not _is_needed(connection, number):
                for forget in _FORGET:
                    connection.execute(forget, (number,))
                removed += 1
        is_all = len(rows) < CHUNK or not old
        return Chunk({}, removed, None if is_all else rows[-1][0])


def _id(item: Item) -> str:
    return item.id


def _is_saved(answered: Item) -> bool:
    return bool((answered.options or PLAIN).session) and is_worth_saving(answered.answer)


def _is_needed(connection: sqlite3.Connection, number: int) -> bool:
    return dedupe_rows.is_named(connection, number) or connection.execute(outbox_rows.ON_ITS_WAY, (number,)).fetchone() is not None


def _follows(connection: sqlite3.Connection, send: Send) -> inbox.Event | None:
    """What a part's new state means to its item."""
    match send.state:
        case SendState.UNCERTAIN:
            return inbox.SendUnsettled()
        case SendState.DEAD:
            return inbox.SendDead(send.error or "dead")
        case SendState.SENT:
            item = inbox_rows.maybe(connection, int(send.item_id, 16))
            is_plainly_done = item is None or item.state is State.DONE
            unsettled = is_plainly_done or connection.execute(outbox_rows.UNSETTLED, (int(send.item_id, 16),)).fetchone()
            return None if unsettled else inbox.SendSettled()
    return None
