"""Which items run when, what becomes of them, and what stopping does (design §1)."""

from __future__ import annotations

import itertools

from road import agent_of, ask, asked, counted, gate, item, items, now, states, stop, tell

from clawgate.domain.errors import AgentAuth, AgentRateLimited, AgentUnavailable, SendUnavailable
from clawgate.domain.inbox import State
from clawgate.domain.settings.model import InboxSettings
from clawgate.domain.turn import Completion, Prompt
from clawgate.testing.agents import Answer, Hang
from clawgate.testing.channels import RecordingChannel
from clawgate.testing.gateway import MemoryGateway


def free_slots(road: MemoryGateway, slots: int) -> int:
    """How many callers the gateway now serves at once, when all of them came together."""
    agent = agent_of(road)
    agent.is_held, agent.most_running = True, agent.running
    callers = [ask(road, f"slot {number}") for number in range(slots * 2)]
    most = agent.most_running
    for _ in callers:
        agent.release()
        road.pump()
    assert [caller.response.status for caller in callers] == [200] * len(callers)
    agent.is_held = False
    return most


def test_never_more_turns_than_slots() -> None:
    road = gate(held=True, slots=4)
    for number in range(20):
        tell(road, str(number))
        ask(road, f"caller {number}")
    assert agent_of(road).most_running == 4


def test_the_backlog_gets_three_quarters_of_the_slots() -> None:
    road = gate(held=True, slots=8)
    for number in range(20):
        tell(road, str(number))
    assert agent_of(road).running == 6


def test_one_slot_serves_the_backlog_too() -> None:
    road = gate(slots=1)
    tell(road)
    assert states(road) == [State.DONE]


def test_a_caller_is_not_behind_the_backlog() -> None:
    road = gate(held=True, slots=4)
    for number in range(50):
        tell(road, str(number))
    callers = [ask(road, f"caller {number}") for number in range(5)]
    agent = agent_of(road)
    for _ in range(3):
        agent.release()
        road.pump()
    assert all(caller.is_answered for caller in callers)
    assert agent.calls < 20


def test_a_caller_of_a_conversation_is_not_behind_the_backlog() -> None:
    road = gate(held=True, slots=4)
    for number in range(50):
        tell(road, str(number))
    caller = ask(road, "caller", session="s")
    agent = agent_of(road)
    for _ in range(2):
        agent.release()
        road.pump()
    assert caller.is_answered


def test_a_callers_conversation_that_is_busy_holds_up_no_other_caller() -> None:
    road = gate(held=True, slots=4)
    waiting = [ask(road, f"busy {number}", session="busy") for number in range(80)]
    other = ask(road, "other", session="other")
    agent = agent_of(road)
    for _ in range(3):
        agent.release()
        road.pump()
    assert other.is_answered
    for _ in range(90):
        agent.release()
        road.pump()
    assert all(caller.is_answered for caller in waiting)


def test_a_caller_who_waits_for_a_slot_is_not_overtaken() -> None:
    road = gate(held=True, slots=1)
    first, second = ask(road, "first"), ask(road, "second")
    agent = agent_of(road)
    agent.release()  # the slot is free, and the second one's claim still to come
    third = ask(road, "third")
    agent.release()
    road.pump()
    assert (first.is_answered, second.is_answered, third.is_answered) == (True, True, False)


def settle(road: MemoryGateway) -> None:
    road.clock.advance(0.01)
    road.pump()


def test_few_free_places_of_a_busy_backlog_are_filled_together() -> None:
    road = gate(held=True, slots=64)
    for number in range(60):
        tell(road, str(number))
    agent = agent_of(road)
    settle(road)
    assert agent.running == 48
    for _ in range(3):
        agent.release(1)
        road.pump()
    assert agent.running == 45
    settle(road)
    assert agent.running == 48
    agent.release()
    settle(road)
    agent.release()
    road.pump()
    assert states(road) == [State.DONE] * 60


def test_one_start_a_reactor_turn() -> None:
    road = gate(held=True, slots=8)
    road.store.hold_writes()
    for number in range(6):
        road.client.begin("POST", "/webhook", {"message": str(number)}, headers={"Prefer": "respond-async"})
    road.store.release_writes()
    agent, running = agent_of(road), []
    for _ in range(12):
        road.clock.reactor.advance(0)
        running.append(agent.running)
    assert running[-1] == 6
    assert all(after - before <= 1 for before, after in itertools.pairwise(running))


