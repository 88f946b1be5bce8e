"""Titles and ids of sessions. Source: rantaiclaw.md §10 (POST /agent/chat, sessions)."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.sessions import RENAMED_CHARS, TITLE_CHARS, is_uuid, is_worth_saving, renamed, title_of


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("hello", "hello"),
        ("\n \t\n  hello   big\tworld \nsecond", "hello big world"),
        ("\x1b[31mred\x07", "[31mred"),
        ("\x07\x1b\nhello", "hello"),
        ("x" * 50, "x" * 50),
        ("x" * 51, "x" * 50 + "…"),
        ("x" * 49 + " y", "x" * 49 + "…"),
        ("ü" * 60, "ü" * 50 + "…"),
        ("", None),
        (" \n\t\x07", None),
    ],
)
def test_title_is_the_first_line_that_holds_anything(question: str, title: str | None) -> None:
    assert title_of(question) == title


@given(st.text())
def test_title_is_one_short_printable_line(question: str) -> None:
    title = title_of(question)
    assert title is None or (0 < len(title) <= TITLE_CHARS + 1 and title == " ".join(title.split()))
    assert not [char for char in title or "" if unicodedata.category(char) in ("Cc", "Cs")]


@given(st.text())
def test_given_title_is_normalised_and_bounded(title: str) -> None:
    normalised = renamed(title)
    assert len(normalised) <= RENAMED_CHARS
    assert renamed(normalised) == normalised


def test_given_title_is_cut_at_200() -> None:
    assert renamed(" a\r\n b\0 ") == "a b"
    assert renamed("x" * 201) == "x" * 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", True),
        ("6BA7B810-9DAD-11D1-80B4-00C04FD430C8", True),
        ("6ba7b8109dad11d180b400c04fd430c8", False),
        ("6ba7b810-9dad-11d1-80b4-00c04fd430c8 ", False),
        ("6ba7b810-9dad-11d1-80b4-00c04fd430cg", False),
        ("", False),
    ],
)
def test_uuid_is_told_by_its_shape(text: str, expected: bool) -> None:
    assert is_uuid(text) is expected


@pytest.mark.parametrize(("answer", "expected"), [("yes", True), (" \n", False), ("", False), (None, False)])
def test_blank_answers_are_not_worth_saving(answer: str | None, expected: bool) -> None:
    assert is_worth_saving(answer) is expected
