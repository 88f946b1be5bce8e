"""Standard Webhooks and its kin: Svix, and GitLab's signing tokens. Ring: domain. Source: webhook-signatures.md §1.1; Standard Webhooks spec.

    <prefix>-id          visible characters without "."
    <prefix>-timestamp   seconds
    <prefix>-signature   signature *( SP signature ), signature = "v1," base64 HMAC-SHA256 | "v1a," base64 Ed25519, of id "." timestamp "." body

A secret says by its prefix which of the two it is for, so a public key is never taken for an HMAC key. Signatures of other versions
and malformed ones do not count.
"""

from __future__ import annotations

import re

import msgspec

from clawgate.domain.errors import NoSecret, Unauthenticated
from clawgate.domain.secret import Secret
from clawgate.domain.signing import primitives, public_keys
from clawgate.domain.signing.scheme import TOLERANCE_SECONDS, Delivery, Options, Scheme, Verified

SYMMETRIC_PREFIX = "whsec_"
PRIVATE_PREFIX = "whsk_"
MIN_KEY_BYTES = 16
# With a "." inside, one end of the id could be read as the timestamp and the timestamp as the start of the body.
_ID = re.compile(r"[!-\-/-~]{1,256}", re.ASCII)


class Keys(msgspec.Struct, frozen=True):
    """What may have signed: HMAC keys (v1), Ed25519 public keys (v1a)."""

    symmetric: tuple[primitives.Key, ...]
    public: tuple[bytes, ...]


def keys_of(secrets: tuple[Secret, ...]) -> Keys:
    """The keys in `whsec_…`, `whpk_…` or bare base64 (v1). Raises NoSecret when there is none or one is malformed."""
    texts = [text.strip() for text in primitives.given(secrets)]
    if any(text.startswith(PRIVATE_PREFIX) for text in texts):
        raise NoSecret("a private key (whsk_) signs; give the public one (whpk_)")
    public = tuple(public_keys.ed25519_key(text) for text in texts if text.startswith(public_keys.STANDARD_PREFIX))
    shared = [text.removeprefix(SYMMETRIC_PREFIX) for text in texts if not text.startswith(public_keys.STANDARD_PREFIX)]
    symmetric = [primitives.base64_key(text) for text in shared]
    if any(len(key) < MIN_KEY_BYTES for key in symmetric):
        raise NoSecret(f"a secret has fewer than {MIN_KEY_BYTES} bytes")
    return Keys(tuple(map(primitives.Key, symmetric)), public)


def check(delivery: Delivery, keys: Keys, prefix: str, tolerance_seconds: int, now_seconds: float) -> Verified:
    """What a delivery with headers `<prefix>-…` proves. Raises Unauthenticated."""
    name = delivery.header(f"{prefix}-id")
    if not _ID.fullmatch(name):
        raise Unauthenticated("id missing or malformed")
    stamp = primitives.fresh_timestamp(delivery.header(f"{prefix}-timestamp"), now_seconds, tolerance_seconds)
    message = signed_bytes(name, stamp, delivery.body)
    parts = delivery.header(f"{prefix}-signature").split(" ")
    primitives.require_few(parts)
    is_shared = primitives.is_hmac(keys.symmetric, message, _decoded(parts, "v1,", 32))
    is_public = any(public_keys.is_ed25519(key, message, one) for one in _decoded(parts, "v1a,", 64) for key in keys.public)
    if not (is_shared or is_public):
        raise Unauthenticated("signature missing or does not match")
    return Verified(primitives.digest(message), id=name, sent_at=float(stamp))


def signed_bytes(id: str, timestamp: bytes, body: bytes) -> bytes:
    """What is signed. The id is without ".", the timestamp in digits."""
    return b".".join((id.encode("ascii"), timestamp, body))


def _decoded(parts: list[str], version: str, length: int) -> list[bytes]:
    found = []
    for part in parts:
        if part.startswith(version):
            try:
                found.append(primitives.from_base64(part.removeprefix(version), length))
            except Unauthenticated:
                continue
    return found


def _scheme(name: str, summary: str, *prefixes: str) -> Scheme:
    """A scheme whose headers start with one of `prefixes`; the first that has a signature counts."""

    def prove(delivery: Delivery, keys: Keys, options: Options, now_seconds: float) -> Verified:
        prefix = next((one for one in prefixes if delivery.header(f"{one}-signature")), prefixes[0])
        return check(delivery, keys, prefix, options.tolerance_seconds, now_seconds)

    headers = tuple(f"{prefix}-{part}" for prefix in prefixes for part in ("id", "timestamp", "signature"))
    return Scheme(name, summary, headers, TOLERANCE_SECONDS, prove, lambda secrets, _: keys_of(secrets))


STANDARD_WEBHOOKS = _scheme("standard-webhooks", "base64 HMAC-SHA256 (`v1`, `whsec_`) or Ed25519 (`v1a`, `whpk_`) of `id.timestamp.body`", "webhook")
SVIX = _scheme("svix", "Standard Webhooks under Svix's header names, or the standard ones", "svix", "webhook")
