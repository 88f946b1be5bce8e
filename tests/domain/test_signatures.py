"""Signature schemes: published vectors, the contracts' cases, near misses. Source: webhook-signatures.md §1.2, zeroclaw.md A6."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.errors import NoSecret, Unauthenticated
from clawgate.domain.secret import Secret
from clawgate.domain.signatures import verify_linq, verify_meta, verify_nextcloud_talk, verify_shared_token

NOW = 1_700_000_000
SECRET = (Secret("app_secret"),)


def meta(body: bytes, secret: str = "app_secret") -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def linq(body: bytes, timestamp: str = str(NOW), secret: str = "linq_secret") -> str:
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def check_linq(
    signature: str | None,
    body: bytes,
    timestamp: str | None = str(NOW),
    now_seconds: float = NOW,
    secrets: tuple[Secret, ...] = (Secret("linq_secret"),),
) -> None:
    verify_linq(secrets, timestamp=timestamp, signature=signature, body=body, now_seconds=now_seconds)


@pytest.mark.parametrize(
    ("secret", "body", "header"),
    [
        ("secret", b"test", "sha256=0329a06b62cd16b33eb6792be8c60b158d89a2ee3a876fce9a881ebb488c0914"),
        ("It's a Secret to Everybody", b"Hello, World!", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
        (
            "app_secret",
            b'{"object":"whatsapp_business_account"}',
            "sha256=e790291ff924369c1f80c8b2cc24fb9ccd37600d883a729059d4bbfa632c882b",
        ),
    ],
)
def test_published_meta_vectors_verify(secret: str, body: bytes, header: str) -> None:
    verify_meta((Secret(secret),), header, body)
    with pytest.raises(Unauthenticated):
        verify_meta((Secret(secret),), header, body + b" ")


def test_published_linq_vector_verifies() -> None:
    check_linq("ad7b75e250b9878af53b03b01f81dc07a1895924fa77ac79d07b6b89b14b9719", b'{"event_type":"message.received"}')


@pytest.mark.parametrize("body", [b"", "Grüße 🦀".encode(), b'{"entry":[]}', b"\xff\xfe\x00", b"a" * 65_536])
def test_any_body_with_its_own_signature_is_accepted(body: bytes) -> None:
    verify_meta(SECRET, meta(body), body)
    check_linq(linq(body), body)


def test_upper_case_hexadecimal_digits_are_accepted() -> None:
    verify_meta(SECRET, "sha256=" + meta(b"x")[7:].upper(), b"x")
    check_linq(linq(b"x").upper(), b"x")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        meta(b"x", "another"),
        meta(b"y"),
        meta(b"x")[7:],
        "SHA256=" + meta(b"x")[7:],
        "Sha256=" + meta(b"x")[7:],
        "sha1=" + meta(b"x")[7:],
        "sha256= " + meta(b"x")[7:],
        " " + meta(b"x"),
        meta(b"x") + " ",
        meta(b"x") + "\n",
        meta(b"x")[:-1],
        meta(b"x")[:-2],
        meta(b"x") + "00",
        meta(b"x") + meta(b"x")[7:],
        meta(b"x")[:-1] + "g",
        "sha256=" + "zz" * 32,
        "sha256=" + "\u0660" * 64,
        meta(b"x")[:39] + " " + meta(b"x")[39:],
    ],
)
def test_meta_header_that_is_not_exactly_right_is_refused(header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        verify_meta(SECRET, header, b"x")


@pytest.mark.parametrize("secrets", [(), (Secret(""),), (Secret("   "),), (Secret("\t\n"), Secret(""))])
def test_without_a_usable_secret_even_a_matching_signature_is_refused(secrets: tuple[Secret, ...]) -> None:
    keys = [secret.reveal() for secret in secrets] or [""]
    for key in keys:
        with pytest.raises(NoSecret):
            verify_meta(secrets, meta(b"x", key), b"x")
        with pytest.raises(NoSecret):
            check_linq(linq(b"x", secret=key), b"x", secrets=secrets)


def test_any_of_several_secrets_may_have_signed_and_blank_ones_do_not_count() -> None:
    both = (Secret("new"), Secret(""), Secret("old"))
    for key in ("new", "old"):
        verify_meta(both, meta(b"x", key), b"x")
        check_linq(linq(b"x", secret=key), b"x", secrets=both)
    for key in ("", "older"):
        with pytest.raises(Unauthenticated, match="does not match"):
            verify_meta(both, meta(b"x", key), b"x")


@pytest.mark.parametrize("form", ["{}", "sha256={}", " {}", "\t{} ", " sha256={} "])
def test_linq_signature_may_carry_its_prefix_and_blanks(form: str) -> None:
    check_linq(form.format(linq(b"x")), b"x")


@pytest.mark.parametrize("form", ["SHA256={}", "sha256=sha256={}", "sha256= {}", "{}00", "0{}", "v0={}"])
def test_linq_signature_in_another_form_is_refused(form: str) -> None:
    with pytest.raises(Unauthenticated):
        check_linq(form.format(linq(b"x")), b"x")


@pytest.mark.parametrize("signature", [None, "", "sha256=", linq(b"x", secret="other"), linq(b"y"), linq(b"x", "1700000001"), linq(b"x")[:-2]])
def test_linq_signature_that_does_not_fit_is_refused(signature: str | None) -> None:
    with pytest.raises(Unauthenticated):
        check_linq(signature, b"x")


@pytest.mark.parametrize("offset", [-300, -299, 0, 299, 300])
def test_linq_timestamp_within_five_minutes_of_now_is_fresh(offset: int) -> None:
    stamp = str(NOW + offset)
    check_linq(linq(b"x", stamp), b"x", stamp, NOW + 0.9)


@pytest.mark.parametrize("offset", [-301, 301, -10_000, 10_000])
def test_linq_timestamp_too_far_in_the_past_or_future_is_refused(offset: int) -> None:
    stamp = str(NOW + offset)
    with pytest.raises(Unauthenticated, match="tolerance"):
        check_linq(linq(b"x", stamp), b"x", stamp)


@pytest.mark.parametrize("stamp", [None, "", "now", "1e9", f"{NOW}.0", f" {NOW}", f"{NOW}\n", f"+{NOW}", "-1", "\u0661" * 10, "9" * 5000])
def test_linq_timestamp_that_is_no_plain_number_is_refused(stamp: str | None) -> None:
    signature = hmac.new(b"linq_secret", (stamp or "").encode() + b".x", hashlib.sha256).hexdigest()
    with pytest.raises(Unauthenticated, match="timestamp"):
        check_linq(signature, b"x", stamp)


@given(secret=st.text(min_size=1).filter(str.strip), body=st.binary(max_size=300))
def test_what_is_signed_verifies(secret: str, body: bytes) -> None:
    verify_meta((Secret(secret),), meta(body, secret), body)
    check_linq(linq(body, secret=secret), body, secrets=(Secret(secret),))


@given(body=st.binary(min_size=1, max_size=100), data=st.data())
def test_one_flipped_bit_anywhere_is_refused(body: bytes, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    flipped = bytearray(body)
    flipped[bit // 8] ^= 1 << bit % 8
    digest = bytearray.fromhex(meta(body)[7:])
    spot = data.draw(st.integers(0, 255))
    digest[spot // 8] ^= 1 << spot % 8
    for header, content in ((meta(body), bytes(flipped)), ("sha256=" + digest.hex(), body)):
        with pytest.raises(Unauthenticated):
            verify_meta(SECRET, header, content)


@given(length=st.integers(0, 70))
def test_truncated_header_is_refused(length: int) -> None:
    with pytest.raises(Unauthenticated):
        verify_meta(SECRET, meta(b"x")[:length], b"x")


@given(header=st.text(max_size=100), stamp=st.text(max_size=20))
def test_hostile_header_text_is_refused_and_nothing_else_is_raised(header: str, stamp: str) -> None:
    with pytest.raises(Unauthenticated):
        verify_meta(SECRET, header, b"x")
    with pytest.raises(Unauthenticated):
        check_linq(header, b"x", stamp)


def test_an_error_does_not_carry_the_secret_or_the_expected_signature() -> None:
    with pytest.raises(Unauthenticated) as caught:
        verify_meta(SECRET, meta(b"y"), b"x")
    assert "app_secret" not in str(caught.value)
    assert meta(b"x")[7:] not in str(caught.value) + caught.value.detail


def test_published_nextcloud_vector_verifies() -> None:
    signature = "9b7431b42ebe322f98961a567460ff35851f042254609f56b592d7f7ca0220ab"
    secrets = (Secret("old"), Secret("secret"))
    assert verify_nextcloud_talk(secrets, random="r" * 64, signature=signature, body=b'{"type":"Create"}') == "r" * 64
    with pytest.raises(Unauthenticated):
        verify_nextcloud_talk(secrets, random="r" * 64, signature=signature, body=b'{"type":"Create" }')


def test_shared_token_needs_one_right_place_and_a_secret() -> None:
    verify_shared_token((Secret("new"), Secret("old")), None, "wrong", "old")
    for presented in ((), (None,), ("", "ol", "old "), ("*",)):
        with pytest.raises(Unauthenticated):
            verify_shared_token((Secret("old"), Secret("")), *presented)
    with pytest.raises(NoSecret):
        verify_shared_token((Secret(" "),), " ", "")
