"""Threads that read. Ring: edge. Source: design §3 ("query_only readers in a pool of their own").

Each thread has a connection of its own that cannot write, and a new one after a failure. A read sees everything committed before it began. Threads are
started as they are needed; what has been read comes back to the reactor's thread with whatever else has been read meanwhile, by one `callFromThread` (through
Twisted's pool, a read among sixteen costs three times as much).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

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


class _Read:
    """One read and whoever waits for it.

    Attributes:
        result: what was read, or a Failure.
    """

    __slots__ = ("deferred", "function", "result")

    def __init__(self, function: Callable[[sqlite3.Connection], object]) -> None:
        self.deferred: Deferred[Any] = Deferred()  # Any: typed by `Readers.read`
        self.function = function
        self.result: object = None


class Readers(msgspec.Struct, eq=False):
    """A few reading connections. Its methods are called in the reactor's thread, what `retire` returns in any other.

    Attributes:
        connect: opens a reading connection; runs in the thread that uses it.
    """

    reactor: IReactorFromThreads
    connect: Callable[[], sqlite3.Connection]
    _is_open: bool = False
    _waiting: int = 0
    _queue: SimpleQueue[_Read | None] = msgspec.field(default_factory=SimpleQueue)
    _threads: list[threading.Thread] = []
    _lock: threading.Lock = msgspec.field(default_factory=threading.Lock)
    _done: list[_Read] = []

    def start(self) -> None:
        """Reads are possible from now on."""
        self._is_open = True

    def read(self, function: Callable[[sqlite3.Connection], _T]) -> Deferred[_T]:
        """What `function` returns; `StoreUnavailable` when the database cannot be read or too many reads wait."""
        if not self._is_open or self._waiting >= _MAX_WAITING:
            return fail(StoreUnavailable(detail="too many reads wait" if self._is_open else "the store is closed"))
        self._waiting += 1
        read = _Read(function)
        self._queue.put(read)
        if len(self._threads) < min(self._waiting, _THREADS):
            thread = threading.Thread(target=self._live, name="clawgate-reader", daemon=True)  # a process that dies without stop must not hang
            self._threads.append(thread)
            thread.start()
        return read.deferred

    def retire(self) -> Callable[[], None]:
        """Takes no more reads; returns what waits until the reads under way are done and the threads are gone. It blocks: not for the reactor's thread."""
        self._is_open = False
        threads, self._threads = self._threads, []
        for _ in threads:
            self._queue.put(None)
        return partial(_join, threads)

    def _live(self) -> None:
        connection: sqlite3.Connection | None = None
        while (read := self._queue.get()) is not None:
            try:
                connection = connection or self.connect()
                read.result = read.function(connection)
            except sqlite3.Error as problem:
                read.result = Failure(translated(problem))
                if connection is not None:  # its transaction may be open still: every later read would be of that moment
                    connection.close()
                    connection = None
            except BaseException:
                read.result = Failure()
            self._bring_back(read)
        if connection is not None:
            connection.close()

    def _bring_back(self, read: _Read) -> None:
        with self._lock:
            self._done.append(read)
            is_first = len(self._done) == 1
        if is_first:
            self.reactor.callFromThread(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            done, self._done = self._done, []
        self._waiting -= len(done)
        for read in done:
            read.deferred.callback(read.result)


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()
