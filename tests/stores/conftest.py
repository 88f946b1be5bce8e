"""A directory for SQLite stores, on the real reactor and real threads; whatever a test opens is stopped after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_twisted
from twisted.internet import reactor

from clawgate.testing.sqlite_stores import SqliteStores


@pytest_twisted.async_yield_fixture()  # type: ignore[untyped-decorator]  # pytest-twisted ships no types
async def opener(tmp_path: Path) -> AsyncIterator[SqliteStores]:
    stores = SqliteStores(tmp_path, reactor)  # type: ignore[arg-type]  # the reactor is typed as a module
    yield stores
    await stores.stop()
