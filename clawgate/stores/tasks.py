"""Tasks on SQLite. Ring: edge. Implements `ports.tasks.TaskRows`. Statements: task_rows.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.errors import BadRequest
from clawgate.domain.tasks import MOST_LISTED, Actor, Change, Comment, Detail, Filter, Task, TaskEvent, not_found, step
from clawgate.stores import task_rows
from clawgate.stores.readers import Readers
from clawgate.stores.task_rows import comment_of, comment_row, event_of, event_row, page_query, task_of, task_row
from clawgate.stores.writer import Writer


class SqliteTasks(msgspec.Struct, eq=False):
    """Tasks, comments and events."""

    writer: Writer
    readers: Readers

    def add(self, task: Task, created: TaskEvent) -> Deferred[None]:
        """`ports.tasks.TaskRows.add`."""
        return self.writer.call(partial(_add, task=task, created=created))

    def change(self, task_id: str, change: Change, actor: Actor, now_ms: int, event_ids: Sequence[str]) -> Deferred[Task]:
        """`ports.tasks.TaskRows.change`."""
        return self.writer.call(partial(_change, task_id=task_id, change=change, actor=actor, now_ms=now_ms, event_ids=event_ids))

    def remove(self, task_id: str) -> Deferred[int]:
        """`ports.tasks.TaskRows.remove`."""
        return self.writer.call(partial(_remove, task_id=task_id))

    def detail(self, task_id: str) -> Deferred[Detail | None]:
        """`ports.tasks.TaskRows.detail`."""
        return self.readers.read(partial(_detail, task_id=task_id))

    def page(self, wanted: Filter, limit: int, offset: int) -> Deferred[tuple[Task, ...]]:
        """`ports.tasks.TaskRows.page`."""
        return self.readers.read(partial(page, wanted=wanted, limit=limit, offset=offset))

    def comment(self, comment: Comment, event: TaskEvent) -> Deferred[None]:
        """`ports.tasks.TaskRows.comment`."""
        return self.writer.call(partial(_comment, comment=comment, event=event))

    def comments(self, task_id: str) -> Deferred[tuple[Comment, ...]]:
        """`ports.tasks.TaskRows.comments`."""
        return self.readers.read(partial(_comments, task_id=task_id))

    def events(self, task_id: str) -> Deferred[tuple[TaskEvent, ...]]:
        """`ports.tasks.TaskRows.events`."""
        return self.readers.read(partial(_events, task_id=task_id))


def page(connection: sqlite3.Connection, wanted: Filter, limit: int, offset: int) -> tuple[Task, ...]:
    """The page: first which rows, from an index alone, then those rows."""
    sql, params = page_query(wanted)
    found = connection.execute(sql, (*params, min(max(limit, 0), MOST_LISTED), max(offset, 0))).fetchall()
    rows = (connection.execute(task_rows.BY_SEQ, seq).fetchone() for seq in found)
    return tuple(task_of(row) for row in rows if row is not None)  # None: removed between the two


def _get(connection: sqlite3.Connection, task_id: str) -> Task | None:
    row = connection.execute(task_rows.BY_ID, (task_id,)).fetchone()
    return None if row is None else task_of(row)


def _detail(connection: sqlite3.Connection, task_id: str) -> Detail | None:
    task = _get(connection, task_id)
    if task is None:
        return None
    subtasks = page(connection, Filter(parent_task_id=task_id), MOST_LISTED, 0)
    return Detail(task, subtasks, _comments(connection, task_id), _events(connection, task_id))


def _comments(connection: sqlite3.Connection, task_id: str) -> tuple[Comment, ...]:
    rows = connection.execute(task_rows.COMMENTS, (task_id, MOST_LISTED)).fetchall()
    return tuple(map(comment_of, reversed(rows)))


def _events(connection: sqlite3.Connection, task_id: str) -> tuple[TaskEvent, ...]:
    rows = connection.execute(task_rows.EVENTS, (task_id, MOST_LISTED)).fetchall()
    return tuple(map(event_of, reversed(rows)))


def _exists(connection: sqlite3.Connection, task_id: str) -> bool:
    return connection.execute(task_rows.EXISTS, (task_id,)).fetchone() is not None


def _add(connection: sqlite3.Connection, task: Task, created: TaskEvent) -> None:
    if task.parent_task_id is not None and not _exists(connection, task.parent_task_id):
        raise BadRequest(f"Parent task not found: {task.parent_task_id}")
    connection.execute(task_rows.INSERT, task_row(task))
    connection.execute(task_rows.ADD_EVENT, event_row(created))


def _change(connection: sqlite3.Connection, *, task_id: str, change: Change, actor: Actor, now_ms: int, event_ids: Sequence[str]) -> Task:
    before = _get(connection, task_id)
    if before is None:
        raise not_found(task_id)
    after, happened = step(before, change, actor, now_ms)
    connection.execute(task_rows.UPDATE, (*task_row(after), task_id))
    for event_id, event in zip(event_ids, happened, strict=False):
        told = TaskEvent(id=event_id, task_id=event.task_id, type=event.type, actor=actor, data=event.data, created_ms=now_ms)
        connection.execute(task_rows.ADD_EVENT, event_row(told))
    return after


def _remove(connection: sqlite3.Connection, task_id: str) -> int:
    below = connection.execute(task_rows.BELOW, (task_id,)).fetchall()
    for sql in task_rows.DELETE:
        connection.executemany(sql, below)
    return len(below)


def _comment(connection: sqlite3.Connection, comment: Comment, event: TaskEvent) -> None:
    if not _exists(connection, comment.task_id):
        raise not_found(comment.task_id)
    connection.execute(task_rows.ADD_COMMENT, comment_row(comment))
    connection.execute(task_rows.ADD_EVENT, event_row(event))
