"""Google's Gemini API. Ring: agents (pure codec). Source: Gemini API reference, `models.streamGenerateContent` and `GenerateContentResponse`.

A stream (`alt=sse`) is a `GenerateContentResponse` per event, each with the next parts; the one with a `finishReason` is the last with text. Without a
`finishReason` (or a `promptFeedback.blockReason`) the answer was cut. Parts marked `thought` are not the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from urllib.parse import quote

import msgspec

from clawgate.agents.vendor_wire import TOOL_CALLS_MAX, Call, Piece, arguments_object, cut_short, decoded, error_of
from clawgate.domain.errors import AgentContent, AgentProtocol
from clawgate.domain.sse import SseEvent
from clawgate.domain.turn import Completion, Line, Prompt, Role, Thought, ToolCall, ToolSpec, Usage

_FILTERED = ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "LANGUAGE")
_STOPS = {"STOP": "stop", "MAX_TOKENS": "length", **dict.fromkeys(_FILTERED, "content")}


class _FunctionCall(msgspec.Struct):
    name: str = ""
    id: str | None = None
    args: msgspec.Raw = msgspec.Raw()


class _Part(msgspec.Struct):
    text: str | None = None
    thought: bool = False
    functionCall: _FunctionCall | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct):
    content: _Content | None = None
    finishReason: str | None = None


class _Usage(msgspec.Struct):
    promptTokenCount: int | None = None
    candidatesTokenCount: int | None = None
    thoughtsTokenCount: int | None = None


class _Feedback(msgspec.Struct):
    blockReason: str | None = None


class _Response(msgspec.Struct):
    candidates: list[_Candidate] | None = None
    usageMetadata: _Usage | None = None
    modelVersion: str | None = None
    promptFeedback: _Feedback | None = None
    error: msgspec.Raw = msgspec.Raw()


class GeminiDialect:
    """Google's own API."""

    def call(self, prompt: Prompt, model: str, key: str) -> Call:
        """A streaming request."""
        said = (line for line in prompt.lines if line.text.strip() or line.tool_calls or line.role is Role.TOOL)
        body: dict[str, object] = {"contents": list(_contents(said))}
        if prompt.tools:
            body["tools"] = [{"functionDeclarations": [_tool(tool) for tool in prompt.tools]}]
        if prompt.system:
            body["systemInstruction"] = {"parts": [{"text": prompt.system}]}
        if prompt.temperature is not None:
            body["generationConfig"] = {"temperature": prompt.temperature}
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if key:
            headers["x-goog-api-key"] = key
        name = quote(model.removeprefix("models/"), safe="")
        return Call(f"/models/{name}:streamGenerateContent?alt=sse", headers, msgspec.json.encode(body))

    def decoder(self) -> GeminiDecoder:
        """A reader for one answer."""
        return GeminiDecoder()


def _contents(lines: Iterable[Line]) -> Iterator[dict[str, object]]:
    """Lines as the API wants them: the results of one round stand in one content of the user's."""
    for is_results, group in groupby(lines, lambda line: line.role is Role.TOOL):
        if is_results:
            yield {"role": "user", "parts": [{"functionResponse": {"name": line.tool, "response": {"result": line.text}}} for line in group]}
        else:
            yield from map(_content, group)


def _content(line: Line) -> dict[str, object]:
    parts: list[dict[str, object]] = [{"text": line.text}] if line.text.strip() else []
    parts += [{"functionCall": {"name": call.name, "args": arguments_object(call.arguments)}} for call in line.tool_calls]
    return {"role": "model" if line.role is Role.ASSISTANT else "user", "parts": parts}


def _tool(tool: ToolSpec) -> dict[str, object]:
    return {"name": tool.name, "description": tool.description, "parametersJsonSchema": msgspec.Raw(tool.parameters.encode())}


class GeminiDecoder:
    """Reads one answer."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._calls: list[ToolCall] = []
        self._model = self._finish = ""
        self._usage = Usage()

    def event(self, event: SseEvent) -> Iterable[Piece]:
        """What an event of the stream adds."""
        return list(self._response(decoded(event.data, _Response)))

    def whole(self, body: bytes) -> Iterable[Piece]:
        """What an answer that did not stream holds: one response, or a list of them."""
        found = decoded(body, list[_Response] | _Response)
        responses: list[_Response] = found if isinstance(found, list) else [found]
        return [piece for response in responses for piece in self._response(response)]

    def is_complete(self) -> bool:
        """Never before the body ends: usage may follow the finish reason."""
        return False

    def completion(self) -> Completion:
        """The answer.

        Raises:
            AgentProtocol: its end never came. AgentContent: filtered to nothing.
        """
        if not self._finish:
            raise cut_short()
        text, stop = "".join(self._text), _STOPS.get(self._finish, self._finish.lower())
        if stop == "content" and not text:
            raise AgentContent("the provider refuses the content", detail=f"finishReason {self._finish}"[:200])
        if self._calls and stop == "stop":
            stop = "tool_calls"
        return Completion(text=text, model=self._model, usage=self._usage, stop=stop, tool_calls=tuple(self._calls))

    def _response(self, response: _Response) -> Iterator[Piece]:
        if bytes(response.error) not in (b"", b"null"):
            raise error_of(0, b'{"error":' + bytes(response.error) + b"}")
        if response.promptFeedback is not None and response.promptFeedback.blockReason:
            raise AgentContent("the provider refuses the content", detail=f"blockReason {response.promptFeedback.blockReason}"[:200])
        self._model = self._model or response.modelVersion or ""
        for candidate in (response.candidates or ())[:1]:
            yield from self._candidate(candidate)
        usage = response.usageMetadata
        if usage is not None:
            self._usage = Usage(max(0, usage.promptTokenCount or 0), max(0, (usage.candidatesTokenCount or 0) + (usage.thoughtsTokenCount or 0)))
            yield self._usage

    def _candidate(self, candidate: _Candidate) -> Iterator[Piece]:
        for part in (candidate.content.parts if candidate.content else None) or ():
            if part.functionCall is not None:
                yield self._called(part.functionCall)
            elif part.text and part.thought:
                yield Thought(part.text)
            elif part.text:
                self._text.append(part.text)
                yield part.text
        self._finish = candidate.finishReason or self._finish

    def _called(self, call: _FunctionCall) -> ToolCall:
        if len(self._calls) >= TOOL_CALLS_MAX:
            raise AgentProtocol("the provider asks for too many tools", detail=f"more than {TOOL_CALLS_MAX}")
        arguments = (bytes(call.args) or b"{}").decode("utf-8", "replace")
        self._calls.append(ToolCall(call.id or f"call_{len(self._calls)}", call.name, arguments))
        return self._calls[-1]
