"""The schemes that are one HMAC: a row each, with what some of them read in the body. Ring: domain. Source: webhook-signatures.md §1.1."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import msgspec

from clawgate.domain.errors import NoSecret, Unauthenticated
from clawgate.domain.secret import Secret
from clawgate.domain.signing import primitives
from clawgate.domain.signing.keyed import Layout, check, described, keyed, layout_of, signatures, written
from clawgate.domain.signing.payload import members, text_id
from clawgate.domain.signing.scheme import TOLERANCE_SECONDS, Algorithm, Delivery, Encoding, Options, Reply, Scheme, Verified

_TEXT = "text/plain; charset=utf-8"
_OK = 200
_MAX_CHALLENGE_CHARS = 4096
_LINEAR_TOLERANCE_SECONDS = 60
_HUB = Layout(headers=("x-hub-signature-256",), prefix="sha256=")
_NEXTCLOUD = Layout(headers=("x-nextcloud-talk-signature",), prefix="sha256=", is_relaxed=True)
_NEXTCLOUD_RANDOM = "x-nextcloud-talk-random"
_STRIPE_HEADER = "stripe-signature"
_CONVOY_HEADER = "x-convoy-signature"
_CONVOY_ITEM = re.compile(r"t=[0-9]{1,12}|v[0-9]{1,2}=[0-9A-Za-z+/]{1,128}={0,2}", re.ASCII)


def _prove_meta(delivery: Delivery, keys: tuple[primitives.Key, ...], options: Options, now_seconds: float) -> Verified:
    """A delivery, or with GET the subscription check, which carries the verify token instead of a signature."""
    if delivery.method != "GET":
        return check(_HUB, keys, delivery, 0, now_seconds)
    try:
        query = {name: values[0] for name, values in parse_qs(urlsplit(delivery.url).query, max_num_fields=16).items() if len(values) == 1}
    except ValueError:
        query = {}
    challenge = query.get("hub.challenge", "")
    if not is_subscription(options.verify_token, query) or not 0 < len(challenge) <= _MAX_CHALLENGE_CHARS:
        raise Unauthenticated("verify token missing or wrong, or no challenge")
    return Verified(primitives.digest(challenge.encode()), reply=Reply(_OK, _TEXT, challenge.encode()))


def is_subscription(verify_token: Secret, query: Mapping[str, str]) -> bool:
    """Whether Meta asks to subscribe and knows the token; a blank token is known to nobody."""
    presented = query.get("hub.verify_token")
    is_known = presented is not None and verify_token.matches(presented) and bool(verify_token)
    return query.get("hub.mode") == "subscribe" and is_known


def _finish_slack(verified: Verified, delivery: Delivery, options: Options, now_seconds: float) -> Verified:
    found = members(delivery.body)
    challenge = found.get("challenge")
    if found.get("type") == "url_verification" and isinstance(challenge, str) and len(challenge) <= _MAX_CHALLENGE_CHARS:
        return msgspec.structs.replace(verified, reply=Reply(_OK, _TEXT, challenge.encode("utf-8", "replace")))
    return msgspec.structs.replace(verified, id=text_id(found.get("event_id")))


def _finish_line(verified: Verified, delivery: Delivery, options: Options, now_seconds: float) -> Verified:
    """The ids of all events: a redelivery says that it is one, so its bytes are others."""
    events = members(delivery.body).get("events")
    ids = [text_id(event.get("webhookEventId")) for event in events if isinstance(event, dict)] if isinstance(events, list) else []
    if not ids or not all(ids):
        return verified
    joined = ids[0] if len(ids) == 1 else hashlib.sha256("\n".join(ids).encode("utf-8", "surrogatepass")).hexdigest()
    return msgspec.structs.replace(verified, id=joined)


def _finish_linear(verified: Verified, delivery: Delivery, options: Options, now_seconds: float) -> Verified:
    """The time stands in the body, in milliseconds, and is signed with it."""
    sent_ms = members(delivery.body).get("webhookTimestamp")
    if not isinstance(sent_ms, int) or isinstance(sent_ms, bool):
        raise Unauthenticated("timestamp missing or malformed")
    primitives.require_fresh(sent_ms, int(now_seconds * 1000), options.tolerance_seconds * 1000)
    return msgspec.structs.replace(verified, sent_at=sent_ms / 1000)


def _finish_linq(verified: Verified, delivery: Delivery, options: Options, now_seconds: float) -> Verified:
    return msgspec.structs.replace(verified, id=text_id(members(delivery.body).get("event_id")))


def _prove_nextcloud(delivery: Delivery, keys: tuple[primitives.Key, ...], options: Options, now_seconds: float) -> Verified:
    """The random is signed but nothing marks where it ends: the digest of both names the delivery."""
    random = trimmed_random(delivery.header(_NEXTCLOUD_RANDOM))
    message = random.encode("utf-8", "surrogatepass") + delivery.body
    primitives.require_hmac(keys, message, signatures(_NEXTCLOUD, delivery))
    return Verified(primitives.digest(message))


def trimmed_random(value: str | None) -> str:
    """Nextcloud's random as it is signed: without blanks around it. Raises Unauthenticated when there is none."""
    random = (value or "").strip(" \t")
    if not random:
        raise Unauthenticated("random missing")
    return random


