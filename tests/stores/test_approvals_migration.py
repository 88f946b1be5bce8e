"""Tool calls that were written down before questions about them were. Source: stores/sql/0007_approvals.sql."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from clawgate.domain.journal import StepState, ToolStep
from clawgate.domain.turn import ToolCall
from clawgate.stores.migrations import migrate, shipped
from clawgate.testing.clock import ManualClock
from clawgate.testing.store import InlineStore

OLD = (
    "INSERT INTO tool_steps (item_id, step, round, state, idempotent, ok, updated_ms, call_id, tool, said, arguments, result) "
    "VALUES (10, ?, 1, ?, 0, ?, 5, 'c', 'pay', 'I pay.', '{}', ?)"
)


def test_steps_of_the_older_schema_stay_what_they_were() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, ":memory:", shipped()[:6], 0, 0)
        connection.executemany(OLD, [(1, "done", 1, "receipt"), (2, "begun", None, None), (3, "planned", None, None)])
        store = InlineStore(ManualClock(), image=connection.serialize())
    store.start()
    found: list[tuple[object, ...]] = []
    store.journal.steps("000000000000000a").addCallback(found.append)
    store.journal.questions(10).addCallback(found.append)
    states = ((StepState.DONE, "receipt", True), (StepState.BEGUN, None, None), (StepState.PLANNED, None, None))
    steps = tuple(
        ToolStep(item_id="000000000000000a", step=number, round=1, call=ToolCall("c", "pay", "{}"), said="I pay.", state=state, result=result, ok=ok)
        for number, (state, result, ok) in enumerate(states, 1)
    )
    assert found == [steps, ()]
