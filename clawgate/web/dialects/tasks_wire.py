"""Shapes and sentences of `/tasks`. Ring: edge, under the domain rule. Source: rantaiclaw.md §9, §20.5."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from clawgate.domain.errors import BadRequest, GatewayError, NotFound, SwitchedOff
from clawgate.domain.tasks import (
    NO_METADATA,
    Actor,
    ActorType,
    Comment,
    Detail,
    Filter,
    Patch,
    Priority,
    Review,
    ReviewStatus,
    Status,
    Task,
    TaskEvent,
    Verdict,
)
from clawgate.domain.times import parse_rfc3339, rfc3339, rfc3339_or_none
from clawgate.web.dialects import root_wire
from clawgate.web.dialects.extractor_wire import NO_JSON, wrong_shape

DEFAULT_PAGE = 100
SWITCHED_OFF = "Task engine is disabled"
_Value = TypeVar("_Value")
_Choice = TypeVar("_Choice", Status, Priority)
Place = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class NewTask(msgspec.Struct):
    """Body of `POST /tasks`; null counts as absent."""

    title: str
    description: str | None = None
    priority: Priority | None = None
    assignee_id: str | None = None
    group_id: str | None = None
    reviewer_id: str | None = None
    human_review: bool | None = None
    parent_task_id: str | None = None
    due_date: str | None = None
    organization_id: str | None = None
    created_by_employee_id: str | None = None
    created_by_user_id: str | None = None
    metadata: Raw | UnsetType = UNSET

    @property
    def actor(self) -> Actor:
        """Who adds it."""
        employee = self.created_by_employee_id
        return Actor(ActorType.EMPLOYEE if employee else ActorType.HUMAN, employee, self.created_by_user_id)


class EditedTask(msgspec.Struct):
    """Body of `PUT /tasks/{id}`; null clears what can be empty, and changes nothing elsewhere."""

    title: str | None = None
    description: str | UnsetType | None = UNSET
    status: Status | None = None
    priority: Priority | None = None
    assignee_id: str | UnsetType | None = UNSET
    group_id: str | UnsetType | None = UNSET
    reviewer_id: str | UnsetType | None = UNSET
    human_review: bool | None = None
    review_status: ReviewStatus | UnsetType | None = UNSET
    review_comment: str | UnsetType | None = UNSET
    due_date: str | UnsetType | None = UNSET
    order_in_status: Place | None = None
    order_in_parent: Place | None = None
    metadata: Raw | UnsetType = UNSET


class ReviewBody(msgspec.Struct):
    """Body of `POST /tasks/{id}/review`."""

    action: Verdict
    comment: str | None = None
    actor_type: ActorType | None = None
    actor_employee_id: str | None = None
    actor_user_id: str | None = None

    @property
    def review(self) -> Review:
        """What is decided."""
        return Review(verdict=self.action, comment=self.comment)

    @property
    def actor(self) -> Actor:
        """Who decides."""
        return Actor(self.actor_type or ActorType.HUMAN, self.actor_employee_id, self.actor_user_id)


class CommentBody(msgspec.Struct):
    """Body of `POST /tasks/{id}/comments`."""

    content: str
    author_type: str | None = None
    author_employee_id: str | None = None
    author_user_id: str | None = None

    @property
    def author(self) -> Actor:
        """Who remarks; a type of any case, an unknown one is a person."""
        is_employee = (self.author_type or "").upper() == ActorType.EMPLOYEE
        return Actor(ActorType.EMPLOYEE if is_employee else ActorType.HUMAN, self.author_employee_id, self.author_user_id)


def refusal(error: GatewayError) -> root_wire.Refusal:
    """The answer to an error: the root family's, in words of tasks."""
    match error:
        case NotFound():
            return 404, {"error": str(error)}, 0
        case SwitchedOff():
            return 503, {"error": SWITCHED_OFF}, 0
    return root_wire.refusal(error)


def new_task(body: NewTask) -> Task:
    """The task that a body asks for, without id and times. Raises WrongShape."""
    return Task(
        id="",
        title=body.title,
        description=body.description,
        priority=body.priority or Priority.MEDIUM,
        assignee_id=body.assignee_id,
        group_id=body.group_id,
        reviewer_id=body.reviewer_id,
        human_review=bool(body.human_review),
        parent_task_id=body.parent_task_id,
        due_ms=_moment(body.due_date),
        organization_id=body.organization_id,
        created_by_employee_id=body.created_by_employee_id,
        created_by_user_id=body.created_by_user_id,
        metadata=NO_METADATA if body.metadata is UNSET else _text(body.metadata),
    )


