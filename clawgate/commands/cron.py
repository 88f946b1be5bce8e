"""`clawgate cron`: scheduled jobs. Ring: entry. Source: rantaiclaw.md §12; routes of `web/surfaces/cron.py`."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import click

from clawgate.commands.operator import EX_TEMPFAIL, Refused, accepted, operator
from clawgate.commands.options import config_option, duration, json_option
from clawgate.commands.output import pairs, rows_of, safe, second, show, show_json, table, terminal_width

_PATH = "/api/v1/cron"
_RUN_SECONDS = 150.0


@click.group()
def cron() -> None:
    """Look at scheduled jobs, make, run and remove them."""


@cron.command("list")
@config_option
@json_option
def list_jobs(config: str | None, as_json: bool) -> None:
    """Jobs, the next one first."""
    answer = operator(config).ask("GET", _PATH)
    if as_json:
        return show_json(answer)
    jobs = rows_of(answer.get("jobs"))
    for flag, text in (("cron_enabled", "Jobs are not taken: [cron] enabled is off."), ("scheduler_enabled", "[scheduler] enabled is off.")):
        if answer.get(flag) is False:
            show(text)
    if not jobs:
        return show("No jobs.")
    rows = [
        [job.get("id"), _state(job), second(job.get("next_run")), job.get("last_status"), _when(job), job.get("name") or _what(job)] for job in jobs
    ]
    show(table(("ID", "STATE", "NEXT", "LAST", "SCHEDULE", "JOB"), rows, width=terminal_width()))


@cron.command("show")
@click.argument("job_id", metavar="ID", type=click.STRING)
@config_option
@json_option
def show_job(job_id: str, config: str | None, as_json: bool) -> None:
    """One job and how its last run ended."""
    found = [job for job in rows_of(operator(config).ask("GET", _PATH).get("jobs")) if job.get("id") == job_id]
    if not found:
        raise Refused(f"Cron job '{safe(job_id)}' not found")
    job = found[0]
    if as_json:
        return show_json(job)
    names = ("id", "name", "job_type", "enabled", "session_target", "model", "delete_after_run", "created_at", "next_run", "last_run", "last_status")
    show(pairs({"schedule": _when(job)} | {name.replace("_", " "): job.get(name) for name in names if job.get(name) not in (None, "")}))
    for name in ("prompt", "command", "last_output"):
        if job.get(name):
            show(f"\n{name.replace('_', ' ')}:\n{safe(job[name], keep_lines=True)}")


@cron.command()
@click.option("--cron", "expr", type=click.STRING, metavar="EXPR", help="When: 5 fields, 6 with seconds first, or @daily and the like.")
@click.option("--tz", type=click.STRING, metavar="ZONE", help="Zone of --cron, such as Europe/Berlin; else UTC.")
@click.option("--at", type=click.STRING, metavar="TIME", help="Once, at an RFC 3339 time.")
@click.option("--every", type=duration, metavar="DURATION", help="Again and again: 30s, 10m, 12h, 7d.")
@click.option("--prompt", type=click.STRING, help="What the agent is asked.")
@click.option("--command", type=click.STRING, help="What is run, without a shell.")
@click.option("--name", type=click.STRING, help="Name of the job.")
@click.option("--model", type=click.STRING, help="Model that is asked.")
@click.option("--main", "is_main", is_flag=True, type=click.BOOL, help="All runs in one conversation.")
@click.option("--announce", nargs=2, type=click.STRING, metavar="CHANNEL TO", help="Send the answer there.")
@click.option("--keep/--delete", "keeps", type=click.BOOL, default=None, help="Keep the job after a run that went well, or not.")
@config_option
@json_option
def add(
    expr: str | None,
    tz: str | None,
    at: str | None,
    every: int | None,
    prompt: str | None,
    command: str | None,
    is_main: bool,
    announce: tuple[str, str] | None,
    keeps: bool | None,
    config: str | None,
    as_json: bool,
    **texts: str | None,
) -> None:
    """Make a job: one of --cron, --at, --every, and one of --prompt, --command."""
    body: dict[str, object] = {"schedule": _schedule(expr, tz, at, every), "prompt": prompt, "command": command, **texts}
    if is_main:
        body["session_target"] = "main"
    if announce:
        body["delivery"] = {"mode": "announce", "channel": announce[0], "to": announce[1]}
    if keeps is not None:
        body["delete_after_run"] = not keeps
    _written(operator(config).ask("POST", _PATH, {name: value for name, value in body.items() if value is not None}), as_json)


@cron.command()
@click.argument("job_id", metavar="ID", type=click.STRING)
@click.option("--approved", is_flag=True, type=click.BOOL, help="Run a command also when it needs an approval.")
@config_option
@json_option
@click.pass_context
def run(context: click.Context, job_id: str, approved: bool, config: str | None, as_json: bool) -> None:
    """Run a job now and print what comes of it; exit code 1 when it fails, 75 when it takes longer than the wait."""
    path = _path(job_id) + "/run" + ("?approved=true" if approved else "")
    reply = operator(config).exchange("POST", path, timeout_seconds=_RUN_SECONDS)
    if reply.status == 408:
        show_json(reply.body) if as_json else show(f"Still running. Look later with: clawgate cron runs {safe(job_id)}")
        context.exit(EX_TEMPFAIL)
    answer = accepted(reply)
    show_json(answer) if as_json else show(safe(answer.get("output"), keep_lines=True))
    context.exit(0 if answer.get("success") is True else 1)


@cron.command()
@click.argument("job_id", metavar="ID", type=click.STRING)
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="At most so many.")
@config_option
@json_option
def runs(job_id: str, limit: int, config: str | None, as_json: bool) -> None:
    """Runs of a job, newest first."""
    answer = operator(config).ask("GET", f"{_path(job_id)}/runs?limit={limit}")
    if as_json:
        return show_json(answer)
    found = rows_of(answer.get("runs"))
    if not found:
        return show("No runs.")
    rows = [[each.get("id"), each.get("status"), second(each.get("started_at")), each.get("duration_ms"), each.get("output")] for each in found]
    show(table(("RUN", "STATUS", "STARTED", "MS", "OUTPUT"), rows, width=terminal_width()))


@cron.command()
@click.argument("job_id", metavar="ID", type=click.STRING)
@config_option
@json_option
def enable(job_id: str, config: str | None, as_json: bool) -> None:
    """Switch a job on."""
    _written(operator(config).ask("PUT", _path(job_id), {"enabled": True}), as_json)


@cron.command()
@click.argument("job_id", metavar="ID", type=click.STRING)
@config_option
@json_option
def disable(job_id: str, config: str | None, as_json: bool) -> None:
    """Switch a job off."""
    _written(operator(config).ask("PUT", _path(job_id), {"enabled": False}), as_json)


@cron.command()
@click.argument("job_id", metavar="ID", type=click.STRING)
@config_option
@json_option
def rm(job_id: str, config: str | None, as_json: bool) -> None:
    """Remove a job and its runs."""
    answer = operator(config).ask("DELETE", _path(job_id))
    show_json(answer) if as_json else show(f"{safe(answer.get('id'))} is removed.")


def _schedule(expr: str | None, tz: str | None, at: str | None, every: int | None) -> dict[str, object]:
    if sum(value is not None for value in (expr, at, every)) != 1 or (tz is not None and expr is None):
        raise click.UsageError("give one of --cron, --at, --every; --tz goes with --cron")
    if at is not None:
        return {"kind": "at", "at": at}
    if every is not None:
        return {"kind": "every", "every_ms": every * 1000}
    return {"kind": "cron", "expr": expr, **({"tz": tz} if tz is not None else {})}


def _written(answer: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        return show_json(answer)
    next_run = f"; next run {second(answer.get('next_run'))} UTC" if answer.get("enabled") else ""
    show(f"{safe(answer.get('id'))} is {_state(answer)}{next_run}.")
    if answer.get("warning"):
        show(f"Warning: {safe(answer['warning'])}")


def _path(job_id: str) -> str:
    return f"{_PATH}/{quote(job_id, safe='')}"


def _state(job: Mapping[str, object]) -> str:
    return "on" if job.get("enabled") else "off"


def _what(job: Mapping[str, object]) -> object:
    return job.get("prompt") or job.get("command")


def _when(job: Mapping[str, object]) -> str:
    schedule = job.get("schedule")
    if not isinstance(schedule, dict):
        return ""
    if schedule.get("kind") == "every":
        return f"every {int(schedule.get('every_ms') or 0) / 1000:g} s"
    return " ".join(str(schedule[name]) for name in ("expr", "tz", "at") if schedule.get(name))
