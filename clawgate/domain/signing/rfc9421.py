"""HTTP message signatures. Ring: domain. Source: RFC 9421, RFC 9530; webhook-signatures.md §1.3.

What a sender may choose is little: the method, the whole target and the body's digest have to be covered, the time is bounded, the
algorithm belongs to the hook's keys. One signature counts: the one with the hook's label, or else the only one. RSA, response components
and components with parameters are not supported: such signatures are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hmac import compare_digest
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec

from clawgate.domain.errors import NoSecret, Unauthenticated
from clawgate.domain.secret import Secret
from clawgate.domain.signing import primitives, public_keys
from clawgate.domain.signing.scheme import TOLERANCE_SECONDS, Algorithm, Delivery, KeyType, Options, Scheme, Verified
from clawgate.domain.signing.structured_fields import Input, byte_sequences, inputs

_INPUT, _SIGNATURE, _DIGEST = "signature-input", "signature", "content-digest"
_BLANKS = " \t"
_HASHES = {"sha-256": Algorithm.SHA256, "sha-512": Algorithm.SHA512}
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_COMPONENT = re.compile(r"@?[a-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)

Check: TypeAlias = Callable[[bytes, bytes], bool]
"""Whether a key made this signature (second) of this signature base (first)."""


class Key(msgspec.Struct, frozen=True):
    """One key; `key_id` None answers to every `keyid`."""

    key_id: str | None
    is_signer: Check


def keys_of(secrets: tuple[Secret, ...], options: Options) -> tuple[Key, ...]:
    """The keys that may have signed. Raises NoSecret when there is none, one is malformed, or ids and secrets do not pair up."""
    primitives.given(secrets)
    if options.key_ids and len(options.key_ids) != len(secrets):
        raise NoSecret("there have to be as many key_ids as secrets")
    if not all(_COMPONENT.fullmatch(name) for name in options.components):
        raise NoSecret("a component's name is malformed")
    names = options.key_ids or (None,) * len(secrets)
    return tuple(Key(name, _check(secret, options)) for name, secret in zip(names, secrets, strict=True) if secret)


def _check(secret: Secret, options: Options) -> Check:
    if options.key_type is KeyType.HMAC_SHA256:
        keys = primitives.symmetric_keys((secret,), options.key_encoding)
        return lambda base, signature: primitives.is_hmac(keys, base, [signature])
    if options.key_type is KeyType.ED25519:
        public = public_keys.ed25519_key(secret.reveal())
        return lambda base, signature: public_keys.is_ed25519(public, base, signature)
    pem = public_keys.require_p256_key(secret.reveal())
    return lambda base, signature: public_keys.is_p256(pem, base, signature)


def prove(delivery: Delivery, keys: tuple[Key, ...], options: Options, now_seconds: float) -> Verified:
    """See `Scheme.prove`."""
    covered, signature = chosen(delivery, options.label)
    _require_coverage(covered.components, options.components, delivery.url)
    created = _require_times(covered, options.tolerance_seconds, now_seconds)
    _require_digest(delivery)
    base = signature_base(delivery, covered)
    require_signer(keys, covered, options.key_type, base, signature)
    return Verified(primitives.digest(base), sent_at=float(created))


def chosen(delivery: Delivery, label: str) -> tuple[Input, bytes]:
    """The signature that counts and what it says that it covers. Raises Unauthenticated when there is none, or no telling which."""
    covered = inputs(delivery.header(_INPUT).strip(_BLANKS))
    signatures = byte_sequences(delivery.header(_SIGNATURE).strip(_BLANKS))
    wanted = label or (next(iter(covered)) if len(covered) == 1 else "")
    if wanted not in covered or wanted not in signatures:
        raise Unauthenticated("no signature under this label, or several without one")
    return covered[wanted], signatures[wanted]


def require_signer(keys: tuple[Key, ...], covered: Input, key_type: KeyType, base: bytes, signature: bytes) -> None:
    """Returns if a key with the signature's `keyid` made it; `alg` may only repeat what is known already. Raises Unauthenticated."""
    key_id, algorithm = covered.parameters.get("keyid"), covered.parameters.get("alg", key_type.value)
    if algorithm != key_type.value:
        raise Unauthenticated("signature of another algorithm")
    matches = [key.is_signer(base, signature) for key in keys if key.key_id is None or key.key_id == key_id]
    if not any(matches):
        raise Unauthenticated("signature does not match")


def _require_coverage(components: tuple[str, ...], wanted: tuple[str, ...], url: str) -> None:
    covered = set(components)
    parts = {"@authority", "@path"} | ({"@query"} if "?" in url else set())
    is_target_covered = "@target-uri" in covered or parts <= covered or {"@authority", "@request-target"} <= covered
    if not is_target_covered or not {"@method", _DIGEST, *wanted} <= covered:
        raise Unauthenticated("the signature does not cover enough")


def _require_times(covered: Input, tolerance_seconds: int, now_seconds: float) -> int:
    created, expires = covered.parameters.get("created"), covered.parameters.get("expires")
    if not isinstance(created, int) or not isinstance(expires, int | None):
        raise Unauthenticated("timestamp missing or malformed")
    primitives.require_fresh(created, int(now_seconds), tolerance_seconds)
    if expires is not None and expires < now_seconds:
        raise Unauthenticated("signature expired")
    return created


def _require_digest(delivery: Delivery) -> None:
    """At least one digest of a known algorithm, and no known one that is wrong."""
    found = byte_sequences(delivery.header(_DIGEST).strip(_BLANKS))
    known = [(value, _HASHES[name]) for name, value in found.items() if name in _HASHES]
    matches = [compare_digest(value, primitives.digest(delivery.body, algorithm)) for value, algorithm in known]
    if not matches or not all(matches):
        raise Unauthenticated("digest of the body missing or wrong")


def signature_base(delivery: Delivery, covered: Input) -> bytes:
    """The bytes that were signed: a line for each component, the last one for the parameters. Raises Unauthenticated when one is not there."""
    lines = [f'"{name}": {_value(name, delivery)}' for name in covered.components]
    text = "\n".join([*lines, f'"@signature-params": {covered.text}'])
    # A line feed inside a value would be a line of its own.
    if not text.isascii() or text.count("\n") != len(lines) or "\r" in text:
        raise Unauthenticated("a covered value cannot be signed")
    return text.encode("ascii")


def _value(name: str, delivery: Delivery) -> str:
    if not name.startswith("@"):
        if name not in delivery.headers:
            raise Unauthenticated("a covered header is missing")
        return delivery.headers[name].strip(_BLANKS)
    try:
        return _derived(name, delivery)
    except ValueError:
        raise Unauthenticated("the URL cannot be read") from None


def _derived(name: str, delivery: Delivery) -> str:
    url = urlsplit(delivery.url)
    path, query = url.path or "/", f"?{url.query}"
    values = {
        "@method": delivery.method,
        "@target-uri": delivery.url,
        "@authority": url.netloc.lower().removesuffix(_DEFAULT_PORTS.get(url.scheme, "\n")),
        "@scheme": url.scheme,
        "@request-target": path + (query if url.query else ""),
        "@path": path,
        "@query": query,
    }
    if name not in values:
        raise Unauthenticated("a covered component is not supported")
    return values[name]


RFC9421 = Scheme(
    "rfc9421",
    "HTTP message signature over method, target and `Content-Digest` at least; `key_type` says which algorithm",
    (_INPUT, _SIGNATURE, _DIGEST),
    TOLERANCE_SECONDS,
    prove,
    keys_of,
    reads_url=True,
)
