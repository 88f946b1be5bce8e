"""The little that a scheme reads in a body after its signature was found good. Ring: domain. Source: webhook-signatures.md §1.1 (dedupe key)."""

from __future__ import annotations

import msgspec

_MAX_ID_CHARS, _MAX_ID_BITS = 256, 64


def members(body: bytes) -> dict[str, object]:
    """The members of a JSON object; empty when the body is none."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def text_id(value: object) -> str:
    """An id as text: a string of at most 256 characters or a whole number of at most 64 bits; "" for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if value.bit_length() <= _MAX_ID_BITS else ""
    return value if isinstance(value, str) and len(value) <= _MAX_ID_CHARS else ""
