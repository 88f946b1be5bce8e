"""OpenAI's chat completions, as every compatible server speaks them. Ring: agents (pure codec). Source: OpenAI API reference, "Chat" and "Streaming".

A stream is `data:` events of `chat.completion.chunk`, then `data: [DONE]`. The choice ends at its `finish_reason`; the usage may follow in a chunk without
choices. A stream that ends before a `finish_reason` or `[DONE]` was cut. Compatible servers differ in: tool calls without an `index`, whole tool calls in one
chunk, content as a list of parts (Mistral), reasoning as `reasoning_content` (DeepSeek, vLLM, Moonshot) or `reasoning` (OpenRouter, Ollama, Groq), an
`error` beside or instead of choices (OpenRouter, llama.cpp), `error` as plain text (Ollama).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from clawgate.agents.vendor_wire import TOOL_CALLS_MAX, Call, Piece, cut_short, decoded, error_of
from clawgate.domain.errors import AgentContent, AgentProtocol
from clawgate.domain.sse import SseEvent
from clawgate.domain.turn import Completion, Line, Prompt, Role, Thought, ToolCall, ToolSpec, Usage

PATH = "/chat/completions"

_STOPS = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls", "content_filter": "content"}
_FIXED_TEMPERATURE = re.compile(r"(?:.*/)?(?:o\d|gpt-5)")
"""Reasoning models refuse a request that names a temperature."""


class _Part(msgspec.Struct):
    type: str = "text"
    text: str = ""


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    reasoning_content: object = None
    reasoning: object = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    model: str | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw()


class OpenAIDialect:
    """`dialects` of OpenAI-compatible servers.

    Args:
        path: appended to the base URL.
    """

    def __init__(self, path: str = PATH) -> None:
        self._path = path

    def call(self, prompt: Prompt, model: str, key: str) -> Call:
        """A streaming request with usage."""
        messages: list[dict[str, object]] = [{"role": "system", "content": prompt.system}] if prompt.system else []
        messages += [_message(line) for line in prompt.lines]
        body: dict[str, object] = {"model": model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
        if prompt.temperature is not None and not _FIXED_TEMPERATURE.match(model):
            body["temperature"] = prompt.temperature
        if prompt.tools:
            body["tools"] = _tools(prompt.tools)
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        if prompt.idempotency_key:
            headers["Idempotency-Key"] = prompt.idempotency_key
        return Call(self._path, headers, msgspec.json.encode(body))

    def decoder(self) -> OpenAIDecoder:
        """A reader for one answer."""
        return OpenAIDecoder()


class OpenAIDecoder:
    """Reads one answer."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: list[_Draft] = []
        self._told: tuple[ToolCall, ...] | None = None
        self._model = self._finish = ""
        self._usage = Usage()
        self._is_done = False

    def event(self, event: SseEvent) -> Iterable[Piece]:
        """What an event of the stream adds."""
        if event.data == "[DONE]":
            self._is_done = True
            return self._finished()
        return self._chunk(decoded(event.data, _Chunk))

    def whole(self, body: bytes) -> Iterable[Piece]:
        """What an answer that did not stream holds."""
        self._is_done = True
        chunk: _Chunk = decoded(body, _Chunk)
        if not chunk.choices and not bytes(chunk.error):
            raise AgentProtocol("the provider's answer has no choices", detail=f"{len(body)} bytes")
        return [*self._chunk(chunk), *self._finished()]

    def is_complete(self) -> bool:
        """Whether `[DONE]` or the whole body has been read."""
        return self._is_done

    def completion(self) -> Completion:
        """The answer.

        Raises:
            AgentProtocol: its end never came. AgentContent: filtered to nothing.
        """
        if not self._is_done and not self._finish:
            raise cut_short()
        text, stop = "".join(self._text), _STOPS.get(self._finish, self._finish) or "stop"
        if stop == "content" and not text:
            raise AgentContent("the provider refuses the content", detail="finish_reason content_filter")
        if self._refusal and not text:
            text, stop = "".join(self._refusal), "content"
        return Completion(text=text, model=self._model, usage=self._usage, stop=stop, tool_calls=self._told or ())

    def _chunk(self, chunk: _Chunk) -> list[Piece]:
        if bytes(chunk.error) not in (b"", b"null"):
            raise error_of(0, b'{"error":' + bytes(chunk.error) + b"}")
        self._model = self._model or chunk.model or ""
        pieces = self._choice(chunk.choices[0]) if chunk.choices else []
        if chunk.usage is not None:
            self._usage = Usage(max(0, chunk.usage.prompt_tokens or 0), max(0, chunk.usage.completion_tokens or 0))
            pieces.append(self._usage)
        return pieces

    def _choice(self, choice: _Choice) -> list[Piece]:
        pieces: list[Piece] = []
        message = choice.delta or choice.message or _Message()
        thought = _reasoning(message)
        if thought:
            pieces.append(Thought(thought))
        text = _text(message.content)
        if text:
            self._text.append(text)
            pieces.append(text)
        if message.refusal:
            self._refusal.append(message.refusal)
            pieces.append(message.refusal)
        for call in message.tool_calls or ():
            self._draft(call).add(call)
        if choice.finish_reason:
            self._finish = choice.finish_reason
            pieces += self._finished()
        return pieces

    def _draft(self, call: _ToolCall) -> _Draft:
        """The draft this piece belongs to: by index, else a new id begins a new one."""
        for draft in self._calls:
            if call.index is not None and draft.index == call.index:
                return draft
        if call.index is None and self._calls and (not call.id or call.id == self._calls[-1].id):
            return self._calls[-1]
        if len(self._calls) >= TOOL_CALLS_MAX:
            raise AgentProtocol("the provider asks for too many tools", detail=f"more than {TOOL_CALLS_MAX}")
        self._calls.append(_Draft(call.index))
        return self._calls[-1]

    def _finished(self) -> tuple[ToolCall, ...]:
        """The calls, once: there are no more."""
        if self._told is not None:
            return ()
        self._told = tuple(draft.call(number) for number, draft in enumerate(self._calls))
        return self._told


