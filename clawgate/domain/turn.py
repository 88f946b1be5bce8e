"""What an agent is asked and what it answers. Ring: domain. Source: design §5."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Role(StrEnum):
    """Who said a line of the history."""

    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class ToolCall(msgspec.Struct, frozen=True):
    """A tool the model wants called.

    Attributes:
        arguments: JSON text exactly as the model wrote it.
    """

    id: str
    name: str
    arguments: str


class Line(msgspec.Struct, frozen=True):
    """One line of a conversation.

    Attributes:
        tool_calls: what an assistant's line asks for besides its text.
        tool_call_id: whose result a tool's line is.
        tool: that tool's name.
    """

    role: Role
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    tool: str = ""


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as a model is told of it.

    Attributes:
        parameters: a JSON Schema of type "object", as JSON text.
    """

    name: str
    description: str
    parameters: str


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent to an agent.

    Attributes:
        lines: oldest first; the last user's line is what is to be answered, after it come the tool calls made so far and their results.
        tools: what the model may ask for; empty = none.
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
    tools: tuple[ToolSpec, ...] = ()

    @property
    def question(self) -> str:
        """The text to be answered."""
        last = self.lines[-1]
        if not last.tool_call_id and not last.tool_calls:
            return last.text
        return next((line.text for line in reversed(self.lines) if line.role is Role.USER), "")


class Usage(msgspec.Struct, frozen=True):
    """Tokens, as the vendor counted them; 0 when it did not say."""

    input_tokens: int = 0
    output_tokens: int = 0


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


class Delta(msgspec.Struct, frozen=True):
    """The next piece of an answer."""

    text: str


class Thought(msgspec.Struct, frozen=True):
    """The next piece of a model's reasoning: shown while it comes, never part of the answer and never kept."""

    text: str


class Recalled(msgspec.Struct, frozen=True):
    """Memories were put into the prompt; before the first `Delta`, only when there were any."""

    keys: tuple[str, ...]


class Trimmed(msgspec.Struct, frozen=True):
    """Earlier messages were left out of the prompt; before the first `Delta`.

    Attributes:
        dropped: messages that were left out. kept_turns: exchanges that were sent.
        reason: the setting that decided.
    """

    dropped: int
    kept_turns: int
    reason: str


class ToolStarted(msgspec.Struct, frozen=True):
    """A tool is being called, or was called before and its result is replayed."""

    call: ToolCall


class ToolEnded(msgspec.Struct, frozen=True):
    """A tool answered, failed or was refused."""

    call: ToolCall
    ok: bool
    text: str


class ApprovalAsked(msgspec.Struct, frozen=True):
    """A tool waits for somebody's word, this many seconds."""

    id: str
    call: ToolCall
    seconds: int


class Counted(msgspec.Struct, frozen=True):
    """Tokens of one call to the model; may come more than once in a turn."""

    model: str
    usage: Usage


TurnEvent = Delta | Thought | Recalled | Trimmed | ToolStarted | ToolEnded | ApprovalAsked | Counted
"""What whoever watches a turn is told, in order."""
