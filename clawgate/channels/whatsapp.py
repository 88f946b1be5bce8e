"""WhatsApp through Meta's Cloud API. Ring: channels (edge). Source: zeroclaw.md A3 (/whatsapp), rantaiclaw.md §7, webhook-signatures.md (Meta)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import msgspec
from twisted.internet.defer import Deferred

from clawgate.channels import whatsapp_wire as wire
from clawgate.channels.api import Api
from clawgate.channels.payload_wire import decode
from clawgate.channels.split_wire import split
from clawgate.domain.errors import BadRequest, Forbidden
from clawgate.domain.messages import ChannelMessage
from clawgate.domain.secret import Secret
from clawgate.domain.signing.hmac_schemes import META, is_subscription
from clawgate.ports.channels import HeaderLookup, QueryLookup, no_query


class WhatsApp(msgspec.Struct, eq=False):
    """One phone number of the Cloud API.

    Attributes:
        app_secrets: any of them may have signed a delivery; none refuses every delivery.
        verify_token: what Meta presents when it subscribes; blank refuses.
    """

    api: Api
    phone_number_id: str
    verify_token: Secret
    app_secrets: tuple[Secret, ...]
    allowed: tuple[str, ...]
    name: str = wire.NAME
    title: str = wire.TITLE
    retry_safe: bool = False
    tolerance_seconds: int = 0

    def verify(self, header: HeaderLookup, body: bytes, now_seconds: float, query: QueryLookup = no_query) -> str:
        """Checks `X-Hub-Signature-256`; the scheme has no time. Raises Unauthenticated."""
        META.verify_post(header, body, self.app_secrets, now_seconds)
        return ""

    def handshake(self, query: Mapping[str, str]) -> str:
        """Meta's challenge, if it knows the token.

        Raises:
            Forbidden: another mode, another token, or no token configured. Upstream lets a blank token match a blank one; we do not.
            BadRequest: no challenge.
        """
        if not is_subscription(self.verify_token, query):
            raise Forbidden("Forbidden")
        challenge = query.get("hub.challenge")
        if challenge is None:
            raise BadRequest("Missing hub.challenge")
        return challenge

    def read(self, body: bytes, now_ms: int) -> tuple[ChannelMessage, ...]:
        """The text messages of allowed numbers, in order. Raises BadRequest when it is no JSON."""
        return wire.messages(decode(body), self.allowed, now_ms)

    def split(self, text: str) -> tuple[str, ...]:
        """Parts of at most 4,096 characters."""
        return split(text, wire.MAX_REPLY_CHARS)

    def send(self, target: str, text: str, idempotency_key: str) -> Deferred[str]:
        """Sends one part; fires with its `wamid`. The API takes no idempotency key. Errbacks with a `SendError`."""
        return Deferred.fromCoroutine(self._send(target, text))

    async def _send(self, target: str, text: str) -> str:
        answer = await self.api.post(f"/{quote(self.phone_number_id, safe='')}/messages", wire.text_request(target, text))
        self.api.check(answer, is_transient=wire.is_transient)
        return wire.receipt(answer.body)

    def stop(self) -> Deferred[None]:
        """Closes its idle connections."""
        return self.api.stop()
