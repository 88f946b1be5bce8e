"""Sentences and refusals of `/triggers`. Ring: edge, under the domain rule. Source: rantaiclaw.md §3, §4, §8."""

from __future__ import annotations

from clawgate.domain.errors import GatewayError, RateLimited
from clawgate.domain.triggers import NoTrigger
from clawgate.web.dialects import root_wire

UNAUTHORIZED = "Unauthorized — pair first via POST /pair"
TOO_MANY = "Too many trigger requests. Please retry later."
FAILED = "Trigger execution failed"


def refusal(error: GatewayError) -> root_wire.Refusal:
    """The answer to an error: the root family's, in words of triggers."""
    match error:
        case RateLimited(limiter="webhook"):
            return root_wire.later(429, TOO_MANY, error.retry_after_seconds)
        case NoTrigger():
            return 404, {"error": str(error), "available_routes": list(error.available)}, 0
    return root_wire.refusal(error, unauthorized=UNAUTHORIZED)
