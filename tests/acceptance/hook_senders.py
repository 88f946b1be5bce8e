"""Who signs deliveries in tests of real daemons: the vendors' own libraries where there are some, else OpenSSL's command; nothing of ours."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver
from http_message_signatures.algorithms import ECDSA_P256_SHA256, ED25519, HMAC_SHA256, HTTPSignatureAlgorithm
from nacl.signing import SigningKey
from slack_sdk.signature import SignatureVerifier
from standardwebhooks.webhooks import Webhook
from stripe import WebhookSignature
from svix.webhooks import Webhook as SvixWebhook
from twilio.request_validator import RequestValidator

Headers = dict[str, str]
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
PUBLIC_URL = "https://in.example/hook"
"""Where senders that sign the URL believe that they send to."""
SECRET, OTHER = "Kq7-sending-secret-4gT", "Wz2-sending-secret-8bN"
BYTES = hashlib.sha256(SECRET.encode()).digest()
WHSEC, OTHER_WHSEC = ("whsec_" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (SECRET, OTHER))
ED25519_KEY = SigningKey(BYTES)
P256_KEY = ec.derive_private_key(int.from_bytes(BYTES, "big") >> 8, ec.SECP256R1())


class Sender(NamedTuple):
    """One platform.

    Attributes:
        verify: name of the scheme.
        sign: (secret, body, query, name) → headers; `name` is the delivery's own where the platform has one outside the body.
        header: where the signature stands.
        secret: what it signs with.
        known: what the hook is told, where that is another.
        more: what its bodies hold besides the text, made of the delivery's name.
        options: more lines of the hook.
        content_type, query: of its requests.
    """

    verify: str
    sign: Callable[[str, bytes, str, str], Headers]
    header: str
    secret: str = SECRET
    known: str = ""
    more: Callable[[str], Mapping[str, object]] = lambda name: {}
    options: str = ""
    content_type: str = JSON
    query: Callable[[bytes], str] = lambda body: ""

    def deliver(self, text: str, *, secret: str = "") -> Delivery:
        """A genuine delivery of the text, signed now."""
        name = "n" + hashlib.sha256(text.encode()).hexdigest()[:12]
        value = {"text": text, **self.more(name)}
        body = (urlencode(value) if self.content_type == FORM else json.dumps(value)).encode()
        query = self.query(body)
        return Delivery(query, self.sign(secret or self.secret, body, query, name) | {"Content-Type": self.content_type}, body)


class Delivery(NamedTuple):
    """A request that was signed."""

    query: str
    headers: Headers
    body: bytes

    def with_other_body(self) -> Delivery:
        """One byte of the body is another."""
        assert self.body.count(b"one") == 1
        return self._replace(body=self.body.replace(b"one", b"onf"))

    def with_other_signature(self, header: str) -> Delivery:
        """One character of the signature is another."""
        value = self.headers[header]
        other = "1" if value[-10] == "0" else "0"
        return self._replace(headers=self.headers | {header: value[:-10] + other + value[-9:]})


def now() -> str:
    return str(int(time.time()))


def openssl(secret: str, message: bytes, algorithm: str = "sha256") -> bytes:
    """The HMAC, computed by OpenSSL's command."""
    command = ["openssl", "dgst", f"-{algorithm}", "-mac", "HMAC", "-macopt", f"hexkey:{secret.encode().hex()}", "-binary"]
    return subprocess.run(command, input=message, capture_output=True, check=True, timeout=20).stdout


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def of_body(header: str, form: str = "{}", spell: Callable[[bytes], str] = bytes.hex, algorithm: str = "sha256") -> Callable[..., Headers]:
    return lambda secret, body, query, name: {header: form.format(spell(openssl(secret, body, algorithm)))}


def of_time(header: str, stamp_header: str) -> Callable[..., Headers]:
    def sign(secret: str, body: bytes, query: str, name: str) -> Headers:
        stamp = now()
        return {header: openssl(secret, f"{stamp}.".encode() + body).hex(), stamp_header: stamp}

    return sign


