"""A secret does not print itself."""

from __future__ import annotations

import pytest

from clawgate.domain.secret import Secret, digest


def test_no_way_of_printing_shows_it() -> None:
    secret = Secret("hunter22")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret!s}", "%s" % secret, repr([secret]), repr({"a": secret})]  # noqa: UP031 - one more way
    assert [text for text in shown if "hunter22" in text] == []


def test_it_reveals_itself_to_who_asks() -> None:
    assert Secret("hunter22").reveal() == "hunter22"


@pytest.mark.parametrize(("presented", "same"), [("abc", True), ("abd", False), ("ab", False), ("abcd", False), ("", False)])
def test_matching(presented: str, same: bool) -> None:
    assert Secret("abc").matches(presented) is same


def test_equal_secrets_are_equal_and_hash_alike() -> None:
    assert Secret("a") == Secret("a")
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_a_secret_is_not_its_text() -> None:
    assert Secret("a") != "a"


@pytest.mark.parametrize(("text", "present"), [("", False), (" \t\n", False), ("x", True)])
def test_blank_is_no_secret(text: str, present: bool) -> None:
    assert bool(Secret(text)) is present


def test_lone_surrogates_are_hashed_and_not_refused() -> None:
    assert len(digest("\ud800")) == 32
    assert not Secret("a").matches("\udfff")
