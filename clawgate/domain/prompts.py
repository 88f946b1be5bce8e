"""What an agent is sent: instructions, history, question. Ring: domain. Source: design §1 (turn), §4.15."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from clawgate.domain.inbox import Item
from clawgate.domain.turn import Line, Prompt, Role


class PromptPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How prompts are made.

    Attributes:
        history_lines: at most so many earlier lines, questions and answers counted singly.
        max_history_chars: and at most so much text; the oldest lines go first.
    """

    system: str = ""
    model: str = ""
    temperature: float | None = None
    history_lines: int = 40
    max_history_chars: int = 200_000

    @property
    def history_items(self) -> int:
        """Answered items that hold that many lines."""
        return self.history_lines // 2


def build_prompt(item: Item, history: Iterable[Item], policy: PromptPolicy) -> Prompt:
    """The prompt of a turn.

    Args:
        item: its text is the question, untouched.
        history: answered items of the conversation, oldest first.
    """
    earlier = [line for answered in history for line in (Line(Role.USER, answered.text), Line(Role.ASSISTANT, answered.answer or ""))]
    return Prompt(
        lines=(*_recent(earlier, policy.max_history_chars), Line(Role.USER, item.text)),
        system=policy.system,
        model=policy.model,
        temperature=policy.temperature,
        idempotency_key=f"{item.id}:0",
        principal=item.principal,
        conversation=item.conversation,
    )


def _recent(lines: list[Line], max_chars: int) -> tuple[Line, ...]:
    kept: list[Line] = []
    for line in reversed(lines):
        max_chars -= len(line.text)
        if max_chars < 0:
            break
        kept.append(line)
    if kept and kept[-1].role is Role.ASSISTANT:
        kept.pop()
    return tuple(reversed(kept))
