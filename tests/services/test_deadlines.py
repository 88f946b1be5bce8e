"""Waiting no longer than so long."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, succeed

from clawgate.services.deadlines import Expired, within
from clawgate.testing.clock import ManualClock


def begun(waiting: Deferred[str], clock: ManualClock) -> Deferred[str]:
    return Deferred.fromCoroutine(within(waiting, 5.0, clock))


def outcome(done: Deferred[str]) -> object:
    """The result, or the type of what it failed with; None while it waits."""
    found: list[object] = []
    done.addCallbacks(found.append, lambda failure: found.append(failure.type))
    return found[0] if found else None


def test_result_in_time_is_the_result_and_leaves_no_timer() -> None:
    clock, waiting = ManualClock(), Deferred[str]()
    done = begun(waiting, clock)
    clock.advance(4.9)
    waiting.callback("yes")
    assert (outcome(done), clock.pending) == ("yes", 0)


def test_time_that_runs_out_cancels_the_wait() -> None:
    clock, cancelled = ManualClock(), []
    done = begun(Deferred(cancelled.append), clock)
    clock.advance(5.0)
    assert (outcome(done), len(cancelled), clock.pending) == (Expired, 1, 0)


def test_cancel_by_somebody_else_is_a_cancel() -> None:
    clock, cancelled = ManualClock(), []
    done = begun(Deferred(cancelled.append), clock)
    done.cancel()
    assert (outcome(done), len(cancelled), clock.pending) == (CancelledError, 1, 0)


def test_what_has_come_already_needs_no_timer() -> None:
    clock = ManualClock()
    clock.call_later = None  # type: ignore[assignment,method-assign]  # a timer would be a TypeError
    assert outcome(begun(succeed("there"), clock)) == "there"


def test_one_that_waits_for_another_is_not_there_yet() -> None:
    clock, other = ManualClock(), Deferred[str]()
    done = begun(succeed("first").addCallback(lambda _: other), clock)
    assert outcome(done) is None
    clock.advance(5.0)
    assert clock.pending == 0
