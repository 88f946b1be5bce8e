"""How messages are accepted, joined, abandoned and promised (design §1, §4.5, §4.6)."""

from __future__ import annotations

import gc

import pytest
from road import agent_of, ask, asked, counted, gate, item, items, now, states, tell
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, globalLogPublisher

from clawgate.domain.delivery import Send
from clawgate.domain.errors import AgentAuth, AgentUnavailable, StoreUnavailable
from clawgate.domain.inbox import Item, State
from clawgate.domain.messages import DedupeKey, Inbound, ReplyTo
from clawgate.domain.settings.model import InboxSettings
from clawgate.ports.stores import Accepted
from clawgate.testing.agents import Hang
from clawgate.testing.channels import RecordingChannel
from clawgate.testing.gateway import MemoryGateway


def has_no_leak(road: MemoryGateway, slots: int) -> bool:
    """Whether every slot and every waiter is free again: as many callers as there are slots run at once."""
    agent = agent_of(road)
    agent.answers, agent.is_held, agent.most_running = ("ok",), True, 0
    before = agent.running
    callers = [ask(road, f"leak {number}") for number in range(slots + 3)]
    most = agent.most_running
    for _ in callers:
        agent.release()
        road.pump()
    answered = [caller.response.status for caller in callers]
    agent.is_held = False
    return (before, most, answered) == (0, slots, [200] * len(callers)) and road.gateway.ingress.waiters._count == 0


# --- keys


def test_a_key_that_is_finished_answers_again() -> None:
    road = gate(["one", "two"])
    first, again = ask(road, key="k").response, ask(road, key="k").response
    assert (first.json["response"], again.json["response"], again.json["status"]) == ("one", "one", "duplicate")
    assert agent_of(road).calls == 1


def test_twins_at_the_same_time_share_one_turn() -> None:
    road = gate(held=True)
    twins = [ask(road, key="k") for _ in range(10)]
    agent_of(road).release()
    road.pump()
    bodies = [twin.response.json for twin in twins]
    assert [body["response"] for body in bodies] == ["ok"] * 10
    assert [body.get("idempotent", False) for body in bodies] == [False] + [True] * 9
    assert agent_of(road).calls == 1
    assert counted(road, 'inbox_duplicates_total{source="webhook"}') == 9


def test_twins_whose_accepts_are_under_way_share_one_turn() -> None:
    road = gate(slots=2)
    road.store.hold_writes()
    twins = [ask(road, key="k") for _ in range(5)]
    road.store.release_writes()
    road.pump()
    assert [twin.response.status for twin in twins] == [200] * 5
    assert agent_of(road).calls == 1
    assert has_no_leak(road, 2)


def test_a_copy_of_running_work_is_promised_it_when_it_asks_so() -> None:
    road = gate(held=True)
    first = ask(road, key="k")
    second = tell(road, key="k")
    agent_of(road).release()
    road.pump()
    assert first.response.status == 200
    assert (second, agent_of(road).calls) == (items(road)[0].id, 1)


def test_the_first_caller_leaving_does_not_take_the_work_of_its_twin() -> None:
    road = gate(held=True)
    first, second = ask(road, key="k"), ask(road, key="k")
    first.leave()
    agent_of(road).release()
    road.pump()
    assert second.response.json["response"] == "ok"


def test_a_key_is_free_again_when_its_work_failed() -> None:
    road = gate([AgentAuth(), "ok"])
    assert ask(road, key="k").response.status == 500
    assert ask(road, key="k").response.json == {"response": "ok", "model": "scripted-1"}


def test_failed_work_tells_every_twin() -> None:
    road = gate([AgentUnavailable()], held=True)
    twins = [ask(road, key="k") for _ in range(3)]
    agent_of(road).release()
    road.pump()
    assert [twin.response.status for twin in twins] == [500] * 3


# --- callers that leave


@pytest.mark.parametrize("session", [None, "s"])
def test_a_caller_that_leaves_while_its_turn_runs_takes_it_along(session: str | None) -> None:
    road = gate([Hang()], slots=2)
    ask(road, session=session).leave()
    road.pump()
    assert (states(road), agent_of(road).cancelled) == ([State.DROPPED], 1)
    assert has_no_leak(road, 2)


@pytest.mark.parametrize("session", [None, "s"])
def test_a_caller_that_leaves_while_its_accept_is_under_way_leaves_nothing_running(session: str | None) -> None:
    road = gate([Hang()], slots=2)
    road.store.hold_writes()
    ask(road, session=session).leave()
    road.store.release_writes()
    road.pump()
    assert states(road) == [State.DROPPED]
    assert has_no_leak(road, 2)


def test_a_keyed_caller_that_leaves_while_its_accept_is_under_way_has_it_run() -> None:
    road = gate(slots=2)
    road.store.hold_writes()
    ask(road, key="k").leave()
    road.store.release_writes()
    road.pump()
    assert states(road) == [State.DONE]
    assert ask(road, key="k").response.json["idempotent"] is True
    assert has_no_leak(road, 2)


