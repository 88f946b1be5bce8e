"""The task tools: what an agent may do with tasks. Source: rantaiclaw.md §9 (agent tools)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from pytest_twisted import ensureDeferred

from clawgate.domain.settings.model import TasksSettings
from clawgate.domain.tasks import Actor, Patch, Review, Status, Task, Verdict
from clawgate.domain.tools import Risk, ToolContext, ToolResult
from clawgate.services.events import Events
from clawgate.services.task_tools import TaskTools
from clawgate.services.tasks import Tasks
from clawgate.testing.clock import CountingIds, ManualClock
from clawgate.testing.store import InlineStore


class Bench:
    """The tools on rows in memory."""

    def __init__(self) -> None:
        clock = ManualClock()
        self.store = InlineStore(clock, idempotency_max_keys=10, high_water=10)
        self.store.start()
        self.settings = TasksSettings()
        self.events = Events(clock)
        self.tasks = Tasks(self.store.tasks, clock, CountingIds(), self.events, lambda: self.settings)
        self.tools = TaskTools(self.tasks)
        self.step = 0

    def call(self, name: str, key: str = "", **arguments: object) -> ToolResult:
        self.step += 1
        context = ToolContext(principal="p", source="webhook", conversation=None, idempotency_key=key or f"item:{self.step}")
        found: list[ToolResult] = []
        self.tools.call(name, arguments, context).addCallback(found.append)
        return found[0]

    def ok(self, name: str, key: str = "", **arguments: object) -> Any:  # whatever JSON the tool answered
        result = self.call(name, key, **arguments)
        assert result.ok, result.text
        return json.loads(result.text)


def test_an_agent_takes_a_task_from_new_to_review() -> None:
    bench = Bench()
    task_id = bench.ok("task_create", title="x", priority="HIGH", due_date="2027-01-31T12:00:00Z")["id"]
    for status in ("IN_PROGRESS", "IN_REVIEW"):
        bench.ok("task_update", task_id=task_id, status=status)
    bench.ok("task_comment", task_id=task_id, content="done, look")
    shown = bench.ok("task_get", task_id=task_id)
    assert (shown["review_status"], [said["content"] for said in shown["comments"]]) == ("PENDING", ["done, look"])
    assert [event["event"] for event in shown["events"]][-2:] == ["REVIEW_SUBMITTED", "COMMENT"]
    assert [task["id"] for task in bench.ok("task_list", status="IN_REVIEW", priority="HIGH")] == [task_id]
    assert bench.call("task_update", task_id=task_id, status="DONE") == ToolResult("A task in review is closed by its reviewer", ok=False)


def test_a_repeated_create_or_comment_finds_what_the_first_one_made() -> None:
    bench = Bench()
    first, again = (bench.ok("task_create", key="i:1", title="x") for _ in range(2))
    assert first == again
    said, again = (bench.ok("task_comment", key="i:2", task_id=first["id"], content="c") for _ in range(2))
    assert said == again
    assert len(bench.ok("task_list")) == len(bench.ok("task_get", task_id=first["id"])["comments"]) == 1


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("task_create", {}, "bad arguments"),
        ("task_create", {"title": " "}, "Title is required"),
        ("task_create", {"title": "x", "due_date": "soon"}, "bad arguments: due_date"),
        ("task_create", {"title": "x", "parent_task_id": "no"}, "Parent task not found: no"),
        ("task_create", {"title": "\ud800"}, "the arguments are not valid Unicode"),
        ("task_list", {"status": "asleep"}, "bad arguments"),
        ("task_get", {"task_id": "no"}, "Task not found: no"),
        ("task_update", {"task_id": "no", "title": "x"}, "Task not found: no"),
        ("task_comment", {"task_id": "no", "content": "x"}, "Task not found: no"),
        ("task_comment", {"task_id": "no", "content": ""}, "Content is required"),
    ],
)
def test_what_the_model_did_wrong_is_a_result(name: str, arguments: dict[str, object], text: str) -> None:
    result = Bench().call(name, **arguments)
    assert (result.ok, result.text[: len(text)]) == (False, text)


def test_tools_are_gone_while_tasks_are_disabled() -> None:
    bench = Bench()
    assert [tool.name for tool in bench.tools.tools() if tool.risk is Risk.READ] == ["task_list", "task_get"]
    assert [tool.name for tool in bench.tools.tools() if not tool.is_idempotent] == ["task_update"]
    assert all(msgspec.json.decode(tool.parameters)["type"] == "object" for tool in bench.tools.tools())
    bench.settings = TasksSettings(enabled=False)
    assert list(bench.tools.tools()) == []


@ensureDeferred
async def test_every_change_of_a_task_is_told_to_the_bus() -> None:
    bench, nobody = Bench(), Actor()
    task_id = (await bench.tasks.create(Task(id="", title="secret"), nobody)).id
    for status in (Status.IN_PROGRESS, Status.IN_REVIEW):
        await bench.tasks.change(task_id, Patch(status=status, description="secret"), nobody)
    await bench.tasks.comment(task_id, "secret", nobody)
    await bench.tasks.change(task_id, Review(verdict=Verdict.REJECT, comment="secret"), nobody)
    await bench.tasks.remove(task_id)
    told = bench.events.recent()
    kinds = ["task_created", "task_updated", "task_updated", "task_commented", "task_reviewed", "task_deleted"]
    assert [event.kind for event in told] == kinds
    assert {event.data["id"] for event in told} == {task_id}
    assert "secret" not in repr(told)
