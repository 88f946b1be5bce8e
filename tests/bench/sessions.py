"""Searching kept conversations: 100,000 messages, rare and common words, an administrator and a caller with a share of them."""

from __future__ import annotations

import random
import sqlite3
import statistics
import time
from contextlib import closing
from itertools import accumulate
from pathlib import Path

from clawgate.domain.sessions import Hit
from clawgate.ports.sessions import Sessions
from clawgate.stores import migrations
from clawgate.testing.clock import ManualClock
from clawgate.testing.store import InlineStore

_WORDS = 20_000
_QUERIES = (
    *("the", "the w0", "w0 OR w1 OR w2", "w0 w1 w2 w3 w4", '"the w0"', "w*", "w1*", "w12 w700", "w5000", "w15000 w0", "nothing"),
    *("the NOT w0", "NEAR(w0 w1, 5)", "it's (odd", "w0 w1 w2 w3 w4 w5 w6 w7"),
)


def fill(connection: sqlite3.Connection, messages: int) -> None:
    """Sessions of ten messages of 41 words, word frequencies as in a language, every tenth session Ann's."""
    chance = random.Random(1)
    words = [f"w{number}" for number in range(_WORDS)]
    weights = list(accumulate(1 / (number + 1) for number in range(_WORDS)))
    connection.execute("BEGIN")
    for number in range(messages):
        session, place = divmod(number, 10)
        if place == 0:
            row = (session, f"session-{session}", "ann" if session % 10 == 0 else "bob", "api", "m", session, 10, "a title")
            connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        text = "the " + " ".join(chance.choices(words, cum_weights=weights, k=40))
        connection.execute("INSERT INTO session_messages VALUES (?, ?, ?, ?, ?)", (number, session, "user", number, text))
    connection.execute("COMMIT")


def image(path: Path, messages: int) -> bytes:
    """A database with so many messages, as a store takes it over."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        migrations.migrate(connection, str(path), migrations.shipped(), 0, 0)
        fill(connection, messages)
        return connection.serialize()


def searched(rows: Sessions, rounds: int) -> list[float]:
    """Milliseconds of each search."""
    took = []
    for _ in range(rounds):
        for query in _QUERIES:
            for principal in (None, "ann", "bob"):
                found: list[tuple[Hit, ...]] = []
                began = time.perf_counter()
                rows.search(query, principal, 20).addCallback(found.append)
                took.append((time.perf_counter() - began) * 1000)
                if len(found) != 1:
                    raise RuntimeError(f"{query!r} was not answered")
    return took


def percentiles(directory: Path, rounds: int, messages: int) -> tuple[float, float]:
    """p50 and p95 of a search among so many messages, in milliseconds."""
    store = InlineStore(ManualClock(), image=image(directory / "sessions.db", messages))
    store.start()
    took = searched(store.sessions, rounds)
    store.stop()
    return statistics.median(took), statistics.quantiles(took, n=20)[-1]
