"""Rows of subscriptions and their statements. Ring: edge. Schema: sql/0008_subscriptions.sql; the records: domain/subscriptions.py.

Outcomes are put into line by triggers on the writing connection: whatever path an item takes to its outcome, both are in one commit. The triggers are made when
somebody asks for an outcome and removed when nobody does, so that they cost nothing then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from clawgate.domain.inbox import OPEN, State
from clawgate.domain.subscriptions import Attempt, Condition, Delivery, Line, Subscriber
from clawgate.stores.operations import Params

_ENDED = ", ".join(f"'{state}'" for state in State if state not in OPEN)
_MOST_ANSWER_CHARS = 20_000
"""More than any payload holds."""
_FIELDS = (
    "condition",
    "reason",
    "attempts",
    "due_ms",
    "pace_ms",
    "failing_since_ms",
    "last_status",
    "last_error",
    "last_attempt_ms",
    "last_success_ms",
    "delivered",
)
_STANDING = f"name, {', '.join(_FIELDS)}, depth, missed"

QUEUED = "clawgate_queued"
"""SQL function of the writing connection: something was put into line."""

ADD_SUBSCRIBER = "INSERT INTO subscriptions (name, most) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET most = ?2"
FORGET_WISHES = "DELETE FROM subscription_wishes"
WISH = "INSERT INTO subscription_wishes (kind, subscription, has_answer) VALUES (?, ?, ?)"

PUBLISH = (
    "INSERT INTO subscription_queue (subscription, kind, at_ms, data) SELECT s.name, ?1, ?2, ?3 "
    "FROM subscription_wishes AS w JOIN subscriptions AS s ON s.name = w.subscription WHERE w.kind = ?1 AND s.depth < s.most"
)
COUNT = (
    "UPDATE subscriptions SET missed = missed + (depth >= most), depth = depth + (depth < most) "
    "WHERE name IN (SELECT subscription FROM subscription_wishes WHERE kind = ?)"
)
"""After `PUBLISH`, for the same kind: who had room is one longer, who had none has missed one."""

ADD = (
    "INSERT INTO subscription_queue (subscription, kind, at_ms, data) SELECT name, ?2, ?3, ?4 FROM subscriptions WHERE name = ?1 AND depth < most "
    "RETURNING id"
)
ADDED = "UPDATE subscriptions SET depth = depth + 1 WHERE name = ?"
UNTOLD = "SELECT missed - missed_told FROM subscriptions WHERE name = ? AND missed > missed_told AND depth < most"
TOLD = "UPDATE subscriptions SET missed_told = missed WHERE name = ?"

LINES = (
    f"SELECT {_STANDING}, q.id, q.kind, q.at_ms, q.data FROM subscriptions AS s LEFT JOIN subscription_queue AS q "  # noqa: S608
    "ON q.number = (SELECT min(number) FROM subscription_queue WHERE subscription = s.name)"
)
ALL_LINES = f"{LINES} ORDER BY s.name"
ONE_LINE = f"{LINES} WHERE s.name = ?"
UPDATE = f"UPDATE subscriptions SET {', '.join(f'{name} = ?' for name in _FIELDS)} WHERE name = ?"  # noqa: S608
REMOVE = "DELETE FROM subscription_queue WHERE id = ?"
REMOVED = "UPDATE subscriptions SET depth = depth - 1 WHERE name = ?"
EMPTY = "DELETE FROM subscription_queue WHERE subscription = ?"
EMPTIED = "UPDATE subscriptions SET depth = 0, attempts = 0, due_ms = 0 WHERE name = ?"
MEND = "UPDATE subscriptions SET due_ms = min(due_ms, ?1 + max(0, due_ms - last_attempt_ms)), last_attempt_ms = ?1 WHERE last_attempt_ms > ?1"
"""As `inbox_rows.MEND`: a head is put off by the attempt before."""
FORGET = "DELETE FROM subscriptions WHERE name = ?"
FORGET_ATTEMPTS = "DELETE FROM subscription_attempts WHERE subscription = ?"

TRIED = "INSERT INTO subscription_attempts (subscription, id, kind, attempt, at_ms, duration_ms, status, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # one row
TRIM = (
    "DELETE FROM subscription_attempts WHERE subscription = ?1 AND number <= "
    "(SELECT number FROM subscription_attempts WHERE subscription = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)"
)
ATTEMPTS = (
    "SELECT id, kind, attempt, at_ms, duration_ms, status, error FROM subscription_attempts WHERE subscription = ? ORDER BY number DESC LIMIT ?"
)

_TIME = "strftime('%Y-%m-%dT%H:%M:%S', NEW.{0} / 1000, 'unixepoch') || printf('.%03d+00:00', NEW.{0} % 1000)"
_DATA = (
    "json_object('id', printf('%016x', NEW.id), 'state', NEW.state, 'source', NEW.source, 'conversation', NEW.conversation, "
    f"'accepted_at', {_TIME.format('accepted_ms')}, 'attempts', NEW.attempts, 'model', NEW.model, 'error', NEW.error)"
)
_WITH_ANSWER = f"json_set({_DATA}, '$.answer', substr(NEW.answer, 1, {_MOST_ANSWER_CHARS}))"
_BODY = f"""
    INSERT INTO subscription_queue (subscription, kind, at_ms, data)
    SELECT s.name, w.kind, max(NEW.updated_ms, NEW.accepted_ms), CASE WHEN w.has_answer THEN {_WITH_ANSWER} ELSE {_DATA} END
    FROM subscription_wishes AS w JOIN subscriptions AS s ON s.name = w.subscription
    WHERE w.kind = 'message_' || NEW.state AND s.depth < s.most;
    UPDATE subscriptions SET missed = missed + (depth >= most), depth = depth + (depth < most)
    WHERE name IN (SELECT subscription FROM subscription_wishes WHERE kind = 'message_' || NEW.state);
    SELECT {QUEUED}();
