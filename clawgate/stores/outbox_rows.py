"""Rows of the outbox and their statements. Ring: edge. Schema: sql/0001_first.sql; the record: domain/delivery.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from clawgate.domain import delivery
from clawgate.domain.delivery import Send, SendState
from clawgate.stores.operations import Params

Row = tuple[int, int, int, str, int, int, int, str, str, str | None, str | None, str]

_COLUMNS = "id, item_id, part, state, attempts, due_ms, updated_ms, channel, target, receipt, error, text"
_ON_ITS_WAY = "state IN ('pending', 'sending')"  # word for word as in the indexes

INSERT = f"INSERT INTO outbox ({_COLUMNS}, head) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"  # noqa: S608
UPDATE = "UPDATE outbox SET state = ?1, attempts = ?2, due_ms = ?3, updated_ms = ?4, receipt = ?5, error = ?6, head = (head AND ?1 IN ('pending', 'sending')) WHERE id = ?7"  # noqa: E501
NEWEST = "SELECT max(id) FROM outbox"
GET = f"SELECT {_COLUMNS} FROM outbox WHERE id = ?"  # noqa: S608
OF_ITEM = f"SELECT {_COLUMNS} FROM outbox WHERE item_id = ? ORDER BY id"  # noqa: S608
DUE = f"SELECT {_COLUMNS} FROM outbox WHERE channel = ? AND state = 'pending' AND head = 1 AND due_ms <= ? ORDER BY id LIMIT ?"  # noqa: S608
NEXT_DUE = "SELECT min(due_ms) FROM outbox WHERE channel = ? AND state = 'pending' AND head = 1"
MEND = (
    "UPDATE outbox INDEXED BY outbox_line SET due_ms = min(due_ms, ?1 + max(0, due_ms - updated_ms)), updated_ms = ?1 "  # noqa: S608
    f"WHERE {_ON_ITS_WAY} AND state = 'pending' AND updated_ms > ?1"
)
"""As `inbox_rows.MEND`."""
SENDING = f"SELECT {_COLUMNS} FROM outbox INDEXED BY outbox_busy WHERE state = 'sending' LIMIT ?"  # noqa: S608
BUSY = "SELECT id FROM outbox WHERE channel = ? AND target = ? AND state = 'sending' ORDER BY id LIMIT 1"
FIRST = f"SELECT id FROM outbox WHERE channel = ? AND target = ? AND {_ON_ITS_WAY} ORDER BY id LIMIT 1"  # noqa: S608
UNHEAD = f"UPDATE outbox SET head = 0 WHERE channel = ? AND target = ? AND head = 1 AND {_ON_ITS_WAY} AND id <> ?"  # noqa: S608
HEAD = "UPDATE outbox SET head = 1 WHERE id = ? AND head = 0"
UNSETTLED = "SELECT 1 FROM outbox WHERE item_id = ? AND state <> 'sent' LIMIT 1"
ON_ITS_WAY = f"SELECT 1 FROM outbox WHERE item_id = ? AND {_ON_ITS_WAY} LIMIT 1"  # noqa: S608
DELETE = "DELETE FROM outbox WHERE id = ?"
FORGET = "DELETE FROM outbox WHERE item_id = ?"

_RESENT = frozenset({SendState.UNCERTAIN, SendState.DEAD})
_SUPERSEDED = frozenset({SendState.PENDING, SendState.UNCERTAIN, SendState.DEAD})


def to_row(send: Send) -> Params:
    """The parameters of `INSERT`."""
    head = (int(send.id, 16), int(send.item_id, 16), send.part, send.state.value, send.attempts, send.due_ms, send.updated_ms)
    return (*head, send.channel, send.target, send.receipt, send.error, send.text)


def from_row(row: Row) -> Send:
    """The part of a row in the order of `_COLUMNS`."""
    number, item, part, state, attempts, due_ms, updated_ms, channel, target, receipt, error, text = row
    return Send(
        id=f"{number:016x}",
        item_id=f"{item:016x}",
        part=part,
        state=SendState(state),
        attempts=attempts,
        due_ms=due_ms,
        updated_ms=updated_ms,
        channel=channel,
        target=target,
        receipt=receipt,
        error=error,
        text=text,
    )


def many(rows: Iterable[Row]) -> tuple[Send, ...]:
    """Parts, in the order of the rows."""
    return tuple(map(from_row, rows))


def of_item(connection: sqlite3.Connection, number: int) -> tuple[Send, ...]:
    """The parts of an item's reply, in order."""
    return many(connection.execute(OF_ITEM, (number,)))


def insert(connection: sqlite3.Connection, sends: Sequence[Send]) -> None:
    """Stores parts and puts them into their targets' lines."""
    connection.executemany(INSERT, [to_row(send) for send in sends])
    _relead(connection, sends)


def apply(connection: sqlite3.Connection, send: Send, event: delivery.Event, now_ms: int) -> Send:
    """The part after `event`, stored.

    Raises:
        Conflict: the event does not apply.
    """
    after = delivery.step(send, event, now_ms)
    change = (after.state.value, after.attempts, after.due_ms, after.updated_ms, after.receipt, after.error, int(after.id, 16))
    connection.execute(UPDATE, change)
    _relead(connection, (after,))
    return after


def resend(connection: sqlite3.Connection, number: int, now_ms: int) -> None:
    """Queues an item's unsettled parts again."""
    for send in of_item(connection, number):
        if send.state in _RESENT:
            apply(connection, send, delivery.Resend(), now_ms)


def give_up(connection: sqlite3.Connection, number: int, code: str, now_ms: int) -> None:
    """Lets an item's pending parts go."""
    for send in of_item(connection, number):
        if send.state is SendState.PENDING:
            apply(connection, send, delivery.GiveUp(code), now_ms)


def supersede(connection: sqlite3.Connection, number: int) -> None:
    """Removes what was not delivered of an apology, because the item runs again."""
    sends = [send for send in of_item(connection, number) if send.state in _SUPERSEDED]
    connection.executemany(DELETE, [(int(send.id, 16),) for send in sends])
    _relead(connection, sends)


def _relead(connection: sqlite3.Connection, sends: Iterable[Send]) -> None:
    for line in {(send.channel, send.target) for send in sends}:
        head = connection.execute(BUSY, line).fetchone() or connection.execute(FIRST, line).fetchone()
        if head is not None:
            connection.execute(UNHEAD, (*line, head[0]))
            connection.execute(HEAD, head)
