"""Subscriptions on SQLite. Ring: edge. Implements `ports.subscriptions.SubscriptionRows`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from functools import partial

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.errors import NotFound, Overloaded
from clawgate.domain.subscriptions import ATTEMPTS_KEPT, MISSED, OUTCOMES, Attempt, Effect, Event, Line, Wish, step
from clawgate.ports.subscriptions import Moved
from clawgate.stores import subscription_rows as rows
from clawgate.stores.readers import Readers
from clawgate.stores.writer import Writer


def _nobody() -> None:
    """Nobody is told."""


class SqliteSubscriptions:
    """Subscribers, their lines, their attempts."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self.writer, self.readers = writer, readers
        self.told: Callable[[], None] = _nobody
        self._has_queued = False

    def configure(self, wishes: Mapping[str, Wish]) -> Deferred[None]:
        """`ports.subscriptions.SubscriptionRows.configure`."""
        return self.writer.call(partial(self._configure, wishes=dict(wishes)))

    def publish(self, kind: str, at_ms: int, data: str) -> Deferred[None]:
        """`ports.subscriptions.SubscriptionRows.publish`."""
        return self.writer.statements((rows.PUBLISH, rows.COUNT), ((kind, at_ms, data), (kind,)), None, note=self._published)

    def add(self, name: str, kind: str, at_ms: int, data: str) -> Deferred[str]:
        """`ports.subscriptions.SubscriptionRows.add`."""
        return self.writer.call(partial(_added, name=name, kind=kind, at_ms=at_ms, data=data), self._published)

    def lines(self) -> Deferred[tuple[Line, ...]]:
        """`ports.subscriptions.SubscriptionRows.lines`."""
        return self.readers.read(lambda connection: rows.lines(connection.execute(rows.ALL_LINES)))

    def line(self, name: str) -> Deferred[Line | None]:
        """`ports.subscriptions.SubscriptionRows.line`."""
        return self.readers.read(partial(rows.line, name=name))

    def attempts(self, name: str, limit: int) -> Deferred[tuple[Attempt, ...]]:
        """`ports.subscriptions.SubscriptionRows.attempts`."""
        return self.readers.read(lambda connection: rows.attempts(connection.execute(rows.ATTEMPTS, (name, limit))))

    def settle(self, name: str, event: Event, now_ms: int, attempt: Attempt | None = None) -> Deferred[Moved]:
        """`ports.subscriptions.SubscriptionRows.settle`."""
        return self.writer.call(partial(_settled, name=name, event=event, now_ms=now_ms, attempt=attempt))

    def mend_waits(self, now_ms: int) -> Deferred[int]:
        """`ports.subscriptions.SubscriptionRows.mend_waits`."""
        return self.writer.call(lambda connection: connection.execute(rows.MEND, (now_ms,)).rowcount)

    def drop(self, name: str, *, is_last: bool) -> Deferred[int]:
        """`ports.subscriptions.SubscriptionRows.drop`."""
        return self.writer.call(partial(_dropped, name=name, is_last=is_last))

    def _published(self, _: object, is_committed: bool) -> None:
        if is_committed:
            self.told()

    # --- in the writer's thread

    def committed(self) -> None:
        """A batch has been committed, or undone."""
        if self._has_queued:
            self._has_queued = False
            self.writer.reactor.callFromThread(self._tell)

    def _tell(self) -> None:
        self.told()

    def _configure(self, connection: sqlite3.Connection, wishes: Mapping[str, Wish]) -> None:
        connection.execute(rows.FORGET_WISHES)
        for name, wish in wishes.items():
            connection.execute(rows.ADD_SUBSCRIBER, (name, wish.most))
            connection.executemany(rows.WISH, [(kind, name, wish.has_answer) for kind in wish.kinds])
        for statement in rows.NO_TRIGGERS:
            connection.execute(statement)
        if any(wish.kinds & set(OUTCOMES) for wish in wishes.values()):
            connection.create_function(rows.QUEUED, 0, self._queued)
            for statement in rows.TRIGGERS:
                connection.execute(statement)

    def _queued(self) -> None:
        self._has_queued = True  # what is rolled back after it wakes somebody for nothing


def _added(connection: sqlite3.Connection, name: str, kind: str, at_ms: int, data: str) -> str:
    found = connection.execute(rows.ADD, (name, kind, at_ms, data)).fetchone()
    if found is None:
        if rows.line(connection, name) is None:
            raise NotFound(f"no subscription {name}")
        raise Overloaded(f"the line of subscription {name} is full")
    connection.execute(rows.ADDED, (name,))
    return str(found[0])


def _settled(connection: sqlite3.Connection, name: str, event: Event, now_ms: int, attempt: Attempt | None) -> Moved:
    line = rows.line(connection, name)
    if line is None:
        raise NotFound(f"no subscription {name}")
    before, head = line.subscriber, line.head
    if attempt is not None:
        _note(connection, name, msgspec.structs.replace(attempt, number=before.attempts + 1))
        if head is None or head.id != attempt.id:
            return Moved(before, ())
    after, effects = step(before, event, now_ms)
    connection.execute(rows.UPDATE, rows.to_change(after))
    if Effect.NEXT in effects and attempt is not None:
        connection.execute(rows.REMOVE, (attempt.id,))
        connection.execute(rows.REMOVED, (name,))
        _tell_missed(connection, name, now_ms)
        line = rows.line(connection, name)
        after = after if line is None else line.subscriber
    return Moved(after, effects)


def _note(connection: sqlite3.Connection, name: str, attempt: Attempt) -> None:
    params = (name, attempt.id, attempt.kind, attempt.number, attempt.at_ms, attempt.duration_ms, attempt.status, attempt.error)
    connection.execute(rows.TRIED, params)
    connection.execute(rows.TRIM, (name, ATTEMPTS_KEPT))


def _tell_missed(connection: sqlite3.Connection, name: str, now_ms: int) -> None:
    untold = connection.execute(rows.UNTOLD, (name,)).fetchone()
    if untold is not None:
        _added(connection, name, MISSED, now_ms, msgspec.json.encode({"count": untold[0]}).decode())
        connection.execute(rows.TOLD, (name,))


def _dropped(connection: sqlite3.Connection, name: str, is_last: bool) -> int:
    if rows.line(connection, name) is None:
        raise NotFound(f"no subscription {name}")
    dropped = connection.execute(rows.EMPTY, (name,)).rowcount
    connection.execute(rows.EMPTIED, (name,))
    if is_last:
        connection.execute(rows.FORGET_ATTEMPTS, (name,))
        connection.execute(rows.FORGET, (name,))
    return dropped
