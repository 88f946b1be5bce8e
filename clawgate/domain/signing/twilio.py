"""Twilio's signature over the public URL. Ring: domain. Source: webhook-signatures.md §1.1 (twilio-python's tests).

    form    base64 HMAC-SHA1 of URL, then each parameter's name and value; names sorted, values of one name sorted and without repeats
    other   base64 HMAC-SHA1 of the URL, whose query holds `bodySHA256`, the hex SHA-256 of the body

Twilio signs the URL with its port or without it; both are tried.
"""

from __future__ import annotations

import re
from hmac import compare_digest
from urllib.parse import parse_qs, parse_qsl, urlsplit

from clawgate.domain.errors import Unauthenticated
from clawgate.domain.signing import primitives
from clawgate.domain.signing.scheme import Algorithm, Delivery, Options, Scheme, Verified

_HEADER = "x-twilio-signature"
_FORM = "application/x-www-form-urlencoded"
_BODY_HASH = "bodySHA256"
_MAX_PARAMETERS = 1000
_URL = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#]*?)(?P<port>:[0-9]{1,5})?(?P<rest>[/?#].*)?", re.ASCII | re.IGNORECASE)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _prove(delivery: Delivery, keys: tuple[primitives.Key, ...], options: Options, now_seconds: float) -> Verified:
    presented = primitives.from_base64(delivery.header(_HEADER), Algorithm.SHA1.digest_bytes)
    content = _content(delivery)
    messages = [url.encode("utf-8", "surrogatepass") + content for url in _spellings(delivery.url)]
    matches = [primitives.is_hmac(keys, message, [presented]) for message in messages]
    if not any(matches):
        raise Unauthenticated("signature does not match")
    return Verified(primitives.digest(messages[0]))


def _spellings(url: str) -> tuple[str, str]:
    """The URL without a port and with one, to the byte as it came otherwise."""
    found = _URL.fullmatch(url)
    if not found:
        raise Unauthenticated("no URL that Twilio can have signed")
    start, rest = f"{found['scheme']}://{found['host']}", found["rest"] or ""
    port = found["port"] or _DEFAULT_PORTS[found["scheme"].lower()]
    return start + rest, start + port + rest


def _content(delivery: Delivery) -> bytes:
    """What is signed after the URL. The content type is not signed: where the URL has a hash, it is the hash that counts."""
    is_form = delivery.header("content-type").partition(";")[0].strip().lower() == _FORM
    if is_form and _BODY_HASH not in delivery.url:
        return _parameters(delivery.body)
    if delivery.body or _BODY_HASH in delivery.url:
        _require_body_hash(delivery)
    return b""


def _parameters(body: bytes) -> bytes:
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except ValueError:  # UnicodeDecodeError is one
        raise Unauthenticated("the form cannot be read") from None
    return "".join(name + value for name, value in sorted(set(pairs))).encode("utf-8", "surrogatepass")


def _require_body_hash(delivery: Delivery) -> None:
    try:
        values = parse_qs(urlsplit(delivery.url).query, max_num_fields=_MAX_PARAMETERS).get(_BODY_HASH, [])
    except ValueError:
        values = []
    if len(values) != 1 or not compare_digest(primitives.from_hex(values[0]), primitives.digest(delivery.body)):
        raise Unauthenticated("the signature does not cover the body")


TWILIO = Scheme(
    "twilio",
    "base64 HMAC-SHA1(auth token) of the public URL and the form's parameters, or of a URL with `bodySHA256`",
    (_HEADER, "content-type"),
    0,
    _prove,
    lambda secrets, _: primitives.symmetric_keys(secrets, algorithm=Algorithm.SHA1),
    reads_url=True,
)
