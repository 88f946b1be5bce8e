"""What the platforms' JSON payloads have in common. Ring: channels (wire). Source: zeroclaw.md A3 ("every structural mismatch just skips that branch").

A platform's payload is foreign ground: nothing in it is required, nothing is believed to have its type.
"""

from __future__ import annotations

import msgspec

from clawgate.domain import onboarding
from clawgate.domain.errors import BadRequest

INVALID_JSON = "Invalid JSON payload"


def decode(body: bytes) -> object:
    """The body as plain JSON values.

    Raises:
        BadRequest: it is no JSON; the text is the contract's.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest(INVALID_JSON) from None


def child(value: object, key: str) -> object:
    """What stands under `key`; None when `value` is no object or has no such key."""
    return value.get(key) if isinstance(value, dict) else None


def path(value: object, *keys: str) -> object:
    """What stands at the end of `keys`, or None."""
    for key in keys:
        value = child(value, key)
    return value


def items(value: object, key: str) -> list[object]:
    """The array under `key`; anything else is an empty one."""
    found = child(value, key)
    return found if isinstance(found, list) else []


def text(value: object) -> str:
    """A string; anything else is ""."""
    return value if isinstance(value, str) else ""


def first_text(*candidates: object) -> str:
    """The first non-empty string among them, or ""."""
    return next((candidate for candidate in candidates if isinstance(candidate, str) and candidate), "")


def with_plus(number: str) -> str:
    """A sender in the form of the allow-lists; nothing but a missing `+` is changed."""
    return number if number.startswith("+") else f"+{number}"


def is_allowed(sender: str, allowed: tuple[str, ...]) -> bool:
    """Whether this sender is answered: listed exactly, or `*` is. An empty list denies all."""
    return "*" in allowed or sender in allowed


def is_heard(sender: str, text: str, allowed: tuple[str, ...]) -> bool:
    """Whether this message is read: its sender is answered, or it is the command by which a stranger gets in."""
    return is_allowed(sender, allowed) or onboarding.parse(text) is not None


def encodable(reply: str) -> str:
    """The text as it can be sent as UTF-8: a lone surrogate out of a model's broken escape becomes `?`."""
    return reply.encode("utf-8", "replace").decode("utf-8")
