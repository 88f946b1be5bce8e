"""What a sender of each scheme signs is genuine, whatever the secret and the body. Source: webhook-signatures.md §1.1."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.domain.errors import Unauthenticated
from clawgate.domain.signing.registry import SCHEMES
from tests.domain.signing_cases import CASES, NOW, Case, changed

FEW = settings(max_examples=25, deadline=None)
EVERY_CASE = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def test_every_scheme_has_a_sender() -> None:
    assert {case.scheme for case in CASES.values()} == set(SCHEMES)


@EVERY_CASE
def test_what_is_signed_is_genuine(case: Case) -> None:
    @FEW
    @given(secret=case.secrets, body=case.bodies)
    def check(secret: str, body: bytes) -> None:
        delivery = case.sign(secret, body, str(NOW))
        verified = case.verify(delivery, case.known(secret), now=NOW + 0.9)
        assert verified.id == case.name
        assert verified.sent_at == (NOW if case.is_timed else None)
        assert verified.reply is None
        assert case.verify(delivery, case.known(case.other), "", case.known(secret)) == verified

    check()


@EVERY_CASE
def test_headers_that_it_reads_are_named(case: Case) -> None:
    if case.scheme != "hmac":  # the operator names them
        assert set(case.delivery().headers) <= set(SCHEMES[case.scheme].headers)


@EVERY_CASE
@pytest.mark.parametrize("length", [0, 65_536])
def test_empty_and_long_bodies_are_taken(case: Case, length: int) -> None:
    if case.scheme not in ("linear", "stripe", "telegram"):  # theirs hold something
        body = b"a" * length
        assert case.verify(case.sign(case.secret, body, str(NOW))).id == case.name


@EVERY_CASE
def test_hostile_text_in_any_header_is_refused_and_nothing_else_is_raised(case: Case) -> None:
    delivery = case.delivery()

    @FEW
    @given(text=st.text(max_size=100))
    def check(text: str) -> None:
        for name in set(delivery.headers) - {"content-type"}:
            with pytest.raises(Unauthenticated):
                case.verify(changed(delivery, {name: text}))

    check()


@EVERY_CASE
def test_hostile_body_and_url_are_refused_and_nothing_else_is_raised(case: Case) -> None:
    genuine = case.delivery()

    @FEW
    @given(body=st.binary(max_size=60), url=st.text(max_size=60))
    def check(body: bytes, url: str) -> None:
        try:
            case.verify(changed(genuine, url=url, body=body))
        except Unauthenticated:
            return
        assert case.is_token or body == genuine.body

    check()
