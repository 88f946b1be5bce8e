"""Channel webhooks: signed deliveries of messaging platforms. Ring: edge (web).

Source: zeroclaw.md A3 (/whatsapp, /linq); rantaiclaw.md §7; construct-realtime.md §13; design §4.3 (a signature route without a secret refuses).

Order: webhook limiter · configured? 404 · signature over the raw bytes 401 · replayed nonce 200 · JSON 400 · each message accepted and committed · 200. Turn
and reply happen behind it, so a platform never waits for a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from clawgate.domain import onboarding
from clawgate.domain.caller import LOCAL, OPERATOR
from clawgate.domain.errors import BadRequest, Forbidden, NotConfigured, NotFound, Unauthenticated
from clawgate.ports.channels import Channel
from clawgate.ports.clock import Clock
from clawgate.services.channel_ingress import ChannelIngress
from clawgate.services.onboarding import Onboarding
from clawgate.web.answers import Answer, json_answer, text_answer
from clawgate.web.call import Call
from clawgate.web.dialects import root_wire
from clawgate.web.documented import ANYTHING, JSON, TEXT, documented
from clawgate.web.router import Door, Router

_HANDSHAKE = ("hub.mode", "hub.verify_token", "hub.challenge")
_MOST_TTL_SECONDS = 86_400


class ChannelSurface(msgspec.Struct):
    """One platform's routes; registered whether or not it is configured, so that an unconfigured one says so."""

    name: str
    path: str
    title: str
    channels: Mapping[str, Channel]
    ingress: ChannelIngress
    clock: Clock
    has_handshake: bool = False

    def register(self, router: Router) -> None:
        """Adds the routes."""
        router.add("POST", self.path, self.deliver, auth=Door.SIGNED, limiter="webhook", summary=f"{self.title} deliveries")
        if self.has_handshake:
            router.add("GET", self.path, self.handshake, auth=Door.SIGNED, summary=f"{self.title} subscription check")

    @documented(query=dict.fromkeys(_HANDSHAKE, str), statuses=(200, 400, 403, 404), gives=(TEXT, JSON))
    async def handshake(self, call: Call) -> Answer:
        """The platform's challenge, as plain text."""
        try:
            query = {name: call.query(name) for name in _HANDSHAKE}
        except BadRequest as problem:
            return text_answer(400, str(problem))
        channel = self.channels.get(self.name)
        if channel is None:
            return text_answer(404, f"{self.title} not configured")
        try:
            return text_answer(200, channel.handshake({name: value for name, value in query.items() if value is not None}))
        except BadRequest as problem:
            return text_answer(400, str(problem))
        except (Forbidden, NotFound):
            return text_answer(403, "Forbidden")

    @documented(takes=ANYTHING, raises=(NotConfigured,))
    async def deliver(self, call: Call) -> Answer:
        """200 once every message of the delivery is on disk."""
        channel = self.channels.get(self.name)
        if channel is None:
            raise NotConfigured(self.title)

        def query(name: str) -> str | None:
            try:
                return call.query(name)
            except BadRequest:
                return None

        try:
            nonce = channel.verify(call.header, call.body, self.clock.wall_ms() / 1000, query)
        except Unauthenticated:
            return json_answer(401, {"error": root_wire.BAD_SIGNATURE})
        if await self.ingress.is_spent(channel, nonce):
            return json_answer(200, {"status": "duplicate"})
        await self.ingress.receive(channel, channel.read(call.body, self.clock.wall_ms()), call.body, nonce)
        return json_answer(200, {"status": "ok"})


class CodeBody(msgspec.Struct):
    """What an operator asks of a code for a channel.

    Attributes:
        max_uses: 0 = as many as come in time.
    """

    channel: str
    ttl_secs: Annotated[int, msgspec.Meta(ge=60, le=_MOST_TTL_SECONDS)] = 900
    max_uses: Annotated[int, msgspec.Meta(ge=0, le=onboarding.MOST_IDENTITIES)] = 1
    owner: bool = True


class ChannelDeskSurface(msgspec.Struct):
    """What an operator does with channels.

    Attributes:
        titles: of every channel there can be, by name.
    """

    onboarding: Onboarding
    channels: Mapping[str, Channel]
    titles: Mapping[str, str]

    def register(self, router: Router) -> None:
        """Adds the routes."""
        router.add("GET", "/admin/channels", self.list_channels, auth=Door.LOCAL, limiter="api", summary="Channels and whether they are configured")
        router.add("POST", "/admin/channels/codes", self.new_code, auth=Door.LOCAL, limiter="api", summary="A code for /bind and /claim")

    async def list_channels(self, call: Call) -> Answer:
        """Every channel there can be."""
        rows = [
            {
                "name": name,
                "title": title,
                "configured": name in self.channels,
                "allowed": len(self.channels[name].allowed) if name in self.channels else 0,
            }
            for name, title in self.titles.items()
        ]
        return json_answer(200, {"channels": rows})

    @documented(body=CodeBody, raises=(NotConfigured,))
    async def new_code(self, call: Call) -> Answer:
        """A code; it is shown this once."""
        body = call.json(CodeBody)
        if body.channel not in self.titles and body.channel != onboarding.GATEWAY:
            known = ", ".join((*self.titles, onboarding.GATEWAY))
            raise BadRequest(f"unknown channel; use one of: {known}")
        if body.channel == onboarding.GATEWAY and call.caller.principal not in (OPERATOR, LOCAL):
            raise Forbidden("Forbidden — only the operator on this machine makes codes for devices here")
        if body.channel in self.titles and body.channel not in self.channels:
            raise NotConfigured(self.titles[body.channel])
        grant_owner = body.owner and body.channel != onboarding.GATEWAY
        code = await self.onboarding.issue(
            body.channel,
            ttl_seconds=body.ttl_secs,
            max_uses=body.max_uses or None,
            grant_owner=grant_owner,
            issuer=call.caller.principal,
        )
        return json_answer(
            200, {"code": code, "channel": body.channel, "ttl_secs": body.ttl_secs, "max_uses": body.max_uses, "grant_owner": grant_owner}
        )
