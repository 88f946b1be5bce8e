"""Anthropic's Messages API. Ring: agents (pure codec). Source: Anthropic API reference, "Messages" and "Streaming messages".

    message_start  (content_block_start  content_block_delta*  content_block_stop)*  message_delta+  message_stop      ping and error anywhere

`message_stop` is the end; without it the answer was cut. Unknown events and blocks (citations) are skipped, as the vendor asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import msgspec

from clawgate.agents.vendor_wire import TOOL_CALLS_MAX, Call, Piece, arguments_object, cut_short, decoded, error_of
from clawgate.domain.errors import AgentContent, AgentProtocol
from clawgate.domain.sse import SseEvent
from clawgate.domain.turn import Completion, Line, Prompt, Role, Thought, ToolCall, ToolSpec, Usage

PATH = "/v1/messages"
VERSION = "2023-06-01"

_STOPS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content",
}


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw()


class _Message(msgspec.Struct):
    model: str | None = None
    usage: _Usage | None = None
    content: list[_Block] | None = None
    stop_reason: str | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None


class AnthropicDialect:
    """Anthropic and servers that speak its API.

    Args:
        max_output_tokens: the API requires a limit.
        path: appended to the base URL.
    """

    def __init__(self, max_output_tokens: int, path: str = PATH) -> None:
        self._max_output_tokens, self._path = max_output_tokens, path

    def call(self, prompt: Prompt, model: str, key: str) -> Call:
        """A streaming request. The API refuses empty lines and a first line that is not the user's: both are left out."""
        lines = [line for line in prompt.lines if line.text.strip() or line.tool_calls or line.role is Role.TOOL]
        while len(lines) > 1 and lines[0].role is not Role.USER:
            del lines[0]
        body: dict[str, object] = {
            "model": model,
            "max_tokens": self._max_output_tokens,
            "messages": list(_messages(lines)),
            "stream": True,
        }
        if prompt.system:
            body["system"] = prompt.system
        if prompt.tools:
            body["tools"] = [_tool(tool) for tool in prompt.tools]
        if prompt.temperature is not None:
            body["temperature"] = min(prompt.temperature, 1.0)
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream", "anthropic-version": VERSION}
        if key:
            headers["x-api-key"] = key
        return Call(self._path, headers, msgspec.json.encode(body))

    def decoder(self) -> AnthropicDecoder:
        """A reader for one answer."""
        return AnthropicDecoder()


def _messages(lines: Iterable[Line]) -> Iterator[dict[str, object]]:
    """Lines as the API wants them: the results of one round stand in one message of the user's."""
    for is_results, group in groupby(lines, lambda line: line.role is Role.TOOL):
        if is_results:
            yield {"role": "user", "content": [{"type": "tool_result", "tool_use_id": line.tool_call_id, "content": line.text} for line in group]}
        else:
            yield from map(_message, group)


def _message(line: Line) -> dict[str, object]:
    if not line.tool_calls:
        return {"role": line.role.value, "content": line.text}
    said: list[dict[str, object]] = [{"type": "text", "text": line.text}] if line.text.strip() else []
    called = [{"type": "tool_use", "id": call.id, "name": call.name, "input": arguments_object(call.arguments)} for call in line.tool_calls]
    return {"role": line.role.value, "content": [*said, *called]}


def _tool(tool: ToolSpec) -> dict[str, object]:
    return {"name": tool.name, "description": tool.description, "input_schema": msgspec.Raw(tool.parameters.encode())}