def patch(body: EditedTask) -> Patch:
    """The edit that a body asks for. Raises WrongShape."""
    return Patch(
        title=_given(body.title),
        description=body.description,
        status=_given(body.status),
        priority=_given(body.priority),
        assignee_id=body.assignee_id,
        group_id=body.group_id,
        reviewer_id=body.reviewer_id,
        human_review=_given(body.human_review),
        review_status=body.review_status,
        review_comment=body.review_comment,
        due_ms=UNSET if body.due_date is UNSET else _moment(body.due_date),
        order_in_status=_given(body.order_in_status),
        order_in_parent=_given(body.order_in_parent),
        metadata=UNSET if body.metadata is UNSET else _text(body.metadata),
    )


def wanted(query: dict[str, str | None], *, top_level_only: bool) -> Filter:
    """The filter of a query string.

    Args:
        query: its values by the names of `Filter`, None = not there.

    Raises:
        BadRequest: with upstream's sentences.
    """
    ids = {name: query.get(name) for name in ("assignee_id", "group_id", "parent_task_id", "organization_id")}
    return Filter(
        status=_chosen(Status, query.get("status"), "task status"),
        priority=_chosen(Priority, query.get("priority"), "priority"),
        top_level_only=top_level_only,
        **ids,
    )


def task_object(task: Task) -> dict[str, object]:
    """A task on the wire; every key always there."""
    return {
        "id": task.id,
        "organization_id": task.organization_id,
        "title": task.title,
        "description": task.description,
        "status": task.status,
        "priority": task.priority,
        "assignee_id": task.assignee_id,
        "group_id": task.group_id,
        "reviewer_id": task.reviewer_id,
        "human_review": task.human_review,
        "review_status": task.review_status,
        "review_comment": task.review_comment,
        "parent_task_id": task.parent_task_id,
        "created_by_employee_id": task.created_by_employee_id,
        "created_by_user_id": task.created_by_user_id,
        "due_date": rfc3339_or_none(task.due_ms),
        "completed_at": rfc3339_or_none(task.completed_ms),
        "order_in_status": task.order_in_status,
        "order_in_parent": task.order_in_parent,
        "metadata": Raw(task.metadata.encode()),
        "created_at": rfc3339(task.created_ms),
        "updated_at": rfc3339(task.updated_ms),
    }


def comment_object(comment: Comment) -> dict[str, object]:
    """A comment on the wire."""
    return {
        "id": comment.id,
        "task_id": comment.task_id,
        "content": comment.content,
        "author_type": comment.author.type,
        "author_employee_id": comment.author.employee_id,
        "author_user_id": comment.author.user_id,
        "created_at": rfc3339(comment.created_ms),
    }


def event_object(event: TaskEvent) -> dict[str, object]:
    """An event on the wire."""
    return {
        "id": event.id,
        "task_id": event.task_id,
        "event_type": event.type,
        "actor_type": event.actor.type,
        "actor_employee_id": event.actor.employee_id,
        "actor_user_id": event.actor.user_id,
        "data": event.data,
        "created_at": rfc3339(event.created_ms),
    }


def detail_object(detail: Detail) -> dict[str, object]:
    """A task with what belongs to it."""
    return {
        "task": task_object(detail.task),
        "subtasks": [task_object(task) for task in detail.subtasks],
        "comments": [comment_object(comment) for comment in detail.comments],
        "events": [event_object(event) for event in detail.events],
    }


def _given(value: _Value | None) -> _Value | UnsetType:
    return UNSET if value is None else value


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    ms = parse_rfc3339(text)
    if ms is None:
        raise wrong_shape("due_date: use RFC 3339 with a zone")
    return ms


def _text(raw: Raw) -> str:
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError:
        raise BadRequest(NO_JSON) from None


def _chosen(kind: type[_Choice], text: str | None, what: str) -> _Choice | None:
    if text is not None and text.upper() not in set(kind):
        raise BadRequest(f"Invalid {what} '{text}'. Expected: {', '.join(kind)}")
    return None if text is None else kind(text.upper())
