"""Small lasting values on SQLite. Ring: edge. Implements `ports.journal.Facts`. Schema: sql/0002_turns.sql."""

from __future__ import annotations

import sqlite3
from functools import partial

import msgspec
from twisted.internet.defer import Deferred

from clawgate.ports.stores import FactKey
from clawgate.stores.readers import Readers
from clawgate.stores.writer import Writer

_LIVE = "(expires_ms = 0 OR expires_ms > ?)"
PUT = "INSERT OR REPLACE INTO facts (kind, key, value, expires_ms) VALUES (?, ?, ?, ?)"
GET = f"SELECT value FROM facts WHERE kind = ? AND key = ? AND {_LIVE}"  # noqa: S608
ALL = f"SELECT key, value FROM facts WHERE kind = ? AND {_LIVE} ORDER BY key LIMIT ?"  # noqa: S608
REMOVE = "DELETE FROM facts WHERE kind = ? AND key = ?"
SPEND = "DELETE FROM facts WHERE kind = ? AND key = ? AND value = ?"
PURGE = "DELETE FROM facts WHERE expires_ms > 0 AND expires_ms <= ?"


class SqliteFacts(msgspec.Struct, eq=False):
    """Values by kind and key."""

    writer: Writer
    readers: Readers

    def put(self, kind: str, key: str, value: str, expires_ms: int = 0) -> Deferred[None]:
        """`ports.journal.Facts.put`."""
        return self.writer.statements((PUT,), ((kind, key, value, expires_ms),), None)

    def get(self, kind: str, key: str, now_ms: int) -> Deferred[str | None]:
        """`ports.journal.Facts.get`."""
        return self.readers.read(partial(_get, kind=kind, key=key, now_ms=now_ms))

    def all(self, kind: str, now_ms: int, limit: int) -> Deferred[dict[str, str]]:
        """`ports.journal.Facts.all`."""
        return self.readers.read(lambda connection: dict(connection.execute(ALL, (kind, now_ms, limit)).fetchall()))

    def remove(self, kind: str, key: str) -> Deferred[bool]:
        """`ports.journal.Facts.remove`."""
        return self.writer.call(lambda connection: connection.execute(REMOVE, (kind, key)).rowcount > 0)

    def purge(self, now_ms: int) -> Deferred[int]:
        """`ports.journal.Facts.purge`."""
        return self.writer.call(lambda connection: connection.execute(PURGE, (now_ms,)).rowcount)


def spend(connection: sqlite3.Connection, fact: FactKey) -> bool:
    """Removes a fact that still has its value; False when it is gone or another one."""
    return connection.execute(SPEND, (fact.kind, fact.key, fact.value)).rowcount > 0


def _get(connection: sqlite3.Connection, kind: str, key: str, now_ms: int) -> str | None:
    row = connection.execute(GET, (kind, key, now_ms)).fetchone()
    return None if row is None else str(row[0])
