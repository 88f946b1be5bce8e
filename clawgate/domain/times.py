"""Time as text. Ring: domain. Source: contracts/construct-realtime.md §0.6, zeroclaw.md A3 (/health)."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(ms: int) -> str:
    """UTC with `+00:00` and milliseconds, as the health and device answers carry it."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def rfc3339_or_none(ms: int | None) -> str | None:
    """As `rfc3339`; None stays None."""
    return None if ms is None else rfc3339(ms)


def parse_rfc3339(text: str) -> int | None:
    """Milliseconds since the epoch, or None when `text` is no RFC 3339 time with a zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else int(moment.timestamp() * 1000)
