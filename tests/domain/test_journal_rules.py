"""What may be called, and what the model is told of it (domain/journal.py); how long a question is open (domain/approvals.py)."""

from __future__ import annotations

import pytest

from clawgate.domain.approvals import Pending
from clawgate.domain.journal import StepState, ToolStep, is_allowed, lines
from clawgate.domain.turn import Line, Role, ToolCall

CALLS = [ToolCall(f"c{number}", name, "{}") for number, name in enumerate(("look", "pay", "look"), 1)]


def a_step(number: int, round_: int, state: StepState = StepState.DONE, said: str = "") -> ToolStep:
    return ToolStep(item_id="0a", step=number, round=round_, call=CALLS[number - 1], said=said, state=state, result=f"result {number}")


@pytest.mark.parametrize("state", StepState)
def test_a_round_is_called_when_nobody_has_to_be_asked_and_nobody_refused(state: StepState) -> None:
    allowed = {StepState.PLANNED, StepState.BEGUN, StepState.DONE}
    assert is_allowed([a_step(1, 1), a_step(2, 1, state), a_step(3, 1)]) == (state in allowed)


def test_a_round_without_calls_is_allowed() -> None:
    assert is_allowed(())


def test_each_round_is_what_the_assistant_said_and_the_results() -> None:
    steps = (a_step(1, 1, said="I look."), a_step(2, 1), a_step(3, 2))
    assert lines(steps) == (
        Line(Role.ASSISTANT, "I look.", (CALLS[0], CALLS[1])),
        Line(Role.TOOL, "result 1", tool_call_id="c1", tool="look"),
        Line(Role.TOOL, "result 2", tool_call_id="c2", tool="pay"),
        Line(Role.ASSISTANT, "", (CALLS[2],)),
        Line(Role.TOOL, "result 3", tool_call_id="c3", tool="look"),
    )


def test_a_step_is_named_for_its_item_and_its_place() -> None:
    assert a_step(2, 1).name == "0a:2"


@pytest.mark.parametrize(("now_ms", "seconds"), [(1_000, 2.5), (0, 3.5), (3_499, 0.001), (3_500, 0.0), (9_999, 0.0)])
def test_a_question_is_open_until_its_deadline(now_ms: int, seconds: float) -> None:
    pending = Pending(id="q", item_id="0a", step=1, principal="ann", session="", call=CALLS[0], asked_ms=1_000, expires_ms=3_500)
    assert pending.seconds_left(now_ms) == seconds
