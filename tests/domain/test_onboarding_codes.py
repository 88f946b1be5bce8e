"""Pairing commands and their codes. Source: rantaiclaw.md §3, §7, §21 (pairing store)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain import onboarding
from clawgate.domain.onboarding import Command, StoreCode, Verb, code_from, normal, parse, shown, use

NOW_MS = 1_800_000_000_000
CODE = StoreCode(surface="linq", expires_ms=NOW_MS + 1, max_uses=2)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/bind ABCD-2345", Command(Verb.BIND, "ABCD2345")),
        ("/claim ABCD2345", Command(Verb.CLAIM, "ABCD2345")),
        ("  /BIND\tabcd-2345 please", Command(Verb.BIND, "ABCD2345")),
        ("/bind\nABCD-2345\nthank you", Command(Verb.BIND, "ABCD2345")),
        ("/bind", Command(Verb.BIND, "")),
        ("/claim  ", Command(Verb.CLAIM, "")),
        ("/bind nope", Command(Verb.BIND, "")),
        ("/bind ABCD-234I", Command(Verb.BIND, "")),
        ("/bind ABCD-2345-", Command(Verb.BIND, "ABCD2345")),
        ("/bind " + "-" * 100 + "ABCD2345", Command(Verb.BIND, "")),
        ("/binding ABCD-2345", None),
        ("/bindABCD-2345", None),
        ("bind ABCD-2345", None),
        ("please /bind ABCD-2345", None),
        ("", None),
    ],
)
def test_command_is_a_verb_a_blank_and_a_first_word(text: str, command: Command | None) -> None:
    assert parse(text) == command


@given(st.binary(min_size=5, max_size=5))
def test_code_is_four_and_four_of_crockfords_digits_and_reads_back(drawn: bytes) -> None:
    code = code_from(drawn)
    assert set(code) <= set(onboarding.ALPHABET)
    assert (len(code), shown(code)[4]) == (8, "-")
    for typed in (shown(code), shown(code).lower(), f" {code} ", "-".join(code)):
        assert normal(typed) == code
    assert not set("ILOU") & set(onboarding.ALPHABET)


def test_different_bits_are_different_codes() -> None:
    assert {code_from(number.to_bytes(5, "big")) for number in (0, 1, 2**40 - 1, 2**35)} == {"00000000", "00000001", "ZZZZZZZZ", "10000000"}


@given(st.text(max_size=100))
def test_any_text_is_parsed_into_a_command_or_nothing(text: str) -> None:
    command = parse(text)
    assert command is None or command.code == "" or len(command.code) == 8


def test_code_is_used_as_often_as_it_says() -> None:
    once = use(CODE, "linq", "+1", NOW_MS)
    assert once is not None
    twice = use(once, "linq", "+2", NOW_MS)
    assert twice is not None
    assert (twice.uses, use(twice, "linq", "+3", NOW_MS)) == (2, None)


def test_same_person_uses_a_code_once_however_often_they_present_it() -> None:
    once = use(CODE, "linq", "+1", NOW_MS)
    assert once is not None
    assert use(once, "linq", "+1", NOW_MS) == once


def test_nobody_in_particular_uses_it_anew_each_time() -> None:
    once = use(CODE, "linq", "", NOW_MS)
    twice = use(once or CODE, "linq", "", NOW_MS)
    assert (twice and twice.uses, use(twice or CODE, "linq", "", NOW_MS)) == (2, None)


def test_wrong_surface_and_expired_code_let_nobody_in() -> None:
    assert use(CODE, "whatsapp", "+1", NOW_MS) is None
    assert use(CODE, "linq", "+1", NOW_MS + 1) is None


def test_code_without_a_limit_still_ends() -> None:
    code = StoreCode(surface="linq", expires_ms=NOW_MS + 1, max_uses=None, uses=onboarding.MOST_IDENTITIES - 1)
    last = use(code, "linq", "+1", NOW_MS)
    assert last is not None
    assert use(last, "linq", "+2", NOW_MS) is None


def test_welcome_says_what_was_given() -> None:
    told = [onboarding.welcome(verb, is_owner=owner) for verb, owner in ((Verb.BIND, False), (Verb.CLAIM, True), (Verb.CLAIM, False))]
    assert told == [onboarding.BOUND, onboarding.OWNER, onboarding.NOT_OWNER]
