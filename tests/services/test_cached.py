"""A value that is looked up again only after a while."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from clawgate.services.cached import Cached
from clawgate.testing.clock import ManualClock


class Source:
    """Each load waits until it is answered."""

    def __init__(self) -> None:
        self.loads: list[Deferred[str]] = []

    def load(self) -> Deferred[str]:
        self.loads.append(Deferred())
        return self.loads[-1]


def begin() -> tuple[Source, Cached[str], ManualClock, list[object]]:
    source, clock = Source(), ManualClock()
    return source, Cached(source.load, clock, 2.0), clock, []


def ask(cached: Cached[str], told: list[object]) -> None:
    Deferred.fromCoroutine(cached.get()).addBoth(told.append)


def test_value_is_kept_for_its_time() -> None:
    source, cached, clock, told = begin()
    ask(cached, told)
    source.loads[0].callback("one")
    clock.advance(1.9)
    ask(cached, told)
    assert (told, len(source.loads)) == (["one", "one"], 1)
    clock.advance(0.2)
    ask(cached, told)
    source.loads[1].callback("two")
    assert told == ["one", "one", "two"]


def test_while_it_is_loaded_again_the_old_value_serves() -> None:
    source, cached, clock, told = begin()
    ask(cached, told)
    source.loads[0].callback("one")
    clock.advance(3)
    ask(cached, told)
    ask(cached, told)
    assert (told, len(source.loads)) == (["one", "one"], 2)


def test_failed_load_is_tried_again_by_the_next() -> None:
    source, cached, _, told = begin()
    ask(cached, told)
    source.loads[0].errback(OSError("disk"))
    ask(cached, told)
    source.loads[1].callback("one")
    assert (len(told), told[1]) == (2, "one")


def test_what_was_being_loaded_when_it_changed_is_not_kept() -> None:
    source, cached, _, told = begin()
    ask(cached, told)
    cached.invalidate()
    source.loads[0].callback("old")
    ask(cached, told)
    source.loads[1].callback("new")
    assert told == ["old", "new"]
