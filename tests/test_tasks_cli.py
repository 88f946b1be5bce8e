"""`clawgate tasks` against a daemon that answers what the test says. Source: rantaiclaw.md §9."""

from __future__ import annotations

import json

import pytest

from tests.test_cli import Daemon, Run, clawgate, daemon, home

__all__ = ["clawgate", "daemon", "home"]  # fixtures

TASK = {"id": "t1", "title": "mend\nit\x1b", "status": "TODO", "priority": "HIGH", "assignee_id": None, "description": "with\ncare", "metadata": {}}


def test_tasks_are_listed_on_one_line_each(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("GET", "/tasks", 200, [TASK])
    result = clawgate("tasks", "list", "--status", "todo", "--assignee", "a&b", "--top-level")
    assert daemon.requests[-1].path == "/tasks?status=TODO&assignee_id=a%26b&top_level_only=true&limit=50&offset=0"
    assert result.stdout.splitlines()[1].split() == ["t1", "TODO", "HIGH", "-", "mend", "it�"]
    assert json.loads(clawgate("tasks", "list", "--json").stdout) == [TASK]


def test_no_tasks_are_said_so(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("GET", "/tasks", 200, [])
    assert clawgate("tasks", "list").stdout == "No tasks.\n"


def test_one_task_is_shown_with_what_belongs_to_it(clawgate: Run, daemon: Daemon) -> None:
    comment = {"created_at": "2026-01-31T12:30:45.000+00:00", "author_type": "HUMAN", "content": "look"}
    event = {"created_at": "2026-01-31T12:30:45.000+00:00", "event_type": "STATUS_CHANGED", "data": {"from": "TODO", "to": "DONE"}}
    answer = {"task": TASK, "subtasks": [TASK | {"id": "t2"}], "comments": [comment], "events": [event]}
    daemon.answer("GET", "/tasks/t1", 200, answer)
    shown = clawgate("tasks", "show", "t1").stdout
    assert "with\ncare\n" in shown
    assert [word in shown for word in ("t2", "look", "STATUS_CHANGED", "from: TODO, to: DONE", "2026-01-31 12:30:45")] == [True] * 5
    assert json.loads(clawgate("tasks", "show", "t1", "--json").stdout) == answer


@pytest.mark.parametrize(
    ("arguments", "method", "path", "body", "said"),
    [
        (["add", "x", "--priority", "high", "--due", "d"], "POST", "/tasks", {"title": "x", "priority": "HIGH", "due_date": "d"}, "Added t1.\n"),
        (["move", "t1", "done"], "PUT", "/tasks/t1", {"status": "DONE"}, "t1 is now DONE.\n"),
        (["review", "t1", "approve"], "POST", "/tasks/t1/review", {"action": "approve"}, "t1 is now DONE.\n"),
        (["review", "t1", "reject", "--comment", "no"], "POST", "/tasks/t1/review", {"action": "reject", "comment": "no"}, "t1 is now DONE.\n"),
        (["comment", "t1", "hi"], "POST", "/tasks/t1/comments", {"content": "hi"}, "Commented on t1.\n"),
        (["rm", "t1"], "DELETE", "/tasks/t1", None, "Removed t1.\n"),
    ],
)
def test_a_tasks_command_is_one_request(clawgate: Run, daemon: Daemon, arguments: list[str], method: str, path: str, body: object, said: str) -> None:
    answer = {"id": "t1", "status": "DONE", "task_id": "t1", "deleted": "t1"}
    daemon.answer(method, path, 200, answer)
    assert clawgate("tasks", *arguments).stdout == said
    assert (daemon.requests[-1].path, daemon.requests[-1].body) == (path, body)
    assert json.loads(clawgate("tasks", *arguments, "--json").stdout) == answer


def test_a_refused_tasks_command_says_what_the_daemon_said(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("PUT", "/tasks/..%2Fx", 404, {"error": "Task not found: ../x"})
    daemon.answer("GET", "/tasks", 503, {"error": "Task engine is disabled"})
    refused = clawgate("tasks", "move", "../x", "DONE")
    assert (refused.exit_code, refused.stderr) == (1, "clawgate: Task not found: ../x\n")
    assert clawgate("tasks", "list").stderr == "clawgate: Task engine is disabled\n"
    assert clawgate("tasks", "move", "t1", "asleep").exit_code == 64
