"""Rows of attempts and their statements. Ring: edge. Schema: sql/0010_attempts.sql; the record: domain/attempts.py."""

from __future__ import annotations

import sqlite3

from clawgate.domain.attempts import MOST_KEPT, Attempt, Outcome, standing
from clawgate.stores import inbox_rows
from clawgate.stores.readers import snapshot

_COLUMNS = "number, started_ms, ended_ms, outcome, error, retry_ms, provider, model"
INSERT = (
    f"INSERT INTO attempts (item_id, {_COLUMNS}) "  # noqa: S608
    "VALUES (?1, (SELECT coalesce(max(number), 0) + 1 FROM attempts WHERE item_id = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
)
"""One row, numbered after the last one."""
TRIM = "DELETE FROM attempts WHERE item_id = ?1 AND number <= (SELECT max(number) FROM attempts WHERE item_id = ?1) - ?2"
ANSWERED = "SELECT 1 FROM attempts WHERE item_id = ? AND outcome = 'completed'"
OF_ITEM = f"SELECT {_COLUMNS} FROM attempts WHERE item_id = ? ORDER BY number"  # noqa: S608
FORGET = "DELETE FROM attempts WHERE item_id = ?"


def add(connection: sqlite3.Connection, number: int, attempt: Attempt) -> None:
    """Writes an attempt of an item down, once if it is the one that answered; the oldest beyond `MOST_KEPT` go."""
    if attempt.outcome is Outcome.COMPLETED and connection.execute(ANSWERED, (number,)).fetchone():
        return
    times = (attempt.started_ms, attempt.ended_ms)
    connection.execute(INSERT, (number, *times, attempt.outcome.value, attempt.error, attempt.retry_ms, attempt.provider, attempt.model))
    connection.execute(TRIM, (number, MOST_KEPT))


def of_item(connection: sqlite3.Connection, number: int) -> tuple[Attempt, ...]:
    """All attempts of an item, oldest first, of one moment; () when there is no such item."""
    with snapshot(connection):
        item = inbox_rows.maybe(connection, number)
        written = tuple(map(_from_row, connection.execute(OF_ITEM, (number,))))
    return () if item is None else standing(item, written)


def _from_row(row: tuple[int, int, int, str, str | None, int | None, str | None, str | None]) -> Attempt:
    number, started_ms, ended_ms, outcome, error, retry_ms, provider, model = row
    return Attempt(
        number=number,
        started_ms=started_ms,
        ended_ms=ended_ms,
        outcome=Outcome(outcome),
        error=error,
        retry_ms=retry_ms,
        provider=provider,
        model=model,
    )
