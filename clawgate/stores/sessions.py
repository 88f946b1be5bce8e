"""Sessions on SQLite. Ring: edge. Implements `ports.sessions.Sessions`. Rows: session_rows.py."""

from __future__ import annotations

import sqlite3
from functools import partial
from itertools import starmap

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain import ranking
from clawgate.domain.sessions import ActiveSession, Hit, Insights, Message, Session
from clawgate.ports.sessions import Found, SessionPage
from clawgate.stores import fulltext, session_rows
from clawgate.stores.readers import Readers
from clawgate.stores.writer import Writer

RANKED_WHOLE = 5_000
"""Messages up to which SQLite ranks all matches; it takes longer the more there are, and nobody waits for a tenth of a second."""
CANDIDATES = 200
"""Matches that are ranked beyond that: the newest so many."""


class SqliteSessions(msgspec.Struct, eq=False):
    """Kept conversations."""

    writer: Writer
    readers: Readers

    def page(self, principal: str | None, limit: int, offset: int) -> Deferred[SessionPage]:
        """`ports.sessions.Sessions.page`."""
        return self.readers.read(partial(_page, principal=principal, limit=limit, offset=offset))

    def active(self, principal: str | None, limit: int) -> Deferred[tuple[ActiveSession, ...]]:
        """`ports.sessions.Sessions.active`."""
        return self.readers.read(partial(_active, principal=principal, limit=limit))

    def find(self, key: str, principal: str | None) -> Deferred[Found]:
        """`ports.sessions.Sessions.find`."""
        return self.readers.read(partial(_find, key=key, principal=principal))

    def get(self, session_id: str) -> Deferred[Session | None]:
        """`ports.sessions.Sessions.get`."""
        return self.readers.read(partial(_one, sql=session_rows.GET, params=(session_id,)))

    def messages(self, session_id: str, limit: int) -> Deferred[tuple[Message, ...]]:
        """`ports.sessions.Sessions.messages`."""
        return self.readers.read(partial(_messages, session_id=session_id, limit=limit))

    def add(self, session_id: str, message: Message) -> Deferred[bool]:
        """`ports.sessions.Sessions.add`."""
        return self.writer.call(partial(_add, session_id=session_id, message=message))

    def search(self, query: str, principal: str | None, limit: int) -> Deferred[tuple[Hit, ...]]:
        """`ports.sessions.Sessions.search`; beyond 5,000 messages the newest 200 matches are ranked, among themselves."""
        return self.readers.read(partial(_search, query=query, principal=principal, limit=limit))

    def rename(self, session_id: str, title: str) -> Deferred[bool]:
        """`ports.sessions.Sessions.rename`."""
        return self.writer.call(lambda connection: connection.execute(session_rows.RENAME, (title, session_id)).rowcount > 0)

    def remove(self, session_id: str) -> Deferred[bool]:
        """`ports.sessions.Sessions.remove`."""
        return self.writer.call(partial(_remove, session_id=session_id))

    def insights(self, principal: str | None, newest: int) -> Deferred[Insights]:
        """`ports.sessions.Sessions.insights`."""
        return self.readers.read(partial(_insights, principal=principal, newest=newest))


def _one(connection: sqlite3.Connection, sql: str, params: tuple[object, ...]) -> Session | None:
    row = connection.execute(sql, params).fetchone()
    return None if row is None else session_rows.from_row(row)


def _newest(connection: sqlite3.Connection, principal: str | None, limit: int, offset: int) -> tuple[Session, ...]:
    if principal is None:
        return tuple(map(session_rows.from_row, connection.execute(session_rows.NEWEST, (limit, offset))))
    return tuple(map(session_rows.from_row, connection.execute(session_rows.NEWEST_OWN, (principal, limit, offset))))


def _page(connection: sqlite3.Connection, principal: str | None, limit: int, offset: int) -> SessionPage:
    total = connection.execute(session_rows.TOTAL, (principal,)).fetchone()[0]
    return SessionPage(_newest(connection, principal, limit, offset), total)


def _active(connection: sqlite3.Connection, principal: str | None, limit: int) -> tuple[ActiveSession, ...]:
    rows = connection.execute(session_rows.ACTIVE, (principal, limit))
    return tuple(ActiveSession(session_rows.from_row(row[:-1]), row[-1]) for row in rows)


def _find(connection: sqlite3.Connection, key: str, principal: str | None) -> Found:
    exact = _one(connection, session_rows.EXACT, (principal, key))
    if exact is not None:
        return Found(exact, 1)
    matches = connection.execute(session_rows.COUNT_BEGINNING, (principal, key)).fetchone()[0]
    return Found(_one(connection, session_rows.BEGINNING, (principal, key)) if matches == 1 else None, matches)


def _messages(connection: sqlite3.Connection, session_id: str, limit: int) -> tuple[Message, ...]:
    rows = connection.execute(session_rows.MESSAGES, (session_id, limit)).fetchall()
    return tuple(session_rows.message(*row) for row in reversed(rows))


def _search(connection: sqlite3.Connection, query: str, principal: str | None, limit: int) -> tuple[Hit, ...]:
    expression = fulltext.understood(connection, session_rows.PROBE, query)
    if not expression:
        return ()
    own = () if principal is None else (fulltext.tag("o", principal),)
    match = fulltext.confined(expression, "owner", *own)
    if (connection.execute(session_rows.LAST).fetchone()[0] or 0) <= RANKED_WHOLE:
        return tuple(starmap(_hit, connection.execute(session_rows.RANKED, (match, limit))))
    rows = connection.execute(session_rows.RECENT, (match, CANDIDATES)).fetchall()
    ranks = ranking.scores(ranking.query_words(query), [row[3] for row in rows])
    hits = starmap(_hit, ((*row, rank) for row, rank in zip(rows, ranks, strict=True)))
    return tuple(sorted(hits, key=_rank)[:limit])


def _hit(session_id: str, title: str | None, role: str, content: str, at_ms: int, rank: float) -> Hit:
    return Hit(session_id, title, session_rows.message(role, content, at_ms), rank)


def _rank(hit: Hit) -> float:
    return hit.rank


def _add(connection: sqlite3.Connection, session_id: str, message: Message) -> bool:
    row = connection.execute(session_rows.NUMBER, (session_id,)).fetchone()
    if row is None:
        return False
    connection.execute(session_rows.ADD, (row[0], message.role.value, message.at_ms, message.content))
    connection.execute(session_rows.COUNT, (1, row[0]))
    return True


def _remove(connection: sqlite3.Connection, session_id: str) -> bool:
    row = connection.execute(session_rows.NUMBER, (session_id,)).fetchone()
    if row is None:
        return False
    connection.execute(session_rows.REMOVE_MESSAGES, row)
    connection.execute(session_rows.REMOVE, row)
    return True


def _insights(connection: sqlite3.Connection, principal: str | None, newest: int) -> Insights:
    sums = (session_rows.SUMS, (newest,)) if principal is None else (session_rows.SUMS_OWN, (principal, newest))
    sessions, messages = connection.execute(*sums).fetchone()
    latest = _newest(connection, principal, 1, 0)
    return Insights(sessions, int(messages), latest[0] if latest else None)
