"""SQLite stores for tests, each in a file of its own. Ring: testing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorFromThreads

from clawgate.stores.sqlite import SqliteStore
from clawgate.testing.clock import ManualClock


class SqliteStores(msgspec.Struct, eq=False):
    """Makes stores in one directory and stops them. An `OpenStore` for the store contract.

    Attributes:
        directory: theirs alone.
        reactor: a running one; the stores use real threads.
    """

    directory: Path
    reactor: IReactorFromThreads
    clock: ManualClock = msgspec.field(default_factory=ManualClock)
    _made: list[SqliteStore] = []

    @property
    def path(self) -> Path:
        """Where stores are unless told otherwise; its directory is not made."""
        return self.directory / "state" / "clawgate.db"

    def make(self, path: Path | None = None, **options: Any) -> SqliteStore:  # Any: options of SqliteStore
        """A store that is not started."""
        values: dict[str, Any] = {  # Any: as above
            "queue_max": 10_000,
            "idempotency_max_keys": 100,
            "high_water": 10_000,
            "min_free_bytes": 0,
            "backups_kept": 3,
        }
        store = SqliteStore(str(path or self.path), self.reactor, self.clock, **(values | options))
        self._made.append(store)
        return store

    async def open(self, path: Path | None = None, **options: Any) -> SqliteStore:  # Any: options of SqliteStore
        """A started store."""
        store = self.make(path, **options)
        await store.start()
        return store

    async def __call__(self, *, idempotency_max_keys: int = 100, high_water: int = 1_000) -> SqliteStore:
        """A started store in a new file."""
        path = self.directory / str(len(self._made)) / "clawgate.db"
        return await self.open(path, idempotency_max_keys=idempotency_max_keys, high_water=high_water)

    async def stop(self) -> None:
        """Stops everything made."""
        for store in self._made:
            await store.stop()
