"""Discord's interactions. Ring: domain. Source: webhook-signatures.md §1.1.

Ed25519 over timestamp and body, with nothing between them. Discord states no tolerance; ours is kept all the same: it keeps a digit of
the one from being read as part of the other, and an interaction is worthless after minutes. Discord sends wrong signatures on purpose
and wants a refusal; a PING is answered.
"""

from __future__ import annotations

from clawgate.domain.errors import Unauthenticated
from clawgate.domain.secret import Secret
from clawgate.domain.signing import primitives, public_keys
from clawgate.domain.signing.payload import members, text_id
from clawgate.domain.signing.scheme import TOLERANCE_SECONDS, Delivery, Options, Reply, Scheme, Verified

_SIGNATURE, _TIMESTAMP = "x-signature-ed25519", "x-signature-timestamp"
_PING = 1
_PONG = Reply(200, "application/json", b'{"type":1}')


def _keys(secrets: tuple[Secret, ...], _: Options) -> tuple[bytes, ...]:
    return tuple(public_keys.ed25519_key(text) for text in primitives.given(secrets))


def _verify(delivery: Delivery, secrets: tuple[Secret, ...], options: Options, now_seconds: float) -> Verified:
    keys = _keys(secrets, options)
    stamp = primitives.fresh_timestamp(delivery.header(_TIMESTAMP), now_seconds, options.tolerance_seconds)
    signature = primitives.from_hex(delivery.header(_SIGNATURE), public_keys.SIGNATURE_BYTES)
    message = stamp + delivery.body
    if not any(public_keys.is_ed25519(key, message, signature) for key in keys):
        raise Unauthenticated("signature does not match")
    found = members(delivery.body)
    kind = found.get("type")
    is_ping = isinstance(kind, int) and not isinstance(kind, bool) and kind == _PING
    return Verified(primitives.digest(message), id=text_id(found.get("id")), sent_at=float(stamp), reply=_PONG if is_ping else None)


DISCORD = Scheme(
    "discord",
    "hex Ed25519 of timestamp and body, the application's public key as secret; PING is answered",
    (_SIGNATURE, _TIMESTAMP),
    TOLERANCE_SECONDS,
    _verify,
    _keys,
)