def _prove_stripe(delivery: Delivery, keys: tuple[primitives.Key, ...], options: Options, now_seconds: float) -> Verified:
    """`t=…,v1=…[,v1=…]`: one time, one or more signatures; other versions (`v0`) do not count."""
    items = [item.strip(" \t").partition("=") for item in delivery.header(_STRIPE_HEADER).split(",")]
    presented = [value for key, _, value in items if key == "v1"]
    primitives.require_few(presented)
    moment = primitives.fresh_timestamp(_only_time(items), now_seconds, options.tolerance_seconds)
    message = moment + b"." + delivery.body
    primitives.require_hmac(keys, message, [primitives.from_hex(text) for text in presented])
    return Verified(primitives.digest(message), id=text_id(members(delivery.body).get("id")), sent_at=float(moment))


def _only_time(items: Iterable[tuple[str, str, str]]) -> str:
    """The value of the one `t=` among the parts of a header. Raises Unauthenticated."""
    stamps = [value for key, _, value in items if key == "t"]
    if len(stamps) != 1:
        raise Unauthenticated("timestamp missing or doubled")
    return stamps[0]


def _convoy_layout(options: Options) -> Layout:
    if options.algorithm not in (Algorithm.SHA256, Algorithm.SHA512):
        raise NoSecret("Convoy signs with sha256 or sha512")
    return Layout(headers=(_CONVOY_HEADER,), encoding=written(options), algorithm=options.algorithm)


def _convoy_parts(secrets: tuple[Secret, ...], options: Options) -> tuple[Layout, tuple[primitives.Key, ...]]:
    return _convoy_layout(options), primitives.symmetric_keys(secrets, options.key_encoding, options.algorithm)


def _prove_convoy_advanced(delivery: Delivery, parts: tuple[Layout, tuple[primitives.Key, ...]], options: Options, now_seconds: float) -> Verified:
    """`t=…,v1=…[,v1=…][,v2=…]`: a version for each hash and encoding of the project, in each of them a signature for each of its secrets.

    Which version is which is not written, so what cannot be a signature of this hash and encoding belongs to another version.
    """
    layout, keys = parts
    texts = delivery.header(_CONVOY_HEADER).split(",")
    if not all(_CONVOY_ITEM.fullmatch(text) for text in texts):
        raise Unauthenticated("signature missing or malformed")
    items = [text.partition("=") for text in texts]
    presented = [value for key, _, value in items if key != "t"]
    primitives.require_few(presented)
    moment = primitives.fresh_timestamp(_only_time(items), now_seconds, options.tolerance_seconds)
    message = moment + b"," + delivery.body
    primitives.require_hmac(keys, message, list(_readable(layout, presented)))
    return Verified(primitives.digest(message), sent_at=float(moment))


def _readable(layout: Layout, texts: Iterable[str]) -> Iterator[bytes]:
    """The texts that are signatures of the layout's hash and encoding, decoded."""
    for text in texts:
        with suppress(Unauthenticated):
            yield primitives.decode(text, layout.encoding, layout.algorithm.digest_bytes)


