"""The order of texts that a query found. Source: clawgate/domain/ranking.py (BM25)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.ranking import query_words, scores


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ('Tea AND "Green leaf" NOT (milk OR sug*)', ("tea", "green", "leaf", "milk", "sug*")),
        ("NEAR(a b, 5) and a", ("a", "b", "5", "and")),
        ("", ()),
        (" ".join(f"w{number}" for number in range(99)), tuple(f"w{number}" for number in range(32))),
    ],
)
def test_query_words_leave_the_operators_out(query: str, words: tuple[str, ...]) -> None:
    assert query_words(query) == words


def test_more_rarer_and_shorter_is_better() -> None:
    texts = ["tea", "tea tea", "tea and a lot of other words that nobody asked for", "rare tea", "milk", "tea again", "tea, too", "no more"]
    ranks = dict(zip(texts, scores(("tea", "rare"), texts), strict=True))
    assert min(ranks, key=ranks.__getitem__) == "rare tea"
    assert ranks["tea tea"] < ranks["tea"] < ranks["tea and a lot of other words that nobody asked for"]
    assert ranks["milk"] == max(ranks.values())


@given(st.lists(st.text(min_size=1)), st.lists(st.text()))
def test_every_rank_is_below_zero(words: list[str], texts: list[str]) -> None:
    ranks = scores(words, texts)
    assert len(ranks) == len(texts)
    assert all(rank < 0 for rank in ranks)


def test_a_star_counts_every_word_that_begins_so_and_others_whole_words_only() -> None:
    begins, whole = scores(("te*",), ["tea team", "ten", "kite", "-", "-"]), scores(("te",), ["tea", "te", "-", "-", "-"])
    assert max(begins[:2]) < begins[2]
    assert whole[1] < whole[0] == whole[2]
