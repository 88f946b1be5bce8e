"""Threads that read. Ring: edge. Source: design §3 ("query_only readers in a pool of their own").

Each thread has a connection of its own that cannot write. A read sees everything committed before it began.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from clawgate.domain.errors import StoreUnavailable
from clawgate.stores.operations import translated

_T = TypeVar("_T")
_THREADS = 3
_MAX_WAITING = 2_000


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """What is read inside is of one moment."""
    connection.execute("SAVEPOINT looking")
    try:
        yield
    finally:
        connection.execute("RELEASE looking")


@define(eq=False)
class Readers:
    """A small pool of reading connections. Its methods are called in the reactor's thread, `close` in any other.

    Attributes:
        connect: opens a reading connection; runs in a thread of the pool.
    """

    reactor: IReactorFromThreads
    connect: Callable[[], sqlite3.Connection]
    _pool: ThreadPool | None = field(default=None, init=False)
    _waiting: int = field(default=0, init=False)
    _own: threading.local = field(factory=threading.local, init=False)
    _connections: list[sqlite3.Connection] = field(factory=list, init=False)

    def start(self) -> None:
        """Reads are possible from now on."""
        self._pool = ThreadPool(0, _THREADS, name="clawgate-readers")
        self._pool.threadFactory = partial(threading.Thread, daemon=True)  # type: ignore[assignment]  # a process that dies without stop must not hang
        self._pool.start()

    def read(self, function: Callable[[sqlite3.Connection], _T]) -> Deferred[_T]:
        """What `function` returns; `StoreUnavailable` when the database cannot be read or too many reads wait."""
        if self._pool is None or self._waiting >= _MAX_WAITING:
            return fail(StoreUnavailable(detail="the store is closed" if self._pool is None else "too many reads wait"))
        self._waiting += 1
        found: Deferred[_T] = deferToThreadPool(self.reactor, self._pool, self._read, function)
        return found.addBoth(self._left)

    def retire(self) -> Callable[[], None]:
        """Takes no more reads; returns what ends the threads once the reads under way are done. It blocks: not for the reactor's thread."""
        pool, self._pool = self._pool, None
        return partial(self._close, pool)

    def _left(self, result: _T) -> _T:
        self._waiting -= 1
        return result

    def _read(self, function: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
            if connection is None:
                connection = self._own.connection = self.connect()
                self._connections.append(connection)
            return function(connection)
        except sqlite3.Error as problem:
            raise translated(problem) from problem

    def _close(self, pool: ThreadPool | None) -> None:
        if pool is not None:
            pool.stop()
        while self._connections:
            self._connections.pop().close()
