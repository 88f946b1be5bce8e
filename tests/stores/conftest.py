"""A directory for SQLite stores, on the real reactor and real threads, with what was opened stopped after each test; a bare schema for plans of queries."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor

from clawgate.stores.migrations import migrate, shipped
from clawgate.testing.sqlite_stores import SqliteStores


@pytest_twisted.async_yield_fixture()  # type: ignore[untyped-decorator]  # pytest-twisted ships no types
async def opener(tmp_path: Path) -> AsyncIterator[SqliteStores]:
    stores = SqliteStores(tmp_path, reactor)  # type: ignore[arg-type]  # the reactor is typed as a module
    yield stores
    await stores.stop()


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    """An empty database in memory with every table and index."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, ":memory:", shipped(), 0, 0)
        yield connection
