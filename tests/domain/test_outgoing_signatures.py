"""What we sign is genuine to our own checking half, and to the published vectors. Source: webhook-signatures.md §1.2."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.domain.errors import NoSecret, Unauthenticated
from clawgate.domain.secret import Secret
from clawgate.domain.signing.outgoing import complaint, signature, signing_keys
from clawgate.domain.signing.scheme import Delivery
from clawgate.domain.signing.standard import check, keys_of

ID, STAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SYMMETRIC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


def signed(*secrets: str) -> str:
    return signature(signing_keys(tuple(map(Secret, secrets))), ID, STAMP, BODY)


@pytest.mark.parametrize(("secrets", "expected"), [((SYMMETRIC,), V1), ((PRIVATE,), V1A), ((PRIVATE, SYMMETRIC), f"{V1} {V1A}")])
def test_published_vectors_are_signed_and_each_secret_signs(secrets: tuple[str, ...], expected: str) -> None:
    assert signed(*secrets) == expected


def _symmetric(key: bytes) -> tuple[str, str]:
    text = "whsec_" + base64.b64encode(key).decode()
    return text, text


def _private(seed: bytes) -> tuple[str, str]:
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return "whsk_" + base64.b64encode(seed + public).decode(), "whpk_" + base64.b64encode(public).decode()


PAIRS = st.one_of(st.binary(min_size=24, max_size=64).map(_symmetric), st.binary(min_size=32, max_size=32).map(_private))


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(PAIRS, min_size=1, max_size=8), which=st.integers(0, 7), body=st.binary(max_size=300), stamp=st.integers(1, 10**10))
def test_whoever_knows_one_of_the_secrets_finds_it_genuine_and_no_other_body(
    pairs: list[tuple[str, str]], which: int, body: bytes, stamp: int
) -> None:
    value = signature(signing_keys(tuple(Secret(own) for own, _ in pairs)), ID, stamp, body)
    headers = {"webhook-id": ID, "webhook-timestamp": str(stamp), "webhook-signature": value}
    known = keys_of((Secret(pairs[which % len(pairs)][1]),))
    verified = check(Delivery(method="POST", url="", headers=headers, body=body), known, "webhook", 300, stamp)
    assert verified.id == ID
    with pytest.raises(Unauthenticated):
        check(Delivery(method="POST", url="", headers=headers, body=body + b" "), known, "webhook", 300, stamp)


@pytest.mark.parametrize(
    ("secrets", "why"),
    [
        ((), "no secret configured"),
        ((" ",), "no secret configured"),
        (("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",), "begins neither"),
        (("whsec_c2hvcnQ=",), "has not 16 to 64 bytes"),
        (("whsec_!!!",), "not base64"),
        (("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",), "begins neither"),
        (("whsk_AAAA",), "no Ed25519 private key"),
        (("whsk_" + base64.b64encode(bytes(64)).decode(),), "two halves"),
        ((SYMMETRIC,) * 9, "more than 8"),
    ],
)
def test_what_cannot_sign_is_refused_and_said(secrets: tuple[str, ...], why: str) -> None:
    given_ = tuple(map(Secret, secrets))
    assert why in complaint(given_)
    with pytest.raises(NoSecret):
        signing_keys(given_)
