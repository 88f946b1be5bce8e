"""Schemes that are one HMAC over a template: most of them differ in names and order only. Ring: domain. Source: webhook-signatures.md §1.1.

Template: literal text with `{body}`, `{timestamp}` (seconds, fresh) and `{id}`. What was signed must be readable in one way only, or bytes
could be moved from one part to its neighbour under the same signature: an id does not contain the character after it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from clawgate.domain.errors import NoSecret, Unauthenticated
from clawgate.domain.secret import Secret
from clawgate.domain.signing import primitives
from clawgate.domain.signing.scheme import Algorithm, Delivery, Encoding, Options, Scheme, Verified

BODY, TIMESTAMP, ID = "{body}", "{timestamp}", "{id}"
_PARTS = re.compile(r"(\{body\}|\{timestamp\}|\{id\})")
_VISIBLE = re.compile(r"[!-~]{1,256}", re.ASCII)
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)
_BLANKS = " \t"


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """How one scheme writes its signature.

    Attributes:
        headers: names of the signature's header; the first that is there counts.
        prefix: what stands before the signature.
        is_relaxed: the prefix may be missing, and blanks may stand around the header (Linq, Nextcloud Talk).
        separator: between several signatures of one header; "" = there is one.
        signed: the template.
    """

    headers: tuple[str, ...]
    prefix: str = ""
    is_relaxed: bool = False
    separator: str = ""
    encoding: Encoding = Encoding.HEX
    algorithm: Algorithm = Algorithm.SHA256
    signed: str = BODY
    timestamp_header: str = ""
    id_header: str = ""


Finish: TypeAlias = Callable[[Verified, Delivery, Options, float], Verified]


def keyed(name: str, summary: str, layout: Layout, *, tolerance_seconds: int = 0, finish: Finish | None = None) -> Scheme:
    """The scheme of a fixed layout whose secrets are keys as they stand.

    Args:
        finish: what the scheme reads in the body besides; may still refuse.
    """

    def prove(delivery: Delivery, keys: tuple[primitives.Key, ...], options: Options, now_seconds: float) -> Verified:
        verified = check(layout, keys, delivery, options.tolerance_seconds, now_seconds)
        return finish(verified, delivery, options, now_seconds) if finish else verified

    headers = tuple(header for header in (*layout.headers, layout.timestamp_header, layout.id_header) if header)
    return Scheme(name, summary, headers, tolerance_seconds, prove, lambda secrets, _: primitives.symmetric_keys(secrets, algorithm=layout.algorithm))


def check(layout: Layout, keys: tuple[primitives.Key, ...], delivery: Delivery, tolerance_seconds: int, now_seconds: float) -> Verified:
    """What a delivery in this layout proves. Raises Unauthenticated."""
    presented = signatures(layout, delivery)
    if layout.signed == BODY:  # mostly, and then nothing is copied
        primitives.require_hmac(keys, delivery.body, presented)
        return Verified(primitives.digest(delivery.body))
    values, stamp = {BODY: delivery.body}, b""
    if TIMESTAMP in layout.signed:
        values[TIMESTAMP] = stamp = primitives.fresh_timestamp(delivery.header(layout.timestamp_header), now_seconds, tolerance_seconds)
    if ID in layout.signed:
        values[ID] = _identity(layout, delivery)
    message = b"".join(values.get(part, part.encode()) for part in _PARTS.split(layout.signed))
    primitives.require_hmac(keys, message, presented)
    signed_id = values[ID].decode("ascii") if ID in values else ""
    return Verified(primitives.digest(message), id=signed_id, sent_at=float(stamp) if stamp else None)


def signatures(layout: Layout, delivery: Delivery) -> list[bytes]:
    """The decoded signatures of its header, at least one. Raises Unauthenticated."""
    header = ""
    for name in layout.headers:
        header = header or delivery.header(name)
    if layout.is_relaxed:
        header = header.strip(_BLANKS)
    if not header.startswith(layout.prefix) and not layout.is_relaxed:
        raise Unauthenticated("signature missing or without its prefix")
    text = header.removeprefix(layout.prefix)
    parts = text.split(layout.separator) if layout.separator else [text]
    primitives.require_few(parts)
    return [primitives.decode(part, layout.encoding, layout.algorithm.digest_bytes) for part in parts]


def _identity(layout: Layout, delivery: Delivery) -> bytes:
    text = delivery.header(layout.id_header)
    after = layout.signed.partition(ID)[2][:1]
    if not _VISIBLE.fullmatch(text) or after in text:
        raise Unauthenticated("id missing or malformed")
    return text.encode("ascii")


def layout_of(options: Options) -> Layout:
    """The layout that an operator describes. Raises NoSecret when it cannot be verified or could be read in two ways."""
    parts = _PARTS.split(options.signed)
    if parts.count(BODY) != 1 or parts.count(TIMESTAMP) > 1 or parts.count(ID) > 1:
        raise NoSecret("what is signed has to hold {body} once, and {timestamp} and {id} at most once")
    before, found, after = options.signed.partition(ID)
    if found and (BODY in before or after[:1] in ("", "{")):
        raise NoSecret("{id} has to stand before {body}, with a separator after it")
    names = (options.header, options.timestamp_header, options.id_header)
    if not all(_HEADER_NAME.fullmatch(name) for name in names):
        raise NoSecret("a header's name is malformed")
    return Layout(
        headers=(options.header,),
        prefix=options.prefix,
        encoding=written(options),
        algorithm=options.algorithm,
        signed=options.signed,
        timestamp_header=options.timestamp_header,
        id_header=options.id_header,
    )


def written(options: Options) -> Encoding:
    """How the signature is written. Raises NoSecret when options say that it is plain text."""
    if options.encoding is Encoding.TEXT:
        raise NoSecret("a signature is written as hex or base64")
    return options.encoding


def described(name: str, summary: str, layout: Callable[[Options], Layout], headers: tuple[str, ...] = (), *, tolerance_seconds: int = 0) -> Scheme:
    """A scheme whose layout depends on the options."""

    def parts_of(secrets: tuple[Secret, ...], options: Options) -> tuple[Layout, tuple[primitives.Key, ...]]:
        found = layout(options)
        return found, primitives.symmetric_keys(secrets, options.key_encoding, found.algorithm)

    def prove(delivery: Delivery, parts: tuple[Layout, tuple[primitives.Key, ...]], options: Options, now_seconds: float) -> Verified:
        found, keys = parts
        return check(found, keys, delivery, options.tolerance_seconds, now_seconds)

    return Scheme(name, summary, headers, tolerance_seconds, prove, parts_of)
