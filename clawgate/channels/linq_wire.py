"""Linq's payloads (iMessage, RCS, SMS). Ring: channels (wire). Source: zeroclaw.md A3 (/linq), rantaiclaw.md §7, construct-realtime.md §13.

Two shapes are read: the flat one (`data.from`, `data.chat_id`, `data.message.parts`) and the newer one (`data.sender_handle.handle`,
`data.chat.id`, `data.parts`). Only text parts are read; media comes later.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from clawgate.channels import payload_wire as wire
from clawgate.domain.errors import BadRequest, SendRefused
from clawgate.domain.messages import ChannelMessage
from clawgate.domain.times import parse_rfc3339

NAME = "linq"
TITLE = "Linq"
MAX_REPLY_CHARS = 4096
_RECEIVED = "message.received"


def messages(payload: object, allowed: tuple[str, ...], now_ms: int) -> tuple[ChannelMessage, ...]:
    """The message of a `message.received` event from an allowed sender, trimmed; empty for everything else, our own messages included."""
    data = wire.child(payload, "data")
    if wire.child(payload, "event_type") != _RECEIVED or _is_own(data):
        return ()
    origin = wire.first_text(wire.child(data, "from"), wire.path(data, "sender_handle", "handle"))
    sender, text = wire.with_plus(origin), _text(data)
    if not origin or not text or not wire.is_heard(sender, text, allowed):
        return ()
    target = wire.first_text(wire.child(data, "chat_id"), wire.path(data, "chat", "id"), sender)
    sent_ms = parse_rfc3339(wire.text(wire.child(payload, "created_at")))
    return (
        ChannelMessage(
            sender=sender,
            target=target,
            text=text,
            message_id=_message_id(payload, data),
            sent_ms=now_ms if sent_ms is None else sent_ms,
        ),
    )


def _is_own(data: object) -> bool:
    is_me = wire.child(data, "is_from_me") is True or wire.path(data, "sender_handle", "is_me") is True
    return is_me or wire.child(data, "direction") == "outbound"


def _text(data: object) -> str:
    parts = wire.items(wire.child(data, "message"), "parts") or wire.items(data, "parts")
    texts = [wire.text(wire.child(part, "value")) for part in parts if wire.child(part, "type") == "text"]
    return "\n".join(text for text in texts if text).strip()


def _message_id(payload: object, data: object) -> str | None:
    return wire.first_text(wire.child(data, "message_id"), wire.path(data, "message", "id"), wire.child(payload, "event_id")) or None


def reply_path(target: str) -> str:
    """The path below the API base that a reply to a chat goes to; the id is one encoded segment, whatever it holds (CVE-2026-29791).

    Raises:
        SendRefused: the target is empty or a dot segment, which no encoding keeps in its place.
    """
    if target in ("", ".", ".."):
        raise SendRefused("Linq chat id cannot be a path segment")
    return f"/chats/{quote(target, safe='', errors='replace')}/messages"


NEW_CHAT_PATH = "/chats"


def reply_request(text: str) -> bytes:
    """The body that sends one part into a chat."""
    return msgspec.json.encode({"message": _text_message(text)})


def new_chat_request(from_phone: str, target: str, text: str) -> bytes:
    """The body that opens a chat with one part."""
    return msgspec.json.encode({"from": from_phone, "to": [wire.encodable(target)], "message": _text_message(text)})


def _text_message(text: str) -> dict[str, object]:
    return {"parts": [{"type": "text", "value": wire.encodable(text)}]}


def receipt(body: bytes) -> str:
    """The id of the message that was sent, "" when the answer carries none in a place we know."""
    try:
        answer = wire.decode(body)
    except BadRequest:
        return ""
    places = (("message", "id"), ("data", "message", "id"), ("chat", "message", "id"), ("message_id",), ("data", "message_id"))
    return wire.first_text(*(wire.path(answer, *place) for place in places))[:256]
