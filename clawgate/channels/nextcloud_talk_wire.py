"""Nextcloud Talk's payloads. Ring: channels (wire). Source: rantaiclaw.md §7 (/nextcloud-talk), design §4.19, webhook-signatures.md §1.1.

Two payloads are read. A bot's is ActivityStreams: `Create` of a `Note` by a `Person`, its `object.content` JSON text of its own; other activities are
acknowledged and mean nothing. The older one carries a `message` object. A reply goes back by the door that the message came in by, so a bot's target
begins with `bot:`; room tokens hold no colon.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import quote

import msgspec

from clawgate.channels import payload_wire as wire
from clawgate.domain.errors import BadRequest, SendRefused
from clawgate.domain.messages import ChannelMessage

NAME = "nextcloud_talk"
TITLE = "Nextcloud Talk"
MAX_REPLY_CHARS = 32_000
BOT = "bot:"
_USERS = "users"
_MOST_MS = 253_402_300_799_000
_MILLISECONDS_FROM = 10**12
_DIGITS = re.compile(r"[0-9]{1,15}", re.ASCII)
_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_-]{1,64})\}", re.ASCII)


def messages(payload: object, allowed: tuple[str, ...], now_ms: int) -> tuple[ChannelMessage, ...]:
    """The message of an event, if it is one that somebody wrote whom we hear; empty for everything else."""
    is_activity = wire.text(wire.child(payload, "type")).lower() != "message" and isinstance(wire.child(payload, "actor"), dict)
    found = _activity(payload, now_ms) if is_activity else _plain(payload, now_ms)
    return (found,) if found is not None and wire.is_heard(found.sender, found.text, allowed) else ()


# --- a bot's payload


def _activity(payload: object, now_ms: int) -> ChannelMessage | None:
    note = wire.child(payload, "object")
    kinds = (wire.child(payload, "type"), wire.path(payload, "actor", "type"), wire.child(note, "type"))
    if kinds != ("Create", "Person", "Note") or wire.child(note, "name") not in (None, "message"):
        return None
    kind, _, own_id = wire.text(wire.path(payload, "actor", "id")).partition("/")
    token = wire.text(wire.path(payload, "target", "id")).strip()
    text = _content(wire.text(wire.child(note, "content")))
    sender = _sender(kind, own_id)
    if not (sender and token and text) or ":" in token:
        return None
    return ChannelMessage(sender=sender, target=BOT + token, text=text, message_id=_id(wire.child(note, "id")), sent_ms=now_ms)


def _content(content: str) -> str:
    """The message in a note's content, its placeholders replaced by the names that people saw; "" when there is none."""
    try:
        inner = wire.decode(content.encode("utf-8", "surrogatepass"))
    except BadRequest:
        return ""
    parameters = wire.child(inner, "parameters")

    def named(found: re.Match[str]) -> str:
        name = wire.text(wire.path(parameters, found[1], "name"))
        is_mention = wire.path(parameters, found[1], "type") in ("user", "guest", "call", "user-group", "federated_user")
        return f"@{name}" if name and is_mention else name or found[0]

    return _PLACEHOLDER.sub(named, wire.text(wire.child(inner, "message"))).strip()


# --- the older payload


def _plain(payload: object, now_ms: int) -> ChannelMessage | None:
    message = wire.child(payload, "message")
    stated = wire.child(payload, "type")
    if not isinstance(message, dict) or (stated is not None and wire.text(stated).lower() != "message"):
        return None
    token = wire.text(wire.path(payload, "object", "token")).strip() or wire.text(message.get("token")).strip()
    kind = wire.first_text(message.get("actorType"), wire.child(payload, "actorType"))
    sender = _sender(kind or _USERS, wire.first_text(message.get("actorId"), wire.child(payload, "actorId")))
    text = wire.text(message.get("message")).strip()
    if not (token and sender and text) or ":" in token or kind == "bots":
        return None
    if (wire.text(message.get("messageType")) or "comment") != "comment" or message.get("systemMessage"):
        return None
    return ChannelMessage(
        sender=sender, target=token, text=text, message_id=_id(message.get("id")), sent_ms=_sent_ms(message.get("timestamp"), now_ms)
    )


def _sender(kind: str, own_id: str) -> str:
    """A user by the id that allowlists name; a guest, a federated user and the like with their kind, so that none of them passes for a user."""
    own_id = own_id.strip()
    if not own_id or kind == "bots":
        return ""
    return own_id if kind == _USERS else f"{kind}/{own_id}"


def _id(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None


def _sent_ms(value: object, now_ms: int) -> int:
    """Seconds, or milliseconds from 10^12 on; a number or a string of digits."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_MS:
        return now_ms
    return int(value if value > _MILLISECONDS_FROM else value * 1000)


# --- replies


def reply_path(target: str) -> str:
    """The path below the Nextcloud's address that a reply to a target goes to.

    Raises:
        SendRefused: the room's token is empty or a dot segment, which no encoding keeps in its place.
    """
    token = target.removeprefix(BOT)
    if token in ("", ".", ".."):
        raise SendRefused("Nextcloud Talk room token cannot be a path segment")
    room = quote(token, safe="", errors="replace")
    if target.startswith(BOT):
        return f"/ocs/v2.php/apps/spreed/api/v1/bot/{room}/message?format=json"
    return f"/ocs/v2.php/apps/spreed/api/v1/chat/{room}?format=json"


def reply_request(text: str) -> bytes:
    """The body that sends one part."""
    return msgspec.json.encode({"message": wire.encodable(text)})


def reply_headers(target: str, text: str, secret: bytes, idempotency_key: str) -> dict[str, str]:
    """What a reply carries besides its body; a bot signs its random and the text alone.

    Args:
        secret: the bot's.
        idempotency_key: makes the random, so that no two sends share one.
    """
    headers = {"OCS-APIRequest": "true", "Accept": "application/json"}
    if not target.startswith(BOT):
        return headers
    random = hmac.new(secret, b"random:" + idempotency_key.encode(), hashlib.sha256).hexdigest()
    signature = hmac.new(secret, random.encode() + wire.encodable(text).encode(), hashlib.sha256).hexdigest()
    return {**headers, "X-Nextcloud-Talk-Bot-Random": random, "X-Nextcloud-Talk-Bot-Signature": signature}


def receipt(body: bytes) -> str:
    """The id of the message that was sent, "" when the answer carries none: a bot is not told."""
    try:
        answer = wire.decode(body)
    except BadRequest:
        return ""
    return (_id(wire.path(answer, "ocs", "data", "id")) or "")[:256]
