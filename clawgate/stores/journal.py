"""The journal of tool calls on SQLite. Ring: edge. Implements `ports.journal.Journal`. Schema: sql/0002_turns.sql; the record: domain/journal.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial

from attrs import define
from twisted.internet.defer import Deferred

from clawgate.domain import inbox
from clawgate.domain.errors import Conflict
from clawgate.domain.journal import StepState, ToolStep
from clawgate.domain.turn import ToolCall
from clawgate.stores import inbox_rows
from clawgate.stores.operations import Params
from clawgate.stores.readers import Readers
from clawgate.stores.writer import Writer

_COLUMNS = "item_id, step, round, state, idempotent, ok, call_id, tool, said, arguments, result"
INSERT = f"INSERT INTO tool_steps ({_COLUMNS}, updated_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
CHANGE = "UPDATE tool_steps SET state = ?, ok = ?, result = ?, updated_ms = ? WHERE item_id = ? AND step = ?"
OF_ITEM = f"SELECT {_COLUMNS} FROM tool_steps WHERE item_id = ? ORDER BY step"  # noqa: S608
AGAIN = "UPDATE tool_steps SET state = 'planned' WHERE item_id = ? AND state = 'begun'"
"""A person had an uncertain item tried again: what was begun may be called once more."""
FORGET = "DELETE FROM tool_steps WHERE item_id = ?"


@define(eq=False)
class SqliteJournal:
    """What the tools of each turn did."""

    writer: Writer
    readers: Readers

    def plan(self, owner: str, steps: Sequence[ToolStep], now_ms: int) -> Deferred[None]:
        """`ports.journal.Journal.plan`."""
        return self.writer.call(partial(_plan, owner=owner, steps=steps, now_ms=now_ms))

    def begin(self, owner: str, step: ToolStep, now_ms: int) -> Deferred[None]:
        """`ports.journal.Journal.begin`."""
        return self.writer.call(partial(_change, owner=owner, step=step, state=StepState.BEGUN, now_ms=now_ms))

    def finish(self, owner: str, step: ToolStep, now_ms: int) -> Deferred[None]:
        """`ports.journal.Journal.finish`."""
        return self.writer.call(partial(_change, owner=owner, step=step, state=StepState.DONE, now_ms=now_ms))

    def steps(self, item_id: str) -> Deferred[tuple[ToolStep, ...]]:
        """`ports.journal.Journal.steps`."""
        return self.readers.read(partial(_steps, item_id=item_id))


def _plan(connection: sqlite3.Connection, owner: str, steps: Sequence[ToolStep], now_ms: int) -> None:
    number = int(steps[0].item_id, 16)
    item = inbox_rows.maybe(connection, number)
    if item is None:
        raise Conflict(f"item {steps[0].item_id} is gone")
    after, _ = inbox.step(item, inbox.Journalled(owner), now_ms)
    connection.execute(inbox_rows.UPDATE, inbox_rows.to_change(after))
    connection.executemany(INSERT, [(*_to_row(step), now_ms) for step in steps])


def _change(connection: sqlite3.Connection, owner: str, step: ToolStep, state: StepState, now_ms: int) -> None:
    number = int(step.item_id, 16)
    item = inbox_rows.maybe(connection, number)
    if item is None or item.owner != owner:
        raise Conflict(f"item {step.item_id} is no longer run by {owner}")
    connection.execute(CHANGE, (state.value, step.ok, step.result, now_ms, number, step.step))


def _steps(connection: sqlite3.Connection, item_id: str) -> tuple[ToolStep, ...]:
    return tuple(map(_from_row, connection.execute(OF_ITEM, (int(item_id, 16),))))


def _to_row(step: ToolStep) -> Params:
    call = step.call
    number = int(step.item_id, 16)
    return (number, step.step, step.round, step.state.value, step.is_idempotent, step.ok, call.id, call.name, step.said, call.arguments, step.result)


def _from_row(row: tuple[int, int, int, str, int, int | None, str, str, str, str, str | None]) -> ToolStep:
    number, step, round_, state, idempotent, ok, call_id, tool, said, arguments, result = row
    return ToolStep(
        item_id=f"{number:016x}",
        step=step,
        round=round_,
        call=ToolCall(call_id, tool, arguments),
        said=said,
        is_idempotent=bool(idempotent),
        state=StepState(state),
        result=result,
        ok=None if ok is None else bool(ok),
    )
