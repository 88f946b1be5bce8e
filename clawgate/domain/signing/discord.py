"""Discord's interactions and webhook events. Ring: domain. Source: webhook-signatures.md §1.1.

Ed25519 over timestamp and body, with nothing between them. Discord states no tolerance; ours is kept all the same: it keeps a digit of
the one from being read as part of the other, and an interaction is worthless after minutes. Discord sends wrong signatures on purpose
and wants a refusal; a PING is answered: `{"type":1}` of the interactions, `{"version":1,"type":0}` of the events, which want 204.
"""

from __future__ import annotations

from collections.abc import Mapping

from clawgate.domain.errors import Unauthenticated
from clawgate.domain.secret import Secret
from clawgate.domain.signing import primitives, public_keys
from clawgate.domain.signing.payload import members, text_id
from clawgate.domain.signing.scheme import TOLERANCE_SECONDS, Delivery, Options, Reply, Scheme, Verified

_SIGNATURE, _TIMESTAMP = "x-signature-ed25519", "x-signature-timestamp"
_PONGS = {0: Reply(204, "text/plain", b""), 1: Reply(200, "application/json", b'{"type":1}')}


def _keys(secrets: tuple[Secret, ...], _: Options) -> tuple[bytes, ...]:
    return tuple(public_keys.ed25519_key(text) for text in primitives.given(secrets))


def _prove(delivery: Delivery, keys: tuple[bytes, ...], options: Options, now_seconds: float) -> Verified:
    stamp = primitives.fresh_timestamp(delivery.header(_TIMESTAMP), now_seconds, options.tolerance_seconds)
    signature = primitives.from_hex(delivery.header(_SIGNATURE), public_keys.SIGNATURE_BYTES)
    message = stamp + delivery.body
    if not any(public_keys.is_ed25519(key, message, signature) for key in keys):
        raise Unauthenticated("signature does not match")
    found = members(delivery.body)
    return Verified(primitives.digest(message), id=text_id(found.get("id")), sent_at=float(stamp), reply=_reply(found))


def _reply(found: Mapping[str, object]) -> Reply | None:
    """What a PING wants to hear; None for everything else. An event's type is 1 too: it is told from a PING by what it carries."""
    kind = found.get("type")
    if type(kind) is not int or "event" in found:  # True is 1, and 1.0 too
        return None
    return _PONGS.get(kind)


DISCORD = Scheme(
    "discord",
    "hex Ed25519 of timestamp and body, the application's public key as secret; PING is answered",
    (_SIGNATURE, _TIMESTAMP),
    TOLERANCE_SECONDS,
    _prove,
    _keys,
)
