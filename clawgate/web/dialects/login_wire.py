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
            return root_wire.later(429, TOO_MANY, error.retry_after_seconds)
        case LockedOut():
            return root_wire.later(429, f"Too many failed logins. Try again in {error.retry_after_seconds}s.", error.retry_after_seconds)
        case NotFound():
            return 404, {"error": NOT_ENABLED}, 0
        case Unauthenticated():
            return 401, {"error": WRONG}, 0
    return root_wire.refusal(error)
