"""What comes in and where its answer goes. Ring: domain."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class ReplyTo(msgspec.Struct, frozen=True):
    """Where an answer is sent when nobody waits for it.

    Attributes:
        channel: the channel's name.
        target: the channel's own address: a number, a chat id.
    """

    channel: str
    target: str


class Attendance(StrEnum):
    """Who can be asked while a turn runs."""

    NOBODY = "nobody"
    """Scripts, triggers, jobs: what would have to be asked is refused."""
    CONSOLE = "console"
    """Somebody holds a token and can answer `POST /api/v1/approvals/{id}`."""
    CHAT = "chat"
    """A person on a channel: the question is the reply, the answer the next message."""


class TurnOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a turn is asked with besides its text; kept with the item, so that a repeated turn is the same turn.

    Attributes:
        skill: the skill that is loaded when it exists, "" = none.
        provider, model, temperature: for this turn only; "" and None = the live settings.
        session: id of the session that question and answer are saved in, "" = none; its messages are the history.
        attendance: who can approve a tool.
        sender: who wrote, in the channel's own form; decides about owners and guests.
        allowed_tools: approved beforehand, for this turn only.
        page_context, attachments: as `attachments.Enclosed` has them.
    """

    skill: str = ""
    provider: str = ""
    model: str = ""
    temperature: float | None = None
    session: str = ""
    attendance: Attendance = Attendance.NOBODY
    sender: str = ""
    allowed_tools: tuple[str, ...] = ()
    page_context: str = ""
    attachments: tuple[str, ...] = ()


PLAIN = TurnOptions()
"""Those of a message that says none."""


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """A message at the door, guarded and decoded, not yet accepted.

    Attributes:
        source: the door's name.
        principal: who asks (`Caller.principal`).
        text: what is asked, untouched.
        conversation: None = a conversation of its own.
        dedupe: what makes a second delivery of the same message recognisable, None = nothing does.
        reply: None = somebody waits or polls.
        memory_key: under which key the text is remembered, None = not at all.
        options: None = as every plain message.
    """

    source: str
    principal: str
    text: str
    conversation: str | None = None
    dedupe: DedupeKey | None = None
    reply: ReplyTo | None = None
    memory_key: str | None = None
    options: TurnOptions | None = None


class DedupeKey(msgspec.Struct, frozen=True):
    """The name of a message under which a second copy is recognised.

    Attributes:
        scope: keeps keys of different kinds apart: "key:<principal>" for idempotency keys, "channel:<name>" for platform ids. A caller can
            therefore not claim a platform's ids (rantaiclaw.md §20.2) or another caller's keys.
        key: the key itself, trimmed, not empty.
        retention_seconds: how long it is remembered, counted from acceptance; never shorter than the item is open.
    """

    scope: str
    key: str
    retention_seconds: int


class ChannelMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message out of a channel's payload, allowed and normalised.

    Attributes:
        sender: normalised, such as "+491701234567".
        target: where the reply goes.
        text: what was written, untouched.
        message_id: the platform's id, or None when the payload carries none.
        sent_ms: the platform's time, or when it arrived.
    """

    sender: str
    target: str
    text: str
    message_id: str | None
    sent_ms: int


CONVERSATION = "conversation"
"""Category of what people wrote, which is remembered by itself. The index of sql/0003_sessions.sql leaves it out."""


class MemoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One remembered text.

    Attributes:
        category: `CONVERSATION` for what people wrote, "core" for what they asked to be remembered; any other name.
        session: the conversation it comes from, None = none in particular.
        principal: whose it is, None = everybody's.
    """

    key: str
    content: str
    category: str = CONVERSATION
    session: str | None = None
    created_ms: int = 0
    principal: str | None = None


def is_storable(text: str) -> bool:
    """Whether text can be written down: lone surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def conversation_key(channel: str, target: str) -> str:
    """The conversation of a chat on a channel: `channel:target`, with `%` and `:` in the target escaped so that no two chats share a key.

    Source: rantaiclaw.md §7.
    """
    return f"{channel}:{target.replace('%', '%25').replace(':', '%3A')}"


def memory_key(channel: str, sender: str, message_id: str) -> str:
    """Under which key a channel's message is remembered: `whatsapp_+491701234567_wamid.x`.

    Args:
        message_id: the platform's id, or a fresh UUID when there is none.

    Source: zeroclaw.md A3, rantaiclaw.md §7.
    """
    return f"{channel}_{sender}_{message_id}"