def test_the_backlog_runs_in_order_of_acceptance() -> None:
    road = gate(held=True, slots=1)
    for number in range(40):
        tell(road, str(number))
    for _ in range(40):
        agent_of(road).release()
        road.pump()
    assert asked(road) == [str(number) for number in range(40)]


def test_order_within_a_conversation_and_one_at_a_time() -> None:
    road = gate(held=True, slots=8)
    for number in range(10):
        tell(road, str(number), session="s")
    assert agent_of(road).running == 1
    for _ in range(10):
        agent_of(road).release()
        road.pump()
    assert asked(road) == [str(number) for number in range(10)]
    assert agent_of(road).most_running == 1


def test_a_failing_head_blocks_only_its_own_conversation_until_it_is_dead() -> None:
    def answers(prompt: Prompt) -> Answer:
        return AgentUnavailable() if prompt.lines[-1].text == "bad" else "ok"

    road = gate(answers, attempts=3)
    bad, behind, elsewhere = tell(road, "bad", session="a"), tell(road, "behind", session="a"), tell(road, "elsewhere", session="b")
    assert [item(road, found).state for found in (bad, behind, elsewhere)] == [State.WAITING, State.RECEIVED, State.DONE]
    road.clock.advance(60)
    assert [item(road, found).state for found in (bad, behind)] == [State.DEAD, State.DONE]
    assert asked(road).count("bad") == 3


def test_retries_wait_longer_each_time_with_jitter() -> None:
    road = gate([AgentUnavailable()], attempts=3)
    started = road.clock.wall_ms()
    told = tell(road)
    first = item(road, told).due_ms - started
    road.clock.advance(first / 1000)
    second = item(road, told).due_ms - road.clock.wall_ms()
    assert 1000 <= first <= 2000
    assert 3000 <= second <= 6000
    assert item(road, told).error == "unavailable"


def test_what_is_not_retryable_is_dead_at_once() -> None:
    road = gate([AgentAuth()])
    told = tell(road)
    assert (item(road, told).state, item(road, told).error, agent_of(road).calls) == (State.DEAD, "auth", 1)


def test_the_vendors_retry_after_is_honoured() -> None:
    road = gate([AgentRateLimited(retry_after_seconds=120.0), "ok"])
    told = tell(road)
    road.clock.advance(119)
    assert item(road, told).state is State.WAITING
    road.clock.advance(1.5)
    assert item(road, told).state is State.DONE


def test_an_earlier_retry_rearms_the_timer_of_a_later_one() -> None:
    def answers(prompt: Prompt) -> Answer:
        return AgentRateLimited(retry_after_seconds=200.0 if prompt.lines[-1].text == "late" else 20.0)

    road = gate(answers, attempts=2)
    late, soon = tell(road, "late"), tell(road, "soon")
    road.clock.advance(21)
    assert [item(road, found).attempts for found in (late, soon)] == [1, 2]
    road.clock.advance(180)
    assert item(road, late).attempts == 2


def test_a_waiting_callers_turn_is_not_retried() -> None:
    road = gate([AgentUnavailable(), "ok"])
    assert ask(road).response.status == 500
    assert states(road) == [State.DEAD]


def test_a_turn_past_its_deadline_fails_and_frees_its_slot() -> None:
    road = gate([Hang(), "ok"], slots=1, turn_seconds=5, attempts=1)
    told = tell(road)
    road.clock.advance(5)
    assert (item(road, told).state, item(road, told).error, agent_of(road).cancelled) == (State.DEAD, "timeout", 1)
    assert ask(road).response.status == 200


def test_an_agent_that_breaks_its_port_ends_its_item() -> None:
    def answers(prompt: Prompt) -> Answer:
        raise RuntimeError("broken")

    road = gate(answers, attempts=1)
    told = tell(road)
    assert item(road, told).state is State.DEAD
    assert ask(road).response.status == 500


def test_an_answer_that_is_no_text_ends_its_item_instead_of_running_for_ever() -> None:
    road = gate([Completion(text="\ud800", model="m")], slots=2)
    told = tell(road)
    assert (item(road, told).state, item(road, told).error) == (State.DEAD, "unrecordable")
    assert ask(road).response.status == 500
    assert ask(road, session="s").response.status == 500


