"""The texts of `POST /login`. Ring: edge, under the domain rule. Source: rantaiclaw.md §4, §5."""

from __future__ import annotations

from clawgate.domain.errors import GatewayError, LockedOut, NotFound, RateLimited, Unauthenticated
from clawgate.web.dialects import root_wire
from clawgate.web.dialects.root_wire import Refusal

NOT_ENABLED = "Console login is not enabled"
WRONG = "Invalid username or password"
TOO_MANY = "Too many login requests. Please retry later."


def refusal(error: GatewayError) -> Refusal:
    """The answer to an error."""
    match error:
        case RateLimited(limiter="pair"):
            seconds = error.retry_after_seconds
            return 429, {"error": TOO_MANY, "retry_after": seconds}, seconds
        case LockedOut():
            seconds = error.retry_after_seconds
            return 429, {"error": f"Too many failed logins. Try again in {seconds}s.", "retry_after": seconds}, seconds
        case NotFound():
            return 404, {"error": NOT_ENABLED}, 0
        case Unauthenticated():
            return 401, {"error": WRONG}, 0
    return root_wire.refusal(error)
