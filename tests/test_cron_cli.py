"""`clawgate cron` against a daemon that answers what the test says. Source: rantaiclaw.md §12."""

from __future__ import annotations

import json

import pytest

from tests.test_cli import Daemon, Run, clawgate, daemon, home

__all__ = ["clawgate", "daemon", "home"]  # fixtures

JOBS = "/api/v1/cron"
JOB = {
    "id": "j1",
    "name": "new\ns\x1b",
    "job_type": "agent",
    "prompt": "what is\nnew",
    "command": "",
    "schedule": {"kind": "cron", "expr": "0 9 * * *", "tz": "Europe/Berlin"},
    "enabled": True,
    "next_run": "2027-01-15T08:00:00.000+00:00",
    "last_status": "ok",
    "last_output": "nothing",
}
LISTED = {"jobs": [JOB], "count": 1, "cron_enabled": True, "scheduler_enabled": True}


def test_jobs_are_listed_on_one_line_each(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("GET", JOBS, 200, LISTED)
    line = clawgate("cron", "list").stdout.splitlines()[1]
    assert [word in line for word in ("j1", "on", "2027-01-15 08:00:00", "ok", "0 9 * * * Europe/Berlin", "new s�")] == [True] * 6
    assert json.loads(clawgate("cron", "list", "--json").stdout) == LISTED


def test_list_says_what_is_off_and_that_there_are_none(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("GET", JOBS, 200, {"jobs": [], "count": 0, "cron_enabled": False, "scheduler_enabled": False})
    said = clawgate("cron", "list").stdout
    assert said == "Jobs are not taken: [cron] enabled is off.\n[scheduler] enabled is off.\nNo jobs.\n"


def test_one_job_is_shown_with_its_last_output(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("GET", JOBS, 200, LISTED)
    shown = clawgate("cron", "show", "j1").stdout
    assert "prompt:\nwhat is\nnew\n" in shown
    assert "last output:\nnothing\n" in shown
    assert json.loads(clawgate("cron", "show", "j1", "--json").stdout) == JOB
    assert clawgate("cron", "show", "j2").stderr == "clawgate: Cron job 'j2' not found\n"


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("--every", "90s", "--prompt", "hi"), {"schedule": {"kind": "every", "every_ms": 90_000}, "prompt": "hi"}),
        (
            ("--cron", "@daily", "--tz", "UTC", "--command", "ls", "--name", "n", "--keep"),
            {"schedule": {"kind": "cron", "expr": "@daily", "tz": "UTC"}, "command": "ls", "name": "n", "delete_after_run": False},
        ),
        (
            ("--at", "2027-01-15T09:00:00Z", "--prompt", "hi", "--main", "--announce", "linq", "+1", "--model", "m", "--delete"),
            {
                "schedule": {"kind": "at", "at": "2027-01-15T09:00:00Z"},
                "prompt": "hi",
                "session_target": "main",
                "delivery": {"mode": "announce", "channel": "linq", "to": "+1"},
                "model": "m",
                "delete_after_run": True,
            },
        ),
    ],
)
def test_add_sends_what_was_said(clawgate: Run, daemon: Daemon, words: tuple[str, ...], body: dict[str, object]) -> None:
    daemon.answer("POST", JOBS, 200, {**JOB, "warning": "not yet"})
    said = clawgate("cron", "add", *words)
    assert said.stdout == "j1 is on; next run 2027-01-15 08:00:00 UTC.\nWarning: not yet\n"
    assert daemon.requests[-1].body == body


@pytest.mark.parametrize(
    "words", [(), ("--every", "1m", "--at", "x"), ("--tz", "UTC", "--every", "1m"), ("--every", "soon"), ("--announce", "linq", "--every", "1m")]
)
def test_add_without_one_schedule_is_wrong_usage(clawgate: Run, daemon: Daemon, words: tuple[str, ...]) -> None:
    assert (clawgate("cron", "add", *words, "--prompt", "hi").exit_code, daemon.requests) == (64, [])


@pytest.mark.parametrize(("success", "code"), [(True, 0), (False, 1)])
def test_run_prints_the_output_and_ends_as_the_job_does(clawgate: Run, daemon: Daemon, success: bool, code: int) -> None:
    daemon.answer("POST", f"{JOBS}/j1/run", 200, {"id": "j1", "success": success, "output": "a\nb\x1b"})
    result = clawgate("cron", "run", "j1", "--approved")
    assert (result.stdout, result.exit_code) == ("a\nb�\n", code)
    assert daemon.requests[-1].path == f"{JOBS}/j1/run?approved=true"


def test_run_that_takes_longer_is_75(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", f"{JOBS}/j1/run", 408, {"error": "timeout"})
    result = clawgate("cron", "run", "j1")
    assert (result.stdout, result.exit_code) == ("Still running. Look later with: clawgate cron runs j1\n", 75)


def test_runs_are_a_table(clawgate: Run, daemon: Daemon) -> None:
    run = {"id": 3, "status": "uncertain", "started_at": "2027-01-15T08:00:00.000+00:00", "duration_ms": None, "output": "x\ny"}
    daemon.answer("GET", f"{JOBS}/j1/runs", 200, {"runs": [run], "count": 1})
    assert clawgate("cron", "runs", "j1", "--limit", "5").stdout.splitlines()[1].split() == [
        "3",
        "uncertain",
        "2027-01-15",
        "08:00:00",
        "-",
        "x",
        "y",
    ]
    assert daemon.requests[-1].path == f"{JOBS}/j1/runs?limit=5"
    daemon.answer("GET", f"{JOBS}/j1/runs", 200, {"runs": [], "count": 0})
    assert clawgate("cron", "runs", "j1").stdout == "No runs.\n"


def test_switching_and_removing(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("PUT", f"{JOBS}/j1", 200, {**JOB, "enabled": False})
    daemon.answer("DELETE", f"{JOBS}/j1", 200, {"id": "j1", "deleted": True})
    assert clawgate("cron", "disable", "j1").stdout == "j1 is off.\n"
    clawgate("cron", "enable", "j1")
    assert [request.body for request in daemon.requests[-2:]] == [{"enabled": False}, {"enabled": True}]
    assert clawgate("cron", "rm", "j1").stdout == "j1 is removed.\n"
    daemon.answer("DELETE", f"{JOBS}/..%2Fx", 404, {"error": "not_found", "detail": "Cron job '../x' not found"})
    assert clawgate("cron", "rm", "../x").stderr == "clawgate: Cron job '../x' not found\n"