"""  # noqa: S608
TRIGGERS = (
    f"CREATE TEMP TRIGGER outcome_changed AFTER UPDATE OF state ON main.inbox WHEN NEW.state IN ({_ENDED}) AND NEW.state <> OLD.state BEGIN {_BODY} END",
    f"CREATE TEMP TRIGGER outcome_inserted AFTER INSERT ON main.inbox WHEN NEW.state IN ({_ENDED}) BEGIN {_BODY} END",
)
NO_TRIGGERS = ("DROP TRIGGER IF EXISTS temp.outcome_changed", "DROP TRIGGER IF EXISTS temp.outcome_inserted")


def to_change(subscriber: Subscriber) -> Params:
    """The parameters of `UPDATE`."""
    return (*(getattr(subscriber, name) for name in _FIELDS), subscriber.name)


def lines(rows: Iterable[tuple[object, ...]]) -> tuple[Line, ...]:
    """Subscribers and their heads, in the order of the rows."""
    return tuple(map(_line, rows))


def _line(row: tuple[object, ...]) -> Line:
    names = ("name", *_FIELDS, "depth", "missed")
    fields = dict(zip(names, row, strict=False))
    subscriber = Subscriber(**fields | {"condition": Condition(fields["condition"])})  # type: ignore[arg-type]  # a row's columns have their own types
    id_, kind, at_ms, data = row[len(names) :]
    head = None if id_ is None else Delivery(id=id_, subscription=subscriber.name, kind=kind, at_ms=at_ms, data=data)  # type: ignore[arg-type]  # the same
    return Line(subscriber, head)


def line(connection: sqlite3.Connection, name: str) -> Line | None:
    """One subscriber and its head, or None."""
    found = lines(connection.execute(ONE_LINE, (name,)))
    return found[0] if found else None


def attempts(rows: Iterable[tuple[str, str, int, int, int, int | None, str]]) -> tuple[Attempt, ...]:
    """Attempts, in the order of the rows."""
    return tuple(
        Attempt(id=id_, kind=kind, number=number, at_ms=at_ms, duration_ms=duration_ms, status=status, error=error)
        for id_, kind, number, at_ms, duration_ms, status, error in rows
    )
