"""What lasts of tasks. Ring: ports. Source: rantaiclaw.md §9."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from clawgate.domain.tasks import Actor, Change, Comment, Detail, Filter, Task, TaskEvent


class TaskRows(Protocol):
    """Tasks with their comments and events; what changes them is one commit each, as everywhere (`ports.stores`)."""

    def add(self, task: Task, created: TaskEvent) -> Deferred[None]:
        """Stores a new task.

        Raises (errback):
            BadRequest: its parent does not exist. Conflict: the id is taken.
        """

    def change(self, task_id: str, change: Change, actor: Actor, now_ms: int, event_ids: Sequence[str]) -> Deferred[Task]:
        """Applies `domain.tasks.step` and stores what it brings about.

        Args:
            event_ids: fresh ids, `domain.tasks.MOST_EVENTS` of them.

        Raises (errback):
            NotFound: no such task. BadRequest: the change is not allowed.
        """

    def remove(self, task_id: str) -> Deferred[int]:
        """Forgets the task, everything below it, and their comments and events. Returns how many tasks went: 0 = there was none."""

    def detail(self, task_id: str) -> Deferred[Detail | None]:
        """The task with what belongs to it, or None."""

    def page(self, wanted: Filter, limit: int, offset: int) -> Deferred[tuple[Task, ...]]:
        """Tasks by `order_in_status`, equal ones newest first."""

    def comment(self, comment: Comment, event: TaskEvent) -> Deferred[None]:
        """Stores a comment and its event. Raises (errback) NotFound: no such task. Conflict: the id is taken."""

    def comments(self, task_id: str) -> Deferred[tuple[Comment, ...]]:
        """The last `MOST_LISTED` comments, oldest first; empty also for a task that does not exist."""

    def events(self, task_id: str) -> Deferred[tuple[TaskEvent, ...]]:
        """The last `MOST_LISTED` events, oldest first; empty also for a task that does not exist."""
