"""The frames and refusals of `/api/events` and `/api/daemon/logs`. Ring: edge, under the domain rule. Source: construct-realtime.md §7."""

from __future__ import annotations

from clawgate.domain.errors import GatewayError
from clawgate.domain.events import BusEvent, LogLine
from clawgate.domain.times import rfc3339
from clawgate.web.dialects import root_wire

UNAUTHORIZED = "Unauthorized — provide Authorization: Bearer <token>"
NO_LOG = "daemon log not readable: this process writes it with somebody else's observer"
TOO_MANY = "too many event streams are open"


def refusal(error: GatewayError) -> root_wire.Refusal:
    """The answer to an error."""
    return root_wire.refusal(error, unauthorized=UNAUTHORIZED)


def frame(event: BusEvent) -> dict[str, object]:
    """One event; `type` and `timestamp` are the bus's, whatever its data say."""
    return {**event.data, "type": event.kind, "timestamp": rfc3339(event.at_ms)}


def numbered(event: BusEvent) -> dict[str, object]:
    """One event of the history, with the number that `after` takes."""
    return {**frame(event), "number": event.number}


def lagged(missed: int) -> dict[str, object]:
    """What a client is told that did not keep up."""
    return {"type": "lagged", "missed": missed}


def ticket(text: str, seconds: int) -> dict[str, object]:
    """A ticket and how long it lasts."""
    return {"ticket": text, "expires_in": seconds}


def log_frames(line: LogLine) -> list[dict[str, object]]:
    """A line of the log, and one frame for each line of its traceback; blank ones are left out."""
    return [{"type": "log", "line": part, "timestamp": rfc3339(line.at_ms)} for part in line.text.split("\n") if part.strip()]


def no_log(now_ms: int) -> dict[str, object]:
    """The log is somewhere else."""
    return {"type": "log_unavailable", "line": NO_LOG, "timestamp": rfc3339(now_ms)}
