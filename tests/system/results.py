"""What a Deferred that has fired came to."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


def result(deferred: Deferred[T]) -> T:
    """What a Deferred fired with already; raises its failure."""
    good: list[T] = []
    bad: list[Exception] = []
    deferred.addCallbacks(good.append, lambda failure: bad.append(failure.value))
    if bad:
        raise bad[0]
    return good[0]
