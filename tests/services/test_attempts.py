"""The attempts of an item, as `/api/inbox/{id}` and the metrics tell of them (domain/attempts.py)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from road import OPEN_DOOR, agent_of, ask, counted, gate, item, items, now, stop, tell
from twisted.internet.defer import Deferred

from clawgate.domain.attempts import MOST_KEPT
from clawgate.domain.errors import AgentAuth, AgentOverloaded, SendRefused, SendUncertain
from clawgate.domain.inbox import State
from clawgate.domain.messages import Inbound, ReplyTo
from clawgate.domain.settings.model import InboxSettings
from clawgate.testing.agents import Hang
from clawgate.testing.channels import RecordingChannel
from clawgate.testing.gateway import MemoryGateway


def arrive(road: MemoryGateway) -> str:
    """The id of a message that came by the channel."""
    message = Inbound(source="recording", principal="channel:recording", text="hi", conversation="c", reply=ReplyTo("recording", "t"))
    accepted = now(Deferred.fromCoroutine(road.gateway.ingress.accept(message)))
    road.pump()
    return accepted.item.id


def told_of(road: MemoryGateway, item_id: str) -> list[dict[str, Any]]:  # Any: JSON
    """The attempts that the route shows."""
    found: list[dict[str, Any]] = road.client.get(f"/api/inbox/{item_id}").json["attempt_history"]  # Any: JSON
    return found


def rows(road: MemoryGateway) -> int:
    """Attempts that are written down."""
    count: int = now(road.store._readers.read(lambda connection: connection.execute("SELECT count(*) FROM attempts").fetchone()[0]))
    return count


def test_message_answered_at_once_has_one_attempt_and_no_row_of_it() -> None:
    road = gate(held=True)
    told = tell(road)
    road.clock.advance(2.5)
    agent_of(road).release()
    road.clock.advance(1)
    (attempt,) = told_of(road, told)
    assert attempt == {
        "number": 1,
        "started_at": "2027-01-15T08:00:00.000+00:00",
        "ended_at": "2027-01-15T08:00:02.500+00:00",
        "duration_ms": 2_500,
        "outcome": "completed",
        "error": None,
        "retry_at": None,
        "provider": "scripted",
        "model": "scripted-1",
    }
    assert rows(road) == 0


def test_caller_who_waited_finds_the_attempt_too() -> None:
    road = gate()
    assert ask(road).response.status == 200
    (attempt,) = told_of(road, items(road)[0].id)
    assert (attempt["outcome"], attempt["provider"], attempt["duration_ms"]) == ("completed", "scripted", 0)


def test_attempt_under_way_is_open() -> None:
    road = gate(held=True)
    told = tell(road)
    road.clock.advance(1)
    (attempt,) = told_of(road, told)
    assert (attempt["outcome"], attempt["ended_at"], attempt["duration_ms"]) == ("running", None, None)


def test_message_that_waits_for_its_turn_has_no_attempt() -> None:
    road = gate(held=True, slots=1)
    tell(road)
    assert told_of(road, tell(road)) == []


def test_failed_attempts_say_why_and_when_the_next_one_is_due() -> None:
    road = gate([AgentOverloaded(), "two"])
    told = tell(road)
    due_ms = item(road, told).due_ms
    (first,) = told_of(road, told)
    assert (first["outcome"], first["error"], first["provider"], first["model"]) == ("failed", "overloaded", "scripted", "scripted-1")
    road.clock.advance(60)
    first, second = told_of(road, told)
    assert (second["number"], second["outcome"], second["error"]) == (2, "completed", None)
    assert second["started_at"] == first["retry_at"] or item(road, told).started_ms >= due_ms
    assert road.client.get(f"/api/inbox/{told}").json["attempts"] == 2


def test_last_failure_is_due_no_more() -> None:
    road = gate([AgentAuth()])
    (attempt,) = told_of(road, tell(road))
    assert (attempt["outcome"], attempt["error"], attempt["retry_at"]) == ("failed", "auth", None)


def test_attempts_go_on_counting_after_an_operators_retry() -> None:
    road = gate([AgentAuth(), "better"])
    told = tell(road)
    road.client.post(f"/api/inbox/{told}/retry")
    road.clock.advance(1)
    assert [(one["number"], one["outcome"]) for one in told_of(road, told)] == [(1, "failed"), (2, "completed")]
    assert item(road, told).attempts == 1


def test_turn_that_an_operator_drops_is_cancelled() -> None:
    road = gate([Hang()])
    told = tell(road)
    road.client.post(f"/api/inbox/{told}/drop")
    (attempt,) = told_of(road, told)
    assert (attempt["outcome"], attempt["error"]) == ("cancelled", "dropped_by_operator")
    assert counted(road, 'turn_attempts_total{outcome="cancelled"}') == 1


def test_turn_whose_caller_left_is_cancelled() -> None:
    road = gate([Hang()])
    ask(road).leave()
    (attempt,) = told_of(road, items(road)[0].id)
    assert (attempt["outcome"], attempt["error"]) == ("cancelled", "caller_left")


@pytest.mark.parametrize("kill", [True, False])
def test_turn_that_a_restart_ended_is_lost(kill: bool) -> None:
    road = gate([Hang(), "after"])
    told = tell(road)
    if not kill:
        stop(road)
    after = road.restart(kill=kill)
    after.clock.advance(1)
    first, second = told_of(after, told)
    assert (first["outcome"], first["error"], first["ended_at"] is None) == ("lost", None, False)
    assert (second["number"], second["outcome"]) == (2, "completed")
    assert counted(after, 'turn_attempts_total{outcome="lost"}') == int(kill)


def test_attempt_that_answered_stays_what_it_was_when_its_reply_makes_trouble() -> None:
    channel = RecordingChannel()
    channel.failures = [SendUncertain("who knows")]
    road = gate(channels={"recording": channel}, held=True)
    told = arrive(road)
    road.clock.advance(3)
    agent_of(road).release()
    road.clock.advance(40)
    assert item(road, told).state is State.UNCERTAIN
    before = told_of(road, told)
    assert [(one["outcome"], one["duration_ms"], one["provider"]) for one in before] == [("completed", 3_000, "scripted")]
    road.client.post(f"/api/inbox/{told}/retry")
    road.clock.advance(40)
    assert (item(road, told).state, told_of(road, told)) == (State.DONE, before)


def test_reply_that_is_refused_leaves_the_attempt_and_tells_of_its_own_tries() -> None:
    channel = RecordingChannel()
    channel.failures = [SendRefused("never")]
    road = gate(channels={"recording": channel})
    shown = road.client.get(f"/api/inbox/{arrive(road)}").json
    assert [one["outcome"] for one in shown["attempt_history"]] == ["completed"]
    assert [(one["state"], one["attempts"]) for one in shown["sends"]] == [("dead", 1)]


def test_only_the_last_attempts_are_kept_and_their_numbers_go_on() -> None:
    road = gate([AgentAuth()] * (MOST_KEPT + 3))
    told = tell(road)
    for _ in range(MOST_KEPT + 2):
        road.client.post(f"/api/inbox/{told}/retry")
    assert [one["number"] for one in told_of(road, told)] == list(range(4, MOST_KEPT + 4))


def test_attempts_are_counted_by_their_outcome() -> None:
    road = gate(["ok", AgentAuth(), AgentOverloaded(), "ok"])
    for _ in range(3):
        tell(road)
    road.clock.advance(60)
    assert [counted(road, f'turn_attempts_total{{outcome="{word}"}}') for word in ("completed", "failed", "lost")] == [2, 2, 0]


def test_who_waits_for_a_person_is_a_gauge() -> None:
    road = gate([AgentAuth()])
    told = tell(road)
    road.clock.advance(6)
    assert counted(road, 'inbox_stopped_items{state="dead"}') == 1
    assert counted(road, 'inbox_stopped_items{state="uncertain"}') == 0
    road.client.post(f"/api/inbox/{told}/drop")
    road.clock.advance(6)
    assert counted(road, 'inbox_stopped_items{state="dead"}') == 0


def test_dead_message_is_kept_longer_than_an_answered_one() -> None:
    road = gate([AgentAuth(), "ok", AgentAuth()], inbox=InboxSettings(retention_secs=120, dead_retention_secs=600))
    dead, _, dropped = tell(road), tell(road), tell(road)
    road.client.post(f"/api/inbox/{dropped}/drop")
    road.clock.advance(200)
    assert [found.id for found in items(road)] == [dead]
    assert len(told_of(road, dead)) == rows(road) == 1
    road.clock.advance(500)
    assert (items(road), rows(road)) == ((), 0)


def test_dead_message_may_be_kept_for_less_long_too() -> None:
    road = gate([AgentAuth(), "ok"], inbox=InboxSettings(retention_secs=600, dead_retention_secs=120))
    _, answered = tell(road), tell(road)
    road.clock.advance(200)
    assert [found.id for found in items(road)] == [answered]


def test_key_outlives_the_retention_of_its_message() -> None:
    own = msgspec.structs.replace(OPEN_DOOR, idempotency_ttl_secs=3_600)
    road = gate(own=own, inbox=InboxSettings(retention_secs=60))
    told = tell(road, key="k")
    road.clock.advance(1_800)
    assert road.client.post("/webhook", {"message": "hi"}, headers={"X-Idempotency-Key": "k"}).json["idempotent"]
    road.clock.advance(1_900)
    assert told not in [found.id for found in items(road)]
