"""Tasks: work that people and agents hand to one another. Ring: domain. Source: rantaiclaw.md §9, §20.5.

    status       | may become                       | by
    -------------+----------------------------------+--------------------------------------------------------
    TODO         | IN_PROGRESS                      | an edit
    IN_PROGRESS  | IN_REVIEW, DONE, CANCELLED       | an edit; entering IN_REVIEW asks for a review (PENDING)
    IN_REVIEW    | IN_PROGRESS, DONE, CANCELLED     | an edit (agents: not DONE) or a review
    CANCELLED    | TODO                             | an edit
    DONE         | nothing                          |

Every change leaves an event behind it, in the same commit.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import UNSET, UnsetType

from clawgate.domain.errors import BadRequest, NotFound

MOST_LISTED = 1_000
"""Tasks on one page, and comments, events and subtasks shown of one task, at most."""
NO_METADATA = "{}"


class Status(StrEnum):
    """Where a task stands."""

    TODO = "TODO"
    IN_PROGRESS = "IN_PROGRESS"
    IN_REVIEW = "IN_REVIEW"
    DONE = "DONE"
    CANCELLED = "CANCELLED"


class Priority(StrEnum):
    """How much it matters."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class ReviewStatus(StrEnum):
    """What the reviewer said, or that the review is still to come."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    REJECTED = "REJECTED"


class Verdict(StrEnum):
    """What a reviewer decides."""

    APPROVE = "approve"
    CHANGES = "changes"
    REJECT = "reject"


class ActorType(StrEnum):
    """Who acts: a person, or an agent ("digital employee")."""

    HUMAN = "HUMAN"
    EMPLOYEE = "EMPLOYEE"


class EventType(StrEnum):
    """What happened to a task."""

    CREATED = "CREATED"
    STATUS_CHANGED = "STATUS_CHANGED"
    ASSIGNED = "ASSIGNED"
    REVIEW_SUBMITTED = "REVIEW_SUBMITTED"
    REVIEW_RESPONDED = "REVIEW_RESPONDED"
    COMMENT = "COMMENT"
    SUBTASK_COMPLETED = "SUBTASK_COMPLETED"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task; times are wall-clock milliseconds.

    Attributes:
        id: a UUID.
        order_in_status: lists are sorted by it first; equal ones newest first.
        metadata: JSON text, whatever its writer keeps there.
    """

    id: str
    organization_id: str | None = None
    status: Status = Status.TODO
    priority: Priority = Priority.MEDIUM
    assignee_id: str | None = None
    group_id: str | None = None
    reviewer_id: str | None = None
    human_review: bool = False
    review_status: ReviewStatus | None = None
    parent_task_id: str | None = None
    created_by_employee_id: str | None = None
    created_by_user_id: str | None = None
    due_ms: int | None = None
    completed_ms: int | None = None
    order_in_status: int = 0
    order_in_parent: int = 0
    created_ms: int = 0
    updated_ms: int = 0
    title: str
    review_comment: str | None = None
    description: str | None = None
    metadata: str = NO_METADATA


class Actor(msgspec.Struct, frozen=True):
    """Who acts, as the caller says; nobody checks the ids (rantaiclaw.md §9).

    Attributes:
        is_agent: an agent calls a tool: it may not close a review by itself.
    """

    type: ActorType = ActorType.HUMAN
    employee_id: str | None = None
    user_id: str | None = None
    is_agent: bool = False


class Comment(msgspec.Struct, frozen=True, kw_only=True):
    """One remark on a task."""

    id: str
    task_id: str
    content: str
    author: Actor = Actor()
    created_ms: int = 0


class TaskEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a task's history.

    Attributes:
        data: JSON values by name; no bodies but a reviewer's comment.
    """

    id: str
    task_id: str
    type: EventType
    actor: Actor = Actor()
    data: dict[str, str | None] = {}
    created_ms: int = 0


class Patch(msgspec.Struct, frozen=True, kw_only=True):
    """What an edit changes: UNSET leaves as it is, None clears."""

    title: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    status: Status | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    assignee_id: str | UnsetType | None = UNSET
    group_id: str | UnsetType | None = UNSET
    reviewer_id: str | UnsetType | None = UNSET
    human_review: bool | UnsetType = UNSET
    review_status: ReviewStatus | UnsetType | None = UNSET
    review_comment: str | UnsetType | None = UNSET
    due_ms: int | UnsetType | None = UNSET
    order_in_status: int | UnsetType = UNSET
    order_in_parent: int | UnsetType = UNSET
    metadata: str | UnsetType = UNSET


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A reviewer's decision; `comment` None leaves the last one as it is."""

    verdict: Verdict
    comment: str | None = None


