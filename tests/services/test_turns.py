"""What an agent is asked, and what is counted of it (design §4.14, §4.15)."""

from __future__ import annotations

from road import agent_of, ask, counted, gate, items

from clawgate.domain.errors import AgentOverloaded
from clawgate.domain.turn import Completion, Role, Usage
from clawgate.testing.agents import Pieces


def test_a_conversation_sends_its_history() -> None:
    road = gate(["one", "two"])
    ask(road, "first", session="s")
    ask(road, "second", session="s")
    lines = [(line.role, line.text) for line in agent_of(road).prompts[1].lines]
    assert lines == [(Role.USER, "first"), (Role.ASSISTANT, "one"), (Role.USER, "second")]


def test_a_message_without_a_session_has_no_history() -> None:
    road = gate()
    ask(road, "first")
    ask(road, "second")
    assert [line.text for line in agent_of(road).prompts[1].lines] == ["second"]


def test_conversations_do_not_see_each_other() -> None:
    road = gate()
    ask(road, "first", session="a")
    ask(road, "second", session="b")
    assert [line.text for line in agent_of(road).prompts[1].lines] == ["second"]


def test_a_failed_turn_is_not_in_the_history() -> None:
    road = gate([AgentOverloaded(), "two"])
    ask(road, "first", session="s")
    ask(road, "second", session="s")
    assert [line.text for line in agent_of(road).prompts[1].lines] == ["second"]


def test_the_model_of_the_completion_is_told() -> None:
    road = gate([Completion(text="hello", model="other-1")])
    assert ask(road).response.json == {"response": "hello", "model": "other-1"}
    assert items(road)[0].model == "other-1"


def test_turns_and_tokens_are_counted() -> None:
    road = gate([Pieces(("a", "b"), usage=Usage(30, 12))])
    ask(road)
    assert counted(road, 'agent_starts_total{model="scripted-1",provider="scripted"}') == 1
    assert counted(road, 'llm_requests_total{model="scripted-1",provider="scripted"}') == 1
    assert counted(road, "tokens_used_last") == 42
    assert counted(road, 'tokens_total{direction="input",provider="scripted"}') == 30


def test_a_failed_turn_counts_as_an_error_and_no_request() -> None:
    road = gate([AgentOverloaded()])
    ask(road)
    assert counted(road, 'llm_requests_total{model="scripted-1",provider="scripted"}') == 0
    assert counted(road, 'errors_total{component="gateway"}') == 1
