"""`clawgate trigger` against a daemon that answers what the test says. Source: rantaiclaw.md §8."""

from __future__ import annotations

import json

import pytest

from tests.test_cli import Daemon, Run, clawgate, daemon, home

__all__ = ["clawgate", "daemon", "home"]  # fixtures


def test_a_trigger_is_set_off_with_its_values_and_payload(clawgate: Run, daemon: Daemon) -> None:
    answer = {"response": "line one\nline two", "skill": "s", "trigger_path": "ci/done"}
    daemon.answer("POST", "/triggers/ci/done", 200, answer)
    result = clawgate("trigger", "/ci/done", "repo=a&b", "x=", "--payload", '{"n":1}')
    assert result.stdout == "line one\nline two\n"
    assert (daemon.requests[-1].path, daemon.requests[-1].body) == ("/triggers/ci/done?repo=a%26b&x=", {"payload": {"n": 1}})
    assert json.loads(clawgate("trigger", "ci/done", "--json").stdout) == answer
    assert daemon.requests[-1].body is None


def test_a_trigger_without_an_answer_yet_says_where_to_look(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", "/triggers/x", 202, {"id": "0a"})
    assert clawgate("trigger", "x", "--async").stdout == "Accepted as 0a. Look later with: clawgate inbox show 0a\n"
    assert daemon.requests[-1].headers["prefer"] == "respond-async"
    daemon.answer("POST", "/triggers/x", 408, "", Location="/api/inbox/0b")
    late = clawgate("trigger", "x")
    assert (late.exit_code, late.stdout) == (75, "No answer yet. Look later with: clawgate inbox show 0b\n")


def test_an_unknown_trigger_is_said_so(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", "/triggers/x", 404, {"error": "No trigger route registered for path: x", "available_routes": []})
    refused = clawgate("trigger", "x")
    assert (refused.exit_code, refused.stderr) == (1, "clawgate: No trigger route registered for path: x\n")


@pytest.mark.parametrize("arguments", [["x", "noequals"], ["x", "=v"], ["x", "--payload", "{"], []])
def test_a_trigger_that_is_written_wrongly_is_wrong_usage(clawgate: Run, daemon: Daemon, arguments: list[str]) -> None:
    assert (clawgate("trigger", *arguments).exit_code, daemon.requests) == (64, [])
