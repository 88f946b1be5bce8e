"""A wall clock that is set: what waits does not wait for that too. Source: design §6, §7."""

from __future__ import annotations

import pytest
from road import agent_of, counted, gate, item, now, stop, tell
from twisted.internet.defer import Deferred

from clawgate.domain.errors import AgentUnavailable, SendUnavailable
from clawgate.domain.inbox import State
from clawgate.domain.messages import Inbound, ReplyTo
from clawgate.domain.subscriptions import Answered
from clawgate.testing.channels import RecordingChannel
from clawgate.testing.gateway import MemoryGateway
from tests.services.cron_gate import MINUTE, CronGate
from tests.services.test_subscription_deliveries import Receiver, ask, gate_with

HOUR_MS = 3_600_000
STEPS = pytest.mark.parametrize("step_ms", [-HOUR_MS, -72 * HOUR_MS], ids=["an hour", "three days"])
SOON = 15.0
"""Seconds: the backoff that these tests have, and until the clocks are looked at."""


def begun(road: MemoryGateway) -> int:
    return len(agent_of(road).prompts)


@STEPS
def test_a_turn_that_waits_for_its_retry_does_not_wait_for_a_step_back(step_ms: int) -> None:
    road = gate([AgentUnavailable(), "ok"])
    told = tell(road)
    assert item(road, told).state is State.WAITING
    road.clock.step_wall(step_ms)
    road.clock.advance(SOON)
    assert (item(road, told).state, counted(road, "clock_steps_total")) == (State.DONE, 1)


def test_a_turn_keeps_its_own_wait_over_a_step_back() -> None:
    road = gate([AgentUnavailable(), "ok"])
    told = tell(road)
    waiting = item(road, told)
    road.clock.step_wall(-HOUR_MS)
    road.clock.advance(5)
    mended = item(road, told)
    assert (mended.due_ms - mended.updated_ms, mended.updated_ms) == (waiting.due_ms - waiting.updated_ms, road.clock.wall_ms())
    assert begun(road) == 1


def test_a_step_forward_makes_what_waits_due() -> None:
    road = gate([AgentUnavailable(), AgentUnavailable(), "ok"])
    told = tell(road)
    road.clock.step_wall(HOUR_MS)
    road.clock.advance(5)
    assert (begun(road), item(road, told).state, counted(road, "clock_steps_total")) == (2, State.WAITING, 1)


@STEPS
def test_a_step_back_while_nothing_ran_is_seen_at_the_start(step_ms: int) -> None:
    road = gate([AgentUnavailable(), "ok"])
    told = tell(road)
    road.clock.step_wall(step_ms)
    again = road.restart(kill=True)
    again.clock.advance(SOON)
    assert (item(again, told).state, counted(again, "clock_steps_total")) == (State.DONE, 0)


@STEPS
def test_a_reply_that_waits_does_not_wait_for_a_step_back(step_ms: int) -> None:
    channel = RecordingChannel()
    channel.failures.append(SendUnavailable())
    road = gate(["hello"], channels={"recording": channel})
    message = Inbound(source="recording", principal="channel:recording", text="hi", conversation="recording:t", reply=ReplyTo("recording", "t"))
    accepting = Deferred.fromCoroutine(road.gateway.ingress.accept(message))
    road.pump()
    now(accepting)
    assert channel.sent == []
    road.clock.step_wall(step_ms)
    road.clock.advance(SOON)
    assert [one.text for one in channel.sent] == ["hello"]


@STEPS
def test_an_event_that_waits_does_not_wait_for_a_step_back(step_ms: int) -> None:
    receiver = Receiver(Answered(500), Answered(200))
    road = gate_with(receiver)
    ask(road)
    road.clock.step_wall(step_ms)
    road.clock.advance(SOON)
    assert (len(receiver.got), len(set(receiver.ids))) == (2, 1)


def test_a_rhythm_goes_on_after_a_step_back_of_days() -> None:
    cron = CronGate()
    job_id = cron.add(MINUTE)
    cron.later(60)
    cron.gate.clock.step_wall(-72 * HOUR_MS)
    cron.later(70)
    assert cron.statuses(job_id) == ["ok", "ok"]


def test_a_calendar_goes_by_a_clock_that_was_set_back_by_days_and_repeats_no_tick_of_an_hour() -> None:
    cron = CronGate()
    job_id = cron.add({"kind": "cron", "expr": "0 * * * *"})
    cron.later(3_600)
    assert cron.job(job_id)["next_run"] == "2027-01-15T10:00:00.000+00:00"
    cron.gate.clock.step_wall(-HOUR_MS)
    cron.later(10)
    assert cron.job(job_id)["next_run"] == "2027-01-15T10:00:00.000+00:00"
    cron.gate.clock.step_wall(-71 * HOUR_MS)
    cron.later(10)
    assert cron.job(job_id)["next_run"] == "2027-01-12T10:00:00.000+00:00"


def test_clocks_that_drift_apart_slowly_are_no_step() -> None:
    road = gate()
    for _ in range(20):
        road.clock.step_wall(-1_500)
        road.clock.advance(5)
    assert counted(road, "clock_steps_total") == 0


def test_there_and_back_between_two_looks_is_made_good_later() -> None:
    road = gate([AgentUnavailable(), "ok"])
    road.clock.advance(0.1)
    road.clock.step_wall(HOUR_MS)
    told = tell(road)
    road.clock.step_wall(-HOUR_MS)
    road.clock.advance(500)
    assert (item(road, told).state, counted(road, "clock_steps_total")) == (State.WAITING, 0)
    road.clock.advance(120)
    assert item(road, told).state is State.DONE


def test_a_store_that_refuses_is_asked_again() -> None:
    road = gate([AgentUnavailable(), "ok"])
    told = tell(road)
    road.store.break_writes("disk full")
    road.clock.step_wall(-HOUR_MS)
    road.clock.advance(20)
    assert item(road, told).state is State.WAITING
    road.store.break_writes("")
    road.clock.advance(SOON)
    assert (item(road, told).state, counted(road, "clock_steps_total")) == (State.DONE, 1)


def test_nobody_looks_at_the_clock_after_the_stop() -> None:
    road = gate()
    stop(road)
    assert [call for call in road.clock.reactor.getDelayedCalls() if call.active()] == []
