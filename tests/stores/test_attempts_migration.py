"""Items of before attempts were written down. Source: stores/sql/0010_attempts.sql."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from clawgate.domain.attempts import Attempt, Outcome
from clawgate.stores.migrations import migrate, shipped
from clawgate.testing.clock import ManualClock
from clawgate.testing.store import InlineStore

OLD = (
    "INSERT INTO inbox (id, state, ready, promised, keyed, journalled, attempts, accepted_ms, due_ms, updated_ms, owner, source, principal, "
    "model, text, answer) "
    "VALUES (10, ?, 1, 1, 0, 0, ?, 5, 0, 9, '', 'webhook', 'open', ?, 'q', ?)"
)


@pytest.mark.parametrize(
    ("row", "attempts"),
    [
        (("done", 1, "m", "an answer"), (Attempt(number=1, started_ms=5, ended_ms=9, outcome=Outcome.COMPLETED, model="m"),)),
        (("running", 1, None, None), (Attempt(number=1, started_ms=5, outcome=Outcome.RUNNING),)),
        (("dead", 5, None, None), ()),
        (("received", 0, None, None), ()),
    ],
)
def test_item_of_the_older_schema_tells_what_its_row_tells(row: tuple[object, ...], attempts: tuple[Attempt, ...]) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, ":memory:", [migration for migration in shipped() if migration.number < 10], 0, 0)
        connection.execute(OLD, row)
        store = InlineStore(ManualClock(), image=connection.serialize())
    store.start()
    found: list[object] = []
    store.inbox.attempts("000000000000000a").addCallback(found.append)
    assert found == [attempts]
