"""WhatsApp Cloud's payloads. Ring: channels (wire). Source: zeroclaw.md A3 (/whatsapp), rantaiclaw.md §7.

Only text is read. Images, their captions included, audio, stickers and the rest are skipped, as upstream's first gateway does; they come with media.
"""

from __future__ import annotations

import re

import msgspec

from clawgate.channels import payload_wire as wire
from clawgate.domain.errors import BadRequest
from clawgate.domain.messages import ChannelMessage

NAME = "whatsapp"
TITLE = "WhatsApp"
MAX_REPLY_CHARS = 4096
_MAX_SECONDS = 253_402_300_799
_SECONDS = re.compile(r"[0-9]{1,20}", re.ASCII)
_THROTTLED = frozenset({4, 80007, 130429, 131056})
"""Graph's own codes for "too fast": it answers them with 400, and nothing was sent."""


def messages(payload: object, allowed: tuple[str, ...], now_ms: int) -> tuple[ChannelMessage, ...]:
    """The text messages of allowed senders, in the payload's order; a message's `type` and the top-level `object` are not looked at."""
    found = []
    for entry in wire.items(payload, "entry"):
        for change in wire.items(entry, "changes"):
            for message in wire.items(wire.child(change, "value"), "messages"):
                read = _message(message, allowed, now_ms)
                if read is not None:
                    found.append(read)
    return tuple(found)


def _message(message: object, allowed: tuple[str, ...], now_ms: int) -> ChannelMessage | None:
    origin = wire.child(message, "from")
    if not isinstance(origin, str):
        return None
    sender = wire.with_plus(origin)
    text = wire.text(wire.path(message, "text", "body"))
    if not text or not wire.is_heard(sender, text, allowed):
        return None
    message_id = wire.text(wire.child(message, "id")) or None
    return ChannelMessage(sender=sender, target=sender, text=text, message_id=message_id, sent_ms=_sent_ms(message, now_ms))


def _sent_ms(message: object, now_ms: int) -> int:
    text = wire.text(wire.child(message, "timestamp"))
    if not _SECONDS.fullmatch(text) or int(text) > _MAX_SECONDS:
        return now_ms
    return int(text) * 1000


def text_request(target: str, text: str) -> bytes:
    """The body of the call that sends one part."""
    return msgspec.json.encode(
        {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": target.removeprefix("+"),
            "type": "text",
            "text": {"preview_url": False, "body": wire.encodable(text)},
        }
    )


def receipt(body: bytes) -> str:
    """The id of the message that was sent, "" when the answer carries none."""
    for message in wire.items(_lenient(body), "messages"):
        return wire.text(wire.child(message, "id"))[:256]
    return ""


def is_transient(body: bytes) -> bool:
    """Whether a 4xx says "later": throttled, or Graph calls it transient itself."""
    error = wire.child(_lenient(body), "error")
    code = wire.child(error, "code")
    return wire.child(error, "is_transient") is True or (isinstance(code, int) and code in _THROTTLED)


def _lenient(body: bytes) -> object:
    try:
        return wire.decode(body)
    except BadRequest:
        return None
