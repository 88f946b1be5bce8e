"""What the vendors' codecs have in common. Ring: agents (pure codec). Source: design §5; the error pages of OpenAI, Anthropic and Google.

    status 401 402 403        auth            429           rate limited, with Retry-After
    500 502 503 504 529 …     overloaded      408           timeout
    other 4xx                 bad request     3xx           protocol: no redirect is followed
    a content filter's code   content, whatever the status

An error inside a 200 stream has no status: its `code`, `type` or `status` word decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from clawgate.domain import times
from clawgate.domain.errors import (
    AgentAuth,
    AgentBadRequest,
    AgentContent,
    AgentError,
    AgentOverloaded,
    AgentProtocol,
    AgentRateLimited,
    AgentTimeout,
    AgentUnavailable,
)
from clawgate.domain.sse import SseEvent
from clawgate.domain.turn import Completion, Prompt, Thought, ToolCall, Usage

Piece = str | Thought | ToolCall | Usage

ERROR_BODY_CAP_BYTES = 64 * 1024
TOOL_CALLS_MAX = 128
_DETAIL_CHARS = 500
_RETRY_AFTER_MAX = 24 * 3600.0

_CONTENT = frozenset({"content_filter", "content_policy_violation", "responsibleaipolicyviolation", "prohibited_content", "safety"})
_AUTH = frozenset(
    {"invalid_api_key", "authentication_error", "permission_error", "billing_error", "unauthenticated", "permission_denied", "api_key_invalid"}
)
_WORDS: dict[str, type[AgentError]] = {
    **dict.fromkeys(("rate_limit_error", "rate_limit_exceeded", "insufficient_quota", "resource_exhausted"), AgentRateLimited),
    **dict.fromkeys(("overloaded_error", "api_error", "server_error", "unavailable", "internal", "internal_server_error"), AgentOverloaded),
    **dict.fromkeys(("timeout_error", "deadline_exceeded"), AgentTimeout),
    **dict.fromkeys(
        (
            "invalid_request_error",
            "not_found_error",
            "request_too_large",
            "invalid_argument",
            "not_found",
            "failed_precondition",
            "context_length_exceeded",
        ),
        AgentBadRequest,
    ),
}
_SENTENCES: dict[type[AgentError], str] = {
    AgentAuth: "the provider refuses the key",
    AgentRateLimited: "the provider asks to slow down",
    AgentOverloaded: "the provider is over capacity or failing",
    AgentTimeout: "the provider ran out of time",
    AgentBadRequest: "the provider does not accept this request",
    AgentContent: "the provider refuses the content",
    AgentProtocol: "the provider answered something unexpected",
    AgentUnavailable: "the provider reports an error",
}


class Call(msgspec.Struct, frozen=True):
    """One HTTP request to a vendor; `path` is appended to the base URL."""

    path: str
    headers: dict[str, str]
    body: bytes


class Decoder(Protocol):
    """Reads one answer. Every method raises `AgentError` for what is an error or not the protocol."""

    def event(self, event: SseEvent) -> Iterable[Piece]:
        """What an event of the stream adds."""

    def whole(self, body: bytes) -> Iterable[Piece]:
        """What an answer that did not stream holds."""

    def is_complete(self) -> bool:
        """Whether the vendor's last word has been read."""

    def completion(self) -> Completion:
        """The answer; `AgentProtocol` when its end never came."""


class Dialect(Protocol):
    """How one vendor is spoken to."""

    def call(self, prompt: Prompt, model: str, key: str) -> Call:
        """The request; `key` is "" for servers without one."""

    def decoder(self) -> Decoder:
        """A reader for one answer."""


def decoded(body: str | bytes, type_: Any) -> Any:  # Any: a Struct class, and its instance
    """JSON as `type_`. Raises AgentProtocol."""
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise AgentProtocol(_SENTENCES[AgentProtocol], detail=f"{error} ({len(body)} long)") from None


