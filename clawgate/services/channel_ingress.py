"""What becomes of a channel's message: a command, an answer to a question, or something for the agent. Ring: services.

Source: rantaiclaw.md §7, §13, §20.1; design §1, §4.15.

    pairing command          obeyed; the reply goes out with the accept; neither agent nor memory sees its text
    answer to a question     the original message runs again, or a fixed sentence goes out
    anything else            the agent's

A copy of a message that was accepted before does nothing at all, whatever has been asked in the chat since.
"""

from __future__ import annotations

import hashlib

import msgspec

from clawgate.domain import onboarding
from clawgate.domain.errors import Conflict
from clawgate.domain.idempotency import MIN_PLATFORM_RETENTION_SECONDS, from_delivery, from_platform
from clawgate.domain.messages import (
    Attendance,
    ChannelMessage,
    DedupeKey,
    Inbound,
    ReplyTo,
    TurnOptions,
    conversation_key,
    is_storable,
    memory_key,
)
from clawgate.domain.onboarding import Command
from clawgate.ports.channels import Channel
from clawgate.ports.clock import Clock, Ids
from clawgate.ports.events import Meter
from clawgate.ports.journal import Facts
from clawgate.ports.stores import FactKey, Inbox
from clawgate.services.chat_approvals import ChatApprovals, Ordinary, Replay, Say
from clawgate.services.delivery import Delivery
from clawgate.services.ingress import Ingress
from clawgate.services.onboarding import Onboarding

NONCES = "nonce"
_NONCE_SECONDS = 7 * MIN_PLATFORM_RETENTION_SECONDS
_MOST_LOOKS = 3


class ChannelIngress(msgspec.Struct):
    """Takes channels' messages in."""

    inbox: Inbox
    facts: Facts
    ingress: Ingress
    delivery: Delivery
    onboarding: Onboarding
    approvals: ChatApprovals
    clock: Clock
    ids: Ids
    meter: Meter

    async def is_spent(self, channel: Channel, nonce: str) -> bool:
        """Whether a delivery with this nonce was taken in before; "" never was."""
        return bool(nonce) and await self.facts.get(NONCES, _nonce(channel, nonce), self.clock.wall_ms()) is not None

    async def receive(self, channel: Channel, messages: tuple[ChannelMessage, ...], body: bytes, nonce: str) -> None:
        """Takes in the messages of one delivery, in order; everything is on disk when this returns.

        The nonce is remembered last: a delivery that was taken in by half is no replay when it comes again, and its messages are known by their keys.

        Raises:
            Draining, Overloaded, StoreUnavailable: some may have been accepted; the delivery may come again.
        """
        for position, message in enumerate(messages):
            if is_storable(message.text):
                self.meter.count("channel_messages_total", channel.name, "inbound")
                key = from_platform(channel.name, message.message_id or "", channel.tolerance_seconds)
                await self._take(channel, message, key or from_delivery(channel.name, body, position, channel.tolerance_seconds))
        if nonce:
            await self.facts.put(NONCES, _nonce(channel, nonce), "", self.clock.wall_ms() + _NONCE_SECONDS * 1000)

    async def _take(self, channel: Channel, message: ChannelMessage, dedupe: DedupeKey) -> None:
        command = onboarding.parse(message.text)
        conversation = conversation_key(channel.name, message.target)
        options = TurnOptions(attendance=Attendance.CHAT, sender=message.sender)
        inbound = Inbound(
            source=channel.name,
            principal=f"channel:{channel.name}",
            text=message.text,
            conversation=conversation,
            dedupe=dedupe,
            reply=ReplyTo(channel.name, message.target),
            memory_key=memory_key(channel.name, message.sender, message.message_id or self.ids.uuid()),
            options=options,
        )
        if command is not None:
            await self._obey(inbound, dedupe, message.sender, command)
        else:
            await self._run(inbound, conversation, message.sender)

    async def _obey(self, inbound: Inbound, dedupe: DedupeKey, sender: str, command: Command) -> None:
        """A copy is asked for first: a code is used, and the allowlist changed, before anything is accepted."""
        if await self.inbox.find(dedupe, self.clock.wall_ms()) is not None:
            self.meter.count("inbox_duplicates_total", inbound.source)
            return
        reply = await self.onboarding.obey(inbound.source, sender, command)
        if reply is not None:
            await self._say(inbound, f"/{command.verb}", reply)

    async def _run(self, inbound: Inbound, conversation: str, sender: str) -> None:
        """Looks again when the question was answered by somebody else meanwhile."""
        for _ in range(_MOST_LOOKS):
            try:
                match await self.approvals.decide(conversation, sender, inbound.text):
                    case Ordinary(spends=spends):
                        granted = await self.approvals.granted(inbound.source, sender)
                        await self.ingress.accept(_with_tools(inbound, sender, granted), spends=spends)
                    case Replay() as replay:
                        await self.approvals.answered(replay.spends, inbound.source, sender, approved=True)
                        await self._replay(inbound, replay)
                    case Say(text=text, spends=spends):
                        await self._say(inbound, inbound.text, text, spends)
                        if spends is not None:
                            await self.approvals.answered(spends, inbound.source, sender, approved=False)
            except Conflict:
                continue
            return
        await self.ingress.accept(inbound)

    async def _replay(self, inbound: Inbound, replay: Replay) -> None:
        asked, channel = replay.question, inbound.source
        tools = (*await self.approvals.granted(channel, asked.sender), *asked.tools)
        again = msgspec.structs.replace(_with_tools(inbound, asked.sender, tools), text=asked.text, memory_key=None)
        accepted = await self.ingress.accept(again, spends=replay.spends)
        if replay.always and not accepted.is_duplicate:
            await self.approvals.grant(channel, asked.sender, asked.tools)

    async def _say(self, inbound: Inbound, text: str, reply: str, spends: FactKey | None = None) -> None:
        """A fixed sentence. Outside of the conversation, so that no turn reads it as history; remembered by nobody."""
        quiet = msgspec.structs.replace(inbound, text=text, conversation=None, memory_key=None)
        await self.ingress.answered(quiet, reply, self.delivery.parts, spends=spends)


def _with_tools(inbound: Inbound, sender: str, tools: tuple[str, ...]) -> Inbound:
    options = TurnOptions(attendance=Attendance.CHAT, sender=sender, allowed_tools=tuple(dict.fromkeys(tools)))
    return msgspec.structs.replace(inbound, options=options)


def _nonce(channel: Channel, nonce: str) -> str:
    return f"{channel.name}:{hashlib.sha256(nonce.encode('utf-8', 'surrogatepass')).hexdigest()}"
