"""Rows of the inbox and their statements. Ring: edge. Schema: sql/0001_first.sql; the record: domain/inbox.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from clawgate.domain.inbox import Item, State
from clawgate.domain.messages import ReplyTo, TurnOptions
from clawgate.stores.operations import Params

Row = tuple[
    int,
    str,
    int,
    int,
    int,
    int,
    int,
    int,
    int,
    str,
    str,
    str,
    str | None,
    str | None,
    str | None,
    str | None,
    str | None,
    str | None,
    str,
    str | None,
    int,
    str | None,
]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(TurnOptions).decode
_COLUMNS = (
    "id, state, promised, keyed, journalled, attempts, accepted_ms, due_ms, updated_ms, owner, source, principal, conversation, reply_channel, "
    "reply_target, model, error, options, text, answer"
)
_READ = f"{_COLUMNS}, started_ms, provider"
"""A new row has neither: its turn starts with the accept, or at a claim."""
_OPEN = "state IN ('received', 'running', 'waiting')"  # word for word as in the indexes, or they are not used

_NOTHING_YET = (None, None, None, None, None, 0, False)

INSERT = (
    f"INSERT INTO inbox ({_COLUMNS}, ready) "  # noqa: S608
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, "
    f"CASE WHEN ?13 IS NULL THEN 1 ELSE NOT EXISTS (SELECT 1 FROM inbox WHERE conversation = ?13 AND {_OPEN}) END)"
)
"""One row. Ready when it has no conversation, or is the first open one of its own. (CASE, because OR would look for NULL's line every time.)"""

INSERT_NEW = (
    "INSERT INTO inbox (id, state, promised, keyed, attempts, accepted_ms, updated_ms, owner, source, principal, options, text, journalled, due_ms, ready) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, ''), ?, 0, 0, 1)"
)
"""One row of a message that stands alone and to which nothing has happened. Each parameter costs, and None or a bool most: sqlite3 looks for an adapter."""

UPDATE = (
    "UPDATE inbox SET state = ?, promised = ?, journalled = ?, attempts = ?, due_ms = ?, updated_ms = ?, owner = ?, model = ?, error = ?, answer = ?, "
    "started_ms = ?, provider = ?, ready = (conversation IS NULL OR (ready AND ?)) WHERE id = ?"
)
"""Everything that a step may change; an ended item of a conversation is not ready. One row."""

COMPLETE = (
    "UPDATE inbox SET state = 'done', owner = '', model = ?, provider = ?, error = NULL, answer = ?, updated_ms = ? "
    "WHERE id = ? AND state = 'running' AND owner = ? AND conversation IS NULL"
)
"""`Completed` for a running item without a conversation. One row, unless it is not that."""

NEWEST = "SELECT max(id) FROM inbox"
GET = f"SELECT {_READ} FROM inbox WHERE id = ?"  # noqa: S608
# INDEXED BY, because SQLite would take inbox_state and look at every item in the state.
STARTABLE = f"SELECT {_READ} FROM inbox INDEXED BY inbox_startable WHERE state = 'received' AND ready = 1 ORDER BY id LIMIT ?"  # noqa: S608
STARTABLE_ONE = f"SELECT {_READ} FROM inbox WHERE id = ? AND state = 'received' AND ready = 1"  # noqa: S608
DUE = f"SELECT {_READ} FROM inbox INDEXED BY inbox_due WHERE state = 'waiting' AND ready = 1 AND due_ms <= ? ORDER BY due_ms LIMIT ?"  # noqa: S608

BUSY = "SELECT id FROM inbox WHERE conversation = ? AND state = 'running' ORDER BY id LIMIT 1"
FIRST_OPEN = f"SELECT id FROM inbox WHERE conversation = ? AND {_OPEN} ORDER BY id LIMIT 1"  # noqa: S608
UNREADY = f"UPDATE inbox SET ready = 0 WHERE conversation = ? AND ready = 1 AND {_OPEN} AND id <> ?"  # noqa: S608
READY = "UPDATE inbox SET ready = 1 WHERE id = ? AND ready = 0"

PAGE_OF_STATE = f"SELECT {_READ} FROM inbox WHERE state = ? AND id < ? AND id >= ? AND accepted_ms >= ? ORDER BY id DESC LIMIT ?"  # noqa: S608
PAGE = f"SELECT {_READ} FROM inbox WHERE id < ? AND id >= ? AND accepted_ms >= ? ORDER BY id DESC LIMIT ?"  # noqa: S608
HISTORY = f"SELECT {_READ} FROM inbox WHERE conversation = ? AND answer IS NOT NULL AND id < ? ORDER BY id DESC LIMIT ?"  # noqa: S608
OPEN_OF = f"SELECT {_READ} FROM inbox WHERE conversation = ? AND {_OPEN} ORDER BY id LIMIT ?"  # noqa: S608
COUNT = "SELECT count(*) FROM inbox WHERE state = ?"
COUNT_OPEN = f"SELECT count(*) FROM inbox WHERE {_OPEN}"  # noqa: S608
OLDEST_OF_STATE = "SELECT accepted_ms FROM inbox WHERE state = ? ORDER BY id LIMIT 1"
NEXT_DUE = "SELECT min(due_ms) FROM inbox INDEXED BY inbox_due WHERE state = 'waiting' AND ready = 1"
MEND = (
    "UPDATE inbox INDEXED BY inbox_state SET due_ms = min(due_ms, ?1 + max(0, due_ms - updated_ms)), updated_ms = ?1 "
    "WHERE state = 'waiting' AND updated_ms > ?1"
)
"""Any number of rows: those put off by a clock that was ahead. Its own wait is what lies between putting off and being due."""

OF_STATE = "SELECT id, promised, owner FROM inbox WHERE state = ? AND id > ? ORDER BY id LIMIT ?"
OLDEST = "SELECT id, state, accepted_ms, updated_ms FROM inbox WHERE id > ? ORDER BY id LIMIT ?"
FORGET = "DELETE FROM inbox WHERE id = ?"


def insertion(item: Item) -> tuple[str, Params]:
    """The statement that inserts an item, and its parameters."""
    if (item.conversation, item.reply, item.answer, item.model, item.error, item.due_ms, item.journalled) != _NOTHING_YET:
        return INSERT, to_row(item)
    return INSERT_NEW, (
        int(item.id, 16),
        item.state.value,
        1 if item.promised else 0,
        1 if item.keyed else 0,
        item.attempts,
        item.accepted_ms,
        item.updated_ms,
        item.owner,
        item.source,
        item.principal,
        "" if item.options is None else _encode(item.options).decode(),
        item.text,
    )


def to_row(item: Item) -> Params:
    """The parameters of `INSERT`."""
    reply = item.reply
    return (
        int(item.id, 16),
        item.state.value,
        item.promised,
        item.keyed,
        item.journalled,
        item.attempts,
        item.accepted_ms,
        item.due_ms,
        item.updated_ms,
        item.owner,
        item.source,
        item.principal,
        item.conversation,
        None if reply is None else reply.channel,
        None if reply is None else reply.target,
        item.model,
        item.error,
        None if item.options is None else _encode(item.options).decode(),
        item.text,
        item.answer,
    )


def to_change(item: Item) -> Params:
    """The parameters of `UPDATE`."""
    return (
        item.state.value,
        item.promised,
        item.journalled,
        item.attempts,
        item.due_ms,
        item.updated_ms,
        item.owner,
        item.model,
        item.error,
        item.answer,
        item.started_ms,
        item.provider,
        item.is_open,
        int(item.id, 16),
    )


def from_row(row: Row) -> Item:
    """The item of a row in the order of `_COLUMNS`."""
    (number, state, promised, keyed, journalled, attempts, accepted_ms, due_ms, updated_ms) = row[:9]
    (owner, source, principal, conversation, channel, target, model, error, options, text, answer, started_ms, provider) = row[9:]
    return Item(
        id=f"{number:016x}",
        state=State(state),
        promised=bool(promised),
        keyed=bool(keyed),
        journalled=bool(journalled),
        attempts=attempts,
        accepted_ms=accepted_ms,
        due_ms=due_ms,
        updated_ms=updated_ms,
        owner=owner,
        source=source,
        principal=principal,
        conversation=conversation,
        reply=None if channel is None or target is None else ReplyTo(channel, target),
        model=model,
        error=error,
        options=None if options is None else _decode(options),
        text=text,
        answer=answer,
        started_ms=started_ms,
        provider=provider,
    )


def many(rows: Iterable[Row]) -> tuple[Item, ...]:
    """Items, in the order of the rows."""
    return tuple(map(from_row, rows))


def maybe(connection: sqlite3.Connection, number: int) -> Item | None:
    """The item with this id, or None."""
    row = connection.execute(GET, (number,)).fetchone()
    return None if row is None else from_row(row)


def relead(connection: sqlite3.Connection, conversation: str) -> None:
    """Makes the right open item of a conversation the ready one: the running one, else the one with the lowest id."""
    leader = connection.execute(BUSY, (conversation,)).fetchone() or connection.execute(FIRST_OPEN, (conversation,)).fetchone()
    if leader is not None:
        connection.execute(UNREADY, (conversation, leader[0]))
        connection.execute(READY, leader)
