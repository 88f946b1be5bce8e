"""Every published signature that a scheme has, and computed ones where none is published. Source: webhook-signatures.md §1.2, §1.3."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from clawgate.domain.errors import NoSecret, Unauthenticated
from clawgate.domain.secret import Secret
from clawgate.domain.signing import rfc9421
from clawgate.domain.signing.registry import SCHEMES
from clawgate.domain.signing.scheme import Algorithm, Delivery, Encoding, KeyType, Options, Verified

STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD_V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
STANDARD_V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
PUBLIC_KEY = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
PRIVATE_KEY = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
STRIPE_BODY = b"""{
  "id": "evt_test_webhook",
  "object": "event",
  "data": { "object": { "id": "rdr_123", "object": "terminal.reader" } }
}"""
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
    b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
TWILIO_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
TWILIO_FORM = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
TWILIO_JSON = b'{"property": "value", "boolean": true}'
TWILIO_HASHED = TWILIO_URL + "&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
CONVOY_HEX = "83306382f5361d35351d6de45998f23b52f40bcf96befe4e92f137c0f1bf4a7119388b238d8f9d502ac77e6f1a8849a4778272667ed88d530cac8050bd1fee2d"
CONVOY_BASE64 = "gzBjgvU2HTU1HW3kWZjyO1L0C8+Wvv5OkvE3wPG/SnEZOIsjjY+dUCrHfm8aiEmkd4JyZn7YjVMMrIBQvR/uLQ=="
DISCORD_SIGNATURE = "1695961a47c91a1ec033b819b7e87e3dbc583dd0cee6d1fd0216f58ac87b6228ae531ddbf91fb7bc28d7edf7f08604da16f54624f38a6bc0614e4dc13cd47f0f"
LINEAR_SIGNATURE = "4b1011a04abe3a2b3e5aabbd263f71852167af3291e9b7d7f3a9c26cdd453eef"


def standard(signature: str, prefix: str = "webhook") -> Delivery:
    headers = {f"{prefix}-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", f"{prefix}-timestamp": "1614265330", f"{prefix}-signature": signature}
    return post(headers, STANDARD_BODY)


def post(headers: dict[str, str], body: bytes, url: str = "https://example.com/hooks/x") -> Delivery:
    return Delivery("POST", url, headers, body)


def twilio(signature: str, url: str = TWILIO_URL, body: bytes = TWILIO_FORM, kind: str = "application/x-www-form-urlencoded") -> Delivery:
    return post({"x-twilio-signature": signature, "content-type": kind}, body, url)


SVIX = post(
    {
        "svix-id": "msg_loFOjxBNrRLzqYUf",
        "svix-timestamp": "1731705121",
        "svix-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
    },
    b'{"event_type":"ping","data":{"success":true}}',
)
GITHUB = post(
    {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
    b"Hello, World!",
)
META = post({"x-hub-signature-256": "sha256=0329a06b62cd16b33eb6792be8c60b158d89a2ee3a876fce9a881ebb488c0914"}, b"test")
META_COMPUTED = post(
    {"x-hub-signature-256": "sha256=e790291ff924369c1f80c8b2cc24fb9ccd37600d883a729059d4bbfa632c882b"},
    b'{"object":"whatsapp_business_account"}',
)
STRIPE = post({"stripe-signature": "t=12345,v1=07b1ede164afb7b5de91267ffa656f568c65d6e0783ce0ac55ee094643578eda"}, STRIPE_BODY)
SLACK = post(
    {
        "x-slack-request-timestamp": "1531420618",
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    },
    SLACK_BODY,
)
SHOPIFY = post({"x-shopify-hmac-sha256": "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY="}, b'{"id":1}')
DISCORD = post({"x-signature-timestamp": "1700000000", "x-signature-ed25519": DISCORD_SIGNATURE}, b'{"type":1}')
LINE = post({"x-line-signature": "/gg9a+LvFevTH1sd7XCQycD7tsWclCsInj7MhBHxN7k="}, b"bodybodybodybody")
NEXTCLOUD = post(
    {
        "x-nextcloud-talk-random": "r" * 64,
        "x-nextcloud-talk-signature": "9b7431b42ebe322f98961a567460ff35851f042254609f56b592d7f7ca0220ab",
    },
    b'{"type":"Create"}',
)
LINQ = post(
    {"x-webhook-timestamp": "1700000000", "x-webhook-signature": "ad7b75e250b9878af53b03b01f81dc07a1895924fa77ac79d07b6b89b14b9719"},
    b'{"event_type":"message.received"}',
)
HERMES = post(
    {"x-webhook-timestamp": "1700000000", "x-webhook-signature-v2": "282df0e027e45edf5d828767984363421d37cb4526052e51486c2e9a55504288"},
    b'{"a":1}',
)
GITHUB_SECRET = "It's a Secret to Everybody"
HMAC_OPTIONS = Options(header="x-hub-signature-256", prefix="sha256=")
CONVOY_BODY = b'{"event":"charge.success","amount":1000,"currency":"NGN"}'
CONVOY_V1 = "77b8b9269f25a199846a55a2bd25b3fba151c70fdae60bb1dcd87fbbc943c55c"
CONVOY_WRONG = "449623e4897bbde05e35358293f97b8c2f697367ffa3e7466e98178dfba44d19"
CONVOY_SHA512 = "shIuJSzSWCzyJcsrjUzu3p40Mp4v6VwCYZw+1dSj2ac+a+ry3/jnbXGmk64ZjO5AaF7tEq1O4uAz3C0Dme3gVw=="
CONVOY_GENUINE = [
    (f"t=1700000000,v1={CONVOY_V1}", Options()),
    (f"v1={CONVOY_V1},t=1700000000", Options()),
    (f"t=1700000000,v1={CONVOY_WRONG},v1={CONVOY_V1}", Options()),
    ("t=1700000000,v1=d7i5Jp8loZmEalWivSWz+6FRxw/a5gux3Nh/u8lDxVw=", Options(encoding=Encoding.BASE64)),
    (f"t=1700000000,v1={base64.b64decode(CONVOY_SHA512).hex()}", Options(algorithm=Algorithm.SHA512)),
    (f"t=1700000000,v1={CONVOY_SHA512}", Options(algorithm=Algorithm.SHA512, encoding=Encoding.BASE64)),
]
CONVOY_FORGED = [
    f"t=1700000000,v1={CONVOY_V1[:-1]}0",
    f"t=1700000000,v1={CONVOY_WRONG},v1=c7eff1833c41a2ce2e195599451b240cd282b1bc9fa387e428a9fd5a5dc74933",
    f"t=Infinity,v1={CONVOY_V1}",
    "t=1700000000,v1=1234567890",
    f"v1={CONVOY_V1},v2={CONVOY_V1}",
]
CONVOY_BYTES = Options(algorithm=Algorithm.SHA512, encoding=Encoding.BASE64)

VECTORS: list[tuple[str, str, Delivery, int, Options]] = [
    ("standard-webhooks", STANDARD_SECRET, standard(STANDARD_V1), 1614265330, Options()),
    ("standard-webhooks", PUBLIC_KEY, standard(STANDARD_V1A), 1614265330, Options()),
    ("svix", STANDARD_SECRET, standard(STANDARD_V1, "svix"), 1614265330, Options()),
    ("svix", STANDARD_SECRET, standard(STANDARD_V1), 1614265330, Options()),
    ("svix", "whsec_plJ3nmyCDGBKInavdOK15jsl", SVIX, 1731705121, Options()),
    ("gitlab", STANDARD_SECRET, standard(STANDARD_V1), 1614265330, Options()),
    ("gitlab", "plain token", post({"x-gitlab-token": "plain token"}, b"{}"), 0, Options()),
    ("telegram", "Token_1-2", post({"x-telegram-bot-api-secret-token": "Token_1-2"}, b"{}"), 0, Options()),
    ("github", GITHUB_SECRET, GITHUB, 0, Options()),
    ("hmac", GITHUB_SECRET, GITHUB, 0, HMAC_OPTIONS),
    ("meta", "secret", META, 0, Options()),
    ("meta", "app_secret", META_COMPUTED, 0, Options()),
    ("stripe", "whsec_test_secret", STRIPE, 12345, Options()),
    ("slack", "8f742231b10e8888abcd99yyyzzz85a5", SLACK, 1531420618, Options()),
    ("shopify", "hush", SHOPIFY, 0, Options()),
    ("twilio", "12345", twilio("RSOYDt4T1cUTdK1PDd93/VVr8B8="), 0, Options()),
    ("twilio", "12345", twilio("RSOYDt4T1cUTdK1PDd93/VVr8B8=", TWILIO_URL.replace(".com", ".com:443")), 0, Options()),
    ("twilio", "12345", twilio("RSOYDt4T1cUTdK1PDd93/VVr8B8=", TWILIO_URL.replace(".com", ".com:1234")), 0, Options()),
    ("twilio", "12345", twilio("kvajT1Ptam85bY51eRf/AJRuM3w="), 0, Options()),
    ("twilio", "12345", twilio("kvajT1Ptam85bY51eRf/AJRuM3w=", TWILIO_URL.replace(".com", ".com:443")), 0, Options()),
    ("twilio", "12345", twilio("0ZXoZLH/DfblKGATFgpif+LLRf4=", TWILIO_URL.replace("https", "http")), 0, Options()),
    ("twilio", "12345", twilio("0ZXoZLH/DfblKGATFgpif+LLRf4=", TWILIO_URL.replace("https", "http").replace(".com", ".com:80")), 0, Options()),
    ("twilio", "12345", twilio("Zmvh+3yNM1Phv2jhDCwEM3q5ebU=", TWILIO_URL.replace("https", "http").replace(".com", ".com:1234")), 0, Options()),
    (
        "twilio",
        "12345",
        twilio("IK+Dwps556ElfBT0I3Rgjkr1wJU=", body=b"Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234"),
        0,
        Options(),
    ),
    ("twilio", "12345", twilio("a9nBmqA0ju/hNViExpshrM61xv4=", TWILIO_HASHED, TWILIO_JSON, "application/json"), 0, Options()),
    ("discord", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", DISCORD, 1700000000, Options()),
    ("line", "channel_secret", LINE, 0, Options()),
    ("linear", "lin_wh_secret", post({"linear-signature": LINEAR_SIGNATURE}, b'{"webhookTimestamp":1700000000000}'), 1700000000, Options()),
    ("nextcloud-talk", "secret", NEXTCLOUD, 0, Options()),
    ("linq", "linq_secret", LINQ, 1700000000, Options()),
    ("hermes-v2", "hermes_secret", HERMES, 1700000000, Options()),
    ("convoy", "Convoy", post({"x-convoy-signature": CONVOY_HEX}, b"Test Payload Body"), 0, Options(algorithm=Algorithm.SHA512)),
    ("convoy", "Convoy", post({"x-convoy-signature": CONVOY_BASE64}, b"Test Payload Body"), 0, CONVOY_BYTES),
    *(("convoy-advanced", "convoy-webhook-secret", post({"x-convoy-signature": text}, CONVOY_BODY), 1700000000, own) for text, own in CONVOY_GENUINE),
]
# No vector is published: outpost signs as github does, under another name; those of RFC 9421 do not cover what a hook demands (below).
WITHOUT = {"outpost", "rfc9421"}


def verify(name: str, secrets: tuple[str, ...], delivery: Delivery, now: float, options: Options) -> Verified:
    return SCHEMES[name].verify(delivery, tuple(Secret(secret) for secret in secrets), options, now)


@pytest.mark.parametrize(("name", "secret", "delivery", "now", "options"), VECTORS, ids=[f"{n}-{row[0]}" for n, row in enumerate(VECTORS)])
def test_published_signature_is_genuine_for_its_secret_and_no_other(name: str, secret: str, delivery: Delivery, now: int, options: Options) -> None:
    assert SCHEMES[name].complaint((Secret(secret),), options) == ""
    plain = verify(name, (secret,), delivery, now, options)
    assert verify(name, (secret, " "), delivery, now, options) == plain
    assert plain.digest != bytes(32)
    with pytest.raises(Unauthenticated):
        verify(name, (OTHER.get(name, "another"),), delivery, now, options)
    with pytest.raises(NoSecret):
        verify(name, ("", " \t"), delivery, now, options)


OTHER = {
    "standard-webhooks": "whsec_NfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "svix": "whsec_NfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "discord": "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
}


def test_every_scheme_has_a_vector_or_a_reason() -> None:
    assert {row[0] for row in VECTORS} | WITHOUT == set(SCHEMES)


@pytest.mark.parametrize(
    "signature",
    [
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=",
        "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=",
        "v1,",
        "",
        STANDARD_V1.replace("v1,", "v2,"),
        STANDARD_V1.replace("v1,", "v1a,"),
        STANDARD_V1A,
    ],
)
def test_published_signatures_that_must_fail_do(signature: str) -> None:
    with pytest.raises(Unauthenticated):
        verify("standard-webhooks", (STANDARD_SECRET,), standard(signature), 1614265330, Options())


def test_standard_signatures_stand_beside_each_other() -> None:
    both = standard(f"v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,x {STANDARD_V1} {STANDARD_V1A}")
    proofs = [verify("standard-webhooks", secrets, both, 1614265330, Options()) for secrets in ((STANDARD_SECRET,), (PUBLIC_KEY,))]
    alone = verify("standard-webhooks", (STANDARD_SECRET,), standard(STANDARD_V1), 1614265330, Options())
    assert proofs == [alone, alone]
    assert alone.id == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert alone.sent_at == 1614265330


@pytest.mark.parametrize("secret", [PRIVATE_KEY, "whsec_", "whsec_AAAA", "whpk_AAAA", "whsec_not base64 at all", "whsec_" + "é" * 24])
def test_secret_that_cannot_be_a_key_of_standard_webhooks_refuses_everything(secret: str) -> None:
    assert SCHEMES["standard-webhooks"].complaint((Secret(secret),), Options()) != ""
    with pytest.raises(NoSecret):
        verify("standard-webhooks", (secret,), standard(STANDARD_V1), 1614265330, Options())


def test_private_key_is_called_what_it_is() -> None:
    assert "whpk_" in SCHEMES["standard-webhooks"].complaint((Secret(PRIVATE_KEY),), Options())


def test_public_key_is_no_hmac_key() -> None:

    message = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330." + STANDARD_BODY
    for key in (base64.b64decode(PUBLIC_KEY[5:]), PUBLIC_KEY.encode()):
        forged = "v1," + base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()
        with pytest.raises(Unauthenticated):
            verify("standard-webhooks", (PUBLIC_KEY,), standard(forged), 1614265330, Options())


# --- RFC 9421, appendix B.2: they cover neither method nor body, so a hook refuses them; base and signature are checked on their own --------

RFC_BODY = b'{"hello": "world"}'
RFC_HEADERS = {
    "date": "Tue, 20 Apr 2021 02:07:55 GMT",
    "content-type": "application/json",
    "content-length": "18",
    "content-digest": "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
}
B25 = Delivery(
    "POST",
    "https://example.com/foo?param=Value&Pet=dog",
    {
        **RFC_HEADERS,
        "signature-input": 'sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"',
        "signature": "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
    },
    RFC_BODY,
)
B26 = Delivery(
    "POST",
    "https://example.com/foo?param=Value&Pet=dog",
    {
        **RFC_HEADERS,
        "signature-input": 'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
        ';created=1618884473;keyid="test-key-ed25519"',
        "signature": "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
    },
    RFC_BODY,
)
B25_BASE = b"""\
"date": Tue, 20 Apr 2021 02:07:55 GMT
"@authority": example.com
"content-type": application/json
"@signature-params": ("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret\""""
B26_BASE = b"""\
"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519\""""
SHARED_KEY = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
ED25519_KEY = "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"
SHARED = Options(key_type=KeyType.HMAC_SHA256, key_encoding=Encoding.BASE64, key_ids=("test-shared-secret",))
ED25519 = Options(key_type=KeyType.ED25519, key_ids=("test-key-ed25519",))
RFC_VECTORS = [(B25, B25_BASE, SHARED_KEY, SHARED), (B26, B26_BASE, ED25519_KEY, ED25519)]


@pytest.mark.parametrize(("delivery", "base", "secret", "options"), RFC_VECTORS)
def test_signature_of_the_rfc_is_genuine_over_its_base(delivery: Delivery, base: bytes, secret: str, options: Options) -> None:
    covered, signature = rfc9421.chosen(delivery, "")
    assert rfc9421.signature_base(delivery, covered) == base
    keys = rfc9421.keys_of((Secret(secret),), options)
    rfc9421.require_signer(keys, covered, options.key_type, base, signature)
    with pytest.raises(Unauthenticated):
        rfc9421.require_signer(keys, covered, options.key_type, base + b"\n", signature)


@pytest.mark.parametrize(("delivery", "base", "secret", "options"), RFC_VECTORS)
def test_signature_that_covers_no_body_is_refused(delivery: Delivery, base: bytes, secret: str, options: Options) -> None:
    with pytest.raises(Unauthenticated, match="cover"):
        verify("rfc9421", (secret,), delivery, 1618884473, options)


# --- Convoy's vectors that have to fail ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", CONVOY_FORGED)
def test_what_convoy_says_is_forged_is_refused(header: str) -> None:
    with pytest.raises(Unauthenticated):
        verify("convoy-advanced", ("convoy-webhook-secret",), post({"x-convoy-signature": header}, CONVOY_BODY), 1700000000, Options())


def test_what_convoy_says_is_late_is_refused_at_the_tolerance_of_the_hook() -> None:
    delivery = post({"x-convoy-signature": f"t=1700000000,v1={CONVOY_V1}"}, CONVOY_BODY)
    verify("convoy-advanced", ("convoy-webhook-secret",), delivery, 1700000030, Options(tolerance_seconds=30))
    with pytest.raises(Unauthenticated, match="tolerance"):
        verify("convoy-advanced", ("convoy-webhook-secret",), delivery, 1700000031, Options(tolerance_seconds=30))
