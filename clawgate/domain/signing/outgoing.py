"""Signing what we send, by Standard Webhooks. Ring: domain. Source: Standard Webhooks spec; webhook-signatures.md §1.1. The checking half: `standard.py`.

webhook-signature   signature *( SP signature )       one for each secret, so that a secret can be replaced without a gap
whsec_…             base64 of an HMAC key             → "v1," base64 HMAC-SHA256
whsk_…              base64 of seed ‖ public key, or   → "v1a," base64 Ed25519
                    of the seed alone
"""

from __future__ import annotations

import base64
import hmac

import msgspec

from clawgate.domain.errors import NoSecret
from clawgate.domain.secret import Secret
from clawgate.domain.signing import primitives
from clawgate.domain.signing.standard import MIN_KEY_BYTES, PRIVATE_PREFIX, SYMMETRIC_PREFIX, signed_bytes

MOST_SECRETS = 8
_MAX_KEY_BYTES, _SEED_BYTES = 64, 32


class SigningKeys(msgspec.Struct, frozen=True):
    """What signs: HMAC keys (v1), Ed25519 seeds (v1a)."""

    symmetric: tuple[bytes, ...]
    seeds: tuple[bytes, ...]


def signing_keys(secrets: tuple[Secret, ...]) -> SigningKeys:
    """The keys in these secrets. Raises NoSecret when there is none, there are too many, or one cannot sign."""
    texts = [text.strip() for text in primitives.given(secrets)]
    if len(texts) > MOST_SECRETS:
        raise NoSecret(f"more than {MOST_SECRETS} secrets")
    symmetric = tuple(_symmetric(text) for text in texts if not text.startswith(PRIVATE_PREFIX))
    return SigningKeys(symmetric, tuple(_seed(text) for text in texts if text.startswith(PRIVATE_PREFIX)))


def complaint(secrets: tuple[Secret, ...]) -> str:
    """Why these cannot sign; "" when they can."""
    try:
        signing_keys(secrets)
    except NoSecret as problem:
        return str(problem)
    return ""


def signature(keys: SigningKeys, id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`.

    Args:
        id: without ".".
        timestamp: seconds, of this attempt.
    """
    message = signed_bytes(id, b"%d" % timestamp, body)
    shared = [f"v1,{_text(hmac.digest(key, message, 'sha256'))}" for key in keys.symmetric]
    return " ".join([*shared, *(f"v1a,{_text(_signed(seed, message))}" for seed in keys.seeds)])


def _symmetric(text: str) -> bytes:
    if not text.startswith(SYMMETRIC_PREFIX):
        raise NoSecret(f"a secret begins neither with {SYMMETRIC_PREFIX} nor with {PRIVATE_PREFIX}")
    key = primitives.base64_key(text.removeprefix(SYMMETRIC_PREFIX))
    if not MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        raise NoSecret(f"a secret has not {MIN_KEY_BYTES} to {_MAX_KEY_BYTES} bytes")
    return key


def _seed(text: str) -> bytes:
    key = primitives.base64_key(text.removeprefix(PRIVATE_PREFIX))
    if len(key) not in (_SEED_BYTES, 2 * _SEED_BYTES):
        raise NoSecret("a secret is no Ed25519 private key")
    seed = key[:_SEED_BYTES]
    if len(key) > _SEED_BYTES and key[_SEED_BYTES:] != _public(seed):
        raise NoSecret("a secret's two halves are not of one Ed25519 key")
    return seed


def _public(seed: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # as in `public_keys`: only who has such a key pays for OpenSSL

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def _signed(seed: bytes, message: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")