def standard(prefix: str, library: Callable[[str], Any]) -> Callable[..., Headers]:
    def sign(secret: str, body: bytes, query: str, name: str) -> Headers:
        moment = datetime.now(UTC)
        signature = library(secret).sign(name, moment, body.decode())
        return {f"{prefix}-id": name, f"{prefix}-timestamp": str(int(moment.timestamp())), f"{prefix}-signature": signature}

    return sign


def standard_public(secret: str, body: bytes, query: str, name: str) -> Headers:
    stamp = now()
    raw = ED25519_KEY.sign(f"{name}.{stamp}.".encode() + body).signature
    return {"webhook-id": name, "webhook-timestamp": stamp, "webhook-signature": "v1a," + b64(raw)}


def stripe(secret: str, body: bytes, query: str, name: str) -> Headers:
    return {"Stripe-Signature": WebhookSignature.generate_signature_header(body.decode(), secret)}


def slack(secret: str, body: bytes, query: str, name: str) -> Headers:
    stamp = now()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": str(SignatureVerifier(secret).generate_signature(timestamp=stamp, body=body))}


def discord(secret: str, body: bytes, query: str, name: str) -> Headers:
    stamp = now()
    return {"X-Signature-Ed25519": ED25519_KEY.sign(stamp.encode() + body).signature.hex(), "X-Signature-Timestamp": stamp}


def twilio(url: str, *, is_form: bool) -> Callable[..., Headers]:
    def sign(secret: str, body: bytes, query: str, name: str) -> Headers:
        fields = dict(field.split("=") for field in body.decode().replace("+", " ").split("&")) if is_form else {}
        return {"X-Twilio-Signature": RequestValidator(secret).compute_signature(url + query, fields)}

    return sign


def nextcloud(secret: str, body: bytes, query: str, name: str) -> Headers:
    random = name * 5
    return {"X-Nextcloud-Talk-Random": random, "X-Nextcloud-Talk-Signature": openssl(secret, random.encode() + body).hex()}


def convoy_advanced(secret: str, body: bytes, query: str, name: str) -> Headers:
    stamp = now()
    message = f"{stamp},".encode() + body
    return {"X-Convoy-Signature": f"t={stamp},v1={b64(openssl(secret, message, 'sha512'))},v2={openssl(secret, message).hex()}"}


def described(secret: str, body: bytes, query: str, name: str) -> Headers:
    stamp = now()
    raw = openssl(secret, f"{name}/{stamp}:".encode() + body, "sha384")
    return {"X-Mine": f"mine {b64(raw)}", "X-Mine-Time": stamp, "X-Mine-Id": name}


def message_signature(algorithm: type[HTTPSignatureAlgorithm], key: Any) -> Callable[..., Headers]:
    signer = HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=MappingKeyResolver(public_keys={}, private_keys={"k1": key}))

    def sign(secret: str, body: bytes, query: str, name: str) -> Headers:
        message = SimpleNamespace(method="POST", url=PUBLIC_URL + query, headers={})
        signer.sign(message, key_id="k1", label="sig1", covered_component_ids=("@method", "@target-uri"), body=body)
        return dict(message.headers)

    return sign


def body_hash(body: bytes) -> str:
    return f"?bodySHA256={hashlib.sha256(body).hexdigest()}"


