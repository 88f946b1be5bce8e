"""Searching more messages than SQLite ranks in time. Source: issue budget (p95 of a search over 100,000 messages is 20 ms; `tests/bench/sessions.py`)."""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Iterator
from typing import Any

import pytest

from clawgate.domain.sessions import Hit
from clawgate.stores import fulltext
from clawgate.stores.sessions import CANDIDATES, RANKED_WHOLE
from clawgate.testing.clock import ManualClock
from clawgate.testing.store import InlineStore
from tests.bench.sessions import image

MESSAGES = RANKED_WHOLE + 1_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InlineStore]:
    store = InlineStore(ManualClock(), image=image(tmp_path_factory.mktemp("search") / "sessions.db", MESSAGES))
    store.start()
    yield store
    store.stop()


def found(store: InlineStore, query: str, principal: str | None = None, limit: int = 200) -> tuple[Hit, ...]:
    results: list[tuple[Hit, ...]] = []
    store.sessions.search(query, principal, limit).addCallback(results.append)
    return results[0]


def test_of_many_matches_the_newest_are_ranked(store: InlineStore) -> None:
    hits = found(store, "the", limit=CANDIDATES)
    assert {hit.message.at_ms for hit in hits} == set(range(MESSAGES - CANDIDATES, MESSAGES))
    assert [hit.rank for hit in hits] == sorted(hit.rank for hit in hits)
    assert hits[-1].rank < 0


def test_a_rare_word_is_found_however_old(store: InlineStore) -> None:
    hits = found(store, "w19000 OR w19001 OR w19002 OR w19003 OR w19004 OR w19005 OR w19006 OR w19007 OR w19008 OR w19009")
    assert hits
    assert min(hit.message.at_ms for hit in hits) < RANKED_WHOLE


def test_more_of_what_was_asked_for_comes_first(store: InlineStore) -> None:
    hits = found(store, "w40 OR w41")
    both = [hit.rank for hit in hits if {"w40", "w41"} <= set(hit.message.content.split())]
    one = [hit.rank for hit in hits if hit.rank not in both]
    assert statistics.mean(both) < statistics.mean(one)


def test_everybody_finds_their_own_however_few(store: InlineStore) -> None:
    hits = found(store, "the w0", "ann")
    assert len(hits) == 200
    assert {int(hit.session_id.partition("-")[2]) % 10 for hit in hits} == {0}
    assert found(store, "the", "nobody") == ()


@pytest.mark.parametrize("query", ["a* OR " * 16 + "a*", "(" * 500 + "a*" + ")" * 500, "NEAR(a* b* c*, 9) " * 9])
def test_an_expression_that_would_take_for_ever_counts_as_words(query: str) -> None:
    probed: list[object] = []

    class Probed(sqlite3.Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:  # Any: as its base
            probed.append(args)
            raise sqlite3.OperationalError

    assert fulltext.understood(Probed(":memory:"), "", query) == fulltext.quoted(query.split())
    assert not probed
    assert fulltext.understood(Probed(":memory:"), "", "a* OR b") == '"a*" "OR" "b"'
    assert probed == [("", ("a* OR b",))]
