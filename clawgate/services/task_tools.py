"""Tasks as agents reach them. Ring: services; implements `ports.tools.ToolSource`. Source: rantaiclaw.md §9 (agent tools).

Stricter than the wire: an agent cannot close a review by itself. Creating and commenting take their ids from the call's idempotency key, so that a call that is
repeated after a crash finds what it made the first time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from twisted.internet.defer import Deferred

from clawgate.domain.errors import Conflict, Refusal
from clawgate.domain.messages import is_storable
from clawgate.domain.tasks import Actor, ActorType, Comment, Filter, Patch, Priority, Status, Task
from clawgate.domain.times import parse_rfc3339, rfc3339, rfc3339_or_none
from clawgate.domain.tools import Risk, Tool, ToolContext, ToolResult
from clawgate.services.tasks import Tasks

AGENT = Actor(ActorType.EMPLOYEE, is_agent=True)
_MOST_LISTED = 50


class _Create(msgspec.Struct):
    title: str
    description: str | None = None
    priority: Priority = Priority.MEDIUM
    assignee_id: str | None = None
    parent_task_id: str | None = None
    due_date: str | None = None


class _List(msgspec.Struct):
    status: Status | None = None
    priority: Priority | None = None
    assignee_id: str | None = None
    parent_task_id: str | None = None
    limit: int = 20


class _Get(msgspec.Struct):
    task_id: str


class _Update(msgspec.Struct):
    task_id: str
    title: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    status: Status | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    assignee_id: str | UnsetType | None = UNSET
    due_date: str | UnsetType | None = UNSET


class _Comment(msgspec.Struct):
    task_id: str
    content: str


class TaskTools(msgspec.Struct):
    """The tools task_create, task_list, task_get, task_update and task_comment."""

    tasks: Tasks

    def tools(self) -> Sequence[Tool]:
        """`ports.tools.ToolSource.tools`; none while `[tasks] enabled` is off."""
        return TOOLS if self.tasks.is_enabled else ()

    def call(self, name: str, arguments: Mapping[str, object], context: ToolContext) -> Deferred[ToolResult]:
        """`ports.tools.ToolSource.call`."""
        return Deferred.fromCoroutine(self._call(name, arguments, context))

    async def _call(self, name: str, arguments: Mapping[str, object], context: ToolContext) -> ToolResult:
        try:
            if not is_storable(json.dumps(arguments, ensure_ascii=False)):
                return ToolResult("the arguments are not valid Unicode", ok=False)
            shown = await self._calls()[name](arguments, context)
        except msgspec.ValidationError as problem:
            return ToolResult(f"bad arguments: {problem}", ok=False)
        except Refusal as refusal:
            return ToolResult(str(refusal), ok=False)
        return ToolResult(json.dumps(shown, ensure_ascii=False))

    def _calls(self) -> dict[str, Callable[[Mapping[str, object], ToolContext], Awaitable[object]]]:
        return {
            "task_create": self._create,
            "task_list": self._list,
            "task_get": self._get,
            "task_update": self._update,
            "task_comment": self._comment,
        }

    async def _create(self, arguments: Mapping[str, object], context: ToolContext) -> object:
        asked = msgspec.convert(arguments, _Create)
        task = Task(
            id=_id_of("task", context),
            title=asked.title,
            description=asked.description,
            priority=asked.priority,
            assignee_id=asked.assignee_id,
            parent_task_id=asked.parent_task_id,
            due_ms=_moment(asked.due_date),
        )
        try:
            return _shown(await self.tasks.create(task, AGENT))
        except Conflict:  # the same call, made before
            return _shown((await self.tasks.detail(task.id)).task)

    async def _list(self, arguments: Mapping[str, object], _: ToolContext) -> object:
        asked = msgspec.convert(arguments, _List)
        wanted = Filter(status=asked.status, priority=asked.priority, assignee_id=asked.assignee_id, parent_task_id=asked.parent_task_id)
        return [_shown(task) for task in await self.tasks.page(wanted, min(asked.limit, _MOST_LISTED), 0)]

    async def _get(self, arguments: Mapping[str, object], _: ToolContext) -> object:
        found = await self.tasks.detail(msgspec.convert(arguments, _Get).task_id)
        comments = [{"at": rfc3339(said.created_ms), "by": said.author.type, "content": said.content} for said in found.comments[-_MOST_LISTED:]]
        events = [{"at": rfc3339(event.created_ms), "event": event.type, **event.data} for event in found.events[-_MOST_LISTED:]]
        return {**_shown(found.task), "subtasks": [_shown(task) for task in found.subtasks[:_MOST_LISTED]], "comments": comments, "events": events}

    async def _update(self, arguments: Mapping[str, object], _: ToolContext) -> object:
        asked = msgspec.convert(arguments, _Update)
        patch = Patch(
            title=asked.title,
            description=asked.description,
            status=asked.status,
            priority=asked.priority,
            assignee_id=asked.assignee_id,
            due_ms=UNSET if asked.due_date is UNSET else _moment(asked.due_date),
        )
        return _shown(await self.tasks.change(asked.task_id, patch, AGENT))

    async def _comment(self, arguments: Mapping[str, object], context: ToolContext) -> object:
        asked = msgspec.convert(arguments, _Comment)
        comment_id = _id_of("comment", context)
        try:
            comment = await self.tasks.comment(asked.task_id, asked.content, AGENT, comment_id)
        except Conflict:  # the same call, made before
            comment = Comment(id=comment_id, task_id=asked.task_id, content=asked.content)
        return {"comment_id": comment.id, "task_id": comment.task_id}


def _id_of(kind: str, context: ToolContext) -> str:
    """The UUID of what this call makes, the same when it is repeated."""
    return str(UUID(bytes=hashlib.sha256(f"{kind}:{context.idempotency_key}".encode()).digest()[:16], version=4))


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    ms = parse_rfc3339(text)
    if ms is None:
        raise msgspec.ValidationError("due_date must be RFC 3339 with a zone, such as 2027-01-31T12:00:00Z")
    return ms


def _shown(task: Task) -> dict[str, object]:
    """A task as a model reads it: what is empty is left out."""
    shown: dict[str, object] = {
        "id": task.id,
        "title": task.title,
        "description": task.description,
        "status": task.status,
        "priority": task.priority,
        "assignee_id": task.assignee_id,
        "parent_task_id": task.parent_task_id,
        "review_status": task.review_status,
        "review_comment": task.review_comment,
        "due_date": rfc3339_or_none(task.due_ms),
    }
    return {name: value for name, value in shown.items() if value is not None}


def _schema(required: Sequence[str], **properties: object) -> str:
    return json.dumps({"type": "object", "properties": properties, "required": list(required)})


_TEXT: dict[str, object] = {"type": "string"}
_OR_NULL: dict[str, object] = {"type": ["string", "null"]}
_STATUS: dict[str, object] = {"type": "string", "enum": list(Status)}
_PRIORITY: dict[str, object] = {"type": "string", "enum": list(Priority)}
_DUE: dict[str, object] = {"type": ["string", "null"], "description": "RFC 3339 with a zone"}

TOOLS: tuple[Tool, ...] = (
    Tool(
        name="task_create",
        description="Add a task to the shared task list.",
        parameters=_schema(
            ["title"], title=_TEXT, description=_OR_NULL, priority=_PRIORITY, assignee_id=_OR_NULL, parent_task_id=_OR_NULL, due_date=_DUE
        ),
        risk=Risk.WRITE,
        is_idempotent=True,
    ),
    Tool(
        name="task_list",
        description="List tasks, filtered by any of the parameters.",
        parameters=_schema(
            [],
            status=_STATUS,
            priority=_PRIORITY,
            assignee_id=_TEXT,
            parent_task_id=_TEXT,
            limit={"type": "integer", "minimum": 1, "maximum": _MOST_LISTED},
        ),
        risk=Risk.READ,
        is_idempotent=True,
    ),
    Tool(
        name="task_get",
        description="Show a task with its subtasks, comments and history.",
        parameters=_schema(["task_id"], task_id=_TEXT),
        risk=Risk.READ,
        is_idempotent=True,
    ),
    Tool(
        name="task_update",
        description="Change a task. From TODO it goes to IN_PROGRESS, then to IN_REVIEW, DONE or CANCELLED; a task in review is closed by its reviewer.",
        parameters=_schema(
            ["task_id"],
            task_id=_TEXT,
            title=_TEXT,
            description=_OR_NULL,
            status=_STATUS,
            priority=_PRIORITY,
            assignee_id=_OR_NULL,
            due_date=_DUE,
        ),
        risk=Risk.WRITE,
    ),
    Tool(
        name="task_comment",
        description="Write a comment on a task.",
        parameters=_schema(["task_id", "content"], task_id=_TEXT, content=_TEXT),
        risk=Risk.WRITE,
        is_idempotent=True,
    ),
)
