"""`/tasks`: every route, its answers and its errors. Source: rantaiclaw.md §9, §20.5, §21 ("Tasks")."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from clawgate.domain.settings.model import Settings, TasksSettings
from clawgate.testing.gateway import MemoryGateway, Response
from tests.web.gate import check_common, gateway

UNAUTHORIZED = "Unauthorized — pair first via POST /pair, then send Authorization: Bearer <token>"
NOWHERE = "00000000-0000-4000-8000-000000000000"
KEYS = {
    *("id", "organization_id", "title", "description", "status", "priority", "assignee_id", "group_id", "reviewer_id", "human_review"),
    *("review_status", "review_comment", "parent_task_id", "created_by_employee_id", "created_by_user_id", "due_date", "completed_at"),
    *("order_in_status", "order_in_parent", "metadata", "created_at", "updated_at"),
}


class Board:
    """A gateway with a full token."""

    def __init__(self, gate: MemoryGateway | None = None) -> None:
        self.gate = gate or MemoryGateway()
        self.token = self.gate.pair()

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Response:  # Any: JSON, and what `begin` takes
        raw = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if raw else {}
        answer = self.gate.client.request(method, path, raw, token=self.token, **{"headers": headers, **options})
        check_common(answer)
        return answer

    def new(self, title: str = "x", **fields: object) -> str:
        answer = self.ask("POST", "/tasks", {"title": title, **fields})
        assert answer.status == 201, answer.body
        return str(answer.json["id"])

    def edit(self, task_id: str, **fields: object) -> Response:
        return self.ask("PUT", f"/tasks/{task_id}", fields)

    def moved(self, *statuses: str, **fields: object) -> str:
        task_id = self.new(**fields)
        for status in statuses:
            assert self.edit(task_id, status=status).status == 200
        return task_id

    def review(self, task_id: str, **body: object) -> Response:
        return self.ask("POST", f"/tasks/{task_id}/review", body)

    def titles(self, query: str = "") -> list[str]:
        return [task["title"] for task in self.ask("GET", f"/tasks{query}").json]

    def events(self, task_id: str) -> list[str]:
        return [event["event_type"] for event in self.ask("GET", f"/tasks/{task_id}/events").json]


def error(answer: Response) -> tuple[int, str]:
    return answer.status, answer.json["error"]


ROUTES = [
    ("GET", "/tasks", None, 200),
    ("POST", "/tasks", {"title": "x"}, 201),
    ("GET", "/tasks/{id}", None, 200),
    ("PUT", "/tasks/{id}", {"title": "y"}, 200),
    ("DELETE", "/tasks/{id}", None, 200),
    ("POST", "/tasks/{id}/review", {"action": "approve"}, 200),
    ("GET", "/tasks/{id}/comments", None, 200),
    ("POST", "/tasks/{id}/comments", {"content": "x"}, 201),
    ("GET", "/tasks/{id}/events", None, 200),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), ROUTES)
def test_each_task_route_answers_the_token_and_nobody_else(method: str, path: str, body: object, status: int) -> None:
    board = Board()
    path = path.format(id=board.moved("IN_PROGRESS", "IN_REVIEW"))
    strange = board.gate.client.request(method, path, b"{", headers={"Content-Type": "application/json"})
    assert error(strange) == (401, UNAUTHORIZED)
    assert board.ask(method, path, body).status == status


@pytest.mark.parametrize(("method", "path", "body", "status"), ROUTES)
def test_disabled_tasks_say_so_after_the_credential_and_before_the_body(method: str, path: str, body: object, status: int) -> None:
    board = Board(MemoryGateway(Settings(tasks=TasksSettings(enabled=False))))
    path = path.format(id=NOWHERE)
    assert board.gate.client.request(method, path).status == 401
    assert error(board.ask(method, path, b"{")) == (503, "Task engine is disabled")


MISSING = f"Task not found: {NOWHERE}"
EXPECTED = "Expected: TODO, IN_PROGRESS, IN_REVIEW, DONE, CANCELLED"
ERRORS: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/tasks?status=asleep", None, 400, f"Invalid task status 'asleep'. {EXPECTED}"),
    ("GET", "/tasks?priority=", None, 400, "Invalid priority ''. Expected: LOW, MEDIUM, HIGH"),
    (
        "GET",
        "/tasks?top_level_only=maybe",
        None,
        400,
        "Failed to deserialize query string: top_level_only: provided string was not `true` or `false`",
    ),
    ("GET", "/tasks?limit=abc", None, 400, "Failed to deserialize query string: limit: invalid digit found in string"),
    ("GET", "/tasks?offset=-1", None, 400, "Failed to deserialize query string: offset: invalid digit found in string"),
    ("GET", "/tasks?status=DONE&status=DONE", None, 400, "Failed to deserialize query string: duplicate field `status`"),
    ("POST", "/tasks", {"title": " \t"}, 400, "Title is required"),
    ("POST", "/tasks", b"{", 400, "Failed to parse the request body as JSON"),
    ("POST", "/tasks", {"title": "x", "parent_task_id": NOWHERE}, 400, f"Parent task not found: {NOWHERE}"),
    ("POST", "/tasks", b'{"title":"\\ud800"}', 400, "Failed to parse the request body as JSON"),
    ("POST", "/tasks", b'{"title":"x","metadata":"\xff"}', 400, "Failed to parse the request body as JSON"),
    ("POST", "/tasks", {}, 422, "Failed to deserialize the JSON body into the target type: "),
    ("POST", "/tasks", {"title": "x", "priority": "high"}, 422, "Failed to deserialize the JSON body into the target type: "),
    ("POST", "/tasks", {"title": "x", "due_date": "tomorrow"}, 422, "Failed to deserialize the JSON body into the target type: due_date"),
    ("GET", f"/tasks/{NOWHERE}", None, 404, MISSING),
    ("PUT", f"/tasks/{NOWHERE}", {"title": "y"}, 404, MISSING),
    ("PUT", f"/tasks/{NOWHERE}", {"status": "DONE"}, 404, MISSING),
    ("PUT", "/tasks/{id}", {"title": " "}, 400, "Title is required"),
    ("PUT", "/tasks/{id}", {"status": "TODO"}, 400, "Invalid status transition: TODO -> TODO"),
    ("PUT", "/tasks/{id}", {"status": "CANCELLED"}, 400, "Invalid status transition: TODO -> CANCELLED"),
    ("PUT", "/tasks/{id}", {"status": "done"}, 422, "Failed to deserialize the JSON body into the target type: "),
    ("PUT", "/tasks/{id}", {"order_in_status": 2**31}, 422, "Failed to deserialize the JSON body into the target type: "),
    ("DELETE", f"/tasks/{NOWHERE}", None, 404, MISSING),
    ("POST", f"/tasks/{NOWHERE}/review", {"action": "approve"}, 404, MISSING),
    ("POST", "/tasks/{id}/review", {"action": "approve"}, 400, "Cannot review a task in status 'TODO', must be IN_REVIEW"),
    ("POST", "/tasks/{id}/review", {"action": "maybe"}, 422, "Failed to deserialize the JSON body into the target type: "),
    ("POST", f"/tasks/{NOWHERE}/comments", {"content": "x"}, 404, MISSING),
    ("POST", "/tasks/{id}/comments", {"content": ""}, 400, "Content is required"),
    ("POST", "/tasks/{id}/comments", {}, 422, "Failed to deserialize the JSON body into the target type: "),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "text"), ERRORS)
def test_each_error_of_tasks_has_its_status_and_sentence(method: str, path: str, body: Any, status: int, text: str) -> None:  # Any: JSON or bytes
    board = Board()
    answer = board.ask(method, path.format(id=board.new()), body)
    assert (answer.status, answer.json["error"][: len(text)]) == (status, text)


def test_task_body_of_another_type_is_a_415() -> None:
    answer = Board().ask("POST", "/tasks", {"title": "x"}, headers={"Content-Type": "text/plain"})
    assert answer.status == 415


def test_a_title_is_enough_and_every_key_is_there() -> None:
    board = Board()
    made = board.ask("POST", "/tasks", {"title": " x "}).json
    assert set(made) == KEYS
    assert [made[name] for name in ("title", "status", "priority", "human_review", "metadata")] == [" x ", "TODO", "MEDIUM", False, {}]
    assert made["created_at"] == made["updated_at"] == "2027-01-15T08:00:00.000+00:00"
    assert board.ask("GET", f"/tasks/{made['id']}").json == {
        "task": made,
        "subtasks": [],
        "comments": [],
        "events": board.ask("GET", f"/tasks/{made['id']}/events").json,
    }


def test_everything_given_comes_back() -> None:
    board, ids = Board(), {name: name for name in ("assignee_id", "group_id", "reviewer_id", "organization_id", "created_by_employee_id")}
    given = {"title": "x", "description": "d", "priority": "HIGH", "human_review": True, "metadata": [1, {"b": None}], **ids}
    made = board.ask("POST", "/tasks", {**given, "due_date": "2027-01-31T12:00:00+02:00"}).json
    assert made == {**made, **given, "due_date": "2027-01-31T10:00:00.000+00:00"}
    assert board.ask("GET", f"/tasks/{made['id']}/events").json[0] == {
        **board.ask("GET", f"/tasks/{made['id']}/events").json[0],
        **{"event_type": "CREATED", "actor_type": "EMPLOYEE", "actor_employee_id": "created_by_employee_id", "data": {}},
    }


def test_null_clears_what_can_be_empty_and_changes_nothing_elsewhere() -> None:
    board = Board()
    task_id = board.new(assignee_id="ann", description="d", due_date="2027-01-31T12:00:00Z", priority="HIGH", metadata={"a": 1})
    board.gate.clock.advance(1)
    nothing = dict.fromkeys(("assignee_id", "description", "due_date", "title", "status", "priority", "human_review", "metadata"))
    after = board.edit(task_id, **nothing).json
    assert [after[name] for name in ("assignee_id", "description", "due_date", "metadata")] == [None] * 4
    assert [after[name] for name in ("title", "status", "priority", "human_review")] == ["x", "TODO", "HIGH", False]
    assert after["updated_at"] == "2027-01-15T08:00:01.000+00:00"
    assert board.events(task_id) == ["CREATED", "ASSIGNED"]


def test_an_edit_writes_the_history_it_makes() -> None:
    board = Board()
    parent = board.new("parent")
    child = board.moved("IN_PROGRESS", "IN_REVIEW", parent_task_id=parent)
    shown = board.ask("GET", f"/tasks/{child}").json
    assert shown["task"]["review_status"] == "PENDING"
    assert [event["event_type"] for event in shown["events"]] == ["CREATED", "STATUS_CHANGED", "STATUS_CHANGED", "REVIEW_SUBMITTED"]
    assert shown["events"][1]["data"] == {"from": "TODO", "to": "IN_PROGRESS"}
    assert board.edit(child, status="DONE").json["completed_at"] is not None
    assert board.events(parent) == ["CREATED", "SUBTASK_COMPLETED"]


@pytest.mark.parametrize(("action", "status", "said"), [("approve", "DONE", "APPROVED"), ("changes", "IN_PROGRESS", "CHANGES_REQUESTED")])
def test_a_review_moves_the_task(action: str, status: str, said: str) -> None:
    board = Board()
    task_id = board.moved("IN_PROGRESS", "IN_REVIEW")
    after = board.review(task_id, action=action, comment="why", actor_user_id="u").json
    assert (after["status"], after["review_status"], after["review_comment"]) == (status, said, "why")
    last = board.ask("GET", f"/tasks/{task_id}/events").json[-1]
    expected = {"event_type": "REVIEW_RESPONDED", "actor_type": "HUMAN", "actor_user_id": "u"}
    assert last == {**last, **expected, "data": {"action": action, "new_status": status, "comment": "why"}}


def test_own_work_is_not_reviewed_and_the_named_reviewer_is_let() -> None:
    board = Board()
    task_id = board.moved("IN_PROGRESS", "IN_REVIEW", assignee_id="ann", reviewer_id="bob")
    refused = board.review(task_id, action="approve", actor_type="EMPLOYEE", actor_employee_id="ann")
    assert error(refused) == (400, "Cannot review a task that is assigned to you")
    assert board.review(task_id, action="approve", actor_type="EMPLOYEE", actor_employee_id="bob").status == 200


def test_in_review_to_done_by_an_edit_stays_allowed() -> None:
    board = Board()
    assert board.edit(board.moved("IN_PROGRESS", "IN_REVIEW"), status="DONE").json["status"] == "DONE"


def test_two_comments_give_three_events() -> None:
    board = Board()
    task_id = board.new()
    first = board.ask("POST", f"/tasks/{task_id}/comments", {"content": "one", "author_type": "employee", "author_employee_id": "e"}).json
    second = board.ask("POST", f"/tasks/{task_id}/comments", {"content": "two", "author_type": "robot"}).json
    assert (first["author_type"], first["author_employee_id"], second["author_type"]) == ("EMPLOYEE", "e", "HUMAN")
    assert board.ask("GET", f"/tasks/{task_id}/comments").json == [first, second]
    events = board.ask("GET", f"/tasks/{task_id}/events").json
    assert [event["data"] for event in events] == [{}, {"comment_id": first["id"]}, {"comment_id": second["id"]}]


def test_comments_and_events_of_an_unknown_task_are_empty() -> None:
    board = Board()
    assert [board.ask("GET", f"/tasks/{NOWHERE}/{what}").json for what in ("comments", "events")] == [[], []]


def test_removing_a_task_takes_everything_below_it() -> None:
    board = Board()
    parent = board.new("parent")
    child = board.new("child", parent_task_id=parent)
    grandchild = board.new("grandchild", parent_task_id=child)
    board.new("other")
    board.ask("POST", f"/tasks/{grandchild}/comments", {"content": "x"})
    assert [task["id"] for task in board.ask("GET", f"/tasks/{parent}").json["subtasks"]] == [child]
    assert board.ask("DELETE", f"/tasks/{parent}").json == {"deleted": parent}
    assert board.titles() == ["other"]
    assert [board.ask("GET", f"/tasks/{grandchild}/{what}").json for what in ("comments", "events")] == [[], []]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["d", "c", "b", "a"]),
        ("?status=todo", ["d", "c", "b"]),
        ("?status=IN_PROGRESS", ["a"]),
        ("?priority=high", ["c", "b"]),
        ("?assignee_id=ann", ["b", "a"]),
        ("?assignee_id=ann&priority=HIGH", ["b"]),
        ("?group_id=g", ["c"]),
        ("?organization_id=o&status=TODO", ["c"]),
        ("?organization_id=' OR 1=1", []),
        ("?top_level_only=true", ["c", "b", "a"]),
        ("?top_level_only=false", ["d", "c", "b", "a"]),
        ("?parent_task_id={a}", ["d"]),
        ("?parent_task_id={a}&top_level_only=true", []),
        ("?parent_task_id={a}&status=TODO&priority=MEDIUM", ["d"]),
        ("?limit=2", ["d", "c"]),
        ("?limit=0", []),
        ("?offset=3", ["a"]),
        ("?limit=1&offset=1", ["c"]),
        ("?offset=99999999999", []),
    ],
)
def test_task_list_is_filtered_ordered_and_paged(query: str, expected: list[str]) -> None:
    board = Board()
    a = board.moved("IN_PROGRESS", title="a", assignee_id="ann")
    board.new("b", assignee_id="ann", priority="HIGH")
    board.new("c", group_id="g", organization_id="o", priority="HIGH")
    board.new("d", parent_task_id=a)
    assert board.titles(query.format(a=a).replace(" ", "%20")) == expected


def test_order_in_status_comes_before_age() -> None:
    board = Board()
    ids = [board.new(title) for title in "abc"]
    board.edit(ids[2], order_in_status=1)
    board.edit(ids[0], order_in_status=-1)
    assert board.titles() == ["a", "b", "c"]


def test_a_list_without_limit_is_a_hundred_and_never_more_than_a_thousand() -> None:
    board = Board(gateway(api_rate_limit_per_minute=0))
    for _ in range(1_001):
        board.new()
    assert [len(board.titles(query)) for query in ("", "?limit=5000", "?limit=5000&offset=1000")] == [100, 1_000, 1]


def test_tasks_are_limited_as_the_api_is() -> None:
    board = Board(gateway(api_rate_limit_per_minute=1))
    assert [board.ask("GET", "/tasks").status for _ in range(2)] == [200, 429]


def test_tasks_survive_a_restart() -> None:
    board = Board()
    task_id = board.new("kept")
    after = board.gate.restart(kill=True)
    assert after.client.get(f"/tasks/{task_id}", token=board.token).json["task"]["title"] == "kept"
