"""Webhooks of messaging platforms: `/whatsapp`, `/linq`, … Ring: edge (web).

Source: zeroclaw.md A3 (/whatsapp, /linq); rantaiclaw.md §7; construct-realtime.md §13; design §4.3 (a signature route without a secret refuses).

Order: webhook limiter · configured? 404 · signature over the raw bytes 401 · JSON 400 · each message accepted and committed · 200. Turn and reply happen
behind it, so a platform never waits for a model.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define

from clawgate.domain.errors import BadRequest, Forbidden, NotConfigured, NotFound, Unauthenticated
from clawgate.domain.idempotency import from_delivery, from_platform
from clawgate.domain.messages import ChannelMessage, DedupeKey, Inbound, ReplyTo, conversation_key, is_storable, memory_key
from clawgate.ports.channels import Channel
from clawgate.ports.clock import Clock, Ids
from clawgate.ports.events import Meter
from clawgate.services.ingress import Ingress
from clawgate.web.answers import Answer, json_answer, text_answer
from clawgate.web.call import Call
from clawgate.web.dialects import root_wire
from clawgate.web.router import Door, Router

_HANDSHAKE = ("hub.mode", "hub.verify_token", "hub.challenge")


@define
class ChannelSurface:
    """One platform's routes; registered whether or not it is configured, so that an unconfigured one says so."""

    name: str
    title: str
    channels: Mapping[str, Channel]
    ingress: Ingress
    clock: Clock
    ids: Ids
    meter: Meter
    has_handshake: bool = False

    def register(self, router: Router) -> None:
        """Adds the routes."""
        path = f"/{self.name}"
        router.add("POST", path, self.deliver, auth=Door.SIGNED, limiter="webhook", summary=f"{self.title} deliveries")
        if self.has_handshake:
            router.add("GET", path, self.handshake, auth=Door.SIGNED, summary=f"{self.title} subscription check")

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

    async def deliver(self, call: Call) -> Answer:
        """200 once every message of the delivery is on disk."""
        channel = self.channels.get(self.name)
        if channel is None:
            raise NotConfigured(self.title)
        try:
            channel.verify(call.header, call.body, self.clock.wall_ms() / 1000)
        except Unauthenticated:
            return json_answer(401, {"error": root_wire.BAD_SIGNATURE})
        for position, message in enumerate(channel.read(call.body, self.clock.wall_ms())):
            if is_storable(message.text):
                self.meter.count("channel_messages_total", self.name, "inbound")
                key = from_platform(self.name, message.message_id or "", channel.tolerance_seconds)
                key = key or from_delivery(self.name, call.body, position, channel.tolerance_seconds)
                await self.ingress.accept(self._inbound(message, key))
        return json_answer(200, {"status": "ok"})

    def _inbound(self, message: ChannelMessage, dedupe: DedupeKey) -> Inbound:
        name = self.name
        return Inbound(
            source=name,
            principal=f"channel:{name}",
            text=message.text,
            conversation=conversation_key(name, message.target),
            dedupe=dedupe,
            reply=ReplyTo(name, message.target),
            memory_key=memory_key(name, message.sender, message.message_id or self.ids.uuid()),
        )
