"""What is asked of the writer, and how a batch of it is committed. Ring: edge. Source: design §3 (durable store), libraries.md §3.

    group commit    one BEGIN IMMEDIATE … COMMIT for a batch; neighbours with the same SQL go through one executemany
    one is not new  a grouped statement whose result was known beforehand came to another one (`Statements.otherwise`): the batch is rolled back, and carried
                    out once more in one transaction, one operation after the other
    one is wrong    a refusal (`Conflict`, `NotFound`, `Overloaded`) undoes its own savepoint; anything else rolls the batch back, and each operation is
                    done again in a transaction of its own, so that only the wrong one fails
    no commit       BEGIN or COMMIT failed: nobody in the batch got anything, and nothing is tried again one by one (a locked file would be waited for
                    once for each)

Runs in the writer's thread; knows neither reactor nor queue.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from clawgate.domain.errors import BadRequest, Conflict, GatewayError, StoreUnavailable

_log = Logger()
Params = tuple[object, ...]
Note = Callable[[Any, bool], None]  # Any: the operation's own result type
"""Told in the reactor's thread what an operation came to, before its caller is: (result, whether it succeeded)."""


class Operation:
    """One write and whoever waits for it.

    Attributes:
        sqls: the statements, or None for a `Call`; the key that neighbours are grouped by.
        value: the result, once committed.
        error: why there is none.
    """

    __slots__ = ("deferred", "error", "note", "sqls", "value")

    def __init__(self, sqls: tuple[str, ...] | None, value: object, note: Note | None) -> None:
        self.deferred: Deferred[Any] = Deferred()  # Any: typed by the methods of `Writer` that hand it out
        self.error: Exception | None = None
        self.sqls, self.value, self.note = sqls, value, note


class Statements(Operation):
    """Plain statements whose result is known beforehand.

    Attributes:
        params: one tuple for each statement.
        known: the result.
        otherwise: the first statement must change exactly one row; where it does not, this decides in its place.
    """

    __slots__ = ("known", "otherwise", "params")

    def __init__(
        self,
        sqls: tuple[str, ...],
        params: Sequence[Params],
        value: object,
        otherwise: Callable[[sqlite3.Connection], object] | None = None,
        note: Note | None = None,
    ) -> None:
        super().__init__(sqls, value, note)
        self.params, self.known, self.otherwise = params, value, otherwise