class _Draft:
    """A tool call being written."""

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self._name = ""
        self._arguments: list[str] = []

    def add(self, call: _ToolCall) -> None:
        self.id = self.id or call.id or ""
        if call.function is not None:
            self._name = self._name or call.function.name or ""
            self._arguments.append(call.function.arguments or "")

    def call(self, number: int) -> ToolCall:
        if not self._name:
            raise AgentProtocol("the provider asks for a tool without a name")
        return ToolCall(self.id or f"call_{number}", self._name, "".join(self._arguments) or "{}")


def _message(line: Line) -> dict[str, object]:
    if line.role is Role.TOOL:
        return {"role": "tool", "tool_call_id": line.tool_call_id, "content": line.text}
    if not line.tool_calls:
        return {"role": line.role.value, "content": line.text}
    calls = [{"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in line.tool_calls]
    return {"role": line.role.value, "content": line.text or None, "tool_calls": calls}


@lru_cache(maxsize=4)
def _tools(tools: tuple[ToolSpec, ...]) -> msgspec.Raw:
    """Encoded once: nearly every turn offers the same."""
    return msgspec.Raw(msgspec.json.encode([_tool(tool) for tool in tools]))


def _tool(tool: ToolSpec) -> dict[str, object]:
    function = {"name": tool.name, "description": tool.description, "parameters": msgspec.Raw(tool.parameters.encode())}
    return {"type": "function", "function": function}


def _text(content: str | list[_Part] | None) -> str:
    if isinstance(content, list):
        return "".join(part.text for part in content if part.type == "text")
    return content or ""


def _reasoning(message: _Message) -> str:
    """Servers that send both fields say the same in them; what is no text is somebody's own extension."""
    for text in (message.reasoning_content, message.reasoning):
        if text and isinstance(text, str):
            return text
    return ""