def test_a_keyed_caller_that_leaves_lets_its_turn_end() -> None:
    road = gate(held=True, slots=2)
    ask(road, key="k").leave()
    agent_of(road).release()
    road.pump()
    assert (states(road), agent_of(road).cancelled) == ([State.DONE], 0)
    assert has_no_leak(road, 2)


@pytest.mark.parametrize("session", [None, "s"])
def test_a_caller_that_leaves_while_its_outcome_is_being_committed(session: str | None) -> None:
    road = gate(held=True, slots=2)
    caller = ask(road, session=session)
    road.store.hold_writes()
    agent_of(road).release()
    road.pump()
    caller.leave()
    road.store.release_writes()
    road.pump()
    assert states(road) == [State.DONE]
    assert has_no_leak(road, 2)


def test_a_caller_that_leaves_while_it_queues_leaves_nothing_behind() -> None:
    road = gate(held=True, slots=1)
    first, second = ask(road, "first"), ask(road, "second")
    second.leave()
    agent_of(road).release()
    road.pump()
    assert (first.response.status, asked(road), states(road)) == (200, ["first"], [State.DONE, State.DROPPED])
    assert has_no_leak(road, 1)


def test_a_caller_that_leaves_while_it_is_being_promised_is_promised() -> None:
    road = gate(held=True, slots=2)
    caller = ask(road)
    road.store.hold_writes()
    road.clock.advance(30)
    caller.leave()
    road.store.release_writes()
    agent_of(road).release()
    road.pump()
    assert (states(road), items(road)[0].promised) == ([State.DONE], True)
    assert has_no_leak(road, 2)


def test_a_caller_that_leaves_while_the_store_refuses_leaks_nothing() -> None:
    road = gate(held=True, slots=2)
    caller = ask(road)
    road.store.break_writes("disk full")
    caller.leave()
    road.store.break_writes("")
    agent_of(road).release()
    road.pump()
    assert states(road) == [State.DONE]
    assert has_no_leak(road, 2)


def test_a_sender_that_leaves_before_its_202_has_its_message_run() -> None:
    road = gate()
    road.store.hold_writes()
    road.client.begin("POST", "/webhook", {"message": "hi"}, headers={"Prefer": "respond-async"}).leave()
    road.store.release_writes()
    road.pump()
    assert states(road) == [State.DONE]


def test_the_next_of_a_conversation_starts_when_its_caller_leaves() -> None:
    road = gate([Hang(), "ok"], slots=4)
    ask(road, "leaves", session="s").leave()
    assert ask(road, "stays", session="s").response.status == 200


# --- waits that run out


def test_a_wait_that_runs_out_is_408_with_where_the_outcome_will_be() -> None:
    road = gate(held=True)
    caller = ask(road)
    road.clock.advance(30)
    location = caller.response.headers["location"]
    assert (caller.response.status, location) == (408, f"/api/inbox/{items(road)[0].id}")
    agent_of(road).release()
    road.pump()
    assert road.client.get(location).json["response"] == "ok"


def test_what_was_promised_after_a_wait_is_tried_again() -> None:
    road = gate([AgentUnavailable(), "ok"], held=True)
    ask(road)
    road.clock.advance(30)
    agent_of(road).is_held = False
    agent_of(road).release()
    road.clock.advance(5)
    assert (states(road), items(road)[0].attempts) == ([State.DONE], 2)


def test_what_was_promised_survives_a_kill() -> None:
    road = gate(held=True)
    ask(road)
    road.clock.advance(30)
    agent_of(road).is_held = False
    assert states(road.restart(kill=True)) == [State.DONE]


def test_an_outcome_that_lands_with_the_end_of_the_wait_is_answered_once() -> None:
    road = gate(held=True)
    caller = ask(road)
    road.store.hold_writes()
    agent_of(road).release()
    road.clock.advance(30)
    road.store.release_writes()
    road.pump()
    assert (caller.response.status, caller.raw.count(b"HTTP/1.1")) == (200, 1)


# --- a store that refuses or hangs


@pytest.mark.parametrize(("key", "session"), [(None, None), ("k", None), (None, "s")])
def test_an_accept_the_store_refuses_is_503_and_runs_nothing(key: str | None, session: str | None) -> None:
    road = gate(slots=2)
    road.store.break_writes("disk full")
    caller = ask(road, key=key, session=session)
    assert (caller.response.status, "retry-after" in caller.response.headers) == (503, True)
    road.store.break_writes("")
    road.clock.advance(5)
    assert (states(road), agent_of(road).calls) == ([], 0)
    assert has_no_leak(road, 2)


def test_an_accept_that_fails_beside_its_turn_ends_the_turn() -> None:
    road = gate([Hang()], slots=2)
    road.store.hold_writes()
    caller = ask(road)
    assert agent_of(road).running == 1
    road.store.break_writes("disk full")
    road.store.release_writes()
    road.pump()
    assert (caller.response.status, agent_of(road).cancelled) == (503, 1)
    road.store.break_writes("")
    assert has_no_leak(road, 2)