URL_OPTION = f'url = "{PUBLIC_URL}"'
P256_PEM = P256_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
PORT_URL = PUBLIC_URL.replace(".example", ".example:443")
HUB = "X-Hub-Signature-256"
SENDERS: dict[str, Sender] = {
    "standard": Sender("standard-webhooks", standard("webhook", Webhook), "webhook-signature", WHSEC),
    "standard-v1a": Sender("standard-webhooks", standard_public, "webhook-signature", known="whpk_" + b64(bytes(ED25519_KEY.verify_key))),
    "svix": Sender("svix", standard("svix", SvixWebhook), "svix-signature", WHSEC),
    "github": Sender("github", of_body(HUB, "sha256={}"), HUB),
    "meta": Sender("meta", of_body(HUB, "sha256={}"), HUB, options='verify_token = "presented when it subscribes"'),
    "stripe": Sender("stripe", stripe, "Stripe-Signature", WHSEC, more=lambda name: {"id": f"evt_{name}", "object": "event"}),
    "slack": Sender("slack", slack, "X-Slack-Signature", more=lambda name: {"type": "event_callback", "event_id": f"Ev{name}"}),
    "shopify": Sender("shopify", of_body("X-Shopify-Hmac-SHA256", "{}", b64), "X-Shopify-Hmac-SHA256"),
    "twilio-form": Sender("twilio", twilio(PUBLIC_URL, is_form=True), "X-Twilio-Signature", options=URL_OPTION, content_type=FORM),
    "twilio-port": Sender("twilio", twilio(PORT_URL, is_form=True), "X-Twilio-Signature", options=URL_OPTION, content_type=FORM),
    "twilio-json": Sender("twilio", twilio(PUBLIC_URL, is_form=False), "X-Twilio-Signature", options=URL_OPTION, query=body_hash),
    "twilio-json-port": Sender("twilio", twilio(PORT_URL, is_form=False), "X-Twilio-Signature", options=URL_OPTION, query=body_hash),
    "discord": Sender(
        "discord", discord, "X-Signature-Ed25519", known=bytes(ED25519_KEY.verify_key).hex(), more=lambda name: {"type": 2, "id": name}
    ),
    "telegram": Sender(
        "telegram",
        lambda secret, body, query, name: {"X-Telegram-Bot-Api-Secret-Token": secret},
        "X-Telegram-Bot-Api-Secret-Token",
        more=lambda name: {"update_id": int(name[1:], 16)},
    ),
    "line": Sender("line", of_body("X-Line-Signature", "{}", b64), "X-Line-Signature", more=lambda name: {"events": [{"webhookEventId": name}]}),
    "linear": Sender("linear", of_body("Linear-Signature"), "Linear-Signature", more=lambda name: {"webhookTimestamp": int(now()) * 1000}),
    "gitlab-token": Sender("gitlab", lambda secret, body, query, name: {"X-Gitlab-Token": secret}, "X-Gitlab-Token"),
    "gitlab-signed": Sender("gitlab", standard("webhook", Webhook), "webhook-signature", WHSEC),
    "nextcloud": Sender("nextcloud-talk", nextcloud, "X-Nextcloud-Talk-Signature"),
    "linq": Sender(
        "linq", of_time("X-Webhook-Signature", "X-Webhook-Timestamp"), "X-Webhook-Signature", more=lambda name: {"event_id": f"evt_{name}"}
    ),
    "hermes": Sender("hermes-v2", of_time("X-Webhook-Signature-V2", "X-Webhook-Timestamp"), "X-Webhook-Signature-V2"),
    "convoy": Sender(
        "convoy",
        of_body("X-Convoy-Signature", "{}", b64, "sha512"),
        "X-Convoy-Signature",
        options='algorithm = "sha512"\nencoding = "base64"',
    ),
    "convoy-advanced": Sender("convoy-advanced", convoy_advanced, "X-Convoy-Signature"),
    "outpost": Sender("outpost", of_body("X-Outpost-Signature", "v0={}"), "X-Outpost-Signature"),
    "hmac": Sender(
        "hmac",
        described,
        "X-Mine",
        options='header = "x-mine"\nprefix = "mine "\nencoding = "base64"\nalgorithm = "sha384"\nsigned = "{id}/{timestamp}:{body}"\n'
        'timestamp_header = "x-mine-time"\nid_header = "x-mine-id"',
    ),
    "rfc9421": Sender("rfc9421", message_signature(HMAC_SHA256, SECRET.encode()), "Signature", options=f'{URL_OPTION}\nkey_ids = ["k1"]'),
    "rfc9421-ed25519": Sender(
        "rfc9421",
        message_signature(ED25519, Ed25519PrivateKey.from_private_bytes(BYTES)),
        "Signature",
        known=bytes(ED25519_KEY.verify_key).hex(),
        options=f'{URL_OPTION}\nkey_type = "ed25519"',
    ),
    "rfc9421-p256": Sender(
        "rfc9421",
        message_signature(ECDSA_P256_SHA256, P256_KEY),
        "Signature",
        known=P256_PEM,
        options=f'{URL_OPTION}\nkey_type = "ecdsa-p256-sha256"',
    ),
}
