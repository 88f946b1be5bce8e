"""When two requests are the same request. Ring: domain. Source: zeroclaw.md A1.8, design §4.5, rantaiclaw.md §20.2.

The records themselves are durable rows beside the inbox (`ports.stores.Inbox.accept`); this module names the keys and their retention.
"""

from __future__ import annotations

import hashlib
import re

from clawgate.domain.messages import DedupeKey

MIN_PLATFORM_RETENTION_SECONDS = 24 * 3600
TIMELESS_RETENTION_SECONDS = 7 * MIN_PLATFORM_RETENTION_SECONDS
"""For deliveries that sign no time: a copy of one stays genuine for as long as its secret does."""
MAX_KEY_CHARS = 512
_DIGEST_BYTES = 16
"""Of a signed delivery's digest. Only whoever knows the secret could look for two with the same half, and lose one of their own."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def from_header(value: str | None, principal: str, ttl_seconds: int) -> DedupeKey | None:
    """The key of an `X-Idempotency-Key` value: trimmed; blank or missing means none.

    A very long key is still a key: its digest stands for it.
    """
    key = (value or "").strip()
    if not key:
        return None
    return DedupeKey(f"key:{principal}", _bounded(key), max(ttl_seconds, 1))


def from_platform(channel: str, message_id: str, tolerance_seconds: int = 0) -> DedupeKey | None:
    """The key of a platform's own message id: at least a day, and never less than twice the scheme's tolerance.

    A blank id names nothing: None, or all messages without an id would be copies of the first one.
    """
    if not message_id.strip():
        return None
    return DedupeKey(f"channel:{channel}", _bounded(message_id), max(MIN_PLATFORM_RETENTION_SECONDS, 2 * tolerance_seconds))


def from_delivery(channel: str, body: bytes, position: int, tolerance_seconds: int = 0) -> DedupeKey:
    """The key of a message without an id: its place in the signed body. A second copy of the same signed bytes is recognised (rantaiclaw.md §20.4)."""
    digest = hashlib.sha256(body).hexdigest()
    return DedupeKey(f"channel:{channel}", f"body:{digest}:{position}", max(MIN_PLATFORM_RETENTION_SECONDS, 2 * tolerance_seconds))


def from_signature(hook: str, *, signed_id: str, digest: bytes, tolerance_seconds: int | None) -> DedupeKey:
    """The key of a hook's delivery: its id where that is signed, else the digest of what was signed, which no other spelling of a signature changes.

    An id that is not signed would be changed by whoever replays (webhook-signatures.md §1).

    Args:
        tolerance_seconds: how far the signed time may be off; None = no time was signed.
    """
    key = _bounded(f"id:{signed_id}") if signed_id.strip() else f"digest:{digest[:_DIGEST_BYTES].hex()}"
    kept = TIMELESS_RETENTION_SECONDS if tolerance_seconds is None else max(MIN_PLATFORM_RETENTION_SECONDS, 2 * tolerance_seconds)
    return DedupeKey(f"hook:{hook}", key, kept)


def _bounded(key: str) -> str:
    """The key itself, or its digest when it is very long or holds lone surrogates, which no store could write."""
    if len(key) <= MAX_KEY_CHARS and not _SURROGATE.search(key):
        return key
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
