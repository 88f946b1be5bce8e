"""WATI: WhatsApp through its API. Ring: channels (edge). Source: design §4.19 ("`/wati` with a required shared token").

WATI signs nothing. Its deliveries carry a token that the operator chose, in `Authorization: Bearer`, in `X-Webhook-Token`, or, because its webhook form
takes only a URL, as `?token=`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from twisted.internet.defer import Deferred

from clawgate.channels import wati_wire as wire
from clawgate.channels.api import Api
from clawgate.channels.payload_wire import decode
from clawgate.domain.errors import NotFound, SendRefused
from clawgate.domain.messages import ChannelMessage
from clawgate.domain.secret import Secret
from clawgate.domain.signing.primitives import require_token
from clawgate.ports.channels import HeaderLookup, QueryLookup, no_query


class Wati(msgspec.Struct, eq=False):
    """One WATI account.

    Attributes:
        webhook_tokens: any of them opens the door; none refuses every delivery.
        tenant_id: prefix of numbers on a shared account, "" = none.
    """

    api: Api
    webhook_tokens: tuple[Secret, ...]
    allowed: tuple[str, ...]
    tenant_id: str = ""
    name: str = wire.NAME
    title: str = wire.TITLE
    retry_safe: bool = False
    tolerance_seconds: int = 0

    def __post_init__(self) -> None:
        for secret in self.webhook_tokens:
            self.api.redact.register(secret)

    def verify(self, header: HeaderLookup, body: bytes, now_seconds: float, query: QueryLookup = no_query) -> str:
        """Checks the shared token. Raises Unauthenticated."""
        places = (wire.presented(header("authorization")), header("x-webhook-token"), query("token"))
        require_token(self.webhook_tokens, *places)
        return ""

    def handshake(self, query: Mapping[str, str]) -> str:
        """WATI has none that proves anything: raises NotFound."""
        raise NotFound("WATI has no subscription check")

    def read(self, body: bytes, now_ms: int) -> tuple[ChannelMessage, ...]:
        """At most one message. Raises BadRequest when it is no JSON."""
        return wire.messages(decode(body), self.allowed, now_ms)

    def split(self, text: str) -> tuple[str, ...]:
        """Parts that fit into a URL."""
        return wire.split(text)

    def send(self, target: str, text: str, idempotency_key: str) -> Deferred[str]:
        """Sends one part to its number. Errbacks with a `SendError`."""
        return Deferred.fromCoroutine(self._send(target, text))

    async def _send(self, target: str, text: str) -> str:
        answer = await self.api.post(wire.reply_path(target, text, self.tenant_id), b"")
        self.api.check(answer)
        if wire.is_refusal(answer.body):
            raise SendRefused("WATI took nothing: the customer's session is over, or the number is unknown")
        return wire.receipt(answer.body)

    def stop(self) -> Deferred[None]:
        """Closes its idle connections."""
        return self.api.stop()
