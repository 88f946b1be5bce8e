"""What a verifier of signed deliveries takes and gives. Ring: domain. Source: webhook-signatures.md §1; advisories.md §3.1.

Rules that every scheme keeps:

    no usable secret            refuses (blank and whitespace-only secrets are no secrets)
    several secrets             any of them may have signed: rotation without a gap
    what is signed              the body's bytes as they came, never decoded text
    what is compared            decoded digests of one fixed length, in constant time, against every secret
    what is wrong               is not told to the sender; the text of the error is for the log
    what names a delivery       a signed id, or else a digest of what was signed: the same for every spelling of header and signature

A verifier reads no clock: `now_seconds` is the wall clock, given by the caller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeAlias

import msgspec

from clawgate.domain.errors import NoSecret
from clawgate.domain.secret import Secret

TOLERANCE_SECONDS = 300


class Delivery(msgspec.Struct, frozen=True):
    """One request as it came.

    Attributes:
        method: upper case.
        url: the public URL as the sender saw it, with its query.
        headers: by lower-case name; several lines of one name are joined by ", ".
        body: the raw bytes.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header by its lower-case name; "" when there was none, which no scheme tells from an empty one."""
        return self.headers.get(name, "")


class Reply(msgspec.Struct, frozen=True):
    """An answer that a platform wants at once, to a genuine delivery that is no message."""

    status: int
    content_type: str
    body: bytes


class Verified(msgspec.Struct, frozen=True):
    """What a genuine signature proves.

    Attributes:
        digest: SHA-256 of what was signed. Unlike the signature's bytes it cannot be changed by dropping one of several
            signatures, by respelling one, or by ECDSA's second valid form; it names a delivery that has no signed id.
        id: the platform's own name of the delivery or event, "" when none is covered by the signature.
        sent_at: seconds since the epoch, None when the scheme signs no time.
        reply: what to answer instead of taking the body as a message.
    """

    digest: bytes
    id: str = ""
    sent_at: float | None = None
    reply: Reply | None = None


class Encoding(Enum):
    """How a signature or a key is written."""

    TEXT = "text"
    HEX = "hex"
    BASE64 = "base64"


class Algorithm(Enum):
    """Hash below an HMAC.

    Attributes:
        digest_bytes: how long its digests are.
    """

    SHA1 = "sha1"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"

    def __init__(self, name: str) -> None:
        self.digest_bytes = hashlib.new(name).digest_size


class KeyType(Enum):
    """Algorithm that the keys of an RFC 9421 hook are for; a sender cannot choose another one."""

    HMAC_SHA256 = "hmac-sha256"
    ED25519 = "ed25519"
    ECDSA_P256_SHA256 = "ecdsa-p256-sha256"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may set; most schemes read the tolerance only.

    Attributes:
        tolerance_seconds: how far a signed time may lie in the past or in the future.
        header: hmac: lower-case name of the header with the signature.
        prefix: hmac: what stands before the signature, such as "sha256=".
        encoding: hmac, both of convoy: how the signature is written; HEX or BASE64.
        algorithm: hmac, both of convoy: hash below the HMAC.
        signed: hmac: what is signed, with `{body}` and perhaps `{timestamp}` and `{id}`.
        timestamp_header: hmac: lower-case name of the header of `{timestamp}`, in seconds.
        id_header: hmac: lower-case name of the header of `{id}`.
        key_encoding: hmac, both of convoy, rfc9421: how symmetric keys are written.
        key_type: rfc9421.
        key_ids: rfc9421: `keyid` of each secret, in their order; empty = every secret may answer to any `keyid`.
        label: rfc9421: which signature counts; "" = there has to be exactly one.
        components: rfc9421: what has to be covered besides the minimum.
        verify_token: meta: what the platform presents when it subscribes (GET); blank refuses.
    """

    tolerance_seconds: int = TOLERANCE_SECONDS
    header: str = "x-signature"
    prefix: str = ""
    encoding: Encoding = Encoding.HEX
    algorithm: Algorithm = Algorithm.SHA256
    signed: str = "{body}"
    timestamp_header: str = "x-timestamp"
    id_header: str = "x-id"
    key_encoding: Encoding = Encoding.TEXT
    key_type: KeyType = KeyType.HMAC_SHA256
    key_ids: tuple[str, ...] = ()
    label: str = ""
    components: tuple[str, ...] = ()
    verify_token: Secret = Secret("")


Prover: TypeAlias = Callable[[Delivery, Any, Options, float], Verified]  # Any: whatever the scheme's `keys_of` gives
KeyReader: TypeAlias = Callable[[tuple[Secret, ...], Options], object]


class Scheme(msgspec.Struct, frozen=True):
    """One way of signing.

    Attributes:
        name: as `verify` in the settings.
        summary: what is signed and how, one line for operators.
        headers: lower-case names that it reads.
        tolerance_seconds: what its platform advises; 0 = it signs no time. Those that you describe may sign one.
        prove: `(delivery, keys, options, now_seconds)` → Verified. Raises Unauthenticated when this delivery is not genuine. Nothing else.
        keys_of: `(secrets, options)` → the keys that `prove` takes. Raises NoSecret when nothing can be verified as configured.
        reads_url: `prove` looks at the URL; to others it may be "".
    """

    name: str
    summary: str
    headers: tuple[str, ...]
    tolerance_seconds: int
    prove: Prover
    keys_of: KeyReader
    reads_url: bool = False

    def verify(self, delivery: Delivery, secrets: tuple[Secret, ...], options: Options, now_seconds: float) -> Verified:
        """`prove` with the keys in these secrets. Raises as `keys_of` and `prove`."""
        return self.prove(delivery, self.keys_of(secrets, options), options, now_seconds)

    def verify_post(self, header: Callable[[str], str | None], body: bytes, secrets: tuple[Secret, ...], now_seconds: float) -> Verified:
        """`verify` for a channel of ours: a POST to a scheme that does not sign the URL, with the platform's own tolerance.

        Args:
            header: the value by lower-case name, None when there is none.
        """
        headers = {name: value for name in self.headers if (value := header(name)) is not None}
        return self.verify(Delivery("POST", "", headers, body), secrets, Options(tolerance_seconds=self.tolerance_seconds), now_seconds)

    def complaint(self, secrets: tuple[Secret, ...], options: Options) -> str:
        """Why every delivery would be refused with these secrets and options; "" when they can work. For the check of a configuration."""
        try:
            self.keys_of(secrets, options)
        except NoSecret as problem:
            return str(problem)
        return ""
