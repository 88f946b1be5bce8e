"""Bearer tokens (zeroclaw.md A2, A6; rantaiclaw.md §3; design §4.6, §4.9)."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.caller import ALL_SCOPES, Scope
from clawgate.domain.errors import Invalid
from clawgate.domain.tokens import MAX_TOKEN_CHARS, bearer, is_hash, narrowed, new_token, parse_scopes, stored_hash, token_hash

TOKEN = new_token("zc_", bytes(range(32)))


@given(st.binary(min_size=32, max_size=32))
def test_a_token_is_the_prefix_and_64_lower_case_hex_digits(random_bytes: bytes) -> None:
    assert re.fullmatch(r"zc_[0-9a-f]{64}", new_token("zc_", random_bytes))


@pytest.mark.parametrize("count", [0, 31, 33])
def test_a_token_takes_32_bytes(count: int) -> None:
    with pytest.raises(ValueError, match="32"):
        new_token("zc_", bytes(count))


def test_the_hash_is_that_of_the_whole_text_and_not_the_token() -> None:
    assert token_hash(TOKEN) == hashlib.sha256(TOKEN.encode()).hexdigest()
    assert is_hash(token_hash(TOKEN))
    assert token_hash(TOKEN) != token_hash(TOKEN + "x")


def test_stored_plain_and_stored_hash_mean_the_same_token() -> None:
    assert stored_hash(TOKEN) == stored_hash(token_hash(TOKEN)) == stored_hash(token_hash(TOKEN).upper()) == token_hash(TOKEN)


def test_a_stolen_hash_is_no_token() -> None:
    assert token_hash(token_hash(TOKEN)) != stored_hash(token_hash(TOKEN))


@pytest.mark.parametrize("entry", ["", "abc", TOKEN, "g" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n", "٠" * 64])
def test_what_is_no_hash_is_told_apart(entry: str) -> None:
    assert not is_hash(entry)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer a", "a"),
        ("Bearer  a", " a"),
        ("Bearer a ", "a "),
        ("bearer a", None),
        ("Basic a", None),
        (" Bearer a", None),
        ("Bearer\ta", None),
        (f"Bearer {TOKEN}", TOKEN),
        ("Bearer " + "a" * MAX_TOKEN_CHARS, None),
    ],
)
def test_bearer_values(header: str | None, token: str | None) -> None:
    assert bearer(header) == token


def test_the_scheme_in_lower_case_counts_where_it_is_wanted() -> None:
    wanted = {"bearer a": "a", "Bearer a": "a", "BEARER a": None, "bearer  a": " a", "bearer": None, "bearer ": None}
    assert {header: bearer(header, lower_too=True) for header in wanted} == wanted


@given(st.text(max_size=30))
def test_any_header_is_a_token_or_none(text: str) -> None:
    assert bearer("Bearer " + text) == (text or None)
    assert len(token_hash(text)) == 64


def test_no_scopes_asked_means_all() -> None:
    assert parse_scopes(()) == ALL_SCOPES


def test_named_scopes() -> None:
    assert parse_scopes(("read", "chat")) == {Scope.READ, Scope.CHAT}


def test_an_unknown_scope_is_refused_with_the_list() -> None:
    with pytest.raises(Invalid, match="read, chat, write, approve, terminal, admin"):
        parse_scopes(("read", "root"))


def test_nobody_hands_out_more_than_it_has() -> None:
    assert narrowed(ALL_SCOPES, frozenset({Scope.READ})) == {Scope.READ}
    assert narrowed(frozenset({Scope.ADMIN}), frozenset({Scope.READ})) == frozenset()
