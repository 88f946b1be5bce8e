"""The rows of tasks, comments and events, and the statements about them. Ring: edge. Schema: sql/0004_tasks.sql. The records: domain/tasks.py."""

from __future__ import annotations

from typing import Any

import msgspec

from clawgate.domain.tasks import Actor, ActorType, Comment, EventType, Filter, Priority, ReviewStatus, Status, Task, TaskEvent
from clawgate.stores.operations import Params

TASK_FIELDS = Task.__struct_fields__
_TASK = ", ".join(TASK_FIELDS)
_COMMENT = "id, task_id, author_type, author_employee_id, author_user_id, created_ms, content"
_EVENT = "id, task_id, event_type, actor_type, actor_employee_id, actor_user_id, created_ms, data"

# ruff: noqa: S608  # the texts put together here are constants of this module
INSERT = f"INSERT INTO tasks ({_TASK}) VALUES ({', '.join('?' * len(TASK_FIELDS))})"
UPDATE = f"UPDATE tasks SET {', '.join(f'{name} = ?' for name in TASK_FIELDS)} WHERE id = ?"
BY_ID = f"SELECT {_TASK} FROM tasks WHERE id = ?"
BY_SEQ = f"SELECT {_TASK} FROM tasks WHERE seq = ?"
EXISTS = "SELECT 1 FROM tasks WHERE id = ?"
PAGE = "SELECT seq FROM tasks INDEXED BY {index} WHERE {wanted} ORDER BY order_in_status, seq DESC LIMIT ? OFFSET ?"
BELOW = """
    WITH RECURSIVE below(id) AS (SELECT id FROM tasks WHERE id = ? UNION SELECT tasks.id FROM tasks JOIN below ON tasks.parent_task_id = below.id)
    SELECT id FROM below
"""
DELETE = ("DELETE FROM task_comments WHERE task_id = ?", "DELETE FROM task_events WHERE task_id = ?", "DELETE FROM tasks WHERE id = ?")

ADD_COMMENT = f"INSERT INTO task_comments ({_COMMENT}) VALUES (?, ?, ?, ?, ?, ?, ?)"
COMMENTS = f"SELECT {_COMMENT} FROM task_comments WHERE task_id = ? ORDER BY seq DESC LIMIT ?"
ADD_EVENT = f"INSERT INTO task_events ({_EVENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
EVENTS = f"SELECT {_EVENT} FROM task_events WHERE task_id = ? ORDER BY seq DESC LIMIT ?"

_INDEX = {
    "status": "tasks_status",
    "priority": "tasks_priority",
    "assignee_id": "tasks_assignee",
    "group_id": "tasks_group",
    "parent_task_id": "tasks_parent",
    "organization_id": "tasks_organization",
    "top_level_only": "tasks_parent",
}


def page_query(wanted: Filter) -> tuple[str, Params]:
    """The statement for a page and its parameters but for limit and offset."""
    given = {name: value for name in wanted.__struct_fields__ if (value := getattr(wanted, name)) not in (None, False)}
    conditions = ["parent_task_id IS NULL" if name == "top_level_only" else f"{name} = ?" for name in given]
    index = _INDEX[next(iter(given))] if len(given) == 1 else "tasks_listed"
    if "parent_task_id" in given:  # one task has few children
        index = "tasks_parent"
    params = tuple(value for name, value in given.items() if name != "top_level_only")
    return PAGE.format(index=index, wanted=" AND ".join(conditions) or "1"), params


def task_row(task: Task) -> Params:
    """The parameters of `INSERT`; of `UPDATE` but for the last."""
    return msgspec.structs.astuple(task)


def task_of(row: tuple[Any, ...]) -> Task:  # columns in the order of `TASK_FIELDS`
    """The task of a row."""
    values = dict(zip(TASK_FIELDS, row, strict=True))
    values["status"], values["priority"] = Status(values["status"]), Priority(values["priority"])
    values["human_review"] = bool(values["human_review"])
    if values["review_status"] is not None:
        values["review_status"] = ReviewStatus(values["review_status"])
    return Task(**values)


def comment_row(comment: Comment) -> Params:
    """The parameters of `ADD_COMMENT`."""
    author = comment.author
    return (comment.id, comment.task_id, author.type, author.employee_id, author.user_id, comment.created_ms, comment.content)


def comment_of(row: tuple[Any, ...]) -> Comment:  # columns in the order of `_COMMENT`
    """The comment of a row."""
    comment_id, task_id, kind, employee, user, created_ms, content = row
    author = Actor(ActorType(kind), employee, user)
    return Comment(id=comment_id, task_id=task_id, content=content, author=author, created_ms=created_ms)


def event_row(event: TaskEvent) -> Params:
    """The parameters of `ADD_EVENT`."""
    actor, data = event.actor, msgspec.json.encode(event.data).decode()
    return (event.id, event.task_id, event.type, actor.type, actor.employee_id, actor.user_id, event.created_ms, data)


def event_of(row: tuple[Any, ...]) -> TaskEvent:  # columns in the order of `_EVENT`
    """The event of a row."""
    event_id, task_id, event_type, kind, employee, user, created_ms, data = row
    actor, values = Actor(ActorType(kind), employee, user), msgspec.json.decode(data, type=dict[str, str | None])
    return TaskEvent(id=event_id, task_id=task_id, type=EventType(event_type), actor=actor, data=values, created_ms=created_ms)
