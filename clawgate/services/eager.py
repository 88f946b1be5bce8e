"""Running a coroutine without a Deferred of its own. Ring: services. Measured by `make bench`: most requests wait for nothing, or once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_T = TypeVar("_T")
_Awaited = Deferred[Any]  # Any: a coroutine may wait for results of every kind


def eagerly(coroutine: Coroutine[_Awaited, Any, _T], landed: Callable[[_T | Failure], object]) -> _T | Waiting[_T]:
    """What the coroutine returns, if it gets there without waiting; else what it is until it has ended.

    Args:
        landed: told what it returns or raises after its first wait.

    Raises:
        Whatever it raises before its first wait.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    return Waiting(coroutine, awaited, landed)


class Waiting(Generic[_T]):
    """A coroutine that waits, and goes on in the context in which it began to."""

    __slots__ = ("_awaited", "_context", "_coroutine", "_landed")

    def __init__(self, coroutine: Coroutine[_Awaited, Any, _T], awaited: _Awaited, landed: Callable[[_T | Failure], object]) -> None:
        self._coroutine, self._landed = coroutine, landed
        self._context = copy_context()
        self._wait_for(awaited)

    def cancel(self) -> None:
        """Cancels what is waited for; what comes of that is the coroutine's to say, and `landed` is told as ever."""
        self._awaited.cancel()

    def _wait_for(self, awaited: _Awaited) -> None:
        self._awaited = awaited
        awaited.addBoth(self._go_on)

    def _go_on(self, result: object) -> None:
        try:
            if isinstance(result, Failure):
                awaited = self._context.run(result.throwExceptionIntoGenerator, self._coroutine)
            else:
                awaited = self._context.run(self._coroutine.send, result)
        except StopIteration as end:
            outcome = end.value
        except BaseException:
            outcome = Failure()
        else:
            self._wait_for(awaited)
            return
        self._landed(outcome)  # outside of the except clauses, which would be the context of what it raises
