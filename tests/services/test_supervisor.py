"""Components that are started again when they end (rantaiclaw.md §17, §21)."""

from __future__ import annotations

import pytest
from road import now
from twisted.internet.defer import CancelledError, Deferred

from clawgate.domain.errors import Unavailable
from clawgate.services.health import ComponentReport, Health
from clawgate.services.supervisor import ENDED, Ready, Supervisor
from clawgate.testing.clock import ManualClock


class Component:
    """Lives as long as a test says."""

    def __init__(self) -> None:
        self.lives: list[Deferred[None]] = []
        self.is_ready = True
        self.cleaned = 0

    async def run(self, ready: Ready) -> None:
        if self.is_ready:
            ready()
        life: Deferred[None] = Deferred()
        self.lives.append(life)
        try:
            await life
        except CancelledError:
            self.cleaned += 1
            raise

    def fails(self, text: str = "lost") -> None:
        self.lives[-1].errback(Unavailable(text))

    def returns(self) -> None:
        self.lives[-1].callback(None)


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.health = Health(self.clock, 1)
        self.supervisor = Supervisor(self.clock, self.health, 2.0, 60.0)
        self.component = Component()

    def start(self) -> House:
        self.supervisor.start("mcp:a", self.component.run)
        return self

    @property
    def report(self) -> ComponentReport:
        return self.health.snapshot().components["mcp:a"]


def test_a_component_is_ok_once_it_says_so() -> None:
    house = House()
    house.component.is_ready = False
    house.start()
    assert "mcp:a" not in house.health.snapshot().components
    assert House().start().report.status == "ok"


def test_a_failing_component_is_an_error_with_its_text_and_comes_back() -> None:
    house = House().start()
    house.component.fails("no route")
    assert (house.report.status, house.report.last_error) == ("error", "no route")
    assert house.health.unhealthy() == ["mcp:a"]
    house.clock.advance(2)
    assert (house.report.status, house.report.last_error, house.report.restart_count) == ("ok", None, 1)


def test_waits_double_up_to_the_longest() -> None:
    house = House().start()
    for seconds in (2, 4, 8, 16, 32, 60, 60):
        lives = len(house.component.lives)
        house.component.fails()
        house.clock.advance(seconds - 0.5)
        assert lives == len(house.component.lives)
        house.clock.advance(0.5)
        assert lives + 1 == len(house.component.lives)


def test_a_component_that_returns_is_an_error_and_waits_the_first_wait() -> None:
    house = House().start()
    house.component.fails()
    house.clock.advance(2)
    house.component.returns()
    assert house.report.last_error == ENDED
    house.clock.advance(2)
    assert house.report.status == "ok"


def test_a_long_good_run_begins_the_waits_anew() -> None:
    house = House().start()
    for seconds in (2, 4):
        house.component.fails()
        house.clock.advance(seconds)
    house.clock.advance(61)
    house.component.fails()
    house.clock.advance(2)
    assert len(house.component.lives) == 4


def test_a_component_that_breaks_says_no_more_than_its_kind() -> None:
    house = House()

    async def broken(ready: Ready) -> None:
        raise RuntimeError("secret")

    house.supervisor.start("mcp:a", broken)
    assert house.report.last_error == "internal error (RuntimeError)"


def test_a_stopped_component_is_cancelled_and_forgotten() -> None:
    house = House().start()
    now(Deferred.fromCoroutine(house.supervisor.stop("mcp:a")))
    assert house.component.cleaned == 1
    assert "mcp:a" not in house.health.snapshot().components
    house.clock.advance(100)
    assert len(house.component.lives) == 1
    now(Deferred.fromCoroutine(house.supervisor.stop("never there")))


def test_one_that_misbehaves_takes_nothing_else_down() -> None:
    house = House().start()
    other = Component()
    house.supervisor.start("scheduler", other.run)
    house.component.fails()
    assert house.health.snapshot().components["scheduler"].status == "ok"


def test_a_name_is_used_once() -> None:
    house = House().start()
    with pytest.raises(ValueError, match="supervised already"):
        house.start()
