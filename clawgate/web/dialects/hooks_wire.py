"""Sentences and refusals of `/hooks`. Ring: edge, under the domain rule. Source: webhook-signatures.md §1; design §4.3, §4.4.

A sender is not told why its delivery is not genuine, nor whether the hook has a secret at all: that is in the log and in `clawgate check`.
"""

from __future__ import annotations

from clawgate.domain.errors import GatewayError, NoSecret, NotFound, RateLimited, Unauthenticated
from clawgate.web.dialects import root_wire

TOO_MANY = "Too many deliveries. Please retry later."
FAILED = "Hook execution failed"


def refusal(error: GatewayError) -> root_wire.Refusal:
    """The answer to an error: the root family's, in words of hooks."""
    match error:
        case NoSecret() | Unauthenticated():
            return 401, {"error": root_wire.BAD_SIGNATURE}, 0
        case RateLimited():
            return root_wire.later(429, TOO_MANY, error.retry_after_seconds)
        case NotFound():
            return 404, {"error": "Not found"}, 0
    return root_wire.refusal(error)
