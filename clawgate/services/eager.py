"""Running a coroutine without a Deferred for as long as it waits for nothing. Ring: services. Measured by `make bench`: most requests never wait."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

_T = TypeVar("_T")
_Awaited = Deferred[Any]  # Any: a coroutine may wait for results of every kind


def eagerly(coroutine: Coroutine[_Awaited, Any, _T]) -> _T | Deferred[_T]:
    """What the coroutine returns, if it gets there without waiting; else a Deferred for it, as `Deferred.fromCoroutine` would give.

    Raises:
        Whatever it raises before its first wait; afterwards, that is the Deferred's.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    return Deferred.fromCoroutine(_resumed(coroutine, awaited))


def _resumed(coroutine: Coroutine[_Awaited, Any, _T], awaited: _Awaited) -> Generator[_Awaited, Any, _T]:
    """The rest of a coroutine that waits, for Twisted to drive."""
    problem: BaseException | None = None
    try:
        while True:
            try:
                result = yield awaited
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as raised:
                problem = raised
            if problem is None:
                awaited = coroutine.send(result)
            else:  # outside of the except clause, so that it is nobody's context
                thrown, problem = problem, None
                awaited = coroutine.throw(thrown)
    except StopIteration as end:
        final: _T = end.value
        return final
