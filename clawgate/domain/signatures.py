"""Who signed a delivery: one function per scheme, over the raw bytes. Ring: domain. Source: webhook-signatures.md §1.1; zeroclaw.md A3; advisories.md.

Rules that every scheme keeps:

    no usable secret            refuses (blank and whitespace-only secrets are no secrets)
    several secrets             any of them may have signed: rotation without a gap
    what is signed              the body's bytes as they came, never decoded text
    what is compared            decoded digests of one fixed length, in constant time, against every secret
    what is wrong               is not told to the sender; the text of the error is for the log

A scheme raises `NoSecret` or `Unauthenticated`, or returns None; it reads no clock: `now_seconds` is the wall clock, given by the caller.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from clawgate.domain.errors import NoSecret, Unauthenticated
from clawgate.domain.secret import Secret

TOLERANCE_SECONDS = 300
_SHA256_HEX = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_PREFIX = "sha256="


def verify_meta(secrets: tuple[Secret, ...], header: str | None, body: bytes) -> None:
    """Checks `X-Hub-Signature-256` as Meta sends it for WhatsApp: `sha256=` (lower case) and the hex of HMAC-SHA256(app secret, body).

    Args:
        secrets: every app secret that may have signed, newest first; blank ones do not count.
        header: the header's value, None when there was none.
        body: the raw bytes.

    Raises:
        NoSecret: there is no usable one.
        Unauthenticated: no header, or nobody we know signed this.
    """
    keys = usable(secrets)
    if header is None or not header.startswith(_PREFIX):
        raise Unauthenticated("signature missing or without its prefix")
    require_hmac_sha256(keys, body, sha256_from_hex(header[len(_PREFIX) :]))


def verify_linq(
    secrets: tuple[Secret, ...],
    *,
    timestamp: str | None,
    signature: str | None,
    body: bytes,
    now_seconds: float,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> None:
    """Checks Linq's pair of headers: hex HMAC-SHA256(secret, timestamp "." body), with or without `sha256=`, blanks around it allowed.

    Args:
        secrets: every signing secret that may have signed; blank ones do not count.
        timestamp: `X-Webhook-Timestamp`, whole seconds since the epoch; its very text is what was signed.
        signature: `X-Webhook-Signature`.
        body: the raw bytes.
        now_seconds: wall clock.
        tolerance_seconds: how far the timestamp may lie in the past or in the future.

    Raises:
        NoSecret: there is no usable one.
        Unauthenticated: a header missing or malformed, too old, too new, or nobody we know signed this.
    """
    keys = usable(secrets)
    moment = fresh_timestamp(timestamp, now_seconds, tolerance_seconds)
    digest = sha256_from_hex((signature or "").strip(" \t").removeprefix(_PREFIX))
    require_hmac_sha256(keys, moment + b"." + body, digest)


def usable(secrets: tuple[Secret, ...]) -> tuple[bytes, ...]:
    """The keys that may sign.

    Raises:
        NoSecret: there is none: an unconfigured route is a closed route.
    """
    keys = tuple(secret.reveal().encode("utf-8", "surrogatepass") for secret in secrets if secret)
    if not keys:
        raise NoSecret("no secret configured")
    return keys


def fresh_timestamp(text: str | None, now_seconds: float, tolerance_seconds: int) -> bytes:
    """The timestamp's bytes, if it is plain decimal seconds and near enough to now on either side.

    Raises:
        Unauthenticated: missing, malformed, too old or too new.
    """
    if text is None or not _UNIX_SECONDS.fullmatch(text):
        raise Unauthenticated("timestamp missing or malformed")
    if abs(int(now_seconds) - int(text)) > tolerance_seconds:
        raise Unauthenticated("timestamp outside the tolerance")
    return text.encode("ascii")


def sha256_from_hex(text: str) -> bytes:
    """The 32 bytes of exactly 64 hexadecimal digits of either case; `bytes.fromhex` alone would let blanks through.

    Raises:
        Unauthenticated: anything else.
    """
    if not _SHA256_HEX.fullmatch(text):
        raise Unauthenticated("signature malformed")
    return bytes.fromhex(text)


def require_hmac_sha256(keys: tuple[bytes, ...], message: bytes, presented: bytes) -> None:
    """Returns if one of `keys` made `presented` from `message`; every key is tried, so the time does not tell which.

    Raises:
        Unauthenticated: none did.
    """
    matches = [hmac.compare_digest(hmac.digest(key, message, hashlib.sha256), presented) for key in keys]
    if not any(matches):
        raise Unauthenticated("signature does not match")


def verify_nextcloud_talk(secrets: tuple[Secret, ...], *, random: str | None, signature: str | None, body: bytes) -> str:
    """Checks Nextcloud Talk's pair of headers: hex HMAC-SHA256(secret, random body), with or without `sha256=`, blanks around it allowed.

    Args:
        random: `X-Nextcloud-Talk-Random`; trimmed, it is part of what was signed.
        signature: `X-Nextcloud-Talk-Signature`.

    Returns:
        The trimmed random: the scheme has no time, so the caller remembers it against replays.

    Raises:
        NoSecret: there is no usable one.
        Unauthenticated: a header missing or malformed, or nobody we know signed this.
    """
    keys = usable(secrets)
    nonce = (random or "").strip(" \t")
    if not nonce:
        raise Unauthenticated("random missing")
    digest = sha256_from_hex((signature or "").strip(" \t").removeprefix(_PREFIX))
    require_hmac_sha256(keys, nonce.encode("utf-8", "surrogatepass") + body, digest)
    return nonce


def verify_shared_token(secrets: tuple[Secret, ...], *presented: str | None) -> None:
    """Checks a token that a platform repeats with every delivery, for platforms that sign nothing.

    Args:
        presented: what each place that may hold it holds; None = nothing. One right one is enough.

    Raises:
        NoSecret: there is no usable one.
        Unauthenticated: it is nowhere, or another one.
    """
    usable(secrets)
    matches = [secret.matches(token) for secret in secrets if secret for token in presented if token is not None]
    if not any(matches):
        raise Unauthenticated("token missing or wrong")
