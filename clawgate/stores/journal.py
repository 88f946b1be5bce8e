"""The journal of tool calls on SQLite. Ring: edge. Implements `ports.journal.Journal`.

Schema: sql/0002_turns.sql, sql/0007_approvals.sql; the record: domain/journal.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain import inbox
from clawgate.domain.approvals import Pending
from clawgate.domain.audit import Deed
from clawgate.domain.errors import Conflict
from clawgate.domain.inbox import Item
from clawgate.domain.journal import StepState, ToolStep, is_allowed
from clawgate.domain.messages import TurnOptions
from clawgate.domain.turn import ToolCall
from clawgate.stores import audit, inbox_rows
from clawgate.stores.operations import Params
from clawgate.stores.readers import Readers
from clawgate.stores.writer import Writer

_options = msgspec.json.Decoder(TurnOptions).decode
_COLUMNS = "item_id, step, round, state, idempotent, ok, call_id, tool, said, arguments, result, approval_id, asked_ms, expires_ms"
INSERT = f"INSERT INTO tool_steps ({_COLUMNS}, updated_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
CHANGE = "UPDATE tool_steps SET state = ?, ok = ?, result = ?, updated_ms = ? WHERE item_id = ? AND step = ?"
ASK = "UPDATE tool_steps SET approval_id = ?, asked_ms = ?, expires_ms = ?, updated_ms = ? WHERE item_id = ? AND step = ? AND state = 'asked'"
ANSWER = "UPDATE tool_steps SET state = ?, updated_ms = ? WHERE item_id = ? AND step = ? AND state = 'asked'"
"""One row, unless somebody was quicker."""
OF_ITEM = f"SELECT {_COLUMNS} FROM tool_steps WHERE item_id = ? ORDER BY step"  # noqa: S608
_PENDING = (
    "SELECT t.approval_id, t.item_id, t.step, i.principal, i.options, t.call_id, t.tool, t.arguments, t.asked_ms, t.expires_ms "
    "FROM tool_steps t INDEXED BY tool_steps_asked JOIN inbox i ON i.id = t.item_id WHERE t.state = 'asked'"
)
QUESTION = f"{_PENDING} AND t.approval_id = ?"
QUESTIONS = f"{_PENDING} AND t.approval_id > '' ORDER BY t.asked_ms, t.approval_id LIMIT ?"
"""Only open items have steps that are asked about: `WITHDRAW`."""
AGAIN = (
    "UPDATE tool_steps SET state = 'planned' WHERE item_id = ?1 AND state = 'begun'",
    "DELETE FROM tool_steps WHERE item_id = ?1 AND round IN (SELECT round FROM tool_steps WHERE item_id = ?1 AND state IN ('asked', 'refused'))",
)
"""A person had an item tried again: what was begun may be called once more, and what nobody allowed is asked for anew."""
WITHDRAW = "UPDATE tool_steps SET state = 'refused' WHERE item_id = ? AND state = 'asked'"
"""Nobody has to answer any more: the item has ended."""
FORGET = "DELETE FROM tool_steps WHERE item_id = ?"


class SqliteJournal(msgspec.Struct, eq=False):
    """What the tools of each turn did."""

    writer: Writer
    readers: Readers

    def plan(self, owner: str, steps: Sequence[ToolStep], now_ms: int) -> Deferred[None]:
        """`ports.journal.Journal.plan`."""
        return self.writer.call(partial(_plan, owner=owner, steps=steps, now_ms=now_ms))

    def ask(self, owner: str, step: ToolStep, now_ms: int, deed: Deed | None = None) -> Deferred[None]:
        """`ports.journal.Journal.ask`."""
        return self.writer.call(partial(_ask, owner=owner, step=step, now_ms=now_ms, deed=deed))

    def answer(self, item_id: str, step: int, now_ms: int, *, approve: bool, deed: Deed | None = None) -> Deferred[bool]:
        """`ports.journal.Journal.answer`."""
        return self.writer.call(partial(_answer, item_id=item_id, step=step, approve=approve, now_ms=now_ms, deed=deed))

    def question(self, approval_id: str) -> Deferred[Pending | None]:
        """`ports.journal.Journal.question`."""
        return self.readers.read(partial(_question, approval_id=approval_id))

    def questions(self, limit: int) -> Deferred[tuple[Pending, ...]]:
        """`ports.journal.Journal.questions`."""
        return self.readers.read(partial(_questions, limit=limit))

    def begin(self, owner: str, step: ToolStep, now_ms: int, deed: Deed | None = None) -> Deferred[None]:
        """`ports.journal.Journal.begin`."""
        return self.writer.call(partial(_change, owner=owner, step=step, state=StepState.BEGUN, now_ms=now_ms, deed=deed))

    def finish(self, owner: str, step: ToolStep, now_ms: int, deed: Deed | None = None) -> Deferred[None]:
        """`ports.journal.Journal.finish`."""
        return self.writer.call(partial(_change, owner=owner, step=step, state=StepState.DONE, now_ms=now_ms, deed=deed))

    def steps(self, item_id: str) -> Deferred[tuple[ToolStep, ...]]:
        """`ports.journal.Journal.steps`."""
        return self.readers.read(partial(_steps, item_id=item_id))


def _plan(connection: sqlite3.Connection, owner: str, steps: Sequence[ToolStep], now_ms: int) -> None:
    item = _own(connection, owner, steps[0].item_id)
    if is_allowed(steps):
        connection.execute(inbox_rows.UPDATE, inbox_rows.to_change(inbox.step(item, inbox.Journalled(owner), now_ms)[0]))
    connection.executemany(INSERT, [(*_to_row(step), now_ms) for step in steps])


def _ask(connection: sqlite3.Connection, owner: str, step: ToolStep, now_ms: int, deed: Deed | None) -> None:
    _own(connection, owner, step.item_id)
    connection.execute(ASK, (step.approval_id, step.asked_ms, step.expires_ms, now_ms, int(step.item_id, 16), step.step))
    audit.record(connection, deed)


def _answer(connection: sqlite3.Connection, item_id: str, step: int, approve: bool, now_ms: int, deed: Deed | None) -> bool:
    number = int(item_id, 16)
    item = inbox_rows.maybe(connection, number)
    state = StepState.PLANNED if approve else StepState.REFUSED
    if item is None or not item.is_open or not connection.execute(ANSWER, (state.value, now_ms, number, step)).rowcount:
        return False
    if is_allowed(_steps(connection, item_id)):
        item, _ = inbox.step(item, inbox.Promise(), now_ms)
        if item.state is inbox.State.RUNNING:  # else its turn has yet to begin again, and finds the steps
            item, _ = inbox.step(item, inbox.Journalled(item.owner), now_ms)
        connection.execute(inbox_rows.UPDATE, inbox_rows.to_change(item))
    audit.record(connection, deed)
    return True


def _own(connection: sqlite3.Connection, owner: str, item_id: str) -> Item:
    item = inbox_rows.maybe(connection, int(item_id, 16))
    if item is None or item.state is not inbox.State.RUNNING or item.owner != owner:
        raise Conflict(f"item {item_id} is no longer run by {owner}")
    return item


def _change(connection: sqlite3.Connection, owner: str, step: ToolStep, state: StepState, now_ms: int, deed: Deed | None) -> None:
    _own(connection, owner, step.item_id)
    connection.execute(CHANGE, (state.value, step.ok, step.result, now_ms, int(step.item_id, 16), step.step))
    audit.record(connection, deed)


def _question(connection: sqlite3.Connection, approval_id: str) -> Pending | None:
    row = connection.execute(QUESTION, (approval_id,)).fetchone() if approval_id else None
    return None if row is None else _pending(row)


def _questions(connection: sqlite3.Connection, limit: int) -> tuple[Pending, ...]:
    return tuple(map(_pending, connection.execute(QUESTIONS, (limit,))))


def _pending(row: tuple[str, int, int, str, str | None, str, str, str, int, int]) -> Pending:
    id_, number, step, principal, options, call_id, tool, arguments, asked_ms, expires_ms = row
    return Pending(
        id=id_,
        item_id=f"{number:016x}",
        step=step,
        principal=principal,
        session="" if options is None else _options(options).session,
        call=ToolCall(call_id, tool, arguments),
        asked_ms=asked_ms,
        expires_ms=expires_ms,
    )


def _steps(connection: sqlite3.Connection, item_id: str) -> tuple[ToolStep, ...]:
    return tuple(map(_from_row, connection.execute(OF_ITEM, (int(item_id, 16),))))


def _to_row(step: ToolStep) -> Params:
    call, number = step.call, int(step.item_id, 16)
    about = (number, step.step, step.round, step.state.value, step.is_idempotent, step.ok)
    return (*about, call.id, call.name, step.said, call.arguments, step.result, step.approval_id, step.asked_ms, step.expires_ms)


def _from_row(row: tuple[int, int, int, str, int, int | None, str, str, str, str, str | None, str, int, int]) -> ToolStep:
    number, step, round_, state, idempotent, ok, call_id, tool, said, arguments, result, approval_id, asked_ms, expires_ms = row
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
        approval_id=approval_id,
        asked_ms=asked_ms,
        expires_ms=expires_ms,
    )
