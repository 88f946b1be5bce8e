"""Remembered texts on SQLite. Ring: edge. Implements `ports.stores.Memory`. The record: domain/messages.py."""

from __future__ import annotations

import re
import sqlite3
from functools import partial

from attrs import define
from twisted.internet.defer import Deferred

from clawgate.domain.messages import MemoryEntry
from clawgate.stores.operations import Params
from clawgate.stores.readers import Readers
from clawgate.stores.writer import Writer

_MAX_WORDS = 32
_MAX_WORD_CHARS = 1_000
_UNSEARCHABLE = re.compile("[\0\ud800-\udfff]").search
"""NUL ends a pattern for LIKE; an unpaired surrogate is in no stored text and cannot be bound."""
_COLUMNS = "key, category, session, created_ms, content"

PUT = f"INSERT OR REPLACE INTO memory ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608
GET = f"SELECT {_COLUMNS} FROM memory WHERE key = ?"  # noqa: S608
FIND = f"SELECT {_COLUMNS} FROM memory WHERE {{matches}} ORDER BY created_ms DESC, id DESC LIMIT ?"  # noqa: S608
TRIM = "DELETE FROM memory WHERE category = ?1 AND id <= (SELECT id FROM memory WHERE category = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"
LIKE = r"content LIKE ? ESCAPE '\'"
FOLDED_LIKE = r"casefold(content) LIKE ? ESCAPE '\'"
"""For words beyond ASCII, whose case SQLite does not know; `prepare` defines the function."""


@define(eq=False)
class SqliteMemory:
    """Remembered texts."""

    writer: Writer
    readers: Readers

    def put(self, entry: MemoryEntry) -> Deferred[None]:
        """`ports.stores.Memory.put`."""
        return self.writer.statements((PUT,), (to_row(entry),), None)

    def find(self, words: str, limit: int) -> Deferred[tuple[MemoryEntry, ...]]:
        """`ports.stores.Memory.find`. Of a very long question the first 32 words count, of a very long word the first 1000 characters."""
        return self.readers.read(partial(_find, words=words, limit=max(limit, 0)))

    def get(self, key: str) -> Deferred[MemoryEntry | None]:
        """`ports.stores.Memory.get`."""
        return self.readers.read(partial(_get, key=key))

    def trim(self, category: str, keep: int) -> Deferred[int]:
        """`ports.stores.Memory.trim`; newest is what was put last."""
        return self.writer.call(lambda connection: connection.execute(TRIM, (category, keep)).rowcount)


def prepare(connection: sqlite3.Connection) -> None:
    """Gives a reading connection what `find` needs."""
    connection.create_function("casefold", 1, str.casefold, deterministic=True)


def to_row(entry: MemoryEntry) -> Params:
    """The parameters of `PUT`."""
    return (entry.key, entry.category, entry.session, entry.created_ms, entry.content)


def from_row(row: tuple[str, str, str | None, int, str]) -> MemoryEntry:
    """The entry of a row in the order of `_COLUMNS`."""
    key, category, session, created_ms, content = row
    return MemoryEntry(key=key, category=category, session=session, created_ms=created_ms, content=content)


def _get(connection: sqlite3.Connection, key: str) -> MemoryEntry | None:
    row = connection.execute(GET, (key,)).fetchone()
    return None if row is None else from_row(row)


def _find(connection: sqlite3.Connection, words: str, limit: int) -> tuple[MemoryEntry, ...]:
    wanted = [word[:_MAX_WORD_CHARS] for word in words.split()[:_MAX_WORDS]]
    if any(map(_UNSEARCHABLE, wanted)):
        return ()
    matches = " AND ".join(LIKE if word.isascii() else FOLDED_LIKE for word in wanted) or "1"
    patterns = [_pattern(word if word.isascii() else word.casefold()) for word in wanted]
    return tuple(map(from_row, connection.execute(FIND.format(matches=matches), (*patterns, limit))))


def _pattern(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