def test_a_channel_that_cannot_split_ends_its_item() -> None:
    class Broken(RecordingChannel):
        def split(self, text: str) -> tuple[str, ...]:
            raise RuntimeError("broken")

    from clawgate.domain.messages import DedupeKey, Inbound, ReplyTo

    road = gate(channels={"recording": Broken()})
    message = Inbound(
        source="recording",
        principal="channel:recording",
        text="hi",
        conversation="c",
        reply=ReplyTo("recording", "t"),
        dedupe=DedupeKey("recording", "1", 60),
    )
    from twisted.internet.defer import Deferred

    accepted = now(Deferred.fromCoroutine(road.gateway.ingress.accept(message)))
    road.pump()
    assert (item(road, accepted.item.id).state, item(road, accepted.item.id).error) == (State.DEAD, "unrecordable")


# --- the store refuses


def test_a_completion_the_store_refuses_is_recorded_later_and_the_caller_told() -> None:
    road = gate(held=True, slots=1)
    caller = ask(road)
    road.store.break_writes("disk full")
    agent_of(road).release()
    road.pump()
    assert caller.response.status == 503
    assert states(road) == [State.RUNNING]
    road.store.break_writes("")
    road.clock.advance(1)
    assert (states(road), items(road)[0].answer) == ([State.DONE], "ok")
    assert free_slots(road, 1) == 1


def test_while_the_store_refuses_outcomes_no_more_turns_start_than_there_are_slots() -> None:
    road = gate(held=True, slots=2)
    for number in range(10):
        tell(road, str(number))
    road.store.break_writes("disk full")
    agent = agent_of(road)
    agent.is_held = False
    agent.release()
    road.clock.advance(30)
    assert agent.calls <= 2
    road.store.break_writes("")
    road.clock.advance(5)
    assert set(states(road)) == {State.DONE}
    assert agent.calls == 10


def test_the_backlog_goes_on_when_the_store_is_well_again() -> None:
    road = gate()
    road.store.hold_writes()
    waiting = road.client.begin("POST", "/webhook", {"message": "hi"}, headers={"Prefer": "respond-async"})
    road.store.release_writes()
    road.store.break_writes("disk full")
    road.pump()
    assert waiting.response.status == 202
    road.clock.advance(3)
    assert states(road) == [State.RECEIVED]
    road.store.break_writes("")
    road.clock.advance(1)
    assert states(road) == [State.DONE]


# --- operators


def test_a_late_completion_after_a_drop_is_discarded() -> None:
    road = gate(held=True, slots=1)
    told = tell(road)
    agent = agent_of(road)
    assert road.client.post(f"/api/inbox/{told}/drop", peer="operator").status == 200
    agent.release()
    road.pump()
    assert (item(road, told).state, item(road, told).answer, agent.cancelled) == (State.DROPPED, None, 1)
    assert free_slots(road, 1) == 1


def test_dropping_what_was_claimed_and_not_started_starts_nothing() -> None:
    road = gate(held=True, slots=4)
    ids = [tell(road, str(number)) for number in range(3)]
    agent_of(road).release()
    road.clock.reactor.advance(0)
    for told in ids:
        road.client.post(f"/api/inbox/{told}/drop", peer="operator")
    road.pump()
    assert agent_of(road).running == 0
    assert free_slots(road, 4) == 4


def test_dropping_a_running_item_answers_its_caller() -> None:
    road = gate(held=True)
    caller = ask(road)
    road.client.post(f"/api/inbox/{items(road)[0].id}/drop", peer="operator")
    assert caller.response.status == 409


def test_retrying_a_dead_letter_runs_it_again() -> None:
    road = gate([AgentAuth(), "ok"])
    told = tell(road)
    assert road.client.post(f"/api/inbox/{told}/retry", peer="operator").status == 200
    road.pump()
    assert (item(road, told).state, item(road, told).answer) == (State.DONE, "ok")


def test_a_drop_while_the_completion_is_being_committed_changes_nothing() -> None:
    road = gate(held=True, slots=1)
    caller = ask(road)
    road.store.hold_writes()
    agent_of(road).release()
    road.pump()
    dropping = road.client.begin("POST", f"/api/inbox/{items(road)[0].id}/drop", peer="operator")
    road.store.release_writes()
    road.pump()
    assert (caller.response.status, dropping.response.status, states(road)) == (200, 409, [State.DONE])
    assert free_slots(road, 1) == 1


# --- stopping and starting again


