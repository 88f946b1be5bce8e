"""Tasks as the house handles them. Ring: services. Source: rantaiclaw.md §9."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from clawgate.domain.errors import BadRequest, SwitchedOff
from clawgate.domain.settings.model import TasksSettings
from clawgate.domain.tasks import (
    MOST_EVENTS,
    Actor,
    Change,
    Comment,
    Detail,
    EventType,
    Filter,
    Review,
    Task,
    TaskEvent,
    check_title,
    not_found,
)
from clawgate.ports.clock import Clock, Ids
from clawgate.ports.tasks import TaskRows
from clawgate.services.events import Events


class Tasks(msgspec.Struct):
    """What can be done with tasks; every change is told to the event bus once it is committed.

    Attributes:
        settings: `[tasks]` as it is now.
    """

    rows: TaskRows
    clock: Clock
    ids: Ids
    events: Events
    settings: Callable[[], TasksSettings]

    @property
    def is_enabled(self) -> bool:
        """Whether tasks are served at all."""
        return self.settings().enabled

    def check_enabled(self) -> None:
        """Raises SwitchedOff."""
        if not self.is_enabled:
            raise SwitchedOff("tasks")

    async def create(self, task: Task, actor: Actor) -> Task:
        """Stores a new task; its times are set here, and its id unless it has one.

        Raises:
            BadRequest: the title is blank, or the parent does not exist. Conflict: the id is taken.
        """
        check_title(task.title)
        now_ms = self.clock.wall_ms()
        task = replace(task, id=task.id or self.ids.uuid(), created_ms=now_ms, updated_ms=now_ms)
        created = TaskEvent(id=self.ids.uuid(), task_id=task.id, type=EventType.CREATED, actor=actor, created_ms=now_ms)
        await self.rows.add(task, created)
        self._tell("task_created", task)
        return task

    async def page(self, wanted: Filter, limit: int, offset: int) -> tuple[Task, ...]:
        """Tasks by `order_in_status`, equal ones newest first."""
        return await self.rows.page(wanted, limit, offset)

    async def detail(self, task_id: str) -> Detail:
        """The task with what belongs to it. Raises NotFound."""
        detail = await self.rows.detail(task_id)
        if detail is None:
            raise not_found(task_id)
        return detail

    async def change(self, task_id: str, change: Change, actor: Actor) -> Task:
        """The task after an edit or a review. Raises NotFound; BadRequest: it is not allowed."""
        event_ids = [self.ids.uuid() for _ in range(MOST_EVENTS)]
        task = await self.rows.change(task_id, change, actor, self.clock.wall_ms(), event_ids)
        self._tell("task_reviewed" if isinstance(change, Review) else "task_updated", task)
        return task

    async def remove(self, task_id: str) -> None:
        """Forgets a task and everything below it. Raises NotFound."""
        if not await self.rows.remove(task_id):
            raise not_found(task_id)
        self.events.publish("task_deleted", {"id": task_id})

    async def comment(self, task_id: str, content: str, author: Actor, comment_id: str = "") -> Comment:
        """Adds a remark.

        Raises:
            BadRequest: it is blank. NotFound: no such task. Conflict: the id is taken.
        """
        if not content.strip():
            raise BadRequest("Content is required")
        now_ms = self.clock.wall_ms()
        comment = Comment(id=comment_id or self.ids.uuid(), task_id=task_id, content=content, author=author, created_ms=now_ms)
        data: dict[str, str | None] = {"comment_id": comment.id}
        event = TaskEvent(id=self.ids.uuid(), task_id=task_id, type=EventType.COMMENT, actor=author, data=data, created_ms=now_ms)
        await self.rows.comment(comment, event)
        self.events.publish("task_commented", {"id": task_id, "comment_id": comment.id})
        return comment

    async def comments(self, task_id: str) -> tuple[Comment, ...]:
        """Its comments, oldest first; none for a task that does not exist."""
        return await self.rows.comments(task_id)

    async def history(self, task_id: str) -> tuple[TaskEvent, ...]:
        """Its events, oldest first; none for a task that does not exist."""
        return await self.rows.events(task_id)

    def _tell(self, kind: str, task: Task) -> None:
        self.events.publish(kind, {"id": task.id, "status": task.status, "parent_task_id": task.parent_task_id, "assignee_id": task.assignee_id})
