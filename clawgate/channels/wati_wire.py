"""WATI's payloads (WhatsApp through its API). Ring: channels (wire). Source: design §4.19; construct-realtime.md §13; construct-rest.md (/wati)."""

from __future__ import annotations

import re
from urllib.parse import quote

from clawgate.channels import payload_wire as wire
from clawgate.channels.split_wire import split as split_at
from clawgate.domain.errors import BadRequest, SendRefused
from clawgate.domain.messages import ChannelMessage
from clawgate.domain.times import parse_rfc3339

NAME = "wati"
TITLE = "WATI"
MAX_REPLY_CHARS = 4096
MAX_ENCODED_BYTES = 6000
"""A reply stands in the URL, and servers cut long ones off at 8 KiB."""
_MILLISECONDS_FROM = 10**10
_DIGITS = re.compile(r"[0-9]{1,14}", re.ASCII)
_NUMBER = re.compile(r"\+?[0-9]{1,32}", re.ASCII)


def messages(payload: object, allowed: tuple[str, ...], now_ms: int) -> tuple[ChannelMessage, ...]:
    """The text message of a customer whom we hear, trimmed; empty for operators' own messages, statuses, media and everything else."""
    kind, event = wire.child(payload, "type"), wire.child(payload, "eventType")
    origin = wire.first_text(*(wire.child(payload, name) for name in ("waId", "wa_id", "from")))
    is_ours = any(wire.child(payload, name) not in (None, False) for name in ("owner", "fromMe", "from_me"))
    if is_ours or event not in (None, "message") or kind not in (None, "text") or not _NUMBER.fullmatch(origin):
        return ()
    sender, text = wire.with_plus(origin), _text(payload)
    if not text or not wire.is_heard(sender, text, allowed):
        return ()
    message_id = wire.first_text(wire.child(payload, "id"), wire.child(payload, "whatsappMessageId")) or None
    return (ChannelMessage(sender=sender, target=sender, text=text, message_id=message_id, sent_ms=_sent_ms(payload, now_ms)),)


def _text(payload: object) -> str:
    inner = wire.child(payload, "message")
    return wire.first_text(wire.child(payload, "text"), wire.child(inner, "text"), wire.child(inner, "body")).strip()


def _sent_ms(payload: object, now_ms: int) -> int:
    """Seconds, milliseconds from 10^10 on, or RFC 3339."""
    moments = [value for name in ("timestamp", "created") if (value := wire.child(payload, name)) is not None]
    for moment in moments:
        text = str(moment) if isinstance(moment, int) and not isinstance(moment, bool) else wire.text(moment)
        if _DIGITS.fullmatch(text):
            return int(text) if int(text) > _MILLISECONDS_FROM else int(text) * 1000
        named = parse_rfc3339(text)
        if named is not None:
            return named
    return now_ms


def presented(authorization: str | None) -> str | None:
    """The token of an `Authorization: Bearer` header, None when there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token if scheme.lower() == "bearer" else None


def split(text: str) -> tuple[str, ...]:
    """The parts of a reply: at most 4,096 characters, and few enough that each fits into a URL."""
    return _fitting(text, MAX_REPLY_CHARS)


def _fitting(text: str, cap_chars: int) -> tuple[str, ...]:
    parts = split_at(text, cap_chars)
    fits = [len(quote(part, safe="", errors="replace")) <= MAX_ENCODED_BYTES for part in parts]
    if all(fits):
        return parts
    return tuple(piece for part, fit in zip(parts, fits, strict=True) for piece in ((part,) if fit else _fitting(part, cap_chars // 2)))


def reply_path(target: str, text: str, tenant_id: str) -> str:
    """The path and query below the API's address that send one part.

    Raises:
        SendRefused: the target is no number.
    """
    if not _NUMBER.fullmatch(target):
        raise SendRefused("WATI needs a phone number")
    number = target.removeprefix("+")
    address = quote(f"{tenant_id}:{number}" if tenant_id else number, safe=":", errors="replace")
    return f"/api/v1/sendSessionMessage/{address}?messageText={quote(text, safe='', errors='replace')}"


def is_refusal(body: bytes) -> bool:
    """Whether a 200 says that nothing was sent: WATI answers so when the customer's 24 hours are over."""
    try:
        return wire.child(wire.decode(body), "result") in (False, "false", "error", "failed")
    except BadRequest:
        return False


def receipt(body: bytes) -> str:
    """The id of the message that was sent, "" when the answer carries none."""
    try:
        answer = wire.decode(body)
    except BadRequest:
        return ""
    places = (("message", "whatsappMessageId"), ("message", "id"), ("id",))
    return wire.first_text(*(wire.path(answer, *place) for place in places))[:256]