class Call(Operation):
    """A function of the connection, run inside the batch's transaction. It may run twice (batch, then alone), only one of them committed."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[sqlite3.Connection], object], note: Note | None = None) -> None:
        super().__init__(None, None, note)
        self.function = function


class Tally(msgspec.Struct, frozen=True):
    """What a batch came to.

    Attributes:
        commits, failures: transactions committed, and operations that the store (not a rule) failed.
        problem: of the last transaction, "" when it was committed.
    """

    commits: int
    failures: int
    problem: str


class _Miscounted(Exception):
    """A grouped statement changed more or fewer rows than it had to."""


class Committer:
    """Commits batches on one connection.

    Args:
        rolled_back: called whenever something was undone, so that what is remembered of the rows outside of them can be forgotten.
    """

    def __init__(self, connection: sqlite3.Connection, rolled_back: Callable[[], None]) -> None:
        self._connection, self._rolled_back = connection, rolled_back

    def commit(self, batch: Sequence[Operation]) -> Tally:
        """Gives every operation its value or its error, and says how it went."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as problem:
            return self._nobody(batch, problem)
        try:
            try:
                self._run(batch)
            except _Miscounted:
                self._undo()
                connection.execute("BEGIN IMMEDIATE")
                for operation in batch:
                    self._guarded(operation)
        except Exception as problem:
            self._undo()
            if len(batch) == 1:
                return self._failed(batch[0], problem)
            return self._singly(batch)
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as problem:
            self._undo()
            return self._nobody(batch, problem)
        return Tally(1, 0, "")

    def _run(self, batch: Iterable[Operation]) -> None:
        for sqls, group in groupby(batch, _sqls):
            if sqls is None:
                for operation in group:
                    self._guarded(operation)
            else:
                self._many(sqls, list(group))

    def _guarded(self, operation: Operation) -> None:
        """Carries one out, or undoes it alone where it is refused."""
        operation.error = None
        execute = self._connection.execute
        execute("SAVEPOINT operation")
        try:
            self._carry_out(operation)
        except GatewayError as refusal:
            operation.error = refusal
            execute("ROLLBACK TO operation")
            self._rolled_back()
        execute("RELEASE operation")

    def _many(self, sqls: tuple[str, ...], group: list[Operation]) -> None:
        statements = [operation for operation in group if isinstance(operation, Statements)]
        for position, sql in enumerate(sqls):
            cursor = self._connection.executemany(sql, [operation.params[position] for operation in statements])
            if position == 0 and statements[0].otherwise is not None and cursor.rowcount != len(statements):
                raise _Miscounted

    def _singly(self, batch: Sequence[Operation]) -> Tally:
        commits, failures, problem = 0, 0, ""
        for position, operation in enumerate(batch):
            operation.error = None
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                rest = self._nobody(batch[position:], error)
                return Tally(commits, failures + rest.failures, rest.problem)
            tally = self._alone(operation)
            commits, failures, problem = commits + tally.commits, failures + tally.failures, tally.problem
        return Tally(commits, failures, problem)

    def _alone(self, operation: Operation) -> Tally:
        try:
            self._carry_out(operation)
            self._connection.execute("COMMIT")
        except Exception as problem:
            self._undo()
            return self._failed(operation, problem)
        return Tally(1, 0, "")

    def _carry_out(self, operation: Operation) -> None:
        if isinstance(operation, Statements):
            operation.value = self._one_by_one(operation)
        elif isinstance(operation, Call):
            operation.value = operation.function(self._connection)

    def _one_by_one(self, operation: Statements) -> object:
        for position, (sql, params) in enumerate(zip(operation.sqls or (), operation.params, strict=True)):
            cursor = self._connection.execute(sql, params)
            if position == 0 and operation.otherwise is not None and cursor.rowcount != 1:
                return operation.otherwise(self._connection)
        return operation.known

    def _undo(self) -> None:
        self._rolled_back()
        if not self._connection.in_transaction:  # SQLite ends some failed transactions by itself (disk full)
            return
        try:
            self._connection.execute("ROLLBACK")
        except sqlite3.Error as problem:
            _log.error("a transaction could not be rolled back: {problem}", problem=str(problem))

    def _failed(self, operation: Operation, problem: Exception) -> Tally:
        operation.value, operation.error = None, translated(problem)
        if not isinstance(operation.error, GatewayError):
            _log.failure("a write broke")
        is_ours = isinstance(operation.error, StoreUnavailable)
        return Tally(0, int(is_ours), str(problem) if is_ours else "")

    def _nobody(self, batch: Sequence[Operation], problem: sqlite3.Error) -> Tally:
        for operation in batch:
            operation.value, operation.error = None, translated(problem)
        return Tally(0, len(batch), str(problem) or type(problem).__name__)


def _sqls(operation: Operation) -> tuple[str, ...] | None:
    return operation.sqls


def translated(problem: Exception) -> Exception:
    """The error as the house names it: a broken constraint is a `Conflict`, anything else of SQLite `StoreUnavailable`, text that is no text `BadRequest`."""
    if isinstance(problem, sqlite3.IntegrityError):
        return Conflict("it exists already", detail=str(problem))
    if isinstance(problem, sqlite3.Error):
        return StoreUnavailable("the store could not commit", detail=str(problem) or type(problem).__name__)
    if isinstance(problem, UnicodeEncodeError):
        return BadRequest("text must be valid Unicode")
    return problem
