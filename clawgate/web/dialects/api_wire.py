"""The refusals of `/api/v1`: `{"error": code, "detail": text}`. Ring: edge, under the domain rule. Source: rantaiclaw.md §1, §3, §4; design §4.4.

Upstream's extractors answer 415, 400 and 422 in plain text and before they look at the credential; here the statuses stay, the body is the family's, and the
credential comes first.
"""

from __future__ import annotations

from clawgate.domain.errors import (
    AgentError,
    BadRequest,
    Conflict,
    Forbidden,
    GatewayError,
    LockedOut,
    NotFound,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
    WrongShape,
)
from clawgate.web.dialects.root_wire import UNAVAILABLE, Refusal

UNAUTHORIZED = "Pair via POST /pair, then send `Authorization: Bearer <token>`."
RATE_LIMITED = "Too many requests to /api/v1. Raise [gateway].api_rate_limit_per_minute if this is legitimate traffic."


def failure(status: int, code: str, detail: str = "", seconds: int = 0, **more: object) -> Refusal:
    """One refusal; `detail` "" is left out."""
    body: dict[str, object] = {"error": code} | ({"detail": detail} if detail else {}) | more
    return status, body, seconds


def refusal(error: GatewayError) -> Refusal:
    """The answer to an error."""
    match error:
        case RateLimited() | LockedOut():
            return failure(429, "rate_limited", RATE_LIMITED, error.retry_after_seconds, retry_after=error.retry_after_seconds)
        case Unavailable():
            return failure(503, "unavailable", UNAVAILABLE, error.retry_after_seconds, retry_after=error.retry_after_seconds)
        case Unauthenticated():
            return failure(401, "unauthorized", UNAUTHORIZED)
        case AgentError():
            return failure(500, "internal_error", str(error))
        case NotFound():
            return failure(404, "not_found", _said(error))
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            return failure(status, code, _said(error))
    return failure(500, "internal_error", "Internal error")


_STATUS: tuple[tuple[type[GatewayError], int, str], ...] = (
    (UnsupportedMedia, 415, "unsupported_media_type"),
    (WrongShape, 422, "unprocessable"),
    (BadRequest, 400, "bad_request"),
    (Forbidden, 403, "forbidden"),
    (Conflict, 409, "conflict"),
    (TooLarge, 413, "too_large"),
)


def _said(error: GatewayError) -> str:
    """The error's own sentence; an error without one says nothing."""
    text = str(error)
    return "" if text == type(error).__name__ else text
