"""Linq: iMessage, RCS and SMS. Ring: channels (edge). Source: zeroclaw.md A3 (/linq), rantaiclaw.md §7, construct-realtime.md §13."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from twisted.internet.defer import Deferred

from clawgate.channels import linq_wire as wire
from clawgate.channels.api import Api
from clawgate.channels.payload_wire import decode
from clawgate.channels.split_wire import split
from clawgate.domain.errors import NotFound
from clawgate.domain.messages import ChannelMessage
from clawgate.domain.secret import Secret
from clawgate.domain.signing.hmac_schemes import LINQ
from clawgate.ports.channels import HeaderLookup, QueryLookup, no_query

_UNKNOWN_CHAT = 404


class Linq(msgspec.Struct, eq=False):
    """One Linq number.

    Attributes:
        signing_secrets: any of them may have signed a delivery; none refuses every delivery.
    """

    api: Api
    from_phone: str
    signing_secrets: tuple[Secret, ...]
    allowed: tuple[str, ...]
    name: str = wire.NAME
    title: str = wire.TITLE
    retry_safe: bool = False
    tolerance_seconds: int = LINQ.tolerance_seconds

    def verify(self, header: HeaderLookup, body: bytes, now_seconds: float, query: QueryLookup = no_query) -> str:
        """Checks the timestamp and the signature over both. Raises Unauthenticated."""
        LINQ.verify_post(header, body, self.signing_secrets, now_seconds)
        return ""

    def handshake(self, query: Mapping[str, str]) -> str:
        """Linq has none: raises NotFound."""
        raise NotFound("Linq has no subscription check")

    def read(self, body: bytes, now_ms: int) -> tuple[ChannelMessage, ...]:
        """At most one message. Raises BadRequest when it is no JSON."""
        return wire.messages(decode(body), self.allowed, now_ms)

    def split(self, text: str) -> tuple[str, ...]:
        """Parts of at most 4,096 characters."""
        return split(text, wire.MAX_REPLY_CHARS)

    def send(self, target: str, text: str, idempotency_key: str) -> Deferred[str]:
        """Sends one part into its chat, or opens a chat with it when there is none. Errbacks with a `SendError`."""
        return Deferred.fromCoroutine(self._send(target, text))

    async def _send(self, target: str, text: str) -> str:
        answer = await self.api.post(wire.reply_path(target), wire.reply_request(text))
        if answer.status == _UNKNOWN_CHAT:
            answer = await self.api.post(wire.NEW_CHAT_PATH, wire.new_chat_request(self.from_phone, target, text))
        self.api.check(answer)
        return wire.receipt(answer.body)

    def stop(self) -> Deferred[None]:
        """Closes its idle connections."""
        return self.api.stop()
