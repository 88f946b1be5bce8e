"""A messaging platform: what it delivers to us and how replies go back. Ring: ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from twisted.internet.defer import Deferred

from clawgate.domain.messages import ChannelMessage

HeaderLookup = Callable[[str], str | None]
"""The first value of a header by its lower-case name, or None."""
QueryLookup = Callable[[str], str | None]
"""The one value of a query parameter, or None; also None where it cannot be read."""


def no_query(name: str) -> str | None:
    """The look-up in a request without a query."""
    return None


class Channel(Protocol):
    """One configured channel.

    Attributes:
        name: "whatsapp", "linq", …; also its path, without the slash.
        title: as users know it: "WhatsApp".
        retry_safe: sending the same part twice is harmless (the platform takes an idempotency key), so an unanswered send is repeated.
        tolerance_seconds: how old a signed delivery may be; 0 = the scheme has no time.
        allowed: senders that are answered, `*` = all, empty = none; replaced while the channel runs.
    """

    name: str
    title: str
    retry_safe: bool
    tolerance_seconds: int
    allowed: tuple[str, ...]

    def verify(self, header: HeaderLookup, body: bytes, now_seconds: float, query: QueryLookup = no_query) -> str:
        """Checks the delivery's signature over the raw bytes. Fails closed: no secret configured refuses.

        Returns:
            The delivery's nonce, which is accepted once; "" when the scheme has none.

        Raises:
            NoSecret: none is configured.
            Unauthenticated: missing, stale or wrong signature.
        """

    def handshake(self, query: Mapping[str, str]) -> str:
        """Answers a platform's subscription check (GET). Raises Forbidden or BadRequest; NotFound when the platform has none."""

    def read(self, body: bytes, now_ms: int) -> tuple[ChannelMessage, ...]:
        """The messages of a verified delivery that are to be answered, in order; empty when there is nothing to do. Raises BadRequest.

        From senders that are not allowed: their pairing commands (`domain.onboarding`) and nothing else.
        """

    def split(self, text: str) -> tuple[str, ...]:
        """The parts in which a reply of any length is sent."""

    def send(self, target: str, text: str, idempotency_key: str) -> Deferred[str]:
        """Delivers one part; fires with the platform's receipt, "" if it gives none. Errbacks with a `SendError`."""

    def stop(self) -> Deferred[None]:
        """Closes its connections."""
