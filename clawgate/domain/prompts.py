"""What an agent is sent: instructions, history, question, tools. Ring: domain. Source: design §1 (turn), §4.15; rantaiclaw.md §10 (memory)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from clawgate.domain.inbox import Item
from clawgate.domain.messages import MemoryEntry, TurnOptions
from clawgate.domain.turn import Line, Prompt, Role, ToolSpec, Trimmed

_PLAIN = TurnOptions()
_MOST_RECALLED_CHARS = 8_000


class PromptPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How prompts are made.

    Attributes:
        history_lines: at most so many earlier lines, questions and answers counted singly.
        max_history_chars: and at most so much text; the oldest lines go first.
        recalled: memories put before a question, 0 = none.
        tool_rounds: times a turn may call tools before it must answer.
    """

    system: str = ""
    temperature: float | None = None
    history_lines: int = 40
    max_history_chars: int = 200_000
    recalled: int = 5
    tool_rounds: int = 15

    @property
    def history_items(self) -> int:
        """Answered items that hold that many lines."""
        return self.history_lines // 2


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to a question.

    Attributes:
        history: oldest first.
        earlier: messages of the session before those.
        preface: personality and skills, "" = none.
        recalled: memories worth knowing, best first.
        enclosed: put before the question as it is, "" = nothing.
    """

    history: tuple[Line, ...] = ()
    earlier: int = 0
    preface: str = ""
    recalled: tuple[MemoryEntry, ...] = ()
    enclosed: str = ""


def history_of(items: Iterable[Item]) -> tuple[Line, ...]:
    """The lines of answered items, in their order."""
    return tuple(line for item in items for line in (Line(Role.USER, item.text), Line(Role.ASSISTANT, item.answer or "")))


def build_prompt(
    item: Item,
    around: Surroundings,
    policy: PromptPolicy,
    *,
    model: str = "",
    tools: tuple[ToolSpec, ...] = (),
    told: tuple[Line, ...] = (),
    call: int = 0,
) -> Prompt:
    """The prompt of one call to the model.

    Args:
        item: its text is the question, untouched; what is enclosed comes before it.
        model: the vendor's name of the model, "" = the backend's own default.
        tools: what the model may ask for.
        told: tool calls and results of this turn so far (`journal.lines`).
        call: which call of the turn this is, from 0.
    """
    options = item.options or _PLAIN
    return Prompt(
        lines=(*_recent(around.history, policy.max_history_chars), Line(Role.USER, around.enclosed + item.text), *told),
        system="\n\n".join(part for part in (policy.system, around.preface, _memories(around.recalled)) if part),
        model=model,
        temperature=policy.temperature if options.temperature is None else options.temperature,
        idempotency_key=f"{item.id}:{call}",
        principal=item.principal,
        conversation=item.conversation,
        tools=tools,
    )


def trimmed(around: Surroundings, policy: PromptPolicy) -> Trimmed | None:
    """What `build_prompt` leaves out of the history; None = nothing."""
    kept = _recent(around.history, policy.max_history_chars)
    cut = len(around.history) - len(kept)
    if not (around.earlier or cut):
        return None
    turns = sum(line.role is Role.USER for line in kept)
    return Trimmed(around.earlier + cut, turns, "max_history_chars" if cut else "history_messages")


def _memories(entries: tuple[MemoryEntry, ...]) -> str:
    if not entries:
        return ""
    lines, room = ["What you remember that may matter here:"], _MOST_RECALLED_CHARS
    for entry in entries:
        room -= len(entry.content)
        if room < 0:
            break
        lines.append(f"- {entry.content}")
    return "\n".join(lines) if len(lines) > 1 else ""


def _recent(lines: tuple[Line, ...], max_chars: int) -> tuple[Line, ...]:
    kept: list[Line] = []
    for line in reversed(lines):
        max_chars -= len(line.text)
        if max_chars < 0:
            break
        kept.append(line)
    while kept and kept[-1].role is Role.ASSISTANT:
        kept.pop()
    return tuple(reversed(kept))
