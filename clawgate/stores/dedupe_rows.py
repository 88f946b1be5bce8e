"""Rows that recognise a second copy of a message. Ring: edge. Source: ports/stores.py (`Inbox.accept`), design §4.5.

A record counts while its item is open, or until it runs out. Of idempotency keys (scope "key:…") only so many are kept.
"""

from __future__ import annotations

import sqlite3

import msgspec

from clawgate.domain.errors import Overloaded
from clawgate.domain.inbox import Item
from clawgate.domain.messages import DedupeKey
from clawgate.stores import inbox_rows
from clawgate.stores.operations import Params

_ENDED = "NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.id = message_keys.item_id AND inbox.state IN ('received', 'running', 'waiting'))"
_CHUNK = 500

FIND = "SELECT item_id, expires_ms, bounded FROM message_keys WHERE scope = ? AND key = ?"
INSERT = "INSERT INTO message_keys (scope, key, item_id, expires_ms, bounded) VALUES (?, ?, ?, ?, ?)"
INSERT_NEW = f"{INSERT} ON CONFLICT (scope, key) DO NOTHING"
"""One row, unless the key names something, which may not count any more."""
DELETE = "DELETE FROM message_keys WHERE scope = ? AND key = ?"
BOUNDED_OF = "SELECT bounded FROM message_keys WHERE item_id = ?"
RELEASE = "DELETE FROM message_keys WHERE item_id = ?"
COUNT_BOUNDED = "SELECT count(*) FROM message_keys WHERE bounded = 1"
RUN_OUT = f"SELECT scope, key, bounded FROM message_keys WHERE expires_ms <= ? AND {_ENDED} ORDER BY expires_ms LIMIT ?"  # noqa: S608
OLDEST_ENDED = f"SELECT scope, key, bounded FROM message_keys WHERE bounded = 1 AND {_ENDED} ORDER BY item_id LIMIT 1"  # noqa: S608
IS_NAMED = "SELECT 1 FROM message_keys WHERE item_id = ? LIMIT 1"


class Keys(msgspec.Struct, eq=False):
    """The dedupe records, and how many of them are idempotency keys. Used in the writer's thread, inside a transaction.

    Attributes:
        max_keys: idempotency keys remembered.
        may_evict: cleared when a search found only keys of open items; set again (by any thread) when an item ends. Without it every accept at the bound
            would search all of them.
    """

    max_keys: int
    may_evict: bool = True
    _count: int | None = None

    def forget(self) -> None:
        """Something was rolled back: count again when next asked."""
        self._count = None

    def find(self, connection: sqlite3.Connection, dedupe: DedupeKey, now_ms: int) -> Item | None:
        """The item that the key names, or None; a record that no longer counts is removed."""
        row = connection.execute(FIND, (dedupe.scope, dedupe.key)).fetchone()
        if row is None:
            return None
        number, expires_ms, bounded = row
        item = inbox_rows.maybe(connection, number)
        if item is not None and (item.is_open or now_ms < expires_ms):
            return item
        self._delete(connection, [(dedupe.scope, dedupe.key, bounded)])
        return None

    def insert(self, connection: sqlite3.Connection, dedupe: DedupeKey, number: int, now_ms: int) -> None:
        """Lets the key name an item.

        Raises:
            Overloaded: the bound is reached and every key belongs to an open item.
        """
        bounded = is_bounded(dedupe)
        if bounded:
            self._make_room(connection, now_ms)
        connection.execute(INSERT, to_row(dedupe, number, now_ms))
        self._count = None if self._count is None else self._count + bounded

    def release(self, connection: sqlite3.Connection, number: int) -> None:
        """Forgets what names an item."""
        row = connection.execute(BOUNDED_OF, (number,)).fetchone()
        if row is not None:
            connection.execute(RELEASE, (number,))
            self._count = None if self._count is None else self._count - row[0]

    def purge(self, connection: sqlite3.Connection, now_ms: int) -> int:
        """Removes up to a chunk of records that no longer count; returns how many."""
        rows = connection.execute(RUN_OUT, (now_ms, _CHUNK)).fetchall()
        self._delete(connection, rows)
        return len(rows)

    def _make_room(self, connection: sqlite3.Connection, now_ms: int) -> None:
        if self._counted(connection) < self.max_keys:
            return
        if self.may_evict:
            self.may_evict = False  # before the search, so that an item ending meanwhile is not overlooked
            self.purge(connection, now_ms)
            if self._counted(connection) >= self.max_keys:
                self._delete(connection, connection.execute(OLDEST_ENDED).fetchall())
            self.may_evict = self.may_evict or self._counted(connection) < self.max_keys
        if self._counted(connection) >= self.max_keys:
            raise Overloaded("too many idempotency keys belong to running work")

    def _counted(self, connection: sqlite3.Connection) -> int:
        if self._count is None:
            self._count = int(connection.execute(COUNT_BOUNDED).fetchone()[0])
        return self._count

    def _delete(self, connection: sqlite3.Connection, rows: list[tuple[str, str, int]]) -> None:
        connection.executemany(DELETE, [row[:2] for row in rows])
        if self._count is not None:
            self._count -= sum(bounded for _, _, bounded in rows)


def is_bounded(dedupe: DedupeKey) -> bool:
    """Whether it is an idempotency key."""
    return dedupe.scope.startswith("key:")


def to_row(dedupe: DedupeKey, number: int, now_ms: int) -> Params:
    """The parameters of `INSERT`."""
    return (dedupe.scope, dedupe.key, number, now_ms + dedupe.retention_seconds * 1000, 1 if is_bounded(dedupe) else 0)


def is_named(connection: sqlite3.Connection, number: int) -> bool:
    """Whether a record points at this item."""
    return connection.execute(IS_NAMED, (number,)).fetchone() is not None
