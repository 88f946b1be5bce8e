"""Questions about tool calls, and their answers, whenever the process ends (domain/journal.py; services/approvals.py, rounds.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from road import OPEN_DOOR, agent_of, item, items, now
from twisted.internet.defer import Deferred

from clawgate.domain.inbox import State
from clawgate.domain.settings.model import AgentSettings, AutonomySettings, Settings
from clawgate.domain.tools import Risk, Tool
from clawgate.domain.turn import Prompt, Role, ToolCall
from clawgate.testing.agents import Answer, Pieces, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Pending
from clawgate.testing.tools import ScriptedTools

PAY, BUY = ToolCall("c1", "pay", '{"euros": 5}'), ToolCall("c2", "buy", "{}")
TOOLS = [Tool(name=name, description=name, risk=Risk.OUTSIDE) for name in ("pay", "buy")]
PAID = "paid"
Question = dict[str, Any]  # JSON
Model = Callable[[Prompt], Answer]


def wants(*calls: ToolCall) -> Pieces:
    return Pieces((), calls, stop="tool_calls")


def scripted(answers: Sequence[Answer | Model]) -> ScriptedAgent:
    """One that answers in this order, or as the one function given says."""
    return ScriptedAgent(answers[0] if callable(answers[0]) else [answer for answer in answers if not callable(answer)])


class House:
    """A gateway whose tools have to be asked about, over its restarts."""

    def __init__(self, *answers: Answer | Model, slots: int = 4) -> None:
        settings = Settings(gateway=OPEN_DOOR, agent=AgentSettings(approval_timeout_secs=300, max_concurrent_turns=slots))
        self.called: list[str] = []
        self.asked: list[int] = []
        self._open(MemoryGateway(settings, agent=scripted(answers), start=False))

    def _open(self, road: MemoryGateway) -> None:
        self.road, self.tools = road, ScriptedTools(TOOLS)
        road.gateway.toolbox.add(self.tools)
        road.start()

    def restart(self, *answers: Answer | Model, **changes: Any) -> None:  # Any: sections of the settings
        """`kill -9`, and the next process; its agent answers so."""
        self.road.store.kill()
        self.called += [name for name, _, _ in self.tools.calls]
        self.asked.append(agent_of(self.road).calls)
        settings = msgspec.structs.replace(self.road.settings, **changes)
        agent = scripted(answers or (PAID,))
        self._open(MemoryGateway(settings, agent=agent, store_image=self.road.store.image(), before=self.road, start=False))

    def chat(self, text: str = "hi", *, key: str | None = "k", session: str = "", stream: bool = False) -> Pending:
        headers = ({"X-Idempotency-Key": key} if key else {}) | ({"Accept": "text/event-stream"} if stream else {})
        body = {"message": text} | ({"session_id": session} if session else {})
        return self.road.client.begin("POST", "/api/v1/agent/chat", body, headers=headers)

    def questions(self) -> list[Question]:
        return list(self.road.client.get("/api/v1/approvals").json["approvals"])

    def begin_word(self, id_: str, *, approve: bool = True, always: bool = False) -> Pending:
        return self.road.client.begin("POST", f"/api/v1/approvals/{id_}", {"approve": approve, "always": always})

    def word(self, id_: str, *, approve: bool = True, always: bool = False) -> int:
        status = self.begin_word(id_, approve=approve, always=always).response.status
        self.road.pump()
        return status

    def calls(self) -> list[str]:
        """What was called, by every process."""
        return [*self.called, *(name for name, _, _ in self.tools.calls)]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.road.gateway.events.recent() if event.kind.startswith("approval")]

    def last(self) -> tuple[State, str | None]:
        found = items(self.road)[-1]
        return found.state, found.answer

    def told(self) -> Sequence[str]:
        """What the model was told of its calls."""
        return [line.text for line in agent_of(self.road).prompts[-1].lines if line.role is Role.TOOL]


def test_an_open_question_is_listed_and_answered_after_a_kill() -> None:
    house = House(wants(PAY), PAID)
    house.chat()
    (before,) = house.questions()
    house.restart()
    (after,) = house.questions()
    assert after == before
    assert (after["tool"], after["asked_at"], after["expires_at"]) == ("pay", "2027-01-15T08:00:00.000+00:00", "2027-01-15T08:05:00.000+00:00")
    assert house.kinds() == ["approval_requested"]
    assert house.word(after["id"]) == 200
    assert (house.calls(), house.last(), house.asked, agent_of(house.road).calls) == (["pay"], (State.DONE, PAID), [1], 1)
    assert house.told() == ["ok"]


def pays(prompt: Prompt) -> Answer:
    """A model that wants to pay, and says so when it has."""
    return wants(PAY) if prompt.lines[-1].role is Role.USER else PAID


@pytest.mark.parametrize("approve", [True, False])
@pytest.mark.parametrize("commits", range(9))
def test_wherever_the_process_ends_a_word_given_stands_and_a_call_is_made_once(commits: int, approve: bool) -> None:
    house = House(pays)
    word = None
    house.road.store.hold_writes()
    house.chat()
    for _ in range(commits):
        house.road.store.release_write()
        house.road.pump()
        if word is None and (found := house.questions()):
            word = house.begin_word(found[0]["id"], approve=approve)
    house.restart(pays)
    if word is not None and word.is_answered:
        assert (word.response.status, house.questions(), agent_of(house.road).calls <= 1) == (200, [], True)
    for question in house.questions():
        assert house.word(question["id"], approve=approve) == 200
    if approve:
        assert [(one.state in (State.DONE, State.UNCERTAIN), house.calls()) for one in items(house.road)] in ([], [(True, ["pay"])])
    else:
        assert [(one.state, house.calls()) for one in items(house.road)] in ([], [(State.DROPPED, [])])
    assert bool(items(house.road)) == (commits > 0)


def test_a_word_that_was_taken_is_carried_out_though_the_console_was_cut_off_by_the_kill() -> None:
    house = House(wants(PAY), PAID)
    house.chat(key=None, stream=True)
    (question,) = house.questions()
    house.road.store.hold_writes()
    word = house.begin_word(question["id"])
    assert not word.is_answered
    house.road.store.release_write()
    house.road.pump()
    assert (word.response.status, house.tools.calls) == (200, [])
    house.restart()
    assert (house.questions(), house.calls(), house.last()) == ([], ["pay"], (State.DONE, PAID))
    assert agent_of(house.road).calls == 1


def test_a_no_that_was_taken_is_not_asked_again() -> None:
    house = House(wants(PAY), PAID)
    house.chat()
    (question,) = house.questions()
    house.road.store.hold_writes()
    word = house.begin_word(question["id"], approve=False)
    house.road.store.release_write()
    house.road.pump()
    assert word.response.status == 200
    house.restart()
    assert (house.questions(), house.calls(), house.last()[0]) == ([], [], State.DROPPED)
    assert agent_of(house.road).calls == 0


def test_a_question_that_is_given_up_with_its_turn_is_told_to_be_over() -> None:
    house = House(wants(PAY), PAID)
    house.chat(key=None).leave()
    assert (house.questions(), house.kinds()) == ([], ["approval_requested", "approval_expired"])


def test_the_desk_shows_what_a_message_waits_for() -> None:
    house = House(wants(PAY), PAID)
    house.chat()
    shown = house.road.client.get(f"/api/inbox/{items(house.road)[0].id}").json["steps"]
    assert [(step["tool"], step["state"]) for step in shown] == [("pay", "asked")]


def test_a_console_without_a_key_that_is_cut_off_has_left() -> None:
    house = House(wants(PAY), PAID)
    house.chat(key=None, stream=True)
    house.restart()
    assert (house.questions(), house.calls(), house.last()[0]) == ([], [], State.DROPPED)


def test_after_a_kill_there_is_only_the_time_that_is_left() -> None:
    house = House(wants(PAY), PAID)
    house.chat()
    house.road.clock.advance(100)
    house.restart()
    house.road.clock.advance(199)
    assert len(house.questions()) == 1
    house.road.clock.advance(2)
    house.road.pump()
    assert (house.questions(), house.last()[0], house.kinds()) == ([], State.DROPPED, ["approval_requested", "approval_expired"])


def test_a_deadline_that_passed_meanwhile_is_a_no() -> None:
    house = House(wants(PAY), PAID)
    house.chat()
    house.road.store.kill()
    house.road.clock.step_wall(300_000)
    house.restart()
    assert (house.questions(), house.calls(), house.last()[0], house.kinds()) == ([], [], State.DROPPED, ["approval_expired"])


def test_a_clock_that_was_set_back_makes_nobody_wait_longer() -> None:
    house = House(wants(PAY), PAID)
    house.chat()
    house.road.store.kill()
    house.road.clock.step_wall(-86_400_000)
    house.restart()
    house.road.clock.advance(301)
    house.road.pump()
    assert house.last()[0] is State.DROPPED


def test_of_two_answers_at_once_one_counts_and_the_other_finds_nothing() -> None:
    house = House(wants(PAY), PAID)
    house.chat()
    (question,) = house.questions()
    house.road.store.hold_writes()
    words = [house.begin_word(question["id"], approve=approve) for approve in (True, False)]
    house.road.store.release_writes()
    house.road.pump()
    assert ([word.response.status for word in words], house.calls()) == ([200, 404], ["pay"])
    assert house.kinds() == ["approval_requested", "approval_resolved"]


@pytest.mark.parametrize("is_word_first", [True, False])
def test_a_word_and_the_deadline_at_once(is_word_first: bool) -> None:
    house = House(wants(PAY), PAID)
    house.chat()
    (question,) = house.questions()
    house.road.clock.advance(290)
    house.road.store.hold_writes()
    if not is_word_first:
        house.road.clock.advance(10)
    word = house.begin_word(question["id"])
    house.road.clock.advance(10)
    house.road.store.release_writes()
    house.road.pump()
    outcome = (word.response.status, house.calls(), house.kinds()[-1])
    assert outcome == ((200, ["pay"], "approval_resolved") if is_word_first else (404, [], "approval_expired"))


def test_a_word_that_cannot_be_written_down_is_not_taken() -> None:
    house = House(wants(PAY), PAID)
    house.chat()
    (question,) = house.questions()
    house.road.store.break_writes("disk full")
    assert (house.word(question["id"]), house.calls()) == (503, [])
    house.road.store.break_writes("")
    assert (house.questions(), house.word(question["id"]), house.calls()) == ([question], 200, ["pay"])


def test_a_word_that_is_written_down_after_its_request_was_given_up_counts() -> None:
    house = House(wants(PAY), PAID)
    house.chat()
    (question,) = house.questions()
    house.road.store.hold_writes()
    word = house.begin_word(question["id"])
    house.road.clock.advance(60)
    house.road.store.release_writes()
    house.road.pump()
    assert (word.response.status, house.calls(), house.last()) == (408, ["pay"], (State.DONE, PAID))


def test_a_word_that_fails_after_its_request_was_given_up_does_not_count() -> None:
    house = House(wants(PAY), PAID)
    house.chat()
    (question,) = house.questions()
    house.road.store.hold_writes()
    house.begin_word(question["id"])
    house.road.clock.advance(60)
    house.road.store.break_writes("disk full")
    house.road.store.release_writes()
    house.road.store.break_writes("")
    assert (house.questions(), house.word(question["id"]), house.calls()) == ([question], 200, ["pay"])


def test_the_end_of_the_time_waits_for_the_store() -> None:
    house = House(wants(PAY), PAID)
    house.chat()
    house.road.store.break_writes("disk full")
    house.road.clock.advance(310)
    assert house.last()[0] is State.RUNNING
    house.road.store.break_writes("")
    house.road.clock.advance(2)
    house.road.pump()
    assert (house.last()[0], house.kinds()[-1]) == (State.DROPPED, "approval_expired")


def test_of_two_questions_the_answered_one_is_not_asked_again() -> None:
    house = House(wants(PAY, BUY), PAID)
    house.chat()
    (first,) = house.questions()
    assert (first["tool"], house.word(first["id"])) == ("pay", 200)
    (second,) = house.questions()
    assert (second["tool"], house.calls()) == ("buy", [])
    house.restart()
    assert house.questions() == [second]
    assert (house.word(first["id"]), house.word(second["id"])) == (404, 200)
    assert (house.calls(), house.last()) == (["pay", "buy"], (State.DONE, PAID))


@pytest.mark.parametrize("approve", [True, False])
def test_a_word_that_was_written_down_while_its_turn_read_the_journal_stands(approve: bool) -> None:
    house = House(wants(PAY, BUY), PAID)
    house.chat()
    (question,) = house.questions()
    (running,) = items(house.road)
    as_read = now(house.road.store.journal.steps(running.id))[0]
    assert house.word(question["id"], approve=approve) == 200
    approvals = house.road.gateway.dispatch.turns.rounds.approvals
    assert now(Deferred.fromCoroutine(approvals.ask(running, as_read))) is approve
    assert now(Deferred.fromCoroutine(approvals.allow(as_read))) is approve


def test_a_question_of_its_own_time_for_each_call() -> None:
    house = House(wants(PAY, BUY), PAID)
    house.chat()
    house.road.clock.advance(200)
    house.word(house.questions()[0]["id"])
    (second,) = house.questions()
    assert (second["asked_at"], second["expires_at"]) == ("2027-01-15T08:03:20.000+00:00", "2027-01-15T08:08:20.000+00:00")


def test_always_counts_for_the_other_calls_of_the_round() -> None:
    house = House(wants(PAY, msgspec.structs.replace(PAY, id="c2")), PAID)
    house.chat()
    house.word(house.questions()[0]["id"], always=True)
    assert (house.calls(), house.kinds(), house.last()) == (["pay", "pay"], ["approval_requested", "approval_resolved"], (State.DONE, PAID))


def test_a_yes_to_the_first_of_two_keeps_nobody_from_leaving() -> None:
    house = House(wants(PAY, BUY), PAID)
    console = house.chat(key=None, stream=True)
    house.word(house.questions()[0]["id"])
    console.leave()
    assert (house.questions(), house.calls(), house.last()[0]) == ([], [], State.DROPPED)


def test_a_turn_that_has_yet_to_begin_again_is_answered_too() -> None:
    house = House(wants(PAY), wants(PAY), slots=4)
    for session in ("one", "two"):
        house.chat(session, key=session)
    before = house.questions()
    house.restart(PAID, PAID, agent=AgentSettings(approval_timeout_secs=300, max_concurrent_turns=1))
    assert (house.questions(), house.kinds()) == (before, ["approval_requested"])
    assert (house.word(before[1]["id"]), house.calls()) == (200, [])
    assert (house.word(before[0]["id"]), house.calls()) == (200, ["pay", "pay"])
    assert house.kinds() == ["approval_requested", "approval_resolved", "approval_resolved"]


def test_a_turn_that_has_yet_to_begin_again_is_not_answered_after_its_time() -> None:
    house = House(wants(PAY), wants(PAY), slots=4)
    for session in ("one", "two"):
        house.chat(session, key=session)
        house.road.clock.advance(10)
    second = house.questions()[1]
    house.restart(PAID, PAID, agent=AgentSettings(approval_timeout_secs=300, max_concurrent_turns=1))
    house.road.clock.step_wall(300_000)
    assert (house.word(second["id"]), [question["id"] == second["id"] for question in house.questions()]) == (404, [False])


def test_settings_that_allow_the_call_by_now_answer_the_question() -> None:
    house = House(wants(PAY), PAID)
    house.chat()
    house.restart(autonomy=AutonomySettings(level="full"))
    assert (house.questions(), house.calls(), house.last()) == ([], ["pay"], (State.DONE, PAID))


def test_settings_that_forbid_the_call_by_now_stand_above_the_word() -> None:
    house = House(wants(PAY), PAID)
    house.chat()
    house.restart("I may not", autonomy=AutonomySettings(level="readonly"))
    assert house.word(house.questions()[0]["id"]) == 200
    assert (house.calls(), house.told()) == ([], ["not called: it is not allowed any more"])


def test_a_denied_message_that_is_tried_again_asks_the_model_and_the_person_anew() -> None:
    house = House(wants(PAY), wants(PAY), PAID)
    house.chat()
    (first,) = house.questions()
    house.word(first["id"], approve=False)
    item_id = items(house.road)[0].id
    assert house.road.client.post(f"/api/inbox/{item_id}/retry", peer="operator").status == 200
    house.road.pump()
    (second,) = house.questions()
    assert second["id"] != first["id"]
    house.word(second["id"])
    assert (house.calls(), item(house.road, item_id).answer) == (["pay"], PAID)


def test_a_stop_leaves_the_question_to_the_next_process() -> None:
    house = House(wants(PAY), PAID)
    house.chat()
    (before,) = house.questions()
    stopping = house.road.stop()
    for _ in range(30):
        house.road.clock.advance(1)
    assert (stopping.called, house.kinds()) == (True, ["approval_requested"])
    house.restart()
    assert (house.questions(), house.word(before["id"]), house.calls()) == ([before], 200, ["pay"])