@pytest.mark.parametrize(("key", "session"), [(None, None), ("k", None), (None, "s")])
def test_a_store_that_hangs_lets_no_caller_wait_for_ever(key: str | None, session: str | None) -> None:
    road = gate(slots=2)
    road.store.hold_writes()
    caller = ask(road, key=key, session=session)
    road.clock.advance(36)
    assert caller.response.status == 503
    road.store.release_writes()
    road.clock.advance(36)
    assert set(states(road)) <= {State.DONE, State.DROPPED}
    assert has_no_leak(road, 2)


def test_a_store_that_hangs_promises_nothing() -> None:
    road = gate()
    road.store.hold_writes()
    caller = road.client.begin("POST", "/webhook", {"message": "hi"}, headers={"Prefer": "respond-async"})
    road.clock.advance(31)
    assert caller.response.status == 503


@pytest.mark.parametrize("answer", [None, "no"])
def test_a_commit_that_fails_when_nobody_waits_any_more_is_no_unhandled_error(answer: str | None) -> None:
    road, problems = gate(), []
    ingress, message = road.gateway.ingress, Inbound(source="webhook", principal="p", text="hi")
    road.store.hold_writes()
    accepting = Deferred.fromCoroutine(ingress.accept(message) if answer is None else ingress.answered(message, answer, lambda item, text: ()))
    accepting.addErrback(lambda failure: failure.trap(StoreUnavailable))
    road.clock.advance(31)
    assert accepting.called
    road.store.break_writes("disk full")
    globalLogPublisher.addObserver(observer := lambda event: problems.append(event) if event["log_level"] >= LogLevel.error else None)
    try:
        road.store.release_writes()
        road.pump()
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(observer)
    assert problems == []


def test_a_wait_that_runs_out_before_its_accept_fails_is_told_of_no_place() -> None:
    road = gate([Hang()], slots=2)
    road.store.hold_writes()
    caller = ask(road)
    road.clock.advance(30)
    road.store.break_writes("database is locked")
    road.store.release_write()
    road.store.break_writes("")
    road.store.release_writes()
    road.pump()
    assert (caller.response.status, "location" in caller.response.headers, states(road)) == (503, False, [])
    assert has_no_leak(road, 2)


def answered(road: MemoryGateway) -> Deferred[Accepted]:
    """A channel's message is answered without an agent."""

    def parts(item: Item, text: str) -> list[Send]:
        return [Send(id=f"{int(item.id, 16) + 1:016x}", item_id=item.id, channel="recording", target="me", text=text)]

    message = Inbound(
        source="recording",
        principal="channel:recording",
        text="/help",
        dedupe=DedupeKey("channel:recording", "m1", 86_400),
        reply=ReplyTo("recording", "me"),
    )
    return Deferred.fromCoroutine(road.gateway.ingress.answered(message, "so it works", parts))


def test_a_fixed_reply_goes_out_although_its_commit_came_too_late_for_its_sender() -> None:
    channel = RecordingChannel()
    road = gate(channels={"recording": channel})
    road.store.hold_writes()
    late = answered(road)
    road.clock.advance(30)
    with pytest.raises(StoreUnavailable):
        now(late)
    road.store.release_writes()
    road.pump()
    assert (now(answered(road)).is_duplicate, [sent.text for sent in channel.sent]) == (True, ["so it works"])


# --- bounds


def test_more_waiting_callers_than_allowed_are_refused() -> None:
    road = gate(held=True, inbox=InboxSettings(max_waiters=3))
    callers = [ask(road) for _ in range(4)]
    assert callers[3].response.status == 503
    agent_of(road).release()
    road.pump()
    assert [caller.response.status for caller in callers[:3]] == [200] * 3
    assert ask(road).raw == b""  # it runs, held


def test_the_inbox_over_its_high_water_refuses() -> None:
    road = gate(held=True, inbox=InboxSettings(high_water=3))
    for _ in range(3):
        tell(road)
    assert road.client.post("/webhook", {"message": "hi"}, headers={"Prefer": "respond-async"}).status == 503
    agent_of(road).is_held = False
    agent_of(road).release()
    road.pump()
    assert ask(road).response.status == 200


def test_a_promised_message_is_in_the_inbox_before_the_answer() -> None:
    road = gate(held=True)
    road.store.hold_writes()
    caller = road.client.begin("POST", "/webhook", {"message": "hi"}, headers={"Prefer": "respond-async"})
    assert not caller.is_answered
    road.store.release_writes()
    road.pump()
    assert caller.response.status == 202
    assert item(road, caller.response.json["id"]).promised


def test_messages_are_remembered_with_their_accept() -> None:
    road = gate()
    ask(road, "remember the milk")
    found = now(road.store.memory.find("milk", 5))
    assert [entry.content for entry in found] == ["remember the milk"]


def test_a_stopping_gateway_takes_nothing_more() -> None:
    road = gate(held=True)
    ask(road)
    road.stop()
    response = ask(road, "late").response
    assert (response.status, "retry-after" in response.headers) == (503, True)
