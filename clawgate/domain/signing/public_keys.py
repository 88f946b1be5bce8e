"""Signatures that are checked with a public key: Ed25519 and ECDSA on P-256. Ring: domain. Source: RFC 8032; RFC 9421 §3.3.

`cryptography` is imported where it is used: who has no such sender does not pay for OpenSSL's start.
"""

from __future__ import annotations

import base64
import binascii
import re

from clawgate.domain.errors import NoSecret

STANDARD_PREFIX = "whpk_"
SIGNATURE_BYTES = 64
_KEY_BYTES = 32
_HEX_KEY = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)
_PEM = "-----BEGIN "


def ed25519_key(text: str) -> bytes:
    """The 32 bytes of a public key in hexadecimal (Discord), base64 or base64url (JWK `x`), `whpk_…` or PEM.

    Raises:
        NoSecret: it is none of these.
    """
    text = text.strip()
    key = _from_pem(text) if text.startswith(_PEM) else _from_text(text.removeprefix(STANDARD_PREFIX))
    if len(key) != _KEY_BYTES:
        raise NoSecret("a secret is no Ed25519 public key")
    return key


def _from_text(text: str) -> bytes:
    if _HEX_KEY.fullmatch(text):
        return bytes.fromhex(text)
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _from_pem(text: str) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = _load(text)
    return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else b""


def _load(pem: str) -> object:
    """Whatever public key it is, None for anything else."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        return load_pem_public_key(pem.encode("utf-8", "surrogatepass"))
    except (ValueError, UnsupportedAlgorithm):
        return None


def is_ed25519(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the holder of the private half of `key` (32 bytes) signed `message`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def require_p256_key(pem: str) -> str:
    """`pem` itself, if it is a public key on P-256. Raises NoSecret."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

    key = _load(pem.strip())
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise NoSecret("a secret is no PEM public key on P-256")
    return pem


def is_p256(pem: str, message: bytes, signature: bytes) -> bool:
    """Whether the holder of the private half of `pem` signed `message` with SHA-256; `signature` is r and s, 32 bytes each."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    key = _load(pem.strip())
    if not isinstance(key, EllipticCurvePublicKey) or len(signature) != SIGNATURE_BYTES:
        return False
    pair = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        key.verify(pair, message, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
