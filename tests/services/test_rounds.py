"""Tool calls within a turn: the gate, the journal, what a restart makes of them (design §1; rantaiclaw.md §10, §13, §20.9)."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from road import OPEN_DOOR, agent_of, ask, item, items, now, tell

from clawgate.domain.errors import ToolUncertain, Unavailable
from clawgate.domain.inbox import State
from clawgate.domain.journal import StepState
from clawgate.domain.settings.model import AgentSettings, AutonomySettings, ChannelsSettings, Settings
from clawgate.domain.tools import Risk, Tool, ToolResult
from clawgate.domain.turn import Role, ToolCall
from clawgate.services.approvals import MOST_OF_ONE
from clawgate.services.rounds import CALLS_AT_ONCE
from clawgate.testing.agents import Answer, Pieces, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Pending
from clawgate.testing.tools import ScriptedTools

PAY = ToolCall("c1", "pay", '{"euros": 5}')
LOOK = Tool(name="look", description="Looks.", risk=Risk.READ, is_idempotent=True)
PAYS = Tool(name="pay", description="Pays.", risk=Risk.OUTSIDE)
FULL = AutonomySettings(level="full")


def wants(*calls: ToolCall, said: str = "") -> Pieces:
    return Pieces((said,) if said else (), calls, stop="tool_calls")


def gate(*answers: Answer, autonomy: AutonomySettings = FULL, autonomous: bool = False, rounds: int = 15) -> tuple[MemoryGateway, ScriptedTools]:
    settings = Settings(
        gateway=OPEN_DOOR,
        autonomy=autonomy,
        agent=AgentSettings(max_tool_iterations=rounds, approval_timeout_secs=300, tool_timeout_secs=60),
        channels_config=ChannelsSettings(autonomous_tools=autonomous),
    )
    road = MemoryGateway(settings, agent=ScriptedAgent(answers))
    tools = ScriptedTools([PAYS, LOOK])
    road.gateway.toolbox.add(tools)
    return road, tools


def chat(road: MemoryGateway, text: str = "hi", *, stream: bool = True) -> Pending:
    return road.client.begin("POST", "/api/v1/agent/chat", {"message": text}, headers={"Accept": "text/event-stream"} if stream else {})


def kinds(pending: Pending) -> list[object]:
    return [frame["type"] for frame in pending.events]


def word(road: MemoryGateway, *, approve: bool, always: bool = False) -> int:
    open_questions = road.client.get("/api/v1/approvals").json["approvals"]
    return road.client.post(f"/api/v1/approvals/{open_questions[0]['id']}", {"approve": approve, "always": always}).status


def test_results_go_back_to_the_model() -> None:
    road, tools = gate(wants(PAY, said="I will pay."), "paid")
    assert ask(road, "pay").response.json["response"] == "paid"
    last = agent_of(road).prompts[1].lines
    assert [(line.role, line.text) for line in last] == [(Role.USER, "pay"), (Role.ASSISTANT, "I will pay."), (Role.TOOL, "ok")]
    assert last[1].tool_calls == (PAY,)
    assert last[2].tool_call_id == "c1"
    assert tools.calls == [("pay", {"euros": 5}, f"{items(road)[0].id}:1")]


def test_several_calls_and_rounds_keep_their_order() -> None:
    first, second, third = ToolCall("a", "look", "{}"), ToolCall("b", "pay", "{}"), ToolCall("c", "look", "{}")
    road, tools = gate(wants(first, second), wants(third), "done")
    ask(road)
    assert [name for name, _, _ in tools.calls] == ["look", "pay", "look"]
    told = agent_of(road).prompts[2].lines
    assert [line.role.value for line in told] == ["user", "assistant", "tool", "tool", "assistant", "tool"]
    steps = now(road.store.journal.steps(items(road)[0].id))
    assert [(step.step, step.round, step.state) for step in steps] == [(1, 1, StepState.DONE), (2, 1, StepState.DONE), (3, 2, StepState.DONE)]


def test_after_the_last_round_the_model_is_asked_without_tools() -> None:
    road, tools = gate(wants(PAY), wants(PAY), "enough", rounds=1)
    ask(road)
    assert [bool(prompt.tools) for prompt in agent_of(road).prompts] == [True, False]
    assert len(tools.calls) == 1


def test_calls_beyond_the_most_of_a_round_are_left_out() -> None:
    road, tools = gate(wants(*[ToolCall(f"c{number}", "look", "{}") for number in range(CALLS_AT_ONCE + 1)]), "done")
    ask(road)
    assert len(tools.calls) == len(agent_of(road).prompts[1].lines[1].tool_calls) == CALLS_AT_ONCE


def test_an_unknown_tool_and_bad_arguments_are_told_to_the_model() -> None:
    road, tools = gate(wants(ToolCall("a", "fly", "{}"), ToolCall("b", "look", "[1]")), "ok then")
    assert ask(road).response.status == 200
    assert [line.text for line in agent_of(road).prompts[1].lines if line.role is Role.TOOL] == [
        "there is no tool named fly",
        "the arguments are not a JSON object",
    ]
    assert tools.calls == []


@pytest.mark.parametrize("arguments", ['{"euros": "\\ud800"}', '{"euros": NaN}'])
def test_arguments_that_could_be_passed_on_to_nobody_are_told_to_the_model_and_to_the_caller(arguments: str) -> None:
    road, tools = gate(wants(ToolCall("a", "pay", arguments)), "ok then")
    answer = ask(road).response
    assert (answer.status, tools.calls) == (200, [])
    assert agent_of(road).prompts[1].lines[-1].text == "the arguments are not a JSON object"
    assert b'"response":"ok then"' in answer.body


def test_a_script_is_not_offered_what_would_have_to_be_asked() -> None:
    road, _ = gate("ok", autonomy=AutonomySettings())
    ask(road)
    offered = {tool.name for tool in agent_of(road).prompts[0].tools}
    assert "look" in offered
    assert "pay" not in offered


def test_what_nobody_can_approve_is_refused_even_if_the_model_asks_for_it() -> None:
    road, tools = gate(wants(PAY), "I may not", autonomy=AutonomySettings())
    assert ask(road).response.json["response"] == "I may not"
    assert tools.calls == []


@pytest.mark.parametrize("settings", [AutonomySettings(auto_approve=("pay",)), AutonomySettings(level="full")])
def test_what_is_approved_beforehand_runs_for_a_script(settings: AutonomySettings) -> None:
    road, tools = gate(wants(PAY), "paid", autonomy=settings)
    ask(road)
    assert len(tools.calls) == 1


def test_autonomous_tools_open_the_gate_for_scripts() -> None:
    road, tools = gate(wants(PAY), "paid", autonomy=AutonomySettings(), autonomous=True)
    ask(road)
    assert len(tools.calls) == 1


def test_a_read_only_agent_calls_nothing_that_changes_anything() -> None:
    road, tools = gate(wants(PAY, ToolCall("c2", "look", "{}")), "ok", autonomy=AutonomySettings(level="readonly"), autonomous=True)
    ask(road)
    assert [name for name, _, _ in tools.calls] == ["look"]


def test_a_console_is_asked_and_the_approved_call_is_made() -> None:
    road, tools = gate(wants(PAY), "paid", autonomy=AutonomySettings())
    pending = chat(road)
    assert kinds(pending) == ["usage", "approval_request"]
    assert tools.calls == []
    assert word(road, approve=True) == 200
    road.pump()
    assert kinds(pending)[2:] == ["tool_call_start", "tool_call_end", "chunk", "usage", "done"]
    assert pending.events[-1]["cancelled"] is False


def test_a_sync_caller_is_asked_too() -> None:
    road, tools = gate(wants(PAY), "paid", autonomy=AutonomySettings())
    pending = chat(road, stream=False)
    assert (pending.is_answered, tools.calls) == (False, [])
    assert word(road, approve=True) == 200
    road.pump()
    assert pending.response.json["text"] == "paid"


def test_a_denied_call_cancels_the_turn_and_nothing_is_called() -> None:
    road, tools = gate(wants(PAY), autonomy=AutonomySettings())
    streaming, sync = chat(road), chat(road, stream=False)
    assert [word(road, approve=False), word(road, approve=False)] == [200, 200]
    road.pump()
    assert streaming.events[-1] == {"type": "done", "text": "", "cancelled": True, "session_id": ""}
    assert sync.response.status == 403
    assert tools.calls == []
    assert {one.state for one in items(road)} == {State.DROPPED}


def test_silence_is_a_denial() -> None:
    road, tools = gate(wants(PAY), "paid", autonomy=AutonomySettings())
    pending = chat(road)
    for _ in range(31):
        road.clock.advance(10)
    assert pending.events[-1]["cancelled"] is True
    assert tools.calls == []
    assert road.client.get("/api/v1/approvals").json["count"] == 0


def test_questions_of_one_leave_places_for_the_turns_of_others() -> None:
    road, tools = gate(*[wants(PAY)] * (MOST_OF_ONE + 1), "paid", "hello", autonomy=AutonomySettings())
    for _ in range(MOST_OF_ONE):
        chat(road)
    assert chat(road).events[-1]["cancelled"] is True
    assert Counter(one.state for one in items(road)) == {State.RUNNING: MOST_OF_ONE, State.DROPPED: 1}
    assert word(road, approve=True) == 200
    assert chat(road).events[-1]["text"] == "hello"
    assert len(tools.calls) == 1


def test_who_leaves_has_denied() -> None:
    road, tools = gate(wants(PAY), "paid", autonomy=AutonomySettings())
    chat(road).leave()
    assert items(road)[0].state is State.DROPPED
    assert road.client.get("/api/v1/approvals").json["count"] == 0
    assert tools.calls == []


def test_always_holds_for_the_rest_of_the_session_only() -> None:
    road, tools = gate(wants(PAY), "paid", wants(PAY), "paid again", wants(PAY), "x", autonomy=AutonomySettings())
    pending = chat(road)
    word(road, approve=True, always=True)
    road.pump()
    session = str(pending.events[-1]["session_id"])
    again = road.client.post("/api/v1/agent/chat", {"message": "again", "session_id": session})
    assert (again.status, again.json["text"], len(tools.calls)) == (200, "paid again", 2)
    other = chat(road, "elsewhere")
    assert kinds(other)[-1] == "approval_request"


def test_a_change_of_the_autonomy_takes_back_every_always() -> None:
    road, tools = gate(wants(PAY), "paid", wants(PAY), "x", autonomy=AutonomySettings())
    pending = chat(road)
    word(road, approve=True, always=True)
    road.pump()
    changed = road.client.request("PUT", "/api/v1/config/autonomy", {"max_actions_per_hour": 7}, peer="operator")
    body = {"message": "again", "session_id": pending.events[-1]["session_id"]}
    again = road.client.begin("POST", "/api/v1/agent/chat", body, headers={"Accept": "text/event-stream"})
    assert (changed.status, kinds(again)[-1], len(tools.calls)) == (200, "approval_request", 1)


def test_a_call_that_the_settings_forbid_by_now_is_not_made() -> None:
    road, tools = gate(wants(ToolCall("a", "look", "{}"), PAY), "I may not")
    tools.outcomes["look"] = None
    item_id = tell(road)
    assert road.client.request("PUT", "/api/v1/config/autonomy", {"level": "readonly"}, peer="operator").status == 200
    road.clock.advance(60)
    road.pump()
    assert ([name for name, _, _ in tools.calls], item(road, item_id).answer) == (["look"], "I may not")
    assert agent_of(road).prompts[1].lines[-1].text == "not called: it is not allowed any more"


def test_open_questions_are_listed_as_the_stream_tells_them() -> None:
    road, _ = gate(wants(PAY), "paid", autonomy=AutonomySettings())
    asked = chat(road).events[-1]
    listed = road.client.get("/api/v1/approvals").json["approvals"]
    assert [{name: one[name] for name in ("id", "tool", "args")} for one in listed] == [{"id": asked["id"], "tool": "pay", "args": {"euros": 5}}]


def test_an_approval_is_answered_once() -> None:
    road, _ = gate(wants(PAY), "paid", autonomy=AutonomySettings())
    chat(road)
    approval = road.client.get("/api/v1/approvals").json["approvals"][0]["id"]
    path = f"/api/v1/approvals/{approval}"
    assert road.client.post(path, {"approve": True}).status == 200
    second = road.client.post(path, {"approve": True})
    assert (second.status, second.json) == (404, {"error": "not_found", "detail": "no pending approval with that id"})


def test_a_call_without_a_known_outcome_stops_the_item_for_a_person() -> None:
    road, tools = gate(wants(PAY), "never said")
    tools.outcomes["pay"] = ToolUncertain("no answer")
    item_id = tell(road)
    road.pump()
    assert (item(road, item_id).state, item(road, item_id).error) == (State.UNCERTAIN, f"tool_unsettled:{item_id}:1")
    assert len(agent_of(road).prompts) == 1


def test_a_call_that_takes_too_long_is_uncertain_and_an_idempotent_one_is_told() -> None:
    road, tools = gate(wants(PAY), wants(ToolCall("c", "look", "{}")), "seen nothing")
    tools.outcomes |= {"pay": None, "look": None}
    first = tell(road, "one")
    for _ in range(7):
        road.clock.advance(10)
    second = tell(road, "two")
    for _ in range(7):
        road.clock.advance(10)
    assert item(road, first).state is State.UNCERTAIN
    assert (item(road, second).state, item(road, second).answer) == (State.DONE, "seen nothing")


def test_a_call_that_was_not_made_is_told_to_the_model() -> None:
    road, tools = gate(wants(PAY), "it is down")
    tools.outcomes["pay"] = Unavailable("the server is starting")
    ask(road)
    assert agent_of(road).prompts[1].lines[-1].text == "not called: the server is starting"


def test_after_a_crash_results_are_replayed_and_nothing_is_called_twice() -> None:
    road, tools = gate(wants(PAY), "paid")
    agent_of(road).answers = lambda prompt: wants(PAY) if prompt.lines[-1].role is Role.USER else Pieces(("paid",))
    tell_and_hold(road)
    after = road.restart(kill=True)
    again = ScriptedTools([PAYS, LOOK])
    after.gateway.toolbox.add(again)
    agent_of(after).release()
    after.pump()
    done = items(after)[0]
    assert (done.state, done.answer, len(tools.calls), len(again.calls)) == (State.DONE, "paid", 1, 0)


def tell_and_hold(road: MemoryGateway) -> None:
    """The first answer is given, the call is made, the second answer hangs."""
    agent = agent_of(road)
    agent.is_held = True
    tell(road)
    agent.release()
    road.pump()
    assert agent.calls == 2


def test_after_a_crash_in_the_middle_of_a_call_a_person_decides() -> None:
    road, tools = gate(wants(PAY), "paid")
    tools.outcomes["pay"] = None
    item_id = tell(road)
    after = road.restart(kill=True)
    after.pump()
    assert item(after, item_id).state is State.UNCERTAIN
    fresh = ScriptedTools([PAYS, LOOK])
    after.gateway.toolbox.add(fresh)
    agent_of(after).answers = ["paid now"]
    after.client.post(f"/api/inbox/{item_id}/retry", peer="operator")
    after.pump()
    assert (item(after, item_id).state, len(fresh.calls)) == (State.DONE, 1)


def test_after_a_crash_an_idempotent_call_is_made_again() -> None:
    road, tools = gate(wants(ToolCall("c", "look", "{}")), "seen")
    tools.outcomes["look"] = None
    item_id = tell(road)
    after = road.restart(kill=True)
    again = ScriptedTools([PAYS, LOOK])
    after.gateway.toolbox.add(again)
    agent_of(after).answers = ["seen"]
    after.clock.advance(1)  # the turn began before its tool was there, and waits for it
    after.pump()
    assert (item(after, item_id).state, len(again.calls)) == (State.DONE, 1)


def test_a_repeated_turn_does_not_wait_for_ever_for_a_tool_that_is_gone() -> None:
    road, tools = gate(wants(ToolCall("c", "look", "{}")), "seen")
    tools.outcomes["look"] = None
    item_id = tell(road)
    after = road.restart(kill=True)
    agent_of(after).answers = ["gone"]
    after.clock.advance(29)
    assert item(after, item_id).state is State.RUNNING
    after.clock.advance(2)
    after.pump()
    assert item(after, item_id).answer == "gone"
    assert agent_of(after).prompts[-1].lines[-1].text == "there is no tool named look"


def test_a_dropped_item_ends_its_turn_and_a_late_result_changes_nothing() -> None:
    road, tools = gate(wants(PAY), "paid")
    tools.outcomes["pay"] = None
    item_id = tell(road)
    assert road.client.post(f"/api/inbox/{item_id}/drop", peer="operator").status == 200
    road.pump()
    assert item(road, item_id).state is State.DROPPED


def test_nothing_is_kept_of_a_turn_that_was_ended_from_outside() -> None:
    road, tools = gate(wants(PAY), "paid")
    tools.outcomes["pay"] = None
    item_id = tell(road)
    assert item(road, item_id).journalled
    assert road.client.post(f"/api/inbox/{item_id}/drop", peer="operator").status == 200
    road.pump()
    assert not road.gateway.dispatch.turns.rounds.has_journalled(item_id)


def test_the_hours_budget_of_actions_is_kept() -> None:
    budget = AutonomySettings(level="full", max_actions_per_hour=1)
    road, tools = gate(wants(PAY, ToolCall("c2", "pay", "{}"), ToolCall("c3", "look", "{}")), "ok", autonomy=budget)
    ask(road)
    assert [name for name, _, _ in tools.calls] == ["pay", "look"]


def test_a_result_is_cut_and_cleaned() -> None:
    road, tools = gate(wants(PAY), "ok")
    tools.outcomes["pay"] = ToolResult("x\0" * 100_000)
    ask(road)
    result = agent_of(road).prompts[1].lines[-1].text
    assert (len(result), result.endswith("… (cut)"), "\0" in result) == (64_000, True, False)


def test_an_answer_tells_which_tools_were_called() -> None:
    road, _ = gate(wants(PAY), "paid")
    assert ask(road, key="k").response.json["tool_calls"] == [{"toolCallId": "tc_0", "toolName": "pay", "input": {"euros": 5}, "output": "ok"}]
    assert "tool_calls" in ask(road, key="k").response.json
    assert "tool_calls" not in ask(gate("plain")[0]).response.json


def test_the_desk_shows_what_an_uncertain_message_did() -> None:
    road, tools = gate(wants(PAY), "never said")
    tools.outcomes["pay"] = ToolUncertain("no answer")
    item_id = tell(road)
    road.pump()
    shown = road.client.get(f"/api/inbox/{item_id}").json["steps"]
    assert [(step["tool"], step["state"], step["arguments"]) for step in shown] == [("pay", "begun", '{"euros": 5}')]


def test_tools_can_be_switched_off() -> None:
    road, _ = gate("ok")
    road.gateway.toolbox.add(ScriptedTools([Tool(name="more", description="")]))
    settings = msgspec.structs.replace(road.settings, agent=AgentSettings(offer_tools=False))
    plain = MemoryGateway(settings, agent=ScriptedAgent(["ok"]))
    ask(plain)
    assert agent_of(plain).prompts[0].tools == ()
