"""The machine's clocks, chance and names, and the ones a test decides."""

from __future__ import annotations

import time
import uuid

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from clawgate.domain import ids
from clawgate.ports import clock as ports
from clawgate.system.clock import SystemClock, SystemEntropy, SystemIds
from clawgate.testing.clock import CountingIds, FixedEntropy, ManualClock

NOW = 1_800_000_000_000


def implementations() -> tuple[list[ports.Clock], list[ports.Entropy], list[ports.Ids]]:
    """The type checker compares each with its port."""
    return (
        [SystemClock(Clock()), ManualClock()],
        [SystemEntropy(), FixedEntropy(1)],
        [SystemIds(ManualClock(), FixedEntropy(1)), CountingIds()],
    )


def outcome(deferred: Deferred[None]) -> list[object]:
    results: list[object] = []
    deferred.addBoth(results.append)
    return results


def test_the_system_clock_reads_the_machines_clocks() -> None:
    clock = SystemClock(Clock())
    before, wall = time.monotonic(), time.time() * 1000
    assert before <= clock.monotonic() <= time.monotonic()
    assert wall - 1 <= clock.wall_ms() <= time.time() * 1000


def test_call_later_calls_once_with_its_arguments() -> None:
    reactor, seen = Clock(), list[object]()
    SystemClock(reactor).call_later(2, lambda *args: seen.append(args), 1, "b")
    reactor.advance(1.9)
    assert seen == []
    reactor.advance(0.1)
    reactor.advance(10)
    assert seen == [(1, "b")]


def test_a_delay_below_zero_is_zero() -> None:
    reactor, seen = Clock(), list[object]()
    SystemClock(reactor).call_later(-5, seen.append, 1)
    reactor.advance(0)
    assert seen == [1]


def test_a_timer_can_be_cancelled() -> None:
    reactor, seen = Clock(), list[object]()
    SystemClock(reactor).call_later(1, seen.append, 1).cancel()
    reactor.advance(2)
    assert seen == []


def test_sleep_fires_after_its_delay() -> None:
    reactor = Clock()
    results = outcome(SystemClock(reactor).sleep(3))
    reactor.advance(2.9)
    assert results == []
    reactor.advance(0.2)
    assert results == [None]


def test_cancelling_a_sleep_stops_its_timer() -> None:
    reactor = Clock()
    sleep = SystemClock(reactor).sleep(3)
    results = outcome(sleep)
    sleep.cancel()
    assert isinstance(results[0], Failure)
    assert results[0].check(CancelledError)
    assert reactor.getDelayedCalls() == []


def test_entropy_gives_as_many_bytes_as_asked_and_never_the_same() -> None:
    entropy = SystemEntropy()
    assert (len(entropy.random_bytes(32)), entropy.random_bytes(0)) == (32, b"")
    assert len({entropy.random_bytes(16) for _ in range(50)}) == 50


def test_jitter_lies_in_the_unit_interval() -> None:
    values = [SystemEntropy().jitter() for _ in range(100)]
    assert all(0 <= value < 1 for value in values)
    assert len(set(values)) > 90


def test_ids_rise_though_the_wall_clock_steps_back() -> None:
    clock = ManualClock(NOW)
    source = SystemIds(clock, FixedEntropy(3))
    made = [source.next_id()]
    for delta in (0, 1, -60_000, 0, 5, 120_000):
        clock.step_wall(delta)
        made.append(source.next_id())
    assert made == sorted(set(made))
    assert ids.first_of(NOW) <= int(made[0], 16) < ids.first_of(NOW + 1)


def test_uuids_are_of_version_4() -> None:
    made = {SystemIds(ManualClock(), SystemEntropy()).uuid() for _ in range(20)}
    assert len(made) == 20
    assert {uuid.UUID(text).version for text in made} == {4}


def test_the_manual_clock_moves_both_clocks() -> None:
    clock = ManualClock(NOW)
    clock.advance(1.5)
    assert (clock.monotonic(), clock.wall_ms()) == (1.5, NOW + 1500)


@pytest.mark.parametrize("way", ["set", "step"])
def test_the_manual_wall_clock_may_go_back_alone(way: str) -> None:
    clock = ManualClock(NOW)
    clock.advance(10)
    clock.set_wall(NOW - 5000) if way == "set" else clock.step_wall(-15_000)
    assert (clock.monotonic(), clock.wall_ms()) == (10, NOW - 5000)


def test_the_manual_clock_stops_at_every_timer() -> None:
    clock, seen = ManualClock(), list[float]()

    def tick() -> None:
        seen.append(clock.monotonic())
        clock.call_later(2, tick)

    clock.call_later(2, tick)
    clock.advance(7)
    assert (seen, clock.monotonic(), clock.pending) == ([2, 4, 6], 7, 1)


def test_the_manual_clock_gives_up_on_timers_that_never_rest() -> None:
    clock = ManualClock()

    def spin() -> None:
        clock.call_later(0.0000001, spin)

    clock.call_later(0, spin)
    with pytest.raises(AssertionError, match="never come to rest"):
        clock.advance(1)


def test_fixed_entropy_repeats_itself_and_seeds_differ() -> None:
    first, same, other = FixedEntropy(1), FixedEntropy(1), FixedEntropy(2)
    assert first.random_bytes(8) == same.random_bytes(8) != other.random_bytes(8)
    assert first.jitter() == same.jitter()


def test_counting_ids_count() -> None:
    source = CountingIds()
    assert [source.next_id(), source.next_id(), source.uuid()] == ["0" * 15 + "1", "0" * 15 + "2", "00000000-0000-0000-0000-000000000001"]


def test_ids_go_on_after_those_of_an_earlier_process_whose_clock_was_ahead() -> None:
    clock = ManualClock()
    names = SystemIds(clock, FixedEntropy(1))
    ahead = (clock.wall_ms() + 86_400_000) << 20
    names.go_on_after(ahead)
    assert names.next_id() == ids.to_text(ahead + 1)
    names.go_on_after(1)
    assert names.next_id() == ids.to_text(ahead + 2)
