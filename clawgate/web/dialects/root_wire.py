"""The root family's refusals: `{"error": text}`. Ring: edge, under the domain rule.

Source: zeroclaw.md A3 (/pair, /webhook), B1, B2; rantaiclaw.md §1; construct-realtime.md §0.2; design §4.4. Numbered quirks are in
docs/reference/compatibility.md.
"""

from __future__ import annotations

import json

from clawgate.domain.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    GatewayError,
    LockedOut,
    NoHandshake,
    NoSecret,
    NotConfigured,
    NotFound,
    RateLimited,
    SwitchedOff,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
    WrongShape,
)
from clawgate.domain.journal import ToolStep

UNAUTHORIZED = "Unauthorized — pair first via POST /pair, then send Authorization: Bearer <token>"
BAD_WEBHOOK_SECRET = "Unauthorized — invalid or missing X-Webhook-Secret header"
BAD_WEBHOOK_BODY = 'Invalid JSON body. Expected: {"message": "..."}'
PAIRED = "Save this token — use it as Authorization: Bearer <token>"
PAIRED_UNSAVED = "Paired for this process, but failed to persist token to config.toml. Check config path and write permissions."
BAD_CODE = "Invalid pairing code"
LOCAL_ONLY = "Admin endpoints are restricted to localhost"
LLM_FAILED = "LLM request failed"
DUPLICATE = "Request already processed for this idempotency key"
BAD_SIGNATURE = "Invalid signature"
UNAVAILABLE = "Service temporarily unavailable. Please retry later."
NO_CHANNEL_SECRET = "Webhook authentication not configured"

_RATE_TEXTS = {
    "pair": "Too many pairing requests. Please retry later.",
    "webhook": "Too many webhook requests. Please retry later.",
    "api": "Too many requests. Please retry later.",
}

Refusal = tuple[int, dict[str, object], int]
"""Status, JSON object, and the seconds of a `Retry-After` header (0 = none)."""


def refusal(error: GatewayError, *, unauthorized: str = UNAUTHORIZED) -> Refusal:
    """The answer to an error.

    Args:
        unauthorized: the 401 text of this route's family.
    """
    match error:
        case RateLimited(limiter="auth"):
            return later(429, f"Too many auth attempts. Try again in {error.retry_after_seconds}s.", error.retry_after_seconds)
        case RateLimited():
            return later(429, _RATE_TEXTS.get(error.limiter, _RATE_TEXTS["api"]), error.retry_after_seconds)
        case LockedOut():
            return later(429, f"Too many failed attempts. Try again in {error.retry_after_seconds}s.", error.retry_after_seconds)
        case Unavailable():
            return later(503, UNAVAILABLE, error.retry_after_seconds)
        case NoSecret():
            return 401, {"error": NO_CHANNEL_SECRET}, 0
        case Unauthenticated():
            return 401, {"error": unauthorized}, 0
        case NotConfigured():
            return 404, {"error": str(error)}, 0
        case NotFound():
            return 404, {"error": "Not found"}, 0
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status, {"error": str(error)}, 0
    return 500, {"error": "Internal error"}, 0


_STATUS: tuple[tuple[type[GatewayError], int], ...] = (
    (UnsupportedMedia, 415),
    (NoHandshake, 426),
    (WrongShape, 422),
    (BadRequest, 400),
    (Forbidden, 403),
    (Conflict, 409),
    (SwitchedOff, 503),
    (TooLarge, 413),
)


def has_twice(body: bytes, name: str) -> bool:
    """Whether a JSON object that has been decoded already holds a field twice: upstream refuses that, and the last one silently wins elsewhere.

    Also where nobody can tell: a value nested so deeply that it can be skipped and not be read.
    """
    if body.count(b'"%b"' % name.encode()) < 2 and b"\\u" not in body:
        return False
    names: list[list[str]] = []
    try:
        # A number of thousands of digits is no reason to fail, so none is read.
        json.loads(body, object_pairs_hook=lambda pairs: names.append([key for key, _ in pairs]), parse_int=str, parse_float=str)
    except RecursionError:
        return True
    return names[-1].count(name) > 1


def tool_calls(steps: tuple[ToolStep, ...]) -> dict[str, object]:
    """The field `tool_calls` of a finished answer; nothing when there were none (rantaiclaw.md §6)."""
    called = [
        {"toolCallId": f"tc_{number}", "toolName": step.call.name, "input": _input(step.call.arguments), "output": step.result or "completed"}
        for number, step in enumerate(steps)
    ]
    return {"tool_calls": called} if called else {}


def _input(arguments: str) -> object:
    try:
        return json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments


def later(status: int, text: str, seconds: int) -> Refusal:
    """A refusal that says when to come back."""
    return status, {"error": text, "retry_after": seconds}, seconds
