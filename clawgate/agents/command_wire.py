r"""JSON lines with a program that answers. Ring: agents (pure codec). Source: design §5, docs/reference.

To the program, one line, then the end of its input:

    {"type":"prompt","id","system","messages":[message],"model","temperature","principal","conversation","tools":[{"name","description","parameters"}]}

A message is {"role","content"}; an assistant's may have "tool_calls":[{"id","name","arguments"}], a tool's has "tool_call_id" and "name".

From the program, lines in any number, `done` last:

    {"type":"delta","text"}   {"type":"thinking","text"}   {"type":"tool_call","id"?,"name","arguments"}   {"type":"usage","input_tokens"?,"output_tokens"?}
    {"type":"done","text"?,"model"?,"stop"?}   {"type":"error","code"?,"message"?,"retry_after"?}

`arguments` is an object, or JSON in a string. `code` is one of the `AgentError` codes. A line of another type is skipped; one that is not JSON is an error.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from clawgate.agents.vendor_wire import Piece, clean, cut_short, decoded
from clawgate.domain import errors
from clawgate.domain.errors import AgentError, AgentProtocol, AgentUnavailable, BadRequest
from clawgate.domain.lines import LineSplitter
from clawgate.domain.turn import Completion, Line, Prompt, Role, Thought, ToolCall, Usage

_KINDS: dict[str, type[AgentError]] = {
    kind.code: kind
    for kind in (
        errors.AgentAuth,
        errors.AgentRateLimited,
        errors.AgentOverloaded,
        errors.AgentTimeout,
        errors.AgentBadRequest,
        errors.AgentContent,
        errors.AgentUnavailable,
        errors.AgentProtocol,
    )
}


class _Line(msgspec.Struct):
    type: str
    text: str | None = None
    model: str | None = None
    stop: str | None = None
    id: str | None = None
    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw()
    input_tokens: int = 0
    output_tokens: int = 0
    code: str | None = None
    message: str | None = None
    retry_after: float | None = None


def encode_prompt(prompt: Prompt, model: str) -> bytes:
    """The line a program reads, line feed included."""
    line = {
        "type": "prompt",
        "id": prompt.idempotency_key,
        "system": prompt.system,
        "messages": [_message(each) for each in prompt.lines],
        "model": model,
        "temperature": prompt.temperature,
        "principal": prompt.principal,
        "conversation": prompt.conversation,
        "tools": [{"name": tool.name, "description": tool.description, "parameters": msgspec.Raw(tool.parameters.encode())} for tool in prompt.tools],
    }
    return msgspec.json.encode(line) + b"\n"


def _message(line: Line) -> dict[str, object]:
    message: dict[str, object] = {"role": line.role.value, "content": line.text}
    if line.tool_calls:
        message["tool_calls"] = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in line.tool_calls]
    if line.role is Role.TOOL:
        message |= {"tool_call_id": line.tool_call_id, "name": line.tool}
    return message


class AnswerLines:
    """The lines of one answer, with caps on a line and on everything."""

    def __init__(self, *, line_cap_bytes: int, total_cap_bytes: int) -> None:
        self._lines, self._room = LineSplitter(line_cap_bytes), total_cap_bytes

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes, without their ends. Raises AgentProtocol over a cap."""
        self._room -= len(chunk)
        if self._room < 0:
            raise AgentProtocol("the program's answer is over its cap")
        try:
            return self._lines.feed(chunk)
        except BadRequest as problem:
            raise AgentProtocol("the program wrote a line over its cap", detail=str(problem)) from None


class CommandDecoder:
    """Reads one program's lines."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._text: list[str] = []
        self._calls: list[ToolCall] = []
        self._usage = Usage()
        self._stop = ""
        self._final: str | None = None

    def line(self, line: bytes) -> Iterable[Piece]:
        """What a line adds.

        Raises:
            AgentError: what the program reports; `AgentProtocol` for what is not the protocol.
        """
        if not line.strip() or self.is_complete():
            return ()
        read: _Line = decoded(line, _Line)
        if read.type == "error":
            raise _error(read)
        if read.type == "delta" and read.text:
            self._text.append(read.text)
            return (read.text,)
        if read.type == "thinking" and read.text:
            return (Thought(read.text),)
        if read.type == "tool_call":
            return (self._call(read),)
        if read.type == "usage":
            self._usage = Usage(max(0, read.input_tokens), max(0, read.output_tokens))
            return (self._usage,)
        return self._done(read) if read.type == "done" else ()

    def is_complete(self) -> bool:
        """Whether `done` has been read."""
        return self._final is not None

    def completion(self) -> Completion:
        """The answer. Raises AgentProtocol when `done` never came."""
        if self._final is None:
            raise cut_short()
        stop = self._stop or ("tool_calls" if self._calls else "stop")
        return Completion(text=self._final, model=self._model, usage=self._usage, stop=stop, tool_calls=tuple(self._calls))

    def _done(self, read: _Line) -> Iterable[Piece]:
        streamed = "".join(self._text)
        self._final = streamed if read.text is None else read.text
        self._model, self._stop = read.model or self._model, read.stop or ""
        return (self._final,) if self._final and not streamed else ()

    def _call(self, read: _Line) -> ToolCall:
        raw = bytes(read.arguments) or b"{}"
        arguments: str = decoded(raw, str) if raw[:1] == b'"' else raw.decode("utf-8", "replace")
        if not read.name:
            raise AgentProtocol("the program asks for a tool without a name")
        self._calls.append(ToolCall(read.id or f"call_{len(self._calls)}", read.name, arguments))
        return self._calls[-1]


def _error(read: _Line) -> AgentError:
    kind = _KINDS.get(read.code or "", AgentUnavailable)
    return kind("the program reports an error", retry_after_seconds=read.retry_after, detail=clean(f"{read.code or ''} {read.message or ''}"))