def arguments_object(text: str) -> msgspec.Raw:
    """A call's arguments for an API that wants an object: the text itself when it is one, else {}."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    return msgspec.Raw(text.encode() if isinstance(found, dict) else b"{}")


def error_of(status: int, body: bytes, retry_after_seconds: float | None = None) -> AgentError:
    """The error an answer means.

    Args:
        status: of the HTTP answer; 0 or 200 when the error stands inside a stream.
        body: JSON with `error` in any vendor's shape, or anything.
    """
    words, numbers, message, delay = _read(body)
    if retry_after_seconds is None:
        retry_after_seconds = delay
    if status < 300:
        status = next((number for number in numbers if 400 <= number <= 599), 0)
    kind = _kind(status, words)
    detail = clean(f"HTTP {status or 200} {' '.join(words)}: {message}")
    return kind(_SENTENCES[kind], retry_after_seconds=retry_after_seconds, detail=detail)


def cut_short() -> AgentProtocol:
    """The error of an answer whose end never came."""
    return AgentProtocol("the provider's answer was cut short")


def retry_after(value: str | None, milliseconds: str | None, now_seconds: float) -> float | None:
    """Seconds a vendor asks to wait, at most a day.

    Args:
        value: `Retry-After`: seconds, or an HTTP date.
        milliseconds: `Retry-After-Ms`, which some send and which is exact.
    """
    if milliseconds is not None and re.fullmatch(r"\s*\d{1,12}(\.\d{1,9})?\s*", milliseconds, re.ASCII):
        return min(float(milliseconds) / 1000.0, _RETRY_AFTER_MAX)
    return times.retry_after(value, now_seconds, _RETRY_AFTER_MAX)


def clean(text: str) -> str:
    """Text of a stranger made fit for a log line."""
    return re.sub(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+", " ", text)[:_DETAIL_CHARS].strip()


def _shown(body: str | bytes) -> str:
    return clean(body[:200] if isinstance(body, str) else body[:200].decode("utf-8", "replace"))


def _kind(status: int, words: tuple[str, ...]) -> type[AgentError]:
    lower = {word.lower() for word in words}
    if lower & _CONTENT:
        return AgentContent
    if status in (401, 402, 403) or lower & _AUTH:
        return AgentAuth
    if status:
        return _kind_of_status(status)
    return next((_WORDS[word] for word in sorted(lower) if word in _WORDS), AgentUnavailable)


def _kind_of_status(status: int) -> type[AgentError]:
    if status == 429:
        return AgentRateLimited
    if status == 408:
        return AgentTimeout
    if status >= 500:
        return AgentOverloaded
    return AgentBadRequest if status >= 400 else AgentProtocol


def _read(body: bytes) -> tuple[tuple[str, ...], tuple[int, ...], str, float | None]:
    """Words and numbers that classify the error, its message and the delay it asks for."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return (), (), _shown(body), None
    if isinstance(found, list):
        found = found[0] if found else {}
    if not isinstance(found, dict):
        return (), (), _shown(body), None
    error = found.get("error", found)
    if not isinstance(error, dict):
        return (), (), str(error), None
    places = [error, *_dicts(error.get("details")), *_dicts(error.get("innererror")), *_dicts(error.get("metadata"))]
    labels = [place[name] for place in places for name in ("code", "type", "status", "reason") if name in place]
    words = tuple(dict.fromkeys(label for label in labels if isinstance(label, str)))
    numbers = tuple(label for label in labels if isinstance(label, int))
    delay = next((_delay(place["retryDelay"]) for place in places if "retryDelay" in place), None)
    return words, numbers, str(error.get("message", error.get("detail", ""))), delay


def _dicts(value: object) -> list[dict[str, Any]]:  # Any: JSON
    values = value if isinstance(value, list) else [value]
    return [each for each in values[:16] if isinstance(each, dict)]


def _delay(value: object) -> float | None:
    return retry_after(value.removesuffix("s"), None, 0) if isinstance(value, str) else None
