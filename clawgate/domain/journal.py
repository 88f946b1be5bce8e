"""The journal of tool calls: intent, then result. Ring: domain. Source: design §1 ("each tool step is journalled").

    asked     somebody has to allow it; not called                          a repeated turn asks again, under the same id and until the same deadline
    refused   nobody allowed it; never called                               a repeated turn ends as denied
    planned   it was allowed; not called yet                                a repeated turn calls it
    begun     it is being called                                            a repeated turn calls it again if it is idempotent, else stops as uncertain
    done      it answered, failed or was not allowed; the result stands     a repeated turn replays the result

A round is what the model asked for in one answer. None of it is called before all of it is allowed, and it is written down before anybody is asked: the model
is not asked for it again. A repeated turn begins after the last round whose steps are all done.

    asked     ── yes ──→ planned
    asked     ── no, silence, or the turn is given up ──→ refused
    asked,
    refused   ── an operator has the message tried again ──→ forgotten with its round: the model, and then somebody, is asked anew
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from clawgate.domain.turn import Line, Role, ToolCall


class StepState(StrEnum):
    """Where a step stands."""

    ASKED = "asked"
    REFUSED = "refused"
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
        approval_id: of the question whether it may be called, "" while nobody was asked.
        asked_ms, expires_ms: when somebody was asked, and until when there is time to answer; wall clock, 0 while nobody was asked.
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
    approval_id: str = ""
    asked_ms: int = 0
    expires_ms: int = 0

    @property
    def name(self) -> str:
        """As errors and idempotency keys call it."""
        return f"{self.item_id}:{self.step}"


def is_allowed(steps: Iterable[ToolStep]) -> bool:
    """Whether nobody has to be asked about any of these any more, and nobody said no."""
    return not any(step.state in (StepState.ASKED, StepState.REFUSED) for step in steps)


def lines(steps: tuple[ToolStep, ...]) -> tuple[Line, ...]:
    """The steps as the model reads them: of each round the assistant's line, then the results. Steps come in order; all of them done."""
    told: list[Line] = []
    for number in dict.fromkeys(step.round for step in steps):
        of_round = [step for step in steps if step.round == number]
        told.append(Line(Role.ASSISTANT, of_round[0].said, tuple(step.call for step in of_round)))
        told += [Line(Role.TOOL, step.result or "", tool_call_id=step.call.id, tool=step.call.name) for step in of_round]
    return tuple(told)
