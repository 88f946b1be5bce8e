"""A value that does not print itself. Ring: domain."""

from __future__ import annotations

import hashlib
import hmac


class Secret:
    """Text that stays out of repr, str, logs and comparisons with plain text.

    Two secrets compare equal through fixed-length digests in constant time.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself: for the one line that sends or signs with it."""
        return self._text

    def matches(self, presented: str) -> bool:
        """Whether `presented` is this secret; time does not depend on where they differ or how long they are."""
        return hmac.compare_digest(digest(self._text), digest(presented))

    def __bool__(self) -> bool:
        return bool(self._text.strip())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._text)

    def __hash__(self) -> int:
        return hash(digest(self._text))

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__


def digest(text: str) -> bytes:
    """SHA-256 of the text's UTF-8; lone surrogates (hostile headers) are hashed, not refused."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
