"""What an agent is asked and what it answers. Ring: domain. Source: design §5."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Role(StrEnum):
    """Who said a line of the history."""

    USER = "user"
    ASSISTANT = "assistant"


class Line(msgspec.Struct, frozen=True):
    """One line of a conversation."""

    role: Role
    text: str


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent to an agent.

    Attributes:
        lines: oldest first; the last one is the user's and is what is to be answered.
        system: instructions, "" for none.
        model: the vendor's name of the model, "" = the backend's own default.
        temperature: None = the vendor's default.
        idempotency_key: "item_id:step", passed on to vendors that take one.
        principal, conversation: who asks and where, for agents that keep notes (offline, service, command).
    """

    lines: tuple[Line, ...]
    system: str = ""
    model: str = ""
    temperature: float | None = None
    idempotency_key: str = ""
    principal: str = ""
    conversation: str | None = None

    @property
    def question(self) -> str:
        """The text to be answered."""
        return self.lines[-1].text


class Usage(msgspec.Struct, frozen=True):
    """Tokens, as the vendor counted them; 0 when it did not say."""

    input_tokens: int = 0
    output_tokens: int = 0


class ToolCall(msgspec.Struct, frozen=True):
    """A tool the model wants called.

    Attributes:
        arguments: JSON text exactly as the model wrote it.
    """

    id: str
    name: str
    arguments: str


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent answered.

    Attributes:
        text: the whole answer.
        model: the model that answered, as the vendor reports it; "" when it does not.
        stop: why it ended: "stop", "length", "tool_calls", "content" or the vendor's own word.
    """

    text: str
    model: str = ""
    usage: Usage = Usage()
    stop: str = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
