"""Events told in rounds to those who watch (design §4.17): what comes while they rest, what each may see, who comes and goes meanwhile."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.caller import ALL_SCOPES, Caller, Scope
from clawgate.domain.events import BusEvent
from clawgate.services.events import Events
from clawgate.testing.clock import ManualClock
from clawgate.web.fan_out import MOST_REST_SECONDS, MOST_ROUND_BYTES, REST_FOR_WORK, FanOut, Follower, Round
from clawgate.web.streams import KEEP_ALIVE_SECONDS, EventStream

ANN = Caller("ann", ALL_SCOPES, "c")
BOB = Caller("bob", frozenset({Scope.READ}), "c")
WORK_SECONDS = 0.01
REST = MOST_REST_SECONDS + 0.001


class WorkingClock(ManualClock):
    """As much time goes by as is written."""

    worked = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.worked


class Wire:
    """The part of Twisted's request that a stream writes to."""

    def __init__(self, clock: WorkingClock) -> None:
        self.clock, self.writes = clock, list[bytes]()

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.clock.worked += WORK_SECONDS

    def registerProducer(self, producer: object, streaming: bool) -> None: ...

    def loseConnection(self) -> None: ...

    @property
    def numbers(self) -> list[int]:
        return [int(line[4:]) for line in b"".join(self.writes).split(b"\n") if line.startswith(b"id: ")]


class House:
    """A bus and those who watch it."""

    def __init__(self) -> None:
        self.clock = WorkingClock()
        self.events = Events(self.clock)
        self.fan_out = FanOut(self.events, self.clock)
        self.streams: list[EventStream] = []

    def watch(self, caller: Caller = ANN, after: int = 0) -> tuple[Wire, Follower]:
        wire = Wire(self.clock)
        stream = EventStream(cast(Any, wire), self.clock)
        stream.open()
        wire.writes.clear()
        self.streams.append(stream)
        return wire, self.fan_out.add(stream, caller, after)

    def publish(self, count: int = 1, text: str = "", kind: str = "task_created") -> None:
        for _ in range(count):
            self.events.publish(kind, {"text": text})


def test_the_first_event_after_a_rest_is_told_at_once_and_the_next_ones_together() -> None:
    house = House()
    wires = [house.watch()[0] for _ in range(2)]
    house.publish()
    assert [wire.numbers for wire in wires] == [[1], [1]]
    house.publish(3)
    assert [wire.numbers for wire in wires] == [[1], [1]]
    house.clock.advance(REST_FOR_WORK * WORK_SECONDS * len(wires) + 0.001)
    assert [wire.numbers for wire in wires] == [[1, 2, 3, 4]] * 2
    assert [len(wire.writes) for wire in wires] == [2, 2]
    house.clock.advance(REST)
    house.publish()
    assert [wire.numbers for wire in wires] == [[1, 2, 3, 4, 5]] * 2


def test_however_many_watch_the_rest_is_short() -> None:
    house = House()
    wires = [house.watch()[0] for _ in range(100)]
    house.publish(2)
    house.clock.advance(REST)
    assert {tuple(wire.numbers) for wire in wires} == {(1, 2)}


def test_much_at_once_does_not_wait() -> None:
    house = House()
    wire, _ = house.watch()
    house.publish()
    house.publish(3, "x" * (MOST_ROUND_BYTES // 3 + 1))
    assert wire.numbers == [1, 2, 3, 4]


def test_each_is_told_what_it_may_see() -> None:
    house = House()
    wires = [house.watch(caller)[0] for caller in (ANN, BOB, BOB)]
    house.publish()
    house.publish(kind="config_changed")
    house.publish()
    house.clock.advance(REST)
    assert [wire.numbers for wire in wires] == [[1, 2, 3], [1, 3], [1, 3]]


def test_callers_who_may_see_the_same_share_one_piece() -> None:
    happened = Round()
    for number, kind in enumerate(("task_created", "config_changed", "task_deleted"), 1):
        happened.add(BusEvent(number=number, kind=kind, at_ms=0, data={}))
    readers = [Caller(f"reader {number}", frozenset({Scope.READ}), "c") for number in range(3)]
    pieces = [happened.piece(caller) for caller in (*readers, ANN)]
    assert [piece is pieces[0] for piece in pieces] == [True, True, True, False]
    assert [piece.count(b"id: ") for piece in pieces] == [2, 2, 2, 3]


def test_who_comes_during_a_rest_is_told_nothing_twice_and_nothing_of_before() -> None:
    house = House()
    house.watch()
    house.publish(3)
    fresh, again = house.watch()[0], house.watch(after=1)[0]
    house.publish()
    house.clock.advance(REST)
    assert (fresh.numbers, again.numbers) == ([4], [2, 3, 4])


def test_who_goes_during_a_rest_is_told_what_waits_first() -> None:
    house = House()
    house.watch()
    wire, follower = house.watch()
    house.publish(3)
    house.fan_out.remove(follower)
    house.publish()
    house.clock.advance(REST)
    assert wire.numbers == [1, 2, 3]


def test_when_the_last_has_gone_nothing_is_left() -> None:
    house = House()
    _, follower = house.watch()
    house.publish(2)
    house.streams[0].leave()
    house.fan_out.remove(follower)
    assert not house.events.is_watched
    assert [call for call in house.clock.reactor.getDelayedCalls() if call.active()] == []
    assert house.watch()[0].numbers == []


def test_one_that_breaks_takes_nobody_along() -> None:
    house = House()
    broken, _ = house.watch()
    whole, _ = house.watch()

    def write(data: bytes) -> None:
        raise RuntimeError("broken")

    broken.write = write  # type: ignore[method-assign]  # this one alone
    house.publish()
    assert whole.numbers == [1]


def test_one_that_breaks_when_it_comes_is_not_kept() -> None:
    house = House()
    house.publish()
    house.events.publish("task_created", {"text": object()})
    with pytest.raises(TypeError):
        house.watch(after=1)
    assert not house.events.is_watched


@given(st.lists(st.sampled_from(["publish", "advance", "pause", "resume"]), max_size=40))
def test_what_is_told_is_in_order_and_never_twice(steps: list[str]) -> None:
    house = House()
    wire, _ = house.watch()
    stream, published = house.streams[0], 0
    for step in [*steps, "resume", "advance"]:
        if step == "publish":
            house.publish()
            published += 1
        elif step == "advance":
            house.clock.advance(REST)
        elif step == "pause":
            stream.pauseProducing()
        else:
            stream.resumeProducing()
    assert wire.numbers == list(range(1, published + 1))


def test_a_stream_is_kept_alive_that_long_after_its_last_event() -> None:
    house = House()
    wire, _ = house.watch()
    house.clock.advance(KEEP_ALIVE_SECONDS - 1)
    house.publish()
    house.clock.advance(KEEP_ALIVE_SECONDS - 0.5)
    assert b": keep-alive\n\n" not in wire.writes
    house.clock.advance(0.6)
    assert wire.writes[-1] == b": keep-alive\n\n"
