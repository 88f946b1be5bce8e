"""The journal of tool calls: intent, then result. Ring: domain. Source: design §1 ("each tool step is journalled").

    planned   the model asked for it and it was allowed; not called yet     a repeated turn calls it
    begun     it is being called                                            a repeated turn calls it again if it is idempotent, else stops as uncertain
    done      it answered, failed or was refused; the result stands         a repeated turn replays the result

A round is what the model asked for in one answer. A repeated turn begins after the last round whose steps are all done.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from clawgate.domain.turn import Line, Role, ToolCall


class StepState(StrEnum):
    """Where a step stands."""

    PLANNED = "planned"
    BEGUN = "begun"
    DONE = "done"


class ToolStep(msgspec.Struct, frozen=True, kw_only=True):
    """One tool call of one item.

    Attributes:
        step: counts from 1 through the whole turn.
        round: counts from 1.
        said: the assistant's text that came with the round, on its first step.
        result, ok: None until it is done.
    """

    item_id: str
    step: int
    round: int
    call: ToolCall
    said: str = ""
    is_idempotent: bool = False
    state: StepState = StepState.PLANNED
    result: str | None = None
    ok: bool | None = None

    @property
    def name(self) -> str:
        """As errors and idempotency keys call it."""
        return f"{self.item_id}:{self.step}"


def lines(steps: tuple[ToolStep, ...]) -> tuple[Line, ...]:
    """The steps as the model reads them: of each round the assistant's line, then the results. Steps come in order; all of them done."""
    told: list[Line] = []
    for number in dict.fromkeys(step.round for step in steps):
        of_round = [step for step in steps if step.round == number]
        told.append(Line(Role.ASSISTANT, of_round[0].said, tuple(step.call for step in of_round)))
        told += [Line(Role.TOOL, step.result or "", tool_call_id=step.call.id, tool=step.call.name) for step in of_round]
    return tuple(told)
