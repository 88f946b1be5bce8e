"""Who waits for which item."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from clawgate.domain.errors import Draining, Overloaded
from clawgate.domain.inbox import Item
from clawgate.services.waiters import Waiters

ITEM = Item(id="0000000000000001", source="webhook", principal="p", text="t", accepted_ms=1, updated_ms=1)


def test_everybody_who_waits_is_told_once() -> None:
    waiters, told = Waiters(10), list[Item]()
    for _ in range(3):
        waiters.expect(ITEM.id).addCallback(told.append)
    waiters.answer(ITEM)
    waiters.answer(ITEM)
    assert told == [ITEM] * 3


def test_one_who_stops_waiting_takes_nobody_along() -> None:
    waiters, told, left = Waiters(10), list[Item](), list[Failure]()
    waiters.expect(ITEM.id).addCallback(told.append)
    leaving = waiters.expect(ITEM.id)
    leaving.addErrback(left.append)
    leaving.cancel()
    waiters.answer(ITEM)
    assert (told, [failure.type for failure in left]) == ([ITEM], [CancelledError])


def test_the_bound_counts_everybody_and_frees_up() -> None:
    waiters = Waiters(2)
    first, second = waiters.expect("a"), waiters.expect("b")
    with pytest.raises(Overloaded):
        waiters.expect("a")
    first.addErrback(lambda failure: None)
    first.cancel()
    third = waiters.expect("c")
    with pytest.raises(Overloaded):
        waiters.expect("d")
    for waiter in (second, third):
        waiter.addErrback(lambda failure: None)
    waiters.fail_all(Draining())
    assert [waiters.expect(name).called for name in ("e", "f")] == [False, False]


def test_failing_all_tells_everybody_and_nobody_is_left() -> None:
    waiters, told = Waiters(10), list[Failure]()
    for name in ("a", "a", "b"):
        waiters.expect(name).addErrback(told.append)
    waiters.fail_all(Draining())
    waiters.fail_all(Draining())
    assert [failure.type for failure in told] == [Draining] * 3


def test_one_who_asks_again_while_being_told_waits_for_the_next_telling() -> None:
    waiters, again = Waiters(10), list[Deferred[Item]]()
    waiters.expect(ITEM.id).addCallback(lambda item: again.append(waiters.expect(item.id)))
    waiters.answer(ITEM)
    assert [waiter.called for waiter in again] == [False]
    waiters.answer(ITEM)
    assert [waiter.called for waiter in again] == [True]
