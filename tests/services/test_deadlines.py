"""Waiting no longer than so long."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, succeed

from clawgate.services.deadlines import Expired, Watch, within
from clawgate.services.shield import shielded
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


# --- one timer for many waits


class Late(Exception):
    """What waits fail with here."""


def watched(watch: Watch, *waits: Deferred[str]) -> list[object]:
    """What each of them comes to, in that order; only those that have ended."""
    found: list[object] = []
    for wait in waits:
        watch.over(shielded(wait)).addCallbacks(found.append, lambda failure: found.append(failure.type))
    return found


def test_each_wait_has_its_own_end_though_they_share_a_timer() -> None:
    clock = ManualClock()
    watch = Watch(5.0, Late, clock)
    early: Deferred[str] = Deferred()
    late: Deferred[str] = Deferred()
    first = watched(watch, early)
    clock.advance(2.0)
    second = watched(watch, late)
    assert clock.pending == 1
    clock.advance(2.9)
    assert (first, second) == ([], [])
    clock.advance(0.1)
    assert (first, second) == ([Late], [])
    clock.advance(2.0)
    assert (second, clock.pending) == ([Late], 0)


def test_what_ends_in_time_is_passed_on_and_what_ends_late_harms_nobody() -> None:
    clock = ManualClock()
    watch = Watch(5.0, Late, clock)
    quick, slow = Deferred[str](), Deferred[str]()
    found = watched(watch, quick, slow)
    quick.callback("yes")
    clock.advance(5.0)
    slow.callback("too late")
    assert (found, clock.pending) == (["yes", Late], 0)


def test_whoever_gives_up_is_not_called_again() -> None:
    clock, slow = ManualClock(), Deferred[str]()
    watch = Watch(5.0, Late, clock)
    found: list[object] = []
    waiting = watch.over(shielded(slow))
    waiting.addErrback(lambda failure: found.append(failure.type))
    waiting.cancel()
    clock.advance(5.0)
    assert found == [CancelledError]
    assert not slow.called


def test_a_wait_that_begins_when_another_one_fails_has_all_its_time() -> None:
    clock, again = ManualClock(), Deferred[str]()
    watch = Watch(5.0, Late, clock)
    found: list[object] = []
    watch.over(Deferred[str]()).addErrback(lambda _: found.append(watched(watch, again)))
    clock.advance(5.0)
    clock.advance(4.9)
    assert found == [[]]
    clock.advance(0.1)
    assert found == [[Late]]


def test_nothing_that_waits_leaves_no_timer_behind() -> None:
    clock, wait = ManualClock(), Deferred[str]()
    watch = Watch(5.0, Late, clock)
    found = watched(watch, wait, succeed("there"))
    watch.close()
    assert clock.pending == 1  # somebody waits
    wait.callback("yes")
    watch.close()
    assert (found, clock.pending) == (["there", "yes"], 0)