class AnthropicDecoder:
    """Reads one answer."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._drafts: dict[int, tuple[str, str, list[str]]] = {}
        self._calls: list[ToolCall] = []
        self._model = self._stop = ""
        self._usage = Usage()
        self._is_done = False

    def event(self, event: SseEvent) -> Iterable[Piece]:
        """What an event of the stream adds."""
        return list(self._event(event.data))

    def whole(self, body: bytes) -> Iterable[Piece]:
        """What an answer that did not stream holds."""
        message: _Message = decoded(body, _Message)
        if message.content is None:
            raise error_of(0, body) if b'"error"' in body[:200] else AgentProtocol("the provider's answer has no content")
        self._is_done = True
        return [*self._message(message), *(piece for block in message.content for piece in self._block(block))]

    def is_complete(self) -> bool:
        """Whether `message_stop` or the whole body has been read."""
        return self._is_done

    def completion(self) -> Completion:
        """The answer.

        Raises:
            AgentProtocol: its end never came. AgentContent: refused without a word.
        """
        if not self._is_done:
            raise cut_short()
        text, stop = "".join(self._text), _STOPS.get(self._stop, self._stop) or "stop"
        if stop == "content" and not text:
            raise AgentContent("the provider refuses the content", detail="stop_reason refusal")
        return Completion(text=text, model=self._model, usage=self._usage, stop=stop, tool_calls=tuple(self._calls))

    def _event(self, data: str) -> Iterator[Piece]:
        event: _Event = decoded(data, _Event)
        if event.type == "error":
            raise error_of(0, data.encode("utf-8", "replace"))
        if event.type == "message_start" and event.message is not None:
            yield from self._message(event.message)
        elif event.type == "content_block_start" and event.content_block is not None:
            yield from self._started(event.index, event.content_block)
        elif event.type == "content_block_delta" and event.delta is not None:
            yield from self._delta(event.index, event.delta)
        elif event.type == "content_block_stop":
            yield from self._stopped(event.index)
        elif event.type == "message_delta":
            self._stop = (event.delta.stop_reason if event.delta else None) or self._stop
            yield from self._counted(event.usage)
        elif event.type == "message_stop":
            self._is_done = True

    def _message(self, message: _Message) -> Iterator[Piece]:
        self._model = message.model or self._model
        self._stop = message.stop_reason or self._stop
        yield from self._counted(message.usage)

    def _counted(self, usage: _Usage | None) -> Iterator[Piece]:
        """Counts are running totals; `message_delta` may leave the input out."""
        if usage is None:
            return
        given = (usage.input_tokens, usage.cache_creation_input_tokens, usage.cache_read_input_tokens)
        input_tokens = sum(count or 0 for count in given) if usage.input_tokens is not None else 0
        self._usage = Usage(max(input_tokens, self._usage.input_tokens), max(usage.output_tokens or 0, self._usage.output_tokens))
        yield self._usage

    def _started(self, index: int, block: _Block) -> Iterator[Piece]:
        if block.type == "tool_use":
            if len(self._drafts) + len(self._calls) >= TOOL_CALLS_MAX:
                raise AgentProtocol("the provider asks for too many tools", detail=f"more than {TOOL_CALLS_MAX}")
            self._drafts[index] = (block.id or "", block.name or "", [])
        elif block.type == "text" and block.text:
            yield from self._said(block.text)
        elif block.type == "thinking" and block.thinking:
            yield Thought(block.thinking)

    def _delta(self, index: int, delta: _Delta) -> Iterator[Piece]:
        if delta.type == "text_delta" and delta.text:
            yield from self._said(delta.text)
        elif delta.type == "thinking_delta" and delta.thinking:
            yield Thought(delta.thinking)
        elif delta.type == "input_json_delta" and index in self._drafts:
            self._drafts[index][2].append(delta.partial_json or "")

    def _stopped(self, index: int) -> Iterator[Piece]:
        draft = self._drafts.pop(index, None)
        if draft is not None:
            yield from self._called(draft[0], draft[1], "".join(draft[2]) or "{}")

    def _block(self, block: _Block) -> Iterator[Piece]:
        if block.type == "text" and block.text:
            yield from self._said(block.text)
        elif block.type == "thinking" and block.thinking:
            yield Thought(block.thinking)
        elif block.type == "tool_use":
            yield from self._called(block.id or "", block.name or "", (bytes(block.input) or b"{}").decode("utf-8", "replace"))

    def _said(self, text: str) -> Iterator[Piece]:
        self._text.append(text)
        yield text

    def _called(self, id_: str, name: str, arguments: str) -> Iterator[Piece]:
        if not name:
            raise AgentProtocol("the provider asks for a tool without a name")
        self._calls.append(ToolCall(id_ or f"call_{len(self._calls)}", name, arguments))
        yield self._calls[-1]
