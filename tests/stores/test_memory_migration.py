"""What was remembered before it had owners is its principal's, and is found by full text. Source: stores/sql/0003_sessions.sql."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from clawgate.domain.messages import MemoryEntry
from clawgate.stores.migrations import migrate, shipped
from clawgate.testing.clock import ManualClock
from clawgate.testing.store import InlineStore

OLD = "INSERT INTO memory (key, category, session, created_ms, content) VALUES (?, ?, ?, ?, ?)"


def test_core_memories_of_the_older_schema_keep_their_owner() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, ":memory:", shipped()[:2], 0, 0)
        connection.execute(OLD, ("a", "core", "ann", 1, "green tea"))
        connection.execute(OLD, ("b", "conversation", "session", 2, "more tea"))
        store = InlineStore(ManualClock(), image=connection.serialize())
    store.start()
    found: list[tuple[MemoryEntry, ...]] = []
    for words, category in (("green", "core"), ("more", "conversation")):
        store.memory.search(words, category, None, 5).addCallback(lambda hits: found.append(tuple(hit.entry for hit in hits)))
    store.memory.related(("tea",), "core", "ann", 5).addCallback(found.append)
    core = MemoryEntry(key="a", content="green tea", category="core", created_ms=1, principal="ann")
    said = MemoryEntry(key="b", content="more tea", category="conversation", session="session", created_ms=2)
    assert found == [(core,), (said,), (core,)]
