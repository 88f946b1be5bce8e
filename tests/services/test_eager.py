"""Coroutines that are run without a Deferred until they wait."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure

from clawgate.services.eager import eagerly


class Problem(Exception):
    """What a step may raise."""


async def _added(*waits: Deferred[int]) -> int:
    total = 0
    for wait in waits:
        total += await wait
    return total


def _outcome(waiting: Any) -> list[Any]:
    found: list[Any] = []
    waiting.addBoth(found.append)
    return found


def test_what_never_waits_is_the_result_itself() -> None:
    assert eagerly(_added(succeed(1), succeed(2))) == 3


def test_what_it_raises_at_once_is_raised() -> None:
    async def broken() -> None:
        raise Problem("at once")

    with pytest.raises(Problem, match="at once"):
        eagerly(broken())


def test_what_waits_is_a_deferred_of_the_result() -> None:
    first: Deferred[int] = Deferred()
    second: Deferred[int] = Deferred()
    found = _outcome(eagerly(_added(first, succeed(10), second)))
    first.callback(1)
    assert found == []
    second.callback(100)
    assert found == [111]


def test_an_error_reaches_the_place_that_waits() -> None:
    seen: list[tuple[str, BaseException | None]] = []

    async def careful(wait: Deferred[int]) -> int:
        try:
            return await wait
        except Problem as problem:
            seen.append((str(problem), problem.__context__))
            return -1

    wait: Deferred[int] = Deferred()
    found = _outcome(eagerly(careful(wait)))
    wait.errback(Problem("later"))
    assert found == [-1]
    assert seen == [("later", None)]


def test_what_it_raises_later_is_the_deferreds_and_has_no_strange_context() -> None:
    async def waits(wait: Deferred[int]) -> int:
        await wait
        raise Problem("in the end")

    wait: Deferred[int] = Deferred()
    found = _outcome(eagerly(waits(wait)))
    wait.callback(1)
    failure: Failure = found[0]
    assert failure.check(Problem)
    assert failure.value.__context__ is None


def test_cancelling_cancels_what_is_waited_for() -> None:
    cancelled: list[Deferred[int]] = []
    wait: Deferred[int] = Deferred(cancelled.append)
    waiting = eagerly(_added(succeed(1), wait))
    assert isinstance(waiting, Deferred)
    found = _outcome(waiting)
    waiting.cancel()
    assert cancelled == [wait]
    assert found[0].check(CancelledError)
