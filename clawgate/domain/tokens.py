"""Bearer tokens. Ring: domain. Source: zeroclaw.md A2, design §4.6, §4.9.

A token is `<prefix>` + 64 lower-case hexadecimal digits of 32 random bytes; only the SHA-256 of the whole text is ever kept. Tokens have 256
random bits, so a fast hash is right for them (passwords are another matter).
"""

from __future__ import annotations

import hashlib
import re

from clawgate.domain.caller import ALL_SCOPES, Scope
from clawgate.domain.errors import Invalid

_HASH = re.compile(r"[0-9a-fA-F]{64}\Z")
MAX_TOKEN_CHARS = 512
"""Longer credentials are refused without hashing them."""


def new_token(prefix: str, random_bytes: bytes) -> str:
    """The token made of 32 random bytes.

    Raises:
        ValueError: there are not exactly 32 bytes.
    """
    if len(random_bytes) != 32:
        raise ValueError("a token takes 32 random bytes")
    return prefix + random_bytes.hex()


def token_hash(token: str) -> str:
    """SHA-256 of the whole token text, 64 lower-case hexadecimal digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def stored_hash(entry: str) -> str:
    """The hash that an entry of `[gateway] paired_tokens` stands for.

    64 hexadecimal digits are a hash (folded to lower case, which upstream forgot); anything else is a plain token and is hashed.
    """
    return entry.lower() if _HASH.match(entry) else token_hash(entry)


def is_hash(entry: str) -> bool:
    """Whether an entry is a hash already."""
    return _HASH.match(entry) is not None


def bearer(header: str | None, *, lower_too: bool = False) -> str | None:
    """The token of an `Authorization` value: exactly `Bearer `, one space, nothing trimmed; None when there is none or it is absurdly long.

    Args:
        lower_too: `bearer ` counts as well (rantaiclaw.md §3: on `/api/v1`).
    """
    schemes = ("Bearer ", "bearer ") if lower_too else "Bearer "
    if header is None or not header.startswith(schemes) or len(header) > MAX_TOKEN_CHARS:
        return None
    return header[7:] or None


def parse_scopes(names: tuple[str, ...]) -> frozenset[Scope]:
    """The scopes of a list such as ("read", "chat"); an empty list means all of them.

    Raises:
        Invalid: a name is no scope; the remedy lists them.
    """
    try:
        return frozenset(Scope(name) for name in names) or ALL_SCOPES
    except ValueError as problem:
        raise Invalid("scope", str(problem), "Use " + ", ".join(Scope)) from None


def earliest(*ends_ms: int) -> int:
    """The first of several ends, in milliseconds since the epoch; 0 = never."""
    return min((end for end in ends_ms if end), default=0)


def narrowed(wanted: frozenset[Scope], own: frozenset[Scope]) -> frozenset[Scope]:
    """What a caller holding `own` may hand out when it asks for `wanted`: never more than it has (GHSA-4jpw-hj22-2xmc)."""
    return wanted & own
