"""Nextcloud Talk. Ring: channels (edge). Source: rantaiclaw.md §7, design §4.19, webhook-signatures.md §1.1."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from twisted.internet.defer import Deferred

from clawgate.channels import nextcloud_talk_wire as wire
from clawgate.channels.api import Api
from clawgate.channels.payload_wire import decode
from clawgate.channels.split_wire import split
from clawgate.domain.errors import NotFound, SendRefused
from clawgate.domain.messages import ChannelMessage
from clawgate.domain.secret import Secret
from clawgate.domain.signing.hmac_schemes import NEXTCLOUD_TALK, trimmed_random
from clawgate.ports.channels import HeaderLookup, QueryLookup, no_query


class NextcloudTalk(msgspec.Struct, eq=False):
    """One Nextcloud.

    Attributes:
        webhook_secrets: any of them may have signed a delivery; the first signs a bot's replies; none refuses every delivery.
    """

    api: Api
    webhook_secrets: tuple[Secret, ...]
    allowed: tuple[str, ...]
    name: str = wire.NAME
    title: str = wire.TITLE
    retry_safe: bool = False
    tolerance_seconds: int = 0

    def __post_init__(self) -> None:
        for secret in self.webhook_secrets:
            self.api.redact.register(secret)

    def verify(self, header: HeaderLookup, body: bytes, now_seconds: float, query: QueryLookup = no_query) -> str:
        """Checks the signature over random and body; the random is the nonce. Raises Unauthenticated."""
        NEXTCLOUD_TALK.verify_post(header, body, self.webhook_secrets, now_seconds)
        return trimmed_random(header("x-nextcloud-talk-random"))

    def handshake(self, query: Mapping[str, str]) -> str:
        """Nextcloud has none: raises NotFound."""
        raise NotFound("Nextcloud Talk has no subscription check")

    def read(self, body: bytes, now_ms: int) -> tuple[ChannelMessage, ...]:
        """At most one message. Raises BadRequest when it is no JSON."""
        return wire.messages(decode(body), self.allowed, now_ms)

    def split(self, text: str) -> tuple[str, ...]:
        """Parts of at most 32,000 characters."""
        return split(text, wire.MAX_REPLY_CHARS)

    def send(self, target: str, text: str, idempotency_key: str) -> Deferred[str]:
        """Sends one part into its room, as the bot or as the app's user. Errbacks with a `SendError`."""
        return Deferred.fromCoroutine(self._send(target, text, idempotency_key))

    async def _send(self, target: str, text: str, idempotency_key: str) -> str:
        is_bot = target.startswith(wire.BOT)
        secret = next((secret.reveal().encode() for secret in self.webhook_secrets if secret), b"")
        if is_bot and not secret:
            raise SendRefused("a Nextcloud Talk bot cannot reply without its secret")
        headers = wire.reply_headers(target, text, secret, idempotency_key)
        answer = await self.api.post(wire.reply_path(target), wire.reply_request(text), headers, is_bearer=not is_bot)
        self.api.check(answer)
        return wire.receipt(answer.body)

    def stop(self) -> Deferred[None]:
        """Closes its idle connections."""
        return self.api.stop()
