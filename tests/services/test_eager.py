"""Coroutines that are run without a Deferred of their own."""

from __future__ import annotations

import gc
import weakref
from contextvars import ContextVar

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure

from clawgate.services.eager import Waiting, eagerly


class Problem(Exception):
    """What a step may raise."""


async def _added(*waits: Deferred[int]) -> int:
    total = 0
    for wait in waits:
        total += await wait
    return total


def test_what_never_waits_is_the_result_itself() -> None:
    landed: list[int | Failure] = []
    assert eagerly(_added(succeed(1), succeed(2)), landed.append) == 3
    assert landed == []


def test_what_it_raises_at_once_is_raised() -> None:
    landed: list[Failure | None] = []

    async def broken() -> None:
        raise Problem("at once")

    with pytest.raises(Problem, match="at once"):
        eagerly(broken(), landed.append)
    assert landed == []


def test_what_it_returns_after_waiting_is_told() -> None:
    first: Deferred[int] = Deferred()
    second: Deferred[int] = Deferred()
    landed: list[int | Failure] = []
    eagerly(_added(first, succeed(10), second), landed.append)
    first.callback(1)
    assert landed == []
    second.callback(100)
    assert landed == [111]


def test_what_waits_for_a_deferred_of_a_deferred_goes_on_with_the_last() -> None:
    outer: Deferred[int] = Deferred()
    inner: Deferred[int] = Deferred()
    landed: list[int | Failure] = []
    outer.addCallback(lambda _: inner)
    outer.callback(1)
    eagerly(_added(outer), landed.append)
    assert landed == []
    inner.callback(5)
    assert landed == [5]


def test_an_error_reaches_the_place_that_waits() -> None:
    seen: list[tuple[str, BaseException | None]] = []

    async def careful(wait: Deferred[int]) -> int:
        try:
            return await wait
        except Problem as problem:
            seen.append((str(problem), problem.__context__))
            return -1

    wait: Deferred[int] = Deferred()
    landed: list[int | Failure] = []
    eagerly(careful(wait), landed.append)
    wait.errback(Problem("later"))
    assert landed == [-1]
    assert seen == [("later", None)]


def test_what_it_raises_after_waiting_is_told_and_has_no_strange_context() -> None:
    async def waits(wait: Deferred[int]) -> int:
        await wait
        raise Problem("in the end")

    wait: Deferred[int] = Deferred()
    landed: list[int | Failure] = []
    eagerly(waits(wait), landed.append)
    wait.callback(1)
    (failure,) = landed
    assert isinstance(failure, Failure)
    assert isinstance(failure.value, Problem)
    assert failure.value.__context__ is None


def test_cancelling_cancels_what_is_waited_for() -> None:
    cancelled: list[Deferred[int]] = []
    wait: Deferred[int] = Deferred(cancelled.append)
    landed: list[int | Failure] = []
    waiting = eagerly(_added(succeed(1), wait), landed.append)
    assert isinstance(waiting, Waiting)
    waiting.cancel()
    assert cancelled == [wait]
    (failure,) = landed
    assert isinstance(failure, Failure)
    assert failure.check(CancelledError)
    waiting.cancel()
    assert len(landed) == 1


def test_what_is_cancelled_may_still_finish_what_it_does() -> None:
    async def thorough(wait: Deferred[int], last: Deferred[int]) -> int:
        try:
            return await wait
        except CancelledError:
            return await last

    last: Deferred[int] = Deferred()
    landed: list[int | Failure] = []
    waiting = eagerly(thorough(Deferred(), last), landed.append)
    assert isinstance(waiting, Waiting)
    waiting.cancel()
    assert landed == []
    last.callback(7)
    assert landed == [7]


def test_it_goes_on_with_the_context_variables_it_began_to_wait_with() -> None:
    name: ContextVar[str] = ContextVar("name")
    wait: Deferred[int] = Deferred()
    landed: list[str | Failure] = []

    async def who() -> str:
        await wait
        return name.get()

    name.set("asker")
    eagerly(who(), landed.append)
    name.set("somebody else")
    wait.callback(1)
    assert landed == ["asker"]


def test_it_leaves_no_cycle_behind() -> None:
    wait: Deferred[int] = Deferred()
    landed: list[int | Failure] = []
    coroutine = _added(wait)
    left = weakref.ref(coroutine)
    eagerly(coroutine, landed.append)
    del coroutine
    gc.disable()
    try:
        assert left() is not None
        wait.callback(1)
        assert left() is None
    finally:
        gc.enable()
