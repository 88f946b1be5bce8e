"""Time as text. Ring: domain. Source: contracts/construct-realtime.md §0.6, zeroclaw.md A3 (/health)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,20})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_SECONDS = re.compile(r"\d{1,12}(?:\.\d{1,9})?", re.ASCII)


@lru_cache(maxsize=256)
def rfc3339(ms: int) -> str:
    """UTC with `+00:00` and milliseconds, as the health and device answers carry it."""
    return (_EPOCH + ms * _MILLISECOND).isoformat(timespec="milliseconds")


def rfc3339_or_none(ms: int | None) -> str | None:
    """As `rfc3339`; None stays None."""
    return None if ms is None else rfc3339(ms)


def parse_rfc3339(text: str) -> int | None:
    """Milliseconds since the epoch, or None when `text` is no RFC 3339 time with a zone; finer fractions are cut, never rounded up."""
    if not _RFC3339.fullmatch(text):
        return None
    try:
        return (datetime.fromisoformat(text.upper()) - _EPOCH) // _MILLISECOND
    except ValueError:
        return None


def retry_after(value: str | None, now_seconds: float, most_seconds: float) -> float | None:
    """Seconds that a `Retry-After` header asks to wait, 0 … `most_seconds`; None when it is neither a number nor a date (RFC 9110 §10.2.3).

    A date without a zone is UTC.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), most_seconds)
    try:
        moment = parsedate_to_datetime(text)
        seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now_seconds
    except (ValueError, OverflowError, OSError):
        return None
    return min(max(seconds, 0.0), most_seconds)