def test_draining_lets_turns_finish_and_starts_no_others() -> None:
    road = gate(held=True, slots=1)
    told, behind = tell(road, "first"), tell(road, "behind")
    stopping = road.stop()
    road.clock.advance(1)
    agent_of(road).release()
    road.clock.advance(10)
    now(stopping)
    after = road.restart()
    assert item(after, told).state is State.DONE
    agent_of(after).release()
    after.pump()
    assert (item(after, behind).state, asked(after)) == (State.DONE, ["first", "behind"])


def test_draining_parks_what_does_not_finish() -> None:
    road = gate([Hang()], slots=2)
    promised, caller = tell(road), ask(road)
    keyed = ask(road, key="k")
    stop(road)
    assert (caller.response.status, caller.response.headers["retry-after"]) == (503, "5")
    assert keyed.response.status == 503
    agent_of(road).answers = ("ok",)
    after = road.restart()
    found = items(after)
    assert [one.state for one in found] == [State.DONE, State.DROPPED, State.DONE]
    assert found[0].id == promised
    assert ask(after, key="k").response.json["idempotent"] is True


def test_draining_is_not_held_up_by_nothing() -> None:
    road = gate()
    stopping = road.stop()
    road.clock.advance(0.1)
    now(stopping)
    assert [call for call in road.clock.reactor.getDelayedCalls() if call.active()] == []


def test_callers_whose_item_will_not_start_are_told_at_once() -> None:
    road = gate(held=True, slots=1)
    first, second = ask(road, "first"), ask(road, "second")
    road.stop()
    road.clock.advance(0.1)
    assert (first.is_answered, second.response.status) == (False, 503)


def test_an_accept_that_lands_after_the_drain_starts_no_turn() -> None:
    road = gate(slots=1)
    road.store.hold_writes()
    caller = ask(road, key="k")
    stopping = road.stop()
    road.clock.advance(9)
    road.store.release_writes()
    road.clock.advance(20)
    now(stopping)
    assert caller.response.status == 503
    assert agent_of(road).calls == 0
    assert ask(road.restart(), key="k").response.status == 200


def test_an_outcome_being_committed_while_draining_ends_is_the_callers() -> None:
    road = gate(held=True, slots=1)
    caller = ask(road)
    road.store.hold_writes()
    agent_of(road).release()
    road.stop()
    road.clock.advance(8.5)
    road.store.release_writes()
    road.clock.advance(1)
    assert (caller.response.status, caller.response.json["response"]) == (200, "ok")


def test_a_killed_process_loses_nothing_it_promised() -> None:
    road = gate(held=True, slots=2)
    promised = [tell(road, str(number)) for number in range(5)]
    ask(road, "nobody waits any more")
    ask(road, "keyed", key="k")
    after = road.restart(kill=True)
    for _ in range(10):
        agent_of(after).release()
        after.pump()
    assert [item(after, told).state for told in promised] == [State.DONE] * 5
    assert states(after)[5:] == [State.DROPPED, State.DONE]
    assert ask(after, "again", key="k").response.json["response"] == "ok"


def test_a_conversation_keeps_its_order_over_a_kill() -> None:
    road = gate(held=True, slots=4)
    for number in range(4):
        tell(road, str(number), session="s")
    after = road.restart(kill=True)
    for _ in range(6):
        agent_of(after).release()
        after.pump()
    assert asked(after) == ["0", "0", "1", "2", "3"]


# --- what is counted


def test_outcomes_are_counted_once() -> None:
    road = gate(["ok", AgentAuth()])
    tell(road)
    tell(road)
    assert counted(road, 'inbox_items_total{state="done"}') == 1
    assert counted(road, 'inbox_items_total{state="dead"}') == 1


def test_a_full_inbox_starts_no_turn_for_the_caller_it_refuses() -> None:
    road = gate(held=True, slots=4, inbox=InboxSettings(high_water=1))
    tell(road)
    assert ask(road).response.status == 503
    assert agent_of(road).calls == 1


def test_a_send_that_fails_does_not_run_the_turn_again() -> None:
    channel = RecordingChannel()
    channel.failures = [SendUnavailable()]
    road = gate(channels={"recording": channel})
    from twisted.internet.defer import Deferred

    from clawgate.domain.messages import Inbound, ReplyTo

    message = Inbound(source="recording", principal="channel:recording", text="hi", conversation="c", reply=ReplyTo("recording", "t"))
    now(Deferred.fromCoroutine(road.gateway.ingress.accept(message)))
    road.clock.advance(30)
    assert (agent_of(road).calls, [sent.text for sent in channel.sent]) == (1, ["ok"])
