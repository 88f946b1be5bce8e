"""Remembered texts on SQLite. Ring: edge. Implements `ports.stores.Memory`. The record: domain/messages.py."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from functools import partial
from itertools import chain, islice

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.errors import Conflict
from clawgate.domain.memory import MemoryHit, MemoryPage
from clawgate.domain.messages import CONVERSATION, MemoryEntry
from clawgate.stores import fulltext
from clawgate.stores.operations import Params
from clawgate.stores.readers import Readers
from clawgate.stores.writer import Writer

_MAX_WORDS = 32
_MAX_WORD_CHARS = 1_000
_UNSEARCHABLE = re.compile("[\0\ud800-\udfff]").search
"""NUL ends a pattern for LIKE; an unpaired surrogate is in no stored text and cannot be bound."""
_COLUMNS = "key, category, session, created_ms, content, principal"

PUT = f"INSERT OR REPLACE INTO memory ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
GET = f"SELECT {_COLUMNS} FROM memory WHERE key = ?"  # noqa: S608
FIND = f"SELECT {_COLUMNS} FROM memory WHERE {{matches}} ORDER BY id DESC LIMIT ?"  # noqa: S608
TRIM = "DELETE FROM memory WHERE id IN (SELECT id FROM memory NOT INDEXED WHERE category = ? ORDER BY id LIMIT ?)"
"""The first so many. By the table itself, which stops there."""
_KEPT = "category <> 'conversation'"  # word for word as in the index memory_kept, or it is not used
COUNT = f"SELECT count(*) FROM memory WHERE category = ? AND {_KEPT}"  # noqa: S608
COUNT_SAID = f"SELECT (SELECT count(*) FROM memory) - (SELECT count(*) FROM memory WHERE {_KEPT})"  # noqa: S608
"""How much there is of the category "conversation"."""
_CHUNK = 500
REMOVE = "DELETE FROM memory WHERE key = ?"
ANY = f"SELECT 1 FROM memory WHERE category = ? AND {_KEPT} LIMIT 1"  # noqa: S608
_SEEN = "(?1 IS NULL OR principal IS NULL OR principal = ?1)"
PAGE = f"SELECT {_COLUMNS} FROM memory WHERE {_SEEN} ORDER BY id DESC LIMIT ?2 OFFSET ?3"  # noqa: S608
PAGE_OF = f"SELECT {_COLUMNS} FROM memory WHERE category = ?4 AND {_KEPT} AND {_SEEN} ORDER BY id DESC LIMIT ?2 OFFSET ?3"  # noqa: S608
PAGE_SAID = f"SELECT {_COLUMNS} FROM memory WHERE category = ?4 AND {_SEEN} ORDER BY id DESC LIMIT ?2 OFFSET ?3"  # noqa: S608
TOTAL = f"SELECT count(*) FROM memory WHERE {_SEEN}"  # noqa: S608
TOTAL_OF = f"SELECT count(*) FROM memory WHERE category = ?2 AND {_KEPT} AND {_SEEN}"  # noqa: S608
TOTAL_SAID = f"SELECT count(*) FROM memory WHERE category = ?2 AND {_SEEN}"  # noqa: S608
RANKED = f"""
WITH found AS MATERIALIZED (
    SELECT rowid AS number, bm25(memory_search, 1.0, 0.0) AS score FROM memory_search WHERE memory_search MATCH ? ORDER BY rowid DESC LIMIT ?
)
SELECT {_COLUMNS}, score FROM found JOIN memory ON memory.id = found.number ORDER BY score, number DESC LIMIT ?
"""  # noqa: S608
"""The newest so many matches, ranked."""
_CANDIDATES = 1_000
_MOST_KNOWN_EMPTY = 16
LIKE = r"content LIKE ? ESCAPE '\'"
FOLDED_LIKE = r"casefold(content) LIKE ? ESCAPE '\'"
"""For words beyond ASCII, whose case SQLite does not know; `prepare` defines the function."""


class SqliteMemory(msgspec.Struct, eq=False):
    """Remembered texts.

    Most gateways remember nothing but conversations, and every turn asks for more than that: that there is nothing of a category is known, until something is
    written here. (What the inbox writes along with a message is of the category "conversation", which no turn asks for.)
    """

    writer: Writer
    readers: Readers
    _none_of: set[str] = set()
    _writes: int = 0

    def put(self, entry: MemoryEntry) -> Deferred[None]:
        """`ports.stores.Memory.put`."""
        self._is_written(None, False)
        return self.writer.statements((PUT,), (to_row(entry),), None, note=self._is_written)

    def _is_written(self, _: None, is_committed: bool) -> None:
        """Told when a write begins and when it has ended, so that no read in between is believed to have seen it."""
        self._writes += 1
        self._none_of.clear()

    def find(self, words: str, limit: int) -> Deferred[tuple[MemoryEntry, ...]]:
        """`ports.stores.Memory.find`. Of a very long question the first 32 words count, of a very long word the first 1000 characters."""
        return self.readers.read(partial(_find, words=words, limit=max(limit, 0)))

    def get(self, key: str) -> Deferred[MemoryEntry | None]:
        """`ports.stores.Memory.get`."""
        return self.readers.read(partial(_get, key=key))

    def trim(self, category: str, keep: int) -> Deferred[int]:
        """`ports.stores.Memory.trim`, a chunk at a time; newest is what was put last."""
        return Deferred.fromCoroutine(self._trim(category, keep))

    async def _trim(self, category: str, keep: int) -> int:
        count = await self.readers.read(partial(_count, category=category))
        removed = 0
        while (left := count - keep - removed) > 0:
            gone = await self.writer.call(partial(_remove_first, category=category, most=min(left, _CHUNK)))
            if not gone:  # somebody else removed them meanwhile
                break
            removed += gone
        return removed

    def page(self, category: str | None, reader: str | None, limit: int, offset: int) -> Deferred[MemoryPage]:
        """`ports.stores.Memory.page`."""
        return self.readers.read(partial(_page, category=category, reader=reader, limit=limit, offset=offset))

    def search(self, query: str, category: str | None, reader: str | None, limit: int) -> Deferred[tuple[MemoryHit, ...]]:
        """`ports.stores.Memory.search`. Of a very long query the first 32 words count."""
        return self.readers.read(partial(_search, query=query, category=category, reader=reader, limit=limit))

    def is_empty(self, category: str) -> bool:
        """`ports.stores.Memory.is_empty`: known from the last look."""
        return category in self._none_of

    def related(self, words: Sequence[str], category: str, reader: str, limit: int) -> Deferred[tuple[MemoryEntry, ...]]:
        """`ports.stores.Memory.related`."""
        found = self.readers.read(partial(_related, words=tuple(words), category=category, reader=reader, limit=limit))
        return found.addCallback(self._noted, category, self._writes)

    def _noted(self, found: tuple[MemoryEntry, ...] | None, category: str, writes: int) -> tuple[MemoryEntry, ...]:
        if found is None and writes == self._writes and len(self._none_of) < _MOST_KNOWN_EMPTY:
            self._none_of.add(category)
        return found or ()

    def create(self, entry: MemoryEntry, writer: str | None) -> Deferred[None]:
        """`ports.stores.Memory.create`."""
        self._is_written(None, False)
        return self.writer.call(partial(_create, entry=entry, writer=writer), self._is_written)

    def remove(self, key: str, writer: str | None) -> Deferred[MemoryEntry | None]:
        """`ports.stores.Memory.remove`."""
        return self.writer.call(partial(_remove, key=key, writer=writer))


def _count(connection: sqlite3.Connection, category: str) -> int:
    found = connection.execute(COUNT_SAID) if category == CONVERSATION else connection.execute(COUNT, (category,))
    count: int = found.fetchone()[0]
    return count


def _remove_first(connection: sqlite3.Connection, category: str, most: int) -> int:
    return connection.execute(TRIM, (category, most)).rowcount


def prepare(connection: sqlite3.Connection) -> None:
    """Gives a reading connection what `find` needs."""
    connection.create_function("casefold", 1, str.casefold, deterministic=True)


def to_row(entry: MemoryEntry) -> Params:
    """The parameters of `PUT`."""
    return (entry.key, entry.category, entry.session, entry.created_ms, entry.content, entry.principal)


def from_row(row: tuple[str, str, str | None, int, str, str | None]) -> MemoryEntry:
    """The entry of a row in the order of `_COLUMNS`."""
    key, category, session, created_ms, content, principal = row
    return MemoryEntry(key=key, category=category, session=session, created_ms=created_ms, content=content, principal=principal)


def _get(connection: sqlite3.Connection, key: str) -> MemoryEntry | None:
    row = connection.execute(GET, (key,)).fetchone()
    return None if row is None else from_row(row)


def _page(connection: sqlite3.Connection, category: str | None, reader: str | None, limit: int, offset: int) -> MemoryPage:
    if category is None:
        rows, total = connection.execute(PAGE, (reader, limit, offset)), connection.execute(TOTAL, (reader,))
    else:
        page_of, total_of = (PAGE_SAID, TOTAL_SAID) if category == CONVERSATION else (PAGE_OF, TOTAL_OF)
        rows, total = connection.execute(page_of, (reader, limit, offset, category)), connection.execute(total_of, (reader, category))
    return MemoryPage(tuple(MemoryHit(from_row(row)) for row in rows), total.fetchone()[0])


def _create(connection: sqlite3.Connection, entry: MemoryEntry, writer: str | None) -> None:
    earlier = _get(connection, entry.key)
    if earlier is not None and writer is not None and earlier.principal != writer:
        raise Conflict("the key is taken")
    connection.execute(PUT, to_row(entry))


def _remove(connection: sqlite3.Connection, key: str, writer: str | None) -> MemoryEntry | None:
    entry = _get(connection, key)
    if entry is None or (writer is not None and entry.principal != writer):
        return None
    connection.execute(REMOVE, (key,))
    return entry


def _search(connection: sqlite3.Connection, query: str, category: str | None, reader: str | None, limit: int) -> tuple[MemoryHit, ...]:
    hits = _ranked(connection, query.split(), category, reader, limit)
    known = {hit.entry.key for hit in hits}
    rest = (MemoryHit(entry) for entry in _find(connection, query, limit, category, reader) if entry.key not in known)
    return tuple(islice(chain(hits, rest), limit))


def _related(connection: sqlite3.Connection, words: tuple[str, ...], category: str, reader: str, limit: int) -> tuple[MemoryEntry, ...] | None:
    """What is found; None when there is nothing of the category at all."""
    found = tuple(hit.entry for hit in _ranked(connection, words, category, reader, limit))
    return found if found or connection.execute(ANY, (category,)).fetchone() else None


def _ranked(connection: sqlite3.Connection, words: Sequence[str], category: str | None, reader: str | None, limit: int) -> list[MemoryHit]:
    any_of = fulltext.quoted(words, " OR ")
    if not any_of:
        return []
    tags = [] if category is None else [fulltext.tag("c", category)]
    tags += [] if reader is None else [f"shared OR {fulltext.tag('o', reader)}"]
    rows = connection.execute(RANKED, (fulltext.confined(any_of, "tags", *tags), _CANDIDATES, limit))
    return [MemoryHit(from_row(row[:-1]), row[-1]) for row in rows]


def _find(connection: sqlite3.Connection, words: str, limit: int, category: str | None = None, reader: str | None = None) -> tuple[MemoryEntry, ...]:
    wanted = [word[:_MAX_WORD_CHARS] for word in words.split()[:_MAX_WORDS]]
    if any(map(_UNSEARCHABLE, wanted)):
        return ()
    matches = " AND ".join(LIKE if word.isascii() else FOLDED_LIKE for word in wanted) or "1"
    patterns = [_pattern(word if word.isascii() else word.casefold()) for word in wanted]
    if category is not None:
        matches, patterns = f"category = ? AND {matches}", [category, *patterns]
    if reader is not None:
        matches, patterns = f"(principal IS NULL OR principal = ?) AND {matches}", [reader, *patterns]
    return tuple(map(from_row, connection.execute(FIND.format(matches=matches), (*patterns, limit))))


def _pattern(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
