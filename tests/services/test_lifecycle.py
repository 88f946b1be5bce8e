"""Ordered start with rollback, ordered stop with time limits (design §7)."""

from __future__ import annotations

from road import now
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from clawgate.domain.errors import Invalid
from clawgate.lifecycle import Action, GatewayService, Lifecycle, Step
from clawgate.testing.clock import ManualClock


class House:
    """Steps that note what is done to them; `waits` names those that take until the test lets them go."""

    def __init__(self, *names: str, waits: tuple[str, ...] = (), fails: dict[str, Exception] | None = None) -> None:
        self.clock, self.log = ManualClock(), list[str]()
        self.waiting: dict[str, Deferred[None]] = {}
        self._waits, self._fails = waits, fails or {}
        steps = tuple(Step(name, self._action(f"+{name}"), self._action(f"-{name}"), 5.0) for name in names)
        self.failures: list[Failure] = []
        self.service = GatewayService(Lifecycle(steps, self.clock), self.failures.append)

    def _action(self, name: str) -> Action:
        async def act() -> None:
            self.log.append(name)
            if name in self._waits:
                self.waiting[name] = Deferred()
                await self.waiting[name]
            if name in self._fails:
                raise self._fails[name]

        return act


def test_steps_start_in_order_and_stop_in_reverse() -> None:
    house = House("a", "b", "c")
    house.service.startService()
    now(house.service.started)
    now(house.service.stopService())
    assert house.log == ["+a", "+b", "+c", "-c", "-b", "-a"]
    assert house.clock.pending == 0


def test_each_step_begins_when_the_one_before_has_ended() -> None:
    house = House("a", "b", waits=("+a",))
    house.service.startService()
    assert house.log == ["+a"]
    house.waiting["+a"].callback(None)
    assert house.log == ["+a", "+b"]


def test_a_failed_start_takes_back_what_was_started_and_is_told_once() -> None:
    house = House("a", "b", "c", fails={"+c": Invalid("gateway.port", "taken")})
    house.service.startService()
    assert house.log == ["+a", "+b", "+c", "-b", "-a"]
    assert [failure.type for failure in house.failures] == [Invalid]
    assert not house.service.running
    now(house.service.stopService())
    assert house.log == ["+a", "+b", "+c", "-b", "-a"]


def test_a_step_that_does_not_stop_is_left_behind() -> None:
    house = House("a", "b", waits=("-b",))
    house.service.startService()
    stopping = house.service.stopService()
    house.clock.advance(4.9)
    assert house.log[2:] == ["-b"]
    house.clock.advance(0.2)
    now(stopping)
    assert house.log[2:] == ["-b", "-a"]


def test_a_step_that_fails_to_stop_does_not_keep_the_others_from_stopping() -> None:
    house = House("a", "b", fails={"-b": RuntimeError("broken")})
    house.service.startService()
    now(house.service.stopService())
    assert house.log == ["+a", "+b", "-b", "-a"]


def test_a_stop_during_the_start_stops_what_was_begun_in_order() -> None:
    house = House("a", "b", "c", waits=("+b", "-b"))
    house.service.startService()
    stopping = house.service.stopService()
    assert house.log == ["+a", "+b", "-b"]
    house.waiting["-b"].callback(None)
    now(stopping)
    assert house.log == ["+a", "+b", "-b", "-a"]
    assert house.failures == []


def test_a_stop_during_the_rollback_waits_for_it() -> None:
    house = House("a", "b", waits=("-a",), fails={"+b": Invalid("x", "y")})
    house.service.startService()
    stopping = house.service.stopService()
    assert not stopping.called
    house.waiting["-a"].callback(None)
    now(stopping)
    assert house.log == ["+a", "+b", "-a"]


def test_stopping_twice_stops_once() -> None:
    house = House("a", waits=("-a",))
    house.service.startService()
    first, second = house.service.stopService(), house.service.stopService()
    house.waiting["-a"].callback(None)
    now(first)
    now(second)
    assert house.log == ["+a", "-a"]


def test_stopping_what_was_never_started_is_harmless() -> None:
    house = House("a")
    now(house.service.stopService())
    assert house.log == []


def test_a_cancelled_start_is_no_failure_to_report() -> None:
    house = House("a", waits=("+a",))
    house.service.startService()
    told: list[Failure] = []
    house.service.started.addErrback(told.append)
    now(house.service.stopService())
    assert ([failure.type for failure in told], house.failures) == ([CancelledError], [])
