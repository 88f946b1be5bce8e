"""What Construct's page shows of an operator, row by row (construct-realtime.md §12.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.mcp import tool_name
from clawgate.web.dialects import operator_wire
from clawgate.web.dialects.operator_wire import DETAIL_CHARS, PREFIX, OperatorStatus


def test_the_tools_of_an_mcp_server_of_that_name_are_the_operators() -> None:
    assert tool_name("construct-operator", "spawn_team") == PREFIX + "spawn_team"


@pytest.mark.parametrize(
    ("tool", "phase", "over"),
    [
        ("create_agent", "spawning", "spawned"),
        ("spawn_team", "spawning", "spawned"),
        ("wait_for_agent", "waiting", "completed"),
        ("send_agent_prompt", "delegating", "completed"),
        ("delegate_task", "delegating", "completed"),
        ("get_agent_activity", "collecting", "collected"),
        ("collect_results", "collecting", "collected"),
        ("check_agents", "checking", "completed"),
        ("get_workflow_status", "checking", "completed"),
        ("list_agents", "listing", "completed"),
        ("search_skills", "searching", "completed"),
        ("save_plan", "saving", "completed"),
        ("resume_workflow", "working", "completed"),
    ],
)
def test_each_tool_has_its_phase_and_how_it_ends(tool: str, phase: str, over: str) -> None:
    assert operator_wire.beginning(PREFIX + tool, {"title": " Scouts "}) == OperatorStatus(phase, "Scouts")
    assert operator_wire.end(PREFIX + tool, '{"agent_id":"a1"}', ok=True) == OperatorStatus(over, "a1")


@pytest.mark.parametrize(
    ("text", "ok", "phase", "detail"),
    [
        ("denied", False, "failed", "denied"),
        ('{"error":"no such team"}', True, "failed", "no such team"),
        ('{"status":"failed"}', True, "failed", "failed"),
        ('{"status":"blocked","message":"a question"}', True, "blocked", "a question"),
        ("[1]", True, "completed", "[1]"),
        ("x" * 500, True, "completed", "x" * DETAIL_CHARS),
        ("", True, "completed", ""),
    ],
)
def test_a_failure_shows_in_the_result(text: str, ok: bool, phase: str, detail: str) -> None:
    assert operator_wire.end(PREFIX + "wait", text, ok=ok) == OperatorStatus(phase, detail)


def test_other_tools_have_no_status() -> None:
    assert operator_wire.beginning("pay", {"title": "x"}) is None
    assert operator_wire.end("construct-operator_pay", "{}", ok=True) is None


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(st.text(), JSON, st.text())
def test_any_arguments_and_results_have_a_short_status(tool: str, arguments: object, text: str) -> None:
    for status in (operator_wire.beginning(PREFIX + tool, arguments), operator_wire.end(PREFIX + tool, text, ok=True)):
        assert status is not None
        assert status.phase
        assert len(status.detail) <= DETAIL_CHARS