GITHUB = keyed("github", "`sha256=` and hex HMAC-SHA256 of the body", _HUB)
META = Scheme(
    "meta",
    "`sha256=` and hex HMAC-SHA256(app secret) of the body; GET: the subscription check",
    _HUB.headers,
    0,
    _prove_meta,
    lambda secrets, _: primitives.symmetric_keys(secrets),
    reads_url=True,
)
STRIPE = Scheme(
    "stripe",
    "`t=…,v1=…`, hex HMAC-SHA256 of `t.body`; the key is the whole `whsec_…` text",
    (_STRIPE_HEADER,),
    TOLERANCE_SECONDS,
    _prove_stripe,
    lambda secrets, _: primitives.symmetric_keys(secrets),
)
SLACK = keyed(
    "slack",
    "`v0=` and hex HMAC-SHA256 of `v0:timestamp:body`; `url_verification` is answered",
    Layout(headers=("x-slack-signature",), prefix="v0=", signed="v0:{timestamp}:{body}", timestamp_header="x-slack-request-timestamp"),
    tolerance_seconds=TOLERANCE_SECONDS,
    finish=_finish_slack,
)
SHOPIFY = keyed(
    "shopify",
    "base64 HMAC-SHA256(client secret) of the body",
    Layout(headers=("x-shopify-hmac-sha256", "shopify-hmac-sha256"), encoding=Encoding.BASE64),
)
LINE = keyed(
    "line",
    "base64 HMAC-SHA256(channel secret) of the body",
    Layout(headers=("x-line-signature",), encoding=Encoding.BASE64),
    finish=_finish_line,
)
LINEAR = keyed(
    "linear",
    "hex HMAC-SHA256 of the body, which holds `webhookTimestamp` in milliseconds",
    Layout(headers=("linear-signature",)),
    tolerance_seconds=_LINEAR_TOLERANCE_SECONDS,
    finish=_finish_linear,
)
NEXTCLOUD_TALK = Scheme(
    "nextcloud-talk",
    "hex HMAC-SHA256 of the random and the body",
    (*_NEXTCLOUD.headers, _NEXTCLOUD_RANDOM),
    0,
    _prove_nextcloud,
    lambda secrets, _: primitives.symmetric_keys(secrets),
)
LINQ = keyed(
    "linq",
    "hex HMAC-SHA256 of `timestamp.body`, `sha256=` allowed before it",
    Layout(
        headers=("x-webhook-signature",),
        prefix="sha256=",
        is_relaxed=True,
        signed="{timestamp}.{body}",
        timestamp_header="x-webhook-timestamp",
    ),
    tolerance_seconds=TOLERANCE_SECONDS,
    finish=_finish_linq,
)
HERMES_V2 = keyed(
    "hermes-v2",
    "hex HMAC-SHA256 of `timestamp.body`",
    Layout(headers=("x-webhook-signature-v2",), signed="{timestamp}.{body}", timestamp_header="x-webhook-timestamp"),
    tolerance_seconds=TOLERANCE_SECONDS,
)
OUTPOST = keyed(
    "outpost",
    "`v0=` and one or more hex HMAC-SHA256 of the body, with commas between them",
    Layout(headers=("x-outpost-signature",), prefix="v0=", separator=","),
)
CONVOY = described(
    "convoy",
    "HMAC of the body; `algorithm` (sha256, sha512) and `encoding` (hex, base64) as set there",
    _convoy_layout,
    (_CONVOY_HEADER,),
)
CONVOY_ADVANCED = Scheme(
    "convoy-advanced",
    "`t=…,v1=…,v2=…`, HMACs of `t,body`; one of them by `algorithm` (sha256, sha512) in `encoding` (hex, base64)",
    (_CONVOY_HEADER,),
    TOLERANCE_SECONDS,
    _prove_convoy_advanced,
    _convoy_parts,
)
GENERIC = described(
    "hmac",
    "HMAC as you describe it: `header`, `prefix`, `encoding`, `algorithm`, `signed` (with `{body}`, `{timestamp}`, `{id}`)",
    layout_of,
    tolerance_seconds=TOLERANCE_SECONDS,
)