Change = Patch | Review


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks; what is None does not matter, the rest must all hold."""

    status: Status | None = None
    priority: Priority | None = None
    assignee_id: str | None = None
    group_id: str | None = None
    parent_task_id: str | None = None
    organization_id: str | None = None
    top_level_only: bool = False


class Detail(msgspec.Struct, frozen=True):
    """A task with its direct children in the order of lists, its comments and its events, oldest first."""

    task: Task
    subtasks: tuple[Task, ...]
    comments: tuple[Comment, ...]
    events: tuple[TaskEvent, ...]


class Happened(msgspec.Struct, frozen=True):
    """An event that a change brings about, before it has an id."""

    task_id: str
    type: EventType
    data: dict[str, str | None]


MOST_EVENTS = 4
"""Of one change: status, review submitted, assigned, the parent told."""

_NEXT: dict[Status, frozenset[Status]] = {
    Status.TODO: frozenset({Status.IN_PROGRESS}),
    Status.IN_PROGRESS: frozenset({Status.IN_REVIEW, Status.DONE, Status.CANCELLED}),
    Status.IN_REVIEW: frozenset({Status.IN_PROGRESS, Status.DONE, Status.CANCELLED}),
    Status.CANCELLED: frozenset({Status.TODO}),
    Status.DONE: frozenset(),
}
_OUTCOME: dict[Verdict, tuple[Status, ReviewStatus]] = {
    Verdict.APPROVE: (Status.DONE, ReviewStatus.APPROVED),
    Verdict.CHANGES: (Status.IN_PROGRESS, ReviewStatus.CHANGES_REQUESTED),
    Verdict.REJECT: (Status.CANCELLED, ReviewStatus.REJECTED),
}


def not_found(task_id: str) -> NotFound:
    """There is no such task."""
    return NotFound(f"Task not found: {task_id}")


def check_title(title: str) -> str:
    """The title, untrimmed. Raises BadRequest when it is blank."""
    if not title.strip():
        raise BadRequest("Title is required")
    return title


def step(task: Task, change: Change, actor: Actor, now_ms: int) -> tuple[Task, tuple[Happened, ...]]:
    """The task after a change, and what is to be told of it, at most `MOST_EVENTS`.

    Raises:
        BadRequest: the change is not allowed; `str` says why.
    """
    if isinstance(change, Review):
        return _reviewed(task, change, actor, now_ms)
    return _edited(task, change, actor, now_ms)


def _edited(task: Task, patch: Patch, actor: Actor, now_ms: int) -> tuple[Task, tuple[Happened, ...]]:
    given = {name: value for name in patch.__struct_fields__ if (value := getattr(patch, name)) is not UNSET}
    if "title" in given:
        check_title(given["title"])
    happened: list[Happened] = []
    status = given.get("status")
    if status is not None:
        _check_transition(task.status, status, actor)
        given |= _entering(status, now_ms)
        happened += _told(task, status, EventType.STATUS_CHANGED, {"from": task.status, "to": status})
    if "assignee_id" in given and given["assignee_id"] != task.assignee_id:
        happened.append(Happened(task.id, EventType.ASSIGNED, {"from": task.assignee_id, "to": given["assignee_id"]}))
    return msgspec.structs.replace(task, **given, updated_ms=now_ms), tuple(happened)


def _check_transition(now: Status, then: Status, actor: Actor) -> None:
    if then not in _NEXT[now]:
        raise BadRequest(f"Invalid status transition: {now} -> {then}")
    if actor.is_agent and (now, then) == (Status.IN_REVIEW, Status.DONE):
        raise BadRequest("A task in review is closed by its reviewer")


def _entering(status: Status, now_ms: int) -> dict[str, object]:
    pending: dict[str, object] = {"review_status": ReviewStatus.PENDING} if status is Status.IN_REVIEW else {}
    return pending | {"completed_ms": now_ms if status is Status.DONE else None}


def _told(task: Task, status: Status, event: EventType, data: dict[str, str | None]) -> list[Happened]:
    happened = [Happened(task.id, event, data)]
    if status is Status.IN_REVIEW:
        happened.append(Happened(task.id, EventType.REVIEW_SUBMITTED, {"reviewer_id": task.reviewer_id}))
    if status is Status.DONE and task.parent_task_id is not None:
        happened.append(Happened(task.parent_task_id, EventType.SUBTASK_COMPLETED, {"subtask_id": task.id}))
    return happened


def _reviewed(task: Task, review: Review, actor: Actor, now_ms: int) -> tuple[Task, tuple[Happened, ...]]:
    if task.assignee_id is not None and task.assignee_id in (actor.employee_id, actor.user_id):
        raise BadRequest("Cannot review a task that is assigned to you")
    if task.status is not Status.IN_REVIEW:
        raise BadRequest(f"Cannot review a task in status '{task.status}', must be IN_REVIEW")
    status, review_status = _OUTCOME[review.verdict]
    after = msgspec.structs.replace(
        task,
        status=status,
        review_status=review_status,
        review_comment=task.review_comment if review.comment is None else review.comment,
        completed_ms=now_ms if status is Status.DONE else None,
        updated_ms=now_ms,
    )
    data: dict[str, str | None] = {"action": review.verdict, "new_status": status, "comment": review.comment}
    return after, tuple(_told(task, status, EventType.REVIEW_RESPONDED, data))
