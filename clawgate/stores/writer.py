"""The one thread that writes. Ring: edge. Source: design §3 (durable store).

The writes of one round of the reactor are handed over together, committed in the writer's thread with whatever else is waiting, and answered in the reactor's
thread by one `callFromThread` for the whole batch: a thread woken for each write would cost more than the write. Nothing is answered before COMMIT. The thread
is our own: the reactor's pool also resolves names.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from clawgate.domain.errors import GatewayError, StoreUnavailable
from clawgate.ports.events import Meter
from clawgate.stores.operations import Call, Committer, Note, Operation, Params, Statements, Tally, translated
from clawgate.stores.readers import Readers

_log = Logger()
_T = TypeVar("_T")
MAX_BATCH = 500
"""Writes in one transaction, give or take those of a round."""
_MOMENT_SECONDS = 0.002
"""How long a write that may wait does, if nothing else is written."""
_STOP, _LOOK = object(), object()


def _nothing() -> None:
    """There are no readers yet, or nobody who wants to know."""


class Writer(msgspec.Struct, eq=False):
    """Owns the writing connection. Its methods are called in the reactor's thread.

    Attributes:
        open: opens and migrates the database; runs in the writer's thread.
        look: called in the writer's thread after every batch and on `look_soon`; for what health shows.
        rolled_back: called in the writer's thread whenever something was undone.
        queue_max: writes that may wait; one more is `StoreUnavailable`.
        readers: end before the writer closes, so that nobody holds up its last checkpoint.
        committed: called in the writer's thread after every batch.
        problem: why the last transaction failed, "" when it was committed.
    """

    reactor: Any  # IReactorFromThreads and IReactorTime at once
    open: Callable[[], sqlite3.Connection]
    look: Callable[[], None]
    rolled_back: Callable[[], None]
    queue_max: int
    readers: Readers
    meter: Meter | None = None
    committed: Callable[[], None] = _nothing
    problem: str = ""
    _depth: int = 0
    _accepting: bool = False
    _stopping: bool = False
    _looking: bool = False
    _close_readers: Callable[[], None] = _nothing
    _fresh: list[Operation] = []
    _hand_over_call: IDelayedCall | None = None
    _is_soon: bool = False
    _queue: SimpleQueue[object] = msgspec.field(default_factory=SimpleQueue)
    _thread: threading.Thread | None = None
    _ended: Deferred[None] = msgspec.field(default_factory=Deferred)

    @property
    def depth(self) -> int:
        """Writes that wait or are being committed."""
        return self._depth

    def start(self) -> Deferred[None]:
        """Fires when the database is open; errbacks with what kept it shut, and the thread is gone then."""
        opened: Deferred[None] = Deferred()
        self._thread = threading.Thread(target=self._live, args=(opened,), name="clawgate-writer", daemon=True)
        self._thread.start()
        return opened

    def stop(self) -> Deferred[None]:
        """Commits what is queued, checkpoints, closes. A second call waits for the same end."""
        if self._thread is None:
            return succeed(None)
        self._stopping = True
        if self._accepting:
            self._end()
        done: Deferred[None] = Deferred()
        self._ended.addCallback(_pass_on, done)
        return done

    def statements(
        self,
        sqls: tuple[str, ...],
        params: Sequence[Params],
        value: _T,
        otherwise: Callable[[sqlite3.Connection], _T] | None = None,
        note: Note | None = None,
        *,
        may_wait: bool = False,
    ) -> Deferred[_T]:
        """`value`, once the statements are committed (`operations.Statements`).

        Args:
            may_wait: nobody has been promised anything yet: it may be written a moment later, together with what follows from it.
        """
        return self._submit(Statements(sqls, params, value, otherwise, note), may_wait=may_wait)

    def call(self, function: Callable[[sqlite3.Connection], _T], note: Note | None = None) -> Deferred[_T]:
        """What `function` returned, once it is committed (`operations.Call`)."""
        return self._submit(Call(function, note))

    def look_soon(self) -> None:
        """Has `look` called even if nothing is written."""
        if self._accepting and not self._looking:
            self._looking = True
            self._queue.put(_LOOK)

    def _end(self) -> None:
        self._accepting = False
        self._close_readers = self.readers.retire()
        if self._hand_over_call is not None:
            self._hand_over_call.cancel()
            self._hand_over()
        self._queue.put(_STOP)

    def _submit(self, operation: Operation, *, may_wait: bool = False) -> Deferred[_T]:
        if not self._accepting or self._depth >= self.queue_max:
            error = StoreUnavailable(detail="the write queue is full" if self._accepting else "the store is closed")
            if operation.note is not None:
                operation.note(None, False)
            return fail(error)
        self._depth += 1
        self._fresh.append(operation)
        if self._hand_over_call is None:
            self._hand_over_call = self.reactor.callLater(_MOMENT_SECONDS if may_wait else 0, self._hand_over)
            self._is_soon = not may_wait
        elif not may_wait and not self._is_soon:
            self._hand_over_call.reset(0)
            self._is_soon = True
        return operation.deferred

    def _hand_over(self) -> None:
        self._hand_over_call = None
        fresh, self._fresh = self._fresh, []
        if fresh:
            self._queue.put(fresh)

    # --- in the writer's thread

    def _live(self, opened: Deferred[None]) -> None:
        try:
            connection = self.open()
            self.look()
        except BaseException as problem:
            _log.debug("the store did not open: {problem}", problem=str(problem))
            error = translated(problem) if isinstance(problem, Exception) else problem
            self.reactor.callFromThread(self._never_opened, opened, error)
            return
        self.reactor.callFromThread(self._is_open, opened)
        try:
            self._work(connection)
            self._close_readers()
            _checkpoint(connection)
        except BaseException as problem:
            _log.failure("the writer broke")
            self.problem = str(problem) or type(problem).__name__
        finally:
            connection.close()
            self.reactor.callFromThread(self._is_closed)

    def _work(self, connection: sqlite3.Connection) -> None:
        committer = Committer(connection, self.rolled_back)
        while True:
            batch, is_last = self._next_batch()
            if batch:
                self._settle(batch, committer)
            self.look()
            self._looking = False
            if is_last:
                return

    def _next_batch(self) -> tuple[list[Operation], bool]:
        batch: list[Operation] = []
        entry = self._queue.get()
        while True:
            if entry is _STOP:
                return batch, True
            if isinstance(entry, list):
                batch += entry
            if len(batch) >= MAX_BATCH:
                return batch, False
            try:
                entry = self._queue.get_nowait()
            except Empty:
                return batch, False

    def _settle(self, batch: list[Operation], committer: Committer) -> None:
        try:
            tally = committer.commit(batch)
        except BaseException as problem:
            for operation in batch:
                operation.error = StoreUnavailable(detail=str(problem))
            self.reactor.callFromThread(self._deliver, batch, Tally(0, len(batch), str(problem)))
            raise
        self.committed()
        if tally.problem and not self.problem:
            _log.error("the store failed: {problem}", problem=tally.problem)
        self.problem = tally.problem
        self.reactor.callFromThread(self._deliver, batch, tally)

    # --- back in the reactor's thread

    def _is_open(self, opened: Deferred[None]) -> None:
        self._accepting = True
        if self._stopping:
            self._end()
        opened.callback(None)

    def _never_opened(self, opened: Deferred[None], error: BaseException) -> None:
        self._thread = None
        self._ended.callback(None)
        opened.errback(error if isinstance(error, GatewayError) else StoreUnavailable(detail=repr(error)))

    def _is_closed(self) -> None:
        self._accepting = False
        if not self._stopping:  # it broke; whoever reads may take a while to end
            threading.Thread(target=self.readers.retire(), name="clawgate-readers-end", daemon=True).start()
        self._hand_over()
        left: list[Operation] = []
        while not self._queue.empty():
            entry = self._queue.get_nowait()
            if isinstance(entry, list):
                left += entry
        for operation in left:
            operation.error = StoreUnavailable(detail="the store is closed")
        self._deliver(left, Tally(0, len(left), self.problem))
        self._ended.callback(None)

    def _deliver(self, batch: Sequence[Operation], tally: Tally) -> None:
        self._depth -= len(batch)
        if self.meter is not None:
            self.meter.count("store_commits_total", by=tally.commits)
            self.meter.count("store_failures_total", by=tally.failures)
        for operation in batch:
            error = operation.error
            if operation.note is not None:
                operation.note(operation.value, error is None)
            if error is None:
                operation.deferred.callback(operation.value)
            else:
                operation.deferred.errback(error)


def _pass_on(result: None, waiter: Deferred[None]) -> None:
    waiter.callback(None)


def _checkpoint(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as problem:
        _log.warn("the last checkpoint failed, the next start makes up for it: {problem}", problem=str(problem))
