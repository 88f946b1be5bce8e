"""Rules of tasks: transitions, reviews, and what each change tells. Source: rantaiclaw.md §9, §21."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.errors import BadRequest
from clawgate.domain.tasks import MOST_EVENTS, Actor, ActorType, EventType, Patch, Review, ReviewStatus, Status, Task, Verdict, step

ALLOWED = {
    *((Status.TODO, Status.IN_PROGRESS), (Status.IN_PROGRESS, Status.IN_REVIEW), (Status.IN_PROGRESS, Status.DONE)),
    *((Status.IN_PROGRESS, Status.CANCELLED), (Status.IN_REVIEW, Status.IN_PROGRESS), (Status.IN_REVIEW, Status.DONE)),
    *((Status.IN_REVIEW, Status.CANCELLED), (Status.CANCELLED, Status.TODO)),
}
NOBODY = Actor()


def task(status: Status = Status.TODO, **more: str) -> Task:
    return Task(id="t", title="x", status=status, **more)  # type: ignore[arg-type]  # only texts are given


@pytest.mark.parametrize("now", Status)
@pytest.mark.parametrize("then", Status)
def test_transitions_are_those_of_the_table(now: Status, then: Status) -> None:
    if (now, then) in ALLOWED:
        assert step(task(now), Patch(status=then), NOBODY, 5)[0].status is then
        return
    with pytest.raises(BadRequest) as refused:
        step(task(now), Patch(status=then), NOBODY, 5)
    assert str(refused.value) == f"Invalid status transition: {now} -> {then}"


@given(st.lists(st.sampled_from([*Status, *Verdict]), max_size=30))
def test_completed_is_set_exactly_while_done(changes: list[Status | Verdict]) -> None:
    current = task(parent_task_id="p")
    for number, change in enumerate(changes):
        try:
            event = Patch(status=change) if isinstance(change, Status) else Review(verdict=change)
            current, happened = step(current, event, NOBODY, number)
        except BadRequest:
            continue
        assert (current.completed_ms is not None) == (current.status is Status.DONE)
        assert current.updated_ms == number
        assert 1 <= len(happened) <= MOST_EVENTS


@pytest.mark.parametrize(
    ("verdict", "status", "review_status"),
    [
        (Verdict.APPROVE, Status.DONE, ReviewStatus.APPROVED),
        (Verdict.CHANGES, Status.IN_PROGRESS, ReviewStatus.CHANGES_REQUESTED),
        (Verdict.REJECT, Status.CANCELLED, ReviewStatus.REJECTED),
    ],
)
def test_a_review_decides_both_states(verdict: Verdict, status: Status, review_status: ReviewStatus) -> None:
    after, _ = step(task(Status.IN_REVIEW, review_comment="before"), Review(verdict=verdict), NOBODY, 7)
    assert (after.status, after.review_status, after.review_comment) == (status, review_status, "before")


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.IN_REVIEW])
def test_only_a_task_in_review_is_reviewed(status: Status) -> None:
    with pytest.raises(BadRequest) as refused:
        step(task(status), Review(verdict=Verdict.APPROVE), NOBODY, 5)
    assert str(refused.value) == f"Cannot review a task in status '{status}', must be IN_REVIEW"


@pytest.mark.parametrize("actor", [Actor(ActorType.EMPLOYEE, "ann"), Actor(ActorType.HUMAN, None, "ann")])
def test_the_assignee_may_not_review_and_the_named_reviewer_may(actor: Actor) -> None:
    with pytest.raises(BadRequest) as refused:
        step(task(Status.IN_REVIEW, assignee_id="ann"), Review(verdict=Verdict.APPROVE), actor, 5)
    assert str(refused.value) == "Cannot review a task that is assigned to you"
    after, _ = step(task(Status.IN_REVIEW, assignee_id="bob", reviewer_id="ann"), Review(verdict=Verdict.APPROVE), actor, 5)
    assert after.status is Status.DONE


def test_an_edit_tells_of_status_review_and_assignee() -> None:
    patch = Patch(status=Status.IN_REVIEW, assignee_id="bob")
    after, happened = step(task(Status.IN_PROGRESS, assignee_id="ann", reviewer_id="eve"), patch, NOBODY, 5)
    assert after.review_status is ReviewStatus.PENDING
    assert [(event.type, event.data) for event in happened] == [
        (EventType.STATUS_CHANGED, {"from": "IN_PROGRESS", "to": "IN_REVIEW"}),
        (EventType.REVIEW_SUBMITTED, {"reviewer_id": "eve"}),
        (EventType.ASSIGNED, {"from": "ann", "to": "bob"}),
    ]


def test_a_subtask_that_is_done_tells_its_parent() -> None:
    _, edited = step(task(Status.IN_PROGRESS, parent_task_id="p"), Patch(status=Status.DONE), NOBODY, 5)
    _, reviewed = step(task(Status.IN_REVIEW, parent_task_id="p"), Review(verdict=Verdict.APPROVE), NOBODY, 5)
    for happened in (edited, reviewed):
        told = happened[-1]
        assert (told.task_id, told.type, told.data) == ("p", EventType.SUBTASK_COMPLETED, {"subtask_id": "t"})


def test_none_clears_and_absent_leaves() -> None:
    before = task(assignee_id="ann", description="words")
    after, happened = step(before, Patch(assignee_id=None), NOBODY, 5)
    assert (after.assignee_id, after.description) == (None, "words")
    assert [event.data for event in happened] == [{"from": "ann", "to": None}]


def test_an_agent_may_not_close_a_review() -> None:
    agent = Actor(ActorType.EMPLOYEE, is_agent=True)
    with pytest.raises(BadRequest, match="closed by its reviewer"):
        step(task(Status.IN_REVIEW), Patch(status=Status.DONE), agent, 5)
    assert step(task(Status.IN_PROGRESS), Patch(status=Status.DONE), agent, 5)[0].status is Status.DONE


def test_a_blank_title_is_refused() -> None:
    with pytest.raises(BadRequest, match="Title is required"):
        step(task(), Patch(title=" \n"), NOBODY, 5)
