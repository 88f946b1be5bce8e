"""One sender of each scheme, written from the contract and not from the verifiers. Source: webhook-signatures.md §1.1, §1.3."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding as Form
from cryptography.hazmat.primitives.serialization import PublicFormat
from hypothesis import strategies as st

from clawgate.domain.secret import Secret
from clawgate.domain.signing.registry import SCHEMES
from clawgate.domain.signing.scheme import Algorithm, Delivery, Encoding, KeyType, Options, Verified

NOW = 1_700_000_000
URL = "https://gate.example/hooks/x?a=1"
NAME = "msg_1"
Headers = dict[str, str]
Sign = Callable[[str, bytes, str], Delivery]


class Case(NamedTuple):
    """One way of sending.

    Attributes:
        sign: (secret, body, timestamp) → the delivery; without a time the timestamp is ignored.
        header: where the signature stands; `pattern` cuts it into what stands before, the signature's text, and what stands after.
        encoding: "hex", "base64", or "" where nothing is encoded.
        known: what the verifier is given for a secret of the sender.
        name: the signed id, "" = none.
    """

    scheme: str
    sign: Sign
    header: str
    pattern: str = r"()(.*)()"
    encoding: str = "hex"
    options: Options = Options()
    is_timed: bool = False
    is_token: bool = False
    separator: str = ""
    name: str = ""
    body: bytes = b'{"text":"hello"}'
    bodies: st.SearchStrategy[bytes] = st.binary(max_size=200)
    secrets: st.SearchStrategy[str] = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(str.strip)
    secret: str = "secret"
    other: str = "another"
    known: Callable[[str], str] = str

    def __repr__(self) -> str:
        return f"Case({self.scheme}, {self.header})"

    def delivery(self, stamp: str = str(NOW)) -> Delivery:
        return self.sign(self.secret, self.body, stamp)

    def verify(self, delivery: Delivery, *secrets: str, now: float = NOW, tolerance_seconds: int = 300) -> Verified:
        options = Options(**{name: getattr(self.options, name) for name in Options.__struct_fields__} | {"tolerance_seconds": tolerance_seconds})
        return SCHEMES[self.scheme].verify(delivery, tuple(Secret(secret) for secret in secrets or (self.known(self.secret),)), options, now)

    def cut(self, delivery: Delivery) -> tuple[str, str, str]:
        found = re.fullmatch(self.pattern, delivery.headers[self.header], re.ASCII)
        assert found, delivery.headers
        return found[1], found[2], found[3]

    def raw(self, delivery: Delivery) -> bytes:
        text = self.cut(delivery)[1]
        return bytes.fromhex(text) if self.encoding == "hex" else base64.b64decode(text)

    def spelled(self, raw: bytes) -> str:
        return raw.hex() if self.encoding == "hex" else base64.b64encode(raw).decode()

    def with_text(self, text: str, stamp: str = str(NOW)) -> Delivery:
        """The genuine delivery with another text where the signature stands."""
        genuine = self.delivery(stamp)
        before, _, after = self.cut(genuine)
        return changed(genuine, {self.header: before + text + after})


def changed(delivery: Delivery, headers: Headers | None = None, **others: object) -> Delivery:
    fields = {"method": delivery.method, "url": delivery.url, "body": delivery.body} | others
    return Delivery(headers={**delivery.headers, **(headers or {})}, **fields)  # type: ignore[arg-type]  # the fields of a Delivery


def without(delivery: Delivery, name: str) -> Delivery:
    headers = {key: value for key, value in delivery.headers.items() if key != name}
    return Delivery(delivery.method, delivery.url, headers, delivery.body)


def post(headers: Headers, body: bytes, url: str = URL) -> Delivery:
    return Delivery("POST", url, headers, body)


def mac(secret: str | bytes, message: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(secret.encode() if isinstance(secret, str) else secret, message, algorithm).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


# --- senders ----------------------------------------------------------------------------------------------------------------------------


def of_body(header: str, form: str, spell: Callable[[bytes], str] = bytes.hex, algorithm: str = "sha256") -> Sign:
    return lambda secret, body, _: post({header: form.format(spell(mac(secret, body, algorithm)))}, body)


def of_time_and_body(header: str, stamp_header: str, form: str = "{}", signed: str = "{}.") -> Sign:
    def sign(secret: str, body: bytes, stamp: str) -> Delivery:
        return post({header: form.format(mac(secret, signed.format(stamp).encode() + body).hex()), stamp_header: stamp}, body)

    return sign


def standard(prefix: str) -> Sign:
    def sign(secret: str, body: bytes, stamp: str) -> Delivery:
        raw = mac(base64.b64decode(secret.removeprefix("whsec_")), f"{NAME}.{stamp}.".encode() + body)
        return post({f"{prefix}-id": NAME, f"{prefix}-timestamp": stamp, f"{prefix}-signature": "v1," + b64(raw)}, body)

    return sign


def private(seed: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())


def public(seed: str) -> bytes:
    return private(seed).public_key().public_bytes_raw()


def standard_public(secret: str, body: bytes, stamp: str) -> Delivery:
    raw = private(secret).sign(f"{NAME}.{stamp}.".encode() + body)
    return post({"webhook-id": NAME, "webhook-timestamp": stamp, "webhook-signature": "v1a," + b64(raw)}, body)


def stripe(secret: str, body: bytes, stamp: str) -> Delivery:
    return post({"stripe-signature": f"t={stamp},v1={mac(secret, stamp.encode() + b'.' + body).hex()}"}, body)


def convoy_advanced(spell: Callable[[bytes], str] = bytes.hex, algorithm: str = "sha256") -> Sign:
    def sign(secret: str, body: bytes, stamp: str) -> Delivery:
        return post({"x-convoy-signature": f"t={stamp},v1={spell(mac(secret, stamp.encode() + b',' + body, algorithm))}"}, body)

    return sign


def discord(secret: str, body: bytes, stamp: str) -> Delivery:
    return post({"x-signature-ed25519": private(secret).sign(stamp.encode() + body).hex(), "x-signature-timestamp": stamp}, body)


def twilio_form(secret: str, body: bytes, _: str) -> Delivery:
    fields = sorted(set(parse_qsl(body.decode(), keep_blank_values=True)))
    raw = mac(secret, (URL + "".join(name + value for name, value in fields)).encode(), "sha1")
    return post({"x-twilio-signature": b64(raw), "content-type": "application/x-www-form-urlencoded; charset=UTF-8"}, body)


def twilio_json(secret: str, body: bytes, _: str) -> Delivery:
    url = f"{URL}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    return post({"x-twilio-signature": b64(mac(secret, url.encode(), "sha1")), "content-type": "application/json"}, body, url)


def linear(secret: str, body: bytes, stamp: str) -> Delivery:
    body = b'{"webhookTimestamp":' + stamp.encode() + b"000," + (body[1:] or b"}")
    return post({"linear-signature": mac(secret, body).hex()}, body)


def nextcloud(secret: str, body: bytes, _: str) -> Delivery:
    return post({"x-nextcloud-talk-random": "r" * 64, "x-nextcloud-talk-signature": mac(secret, b"r" * 64 + body).hex()}, body)


def generic(secret: str, body: bytes, stamp: str) -> Delivery:
    raw = mac(secret, f"{NAME}/{stamp}:".encode() + body, "sha512")
    return post({"x-mine": "mine " + b64(raw), "x-mine-time": stamp, "x-mine-id": NAME}, body)


def p256(seed: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(seed.encode()).digest(), "big") >> 8, ec.SECP256R1())


def p256_pem(seed: str) -> str:
    return p256(seed).public_key().public_bytes(Form.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def p256_raw(seed: str, message: bytes) -> bytes:
    r, s = decode_dss_signature(p256(seed).sign(message, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def message_signature(make: Callable[[str, bytes], bytes], algorithm: str) -> Sign:
    def sign(secret: str, body: bytes, stamp: str) -> Delivery:
        digest = f"sha-256=:{b64(hashlib.sha256(body).digest())}:"
        covered = f'("@method" "@target-uri" "content-digest");created={stamp};keyid="k1";alg="{algorithm}"'
        base = f'"@method": POST\n"@target-uri": {URL}\n"content-digest": {digest}\n"@signature-params": {covered}'
        raw = make(secret, base.encode())
        return post({"content-digest": digest, "signature-input": f"sig1={covered}", "signature": f"sig1=:{b64(raw)}:"}, body)

    return sign


SHA256_PREFIX = r"(sha256=)(.*)()"
ONE_STANDARD = r"(v1a?,)(.*)()"
SHARED_KEYS = st.binary(min_size=16, max_size=64).map(lambda raw: "whsec_" + b64(raw))
STANDARD_SECRET, STANDARD_OTHER = "whsec_" + b64(b"k" * 24), "whsec_" + b64(b"o" * 24)
FORMS = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
OBJECTS = st.dictionaries(st.sampled_from("abc"), st.integers(), min_size=1).map(lambda value: json.dumps(value).encode())
RFC_BASE64 = r"(sig1=:)(.*)(:)"
MINE = Options(
    header="x-mine",
    prefix="mine ",
    encoding=Encoding.BASE64,
    algorithm=Algorithm.SHA512,
    signed="{id}/{timestamp}:{body}",
    timestamp_header="x-mine-time",
    id_header="x-mine-id",
)


def standard_case(scheme: str, prefix: str) -> Case:
    """Standard Webhooks with a shared key, under the header names of a scheme."""
    return Case(
        scheme,
        standard(prefix),
        f"{prefix}-signature",
        ONE_STANDARD,
        "base64",
        is_timed=True,
        separator=" ",
        name=NAME,
        secrets=SHARED_KEYS,
        secret=STANDARD_SECRET,
        other=STANDARD_OTHER,
    )


CASES: dict[str, Case] = {
    "standard-webhooks": standard_case("standard-webhooks", "webhook"),
    "standard-webhooks-v1a": Case(
        "standard-webhooks",
        standard_public,
        "webhook-signature",
        ONE_STANDARD,
        "base64",
        is_timed=True,
        separator=" ",
        name=NAME,
        known=lambda secret: "whpk_" + b64(public(secret)),
    ),
    "svix": standard_case("svix", "svix"),
    "gitlab": standard_case("gitlab", "webhook"),
    "gitlab-token": Case("gitlab", lambda secret, body, _: post({"x-gitlab-token": secret}, body), "x-gitlab-token", encoding="", is_token=True),
    "telegram": Case(
        "telegram",
        lambda secret, body, _: post({"x-telegram-bot-api-secret-token": secret}, body),
        "x-telegram-bot-api-secret-token",
        encoding="",
        is_token=True,
        body=b'{"update_id":7}',
        name="7",
        bodies=st.just(b'{"update_id":7}'),
        secrets=st.from_regex(r"[A-Za-z0-9_-]{1,256}", fullmatch=True),
    ),
    "github": Case("github", of_body("x-hub-signature-256", "sha256={}"), "x-hub-signature-256", SHA256_PREFIX),
    "meta": Case("meta", of_body("x-hub-signature-256", "sha256={}"), "x-hub-signature-256", SHA256_PREFIX),
    "stripe": Case(
        "stripe",
        stripe,
        "stripe-signature",
        r"(t=[^,]*,v1=)(.*)()",
        is_timed=True,
        separator=",v1=",
        name="evt_1",
        body=b'{"id":"evt_1"}',
        bodies=st.integers().map(lambda number: b'{"id":"evt_1","n":%d}' % number),
    ),
    "slack": Case(
        "slack",
        of_time_and_body("x-slack-signature", "x-slack-request-timestamp", "v0={}", "v0:{}:"),
        "x-slack-signature",
        r"(v0=)(.*)()",
        is_timed=True,
        bodies=OBJECTS,
    ),
    "shopify": Case("shopify", of_body("x-shopify-hmac-sha256", "{}", b64), "x-shopify-hmac-sha256", encoding="base64"),
    "shopify-new-name": Case("shopify", of_body("shopify-hmac-sha256", "{}", b64), "shopify-hmac-sha256", encoding="base64"),
    "twilio": Case(
        "twilio",
        twilio_form,
        "x-twilio-signature",
        encoding="base64",
        body=b"Body=hello+you&From=Ada",
        bodies=FORMS.map(lambda fields: urlencode(fields).encode()),
    ),
    "twilio-json": Case("twilio", twilio_json, "x-twilio-signature", encoding="base64"),
    "discord": Case("discord", discord, "x-signature-ed25519", is_timed=True, bodies=OBJECTS, known=lambda secret: public(secret).hex()),
    "line": Case("line", of_body("x-line-signature", "{}", b64), "x-line-signature", encoding="base64"),
    "linear": Case("linear", linear, "linear-signature", is_timed=True, bodies=OBJECTS),
    "nextcloud-talk": Case("nextcloud-talk", nextcloud, "x-nextcloud-talk-signature"),
    "linq": Case("linq", of_time_and_body("x-webhook-signature", "x-webhook-timestamp"), "x-webhook-signature", is_timed=True, bodies=OBJECTS),
    "linq-prefix": Case(
        "linq",
        of_time_and_body("x-webhook-signature", "x-webhook-timestamp", "sha256={}"),
        "x-webhook-signature",
        SHA256_PREFIX,
        is_timed=True,
        bodies=OBJECTS,
    ),
    "hermes-v2": Case("hermes-v2", of_time_and_body("x-webhook-signature-v2", "x-webhook-timestamp"), "x-webhook-signature-v2", is_timed=True),
    "convoy": Case("convoy", of_body("x-convoy-signature", "{}"), "x-convoy-signature"),
    "convoy-sha512-base64": Case(
        "convoy",
        of_body("x-convoy-signature", "{}", b64, "sha512"),
        "x-convoy-signature",
        encoding="base64",
        options=Options(encoding=Encoding.BASE64, algorithm=Algorithm.SHA512),
    ),
    "convoy-advanced": Case("convoy-advanced", convoy_advanced(), "x-convoy-signature", r"(t=[^,]*,v1=)(.*)()", is_timed=True, separator=",v1="),
    "convoy-advanced-sha512-base64": Case(
        "convoy-advanced",
        convoy_advanced(b64, "sha512"),
        "x-convoy-signature",
        r"(t=[^,]*,v1=)(.*)()",
        encoding="base64",
        options=Options(encoding=Encoding.BASE64, algorithm=Algorithm.SHA512),
        is_timed=True,
        separator=",v1=",
    ),
    "outpost": Case("outpost", of_body("x-outpost-signature", "v0={}"), "x-outpost-signature", r"(v0=)(.*)()", separator=","),
    "hmac": Case("hmac", generic, "x-mine", r"(mine )(.*)()", "base64", MINE, is_timed=True, name=NAME),
    "hmac-plain": Case("hmac", of_body("x-signature", "{}"), "x-signature"),
    "rfc9421": Case("rfc9421", message_signature(mac, "hmac-sha256"), "signature", RFC_BASE64, "base64", is_timed=True),
    "rfc9421-ed25519": Case(
        "rfc9421",
        message_signature(lambda secret, base: private(secret).sign(base), "ed25519"),
        "signature",
        RFC_BASE64,
        "base64",
        Options(key_type=KeyType.ED25519),
        is_timed=True,
        known=lambda secret: b64(public(secret)),
    ),
    "rfc9421-p256": Case(
        "rfc9421",
        message_signature(p256_raw, "ecdsa-p256-sha256"),
        "signature",
        RFC_BASE64,
        "base64",
        Options(key_type=KeyType.ECDSA_P256_SHA256),
        is_timed=True,
        known=p256_pem,
    ),
}
