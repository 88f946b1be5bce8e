"""What the schemes are made of: keys, times, decoded signatures, comparisons. Ring: domain. Source: webhook-signatures.md §1; advisories.md §3.1.

A signature has one accepted spelling in base64 (standard alphabet, padded, no stray bits) and two in hexadecimal (either case);
everything else is malformed, so nobody can respell a delivery to have it taken twice.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence

from clawgate.domain.errors import NoSecret, Unauthenticated
from clawgate.domain.secret import Secret
from clawgate.domain.signing.scheme import Algorithm, Encoding

MAX_SIGNATURES = 16
# A leading zero would be a second spelling of the same moment.
_UNIX_SECONDS = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)
_HEX = re.compile(r"[0-9A-Fa-f]*", re.ASCII)


class Key:
    """A key of HMAC, ready to sign: its state is copied for each message, which costs half of making it."""

    __slots__ = ("_state",)

    def __init__(self, key: bytes, algorithm: Algorithm = Algorithm.SHA256) -> None:
        self._state = hmac.new(key, digestmod=algorithm.value)

    def sign(self, message: bytes) -> bytes:
        """The signature of a message."""
        state = self._state.copy()
        state.update(message)
        return state.digest()


def given(secrets: tuple[Secret, ...]) -> tuple[str, ...]:
    """The texts of the secrets that are not blank.

    Raises:
        NoSecret: there is none: an unconfigured route is a closed route.
    """
    texts = tuple(secret.reveal() for secret in secrets if secret)
    if not texts:
        raise NoSecret("no secret configured")
    return texts


def symmetric_keys(secrets: tuple[Secret, ...], encoding: Encoding = Encoding.TEXT, algorithm: Algorithm = Algorithm.SHA256) -> tuple[Key, ...]:
    """The keys that may sign.

    Raises:
        NoSecret: there is none, or one is not written as `encoding` says.
    """
    return tuple(Key(_key(text, encoding), algorithm) for text in given(secrets))


def _key(text: str, encoding: Encoding) -> bytes:
    if encoding is Encoding.TEXT:
        return text.encode("utf-8", "surrogatepass")
    text = text.strip()
    if encoding is Encoding.BASE64:
        return base64_key(text)
    if not _HEX.fullmatch(text) or len(text) % 2:
        raise NoSecret("a secret is not hexadecimal")
    return bytes.fromhex(text)


def base64_key(text: str) -> bytes:
    """The bytes of a key in standard base64, padded or not, at least one. Raises NoSecret."""
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):  # ValueError: characters outside ASCII
        key = b""
    if not key:
        raise NoSecret("a secret is not base64")
    return key


def fresh_timestamp(text: str, now_seconds: float, tolerance_seconds: int) -> bytes:
    """The timestamp's bytes, if it is plain decimal seconds and near enough to now on either side.

    Raises:
        Unauthenticated: missing, malformed, too old or too new.
    """
    if not _UNIX_SECONDS.fullmatch(text):
        raise Unauthenticated("timestamp missing or malformed")
    require_fresh(int(text), int(now_seconds), tolerance_seconds)
    return text.encode("ascii")


def require_fresh(sent: int, now: int, tolerance: int) -> None:
    """Returns if the two moments lie at most `tolerance` apart; all three in one unit. Raises Unauthenticated."""
    if abs(now - sent) > tolerance:
        raise Unauthenticated("timestamp outside the tolerance")


def from_hex(text: str, length: int = 32) -> bytes:
    """The `length` bytes of exactly twice as many hexadecimal digits; `bytes.fromhex` alone would let blanks through. Raises Unauthenticated."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != length or len(text) != 2 * length:
        raise Unauthenticated("signature malformed")
    return found


def from_base64(text: str, length: int = 32) -> bytes:
    """The `length` bytes of their one standard base64 text. Raises Unauthenticated."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unauthenticated("signature malformed") from None
    if len(found) != length or base64.b64encode(found).decode("ascii") != text:
        raise Unauthenticated("signature malformed")
    return found


def decode(text: str, encoding: Encoding, length: int = 32) -> bytes:
    """The `length` bytes of a signature in hexadecimal or base64. Raises Unauthenticated."""
    return from_base64(text, length) if encoding is Encoding.BASE64 else from_hex(text, length)


def require_few(signatures: Sequence[object]) -> None:
    """Returns if a header holds few enough signatures to try them all. Raises Unauthenticated."""
    if len(signatures) > MAX_SIGNATURES:
        raise Unauthenticated("too many signatures")


def is_hmac(keys: Sequence[Key], message: bytes, presented: Sequence[bytes]) -> bool:
    """Whether one of `keys` made one of `presented` from `message`; all are tried, so the time does not tell which."""
    expected = [key.sign(message) for key in keys]
    matches = [hmac.compare_digest(one, other) for one in expected for other in presented]
    return any(matches)


def require_hmac(keys: Sequence[Key], message: bytes, presented: Sequence[bytes]) -> None:
    """Returns if `is_hmac`. Raises Unauthenticated."""
    if not is_hmac(keys, message, presented):
        raise Unauthenticated("signature does not match")


def require_token(secrets: tuple[Secret, ...], *presented: str | None) -> None:
    """Checks a token that a platform repeats with every delivery, for platforms that sign nothing.

    Args:
        secrets: blank ones do not count.
        presented: what each place that may hold it holds; None = nothing. One right one is enough.

    Raises:
        NoSecret: there is no usable one.
        Unauthenticated: it is nowhere, or another one.
    """
    given(secrets)
    matches = [secret.matches(token) for secret in secrets if secret for token in presented if token is not None]
    if not any(matches):
        raise Unauthenticated("token missing or wrong")


def digest(message: bytes, algorithm: Algorithm = Algorithm.SHA256) -> bytes:
    """The hash of the message; with SHA-256, what names a delivery without a signed id."""
    return (hashlib.sha256(message) if algorithm is Algorithm.SHA256 else hashlib.new(algorithm.value, message)).digest()
