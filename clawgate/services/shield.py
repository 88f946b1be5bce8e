"""Waiting for something that must not be interrupted. Ring: services. Source: style.md ("anything that writes runs shielded and finishes")."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_T = TypeVar("_T")


def shielded(inner: Deferred[_T]) -> Deferred[_T]:
    """A Deferred that fires like `inner`; cancelling it leaves `inner` to run to its end.

    `inner` keeps its result for whoever still looks at it; a failure that nobody waited for is theirs.
    """
    outer: Deferred[_T] = Deferred()

    def pass_on(result: _T | Failure) -> _T | Failure | None:
        if outer.called:
            return result
        if isinstance(result, Failure):
            outer.errback(result)
            return None
        outer.callback(result)
        return result

    inner.addBoth(pass_on)
    return outer
