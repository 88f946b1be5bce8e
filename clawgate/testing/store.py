"""The real SQLite store without threads or files: every operation is committed before its method returns. Ring: testing.

It runs the rows, rules and committer of `stores.sqlite` on a database in memory, so whole flows can be tested step by step; it passes `store_contract` like
the threaded one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache
from typing import TypeVar

from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

from clawgate.domain.errors import StoreUnavailable
from clawgate.ports.clock import Clock
from clawgate.stores import inbox_rows, memory, migrations
from clawgate.stores.operations import Committer, Operation, Tally, translated
from clawgate.stores.readers import Readers
from clawgate.stores.sqlite import SqliteStore
from clawgate.stores.writer import Writer

_T = TypeVar("_T")


class _InlineReaders(Readers):
    """Reads in the caller's thread."""

    shared: sqlite3.Connection | None = None

    def start(self) -> None:
        """Nothing to start."""

    def read(self, function: Callable[[sqlite3.Connection], _T]) -> Deferred[_T]:
        """What `function` returns, at once."""
        if self.shared is None:
            return fail(StoreUnavailable(detail="the store is closed"))
        return execute(_read, function, self.shared)


def _read(function: Callable[[sqlite3.Connection], _T], connection: sqlite3.Connection) -> _T:
    try:
        return function(connection)
    except sqlite3.Error as problem:
        raise translated(problem) from problem


class _InlineWriter(Writer, kw_only=True):
    """Commits each operation in the caller's thread.

    Attributes:
        broken: what every write fails with, "" = nothing.
        held: while a list, commits wait in it.
    """

    broken: str = ""
    held: list[Callable[[], None]] | None = None
    connection: sqlite3.Connection | None = None

    def start(self) -> Deferred[None]:
        """Opens the database."""
        self.connection = self.open()
        memory.prepare(self.connection)
        if isinstance(self.readers, _InlineReaders):
            self.readers.shared = self.connection
        self.look()
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """Closes it, and with it everything is gone."""
        if self.connection is not None:
            self.connection.close()
        self.connection = None
        if isinstance(self.readers, _InlineReaders):
            self.readers.shared = None
        return succeed(None)

    def look_soon(self) -> None:
        """There is nothing to look at."""

    def _submit(self, operation: Operation, *, may_wait: bool = False) -> Deferred[_T]:
        self._depth += 1
        if self.held is not None:
            self.held.append(lambda: self._commit(operation))
        else:
            self._commit(operation)
        return operation.deferred

    def _commit(self, operation: Operation) -> None:
        if self.connection is None or self.broken:
            operation.error = StoreUnavailable(detail=self.broken or "the store is closed")
            self.problem = self.broken
            self._deliver([operation], Tally(0, 1, self.problem))
            return
        tally = Committer(self.connection, self.rolled_back).commit([operation])
        self.committed()
        self.problem = tally.problem
        self._deliver([operation], tally)


@implementer(IReactorFromThreads)
class _NoThreads:
    """A reactor for a store that has no threads to come back from."""

    def callFromThread(self, callable: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Calls at once."""
        callable(*args, **kwargs)


class InlineStore(SqliteStore):
    """A `ports.stores.Store` in memory."""

    _writer: _InlineWriter

    def __init__(self, clock: Clock, *, idempotency_max_keys: int = 10_000, high_water: int = 1_000_000, image: bytes = b"") -> None:
        """
        Args:
            image: what another store's `image` gave: this one begins with its rows.
        """
        self._image = image
        super().__init__(
            ":memory:",
            _NoThreads(),
            clock,
            queue_max=10_000,
            idempotency_max_keys=idempotency_max_keys,
            high_water=high_water,
            min_free_bytes=0,
            backups_kept=0,
            free_bytes=lambda path: 1 << 40,
            readers=_InlineReaders,
            writer=_InlineWriter,
        )

    def break_writes(self, problem: str) -> None:
        """From now on every write fails with `problem`, like a full disk; "" mends it."""
        self._writer.broken = problem

    def image(self) -> bytes:
        """Everything committed so far, as a killed process leaves it behind."""
        connection = self._writer.connection
        return self._image if connection is None else connection.serialize()

    def stop(self) -> Deferred[None]:
        """As the threaded one; what was committed is there again after the next `start`."""
        self._image = self.image()
        return super().stop()

    def kill(self) -> None:
        """From now on nothing reaches the rows, as after the end of the process: what was held is lost, whoever waits for it waits for ever."""
        self._image = self.image()
        self._writer.held = None
        self._writer.stop()

    def hold_writes(self) -> None:
        """From now on commits wait for `release_writes`, like those of a slow disk."""
        self._writer.held = []

    def release_write(self) -> None:
        """Commits the oldest of what was held, if there is any, and goes on holding."""
        if self._writer.held:
            self._writer.held.pop(0)()

    def release_writes(self) -> None:
        """Commits what was held, in order, and holds nothing more."""
        held, self._writer.held = self._writer.held or [], None
        for commit in held:
            commit()

    def _open(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.deserialize(self._image or _empty())
        migrations.migrate(connection, ":memory:", migrations.shipped(), 0, self._clock.wall_ms())
        self._open_at_start = connection.execute(inbox_rows.COUNT_OPEN).fetchone()[0]
        return connection


@cache
def _empty() -> bytes:
    """A migrated database without rows: every test begins with one, and the migrations are most of what opening it costs."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.migrate(connection, ":memory:", migrations.shipped(), 0, 0)
        return connection.serialize()
