"""Long replies in parts. Source: rantaiclaw.md §7 and §21 ("long reply split")."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.channels.split_wire import split


def packed(text: str) -> str:
    return "".join(text.split(" ")).replace("\n", "")


@given(text=st.text(alphabet=st.sampled_from("ab \n\u0301\u200d🦀🇩🇪\U0001f3fd\r"), max_size=300), cap=st.integers(1, 40))
def test_nothing_but_blanks_is_lost_and_no_part_is_blank_or_too_long(text: str, cap: int) -> None:
    parts = split(text, cap)
    assert packed("".join(parts)).replace("\r", "") == packed(text).replace("\r", "")
    assert all(part.strip() and len(part) <= cap for part in parts)


@given(text=st.text(min_size=1, max_size=100).filter(str.strip))
def test_reply_that_fits_is_sent_as_it_is(text: str) -> None:
    assert split(text, 100) == (text,)


@pytest.mark.parametrize("text", ["", " ", "\n" * 9000])
def test_blank_reply_has_no_parts(text: str) -> None:
    assert split(text, 4096) == ()


def test_line_break_is_preferred_over_a_later_blank() -> None:
    assert split("aaaa aa\nb cccc", 10) == ("aaaa aa", "b cccc")


def test_blank_is_preferred_over_the_middle_of_a_word() -> None:
    assert split("aaaa bbbb cccc", 10) == ("aaaa bbbb", "cccc")


def test_early_line_break_does_not_make_short_parts() -> None:
    assert split("a\n" + "b" * 15, 10) == ("a\nbbbbbbbb", "bbbbbbb")


def test_indentation_after_a_line_break_is_kept() -> None:
    assert split("code:\n    x = 1", 8) == ("code:", "    x =", "1")


def test_word_longer_than_a_part_is_cut() -> None:
    assert split("x" * 10_000, 4096) == ("x" * 4096, "x" * 4096, "x" * 1808)


@pytest.mark.parametrize("cluster", ["e\u0301", "👍\U0001f3fd", "👩\u200d👩\u200d👧", "🇩🇪", "❤\ufe0f"])
def test_character_as_a_reader_sees_it_is_not_torn(cluster: str) -> None:
    for lead in range(len(cluster) + 1):
        parts = split("x" * lead + cluster * 20, 12)
        assert "".join(parts) == "x" * lead + cluster * 20
        assert all(part.removeprefix("x" * lead).replace(cluster, "") == "" for part in parts)


def test_endless_cluster_is_cut_all_the_same() -> None:
    parts = split("a" + "\u0301" * 5000, 100)
    assert len(parts) == 51
    assert "".join(parts) == "a" + "\u0301" * 5000
