"""`clawgate tasks`. Ring: entry. Source: rantaiclaw.md §9; routes of `web/surfaces/tasks.py`."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

import click

from clawgate.commands.operator import Refused, accepted, operator, sentence
from clawgate.commands.options import config_option, json_option
from clawgate.commands.output import pairs, row_of, rows_of, safe, second, show, show_json, table, terminal_width
from clawgate.domain.tasks import MOST_LISTED, Priority, Status, Verdict

_STATUS = click.Choice([status.value for status in Status], case_sensitive=False)
_PRIORITY = click.Choice([priority.value for priority in Priority], case_sensitive=False)
_task_id = click.argument("task_id", metavar="ID", type=click.STRING)


@click.group()
def tasks() -> None:
    """Look at tasks, and move them along."""


@tasks.command("list")
@click.option("--status", type=_STATUS, help="Only these.")
@click.option("--priority", type=_PRIORITY, help="Only these.")
@click.option("--assignee", "assignee_id", type=click.STRING, help="Only those assigned to this id.")
@click.option("--group", "group_id", type=click.STRING, help="Only those of this group.")
@click.option("--parent", "parent_task_id", type=click.STRING, help="Only the subtasks of this task.")
@click.option("--top-level", is_flag=True, type=click.BOOL, help="No subtasks.")
@click.option("--limit", type=click.IntRange(1, MOST_LISTED), default=50, show_default=True, help="At most so many.")
@click.option("--offset", type=click.IntRange(0), default=0, help="Leave out so many first.")
@config_option
@json_option
def list_tasks(limit: int, offset: int, top_level: bool, config: str | None, as_json: bool, **wanted: str | None) -> None:
    """Tasks in their order, equal ones newest first."""
    query = {name: value for name, value in wanted.items() if value} | ({"top_level_only": "true"} if top_level else {})
    reply = operator(config).exchange("GET", "/tasks?" + urlencode(query | {"limit": limit, "offset": offset}))
    if reply.status != 200 or not isinstance(reply.body, list):
        raise Refused(sentence(reply))
    if as_json:
        return show_json(reply.body)
    _show_table(reply.body) if reply.body else show("No tasks.")


@tasks.command("show")
@_task_id
@config_option
@json_option
def show_task(task_id: str, config: str | None, as_json: bool) -> None:
    """One task with its subtasks, comments and history."""
    answer = _asked(config, "GET", _path(task_id))
    if as_json:
        return show_json(answer)
    task = row_of(answer.get("task"))
    left_out = ("description", "metadata")
    show(pairs({name.replace("_", " "): value for name, value in task.items() if value not in (None, "", {}) and name not in left_out}))
    if task.get("description"):
        show(f"\n{safe(task['description'], keep_lines=True)}")
    if subtasks := rows_of(answer.get("subtasks")):
        show()
        _show_table(subtasks)
    if comments := rows_of(answer.get("comments")):
        rows = [[second(said.get("created_at")), said.get("author_type"), said.get("content")] for said in comments]
        show("\n" + table(("WHEN", "WHO", "COMMENT"), rows, width=terminal_width()))
    if events := rows_of(answer.get("events")):
        rows = [[second(event.get("created_at")), event.get("event_type"), _data(event.get("data"))] for event in events]
        show("\n" + table(("WHEN", "EVENT", "WHAT"), rows, width=terminal_width()))


@tasks.command()
@click.argument("title", type=click.STRING)
@click.option("--description", type=click.STRING, help="What is to be done.")
@click.option("--priority", type=_PRIORITY, help="Not given = MEDIUM.")
@click.option("--assignee", "assignee_id", type=click.STRING, help="Who does it.")
@click.option("--reviewer", "reviewer_id", type=click.STRING, help="Who looks at it afterwards.")
@click.option("--parent", "parent_task_id", type=click.STRING, help="The task it is a part of.")
@click.option("--due", "due_date", type=click.STRING, help="RFC 3339 with a zone.")
@config_option
@json_option
def add(title: str, config: str | None, as_json: bool, **fields: str | None) -> None:
    """Add a task."""
    given = {name: value for name, value in fields.items() if value is not None}
    answer = _asked(config, "POST", "/tasks", {"title": title, **given})
    show_json(answer) if as_json else show(f"Added {safe(answer.get('id'))}.")


@tasks.command()
@_task_id
@click.argument("status", type=_STATUS)
@config_option
@json_option
def move(task_id: str, status: str, config: str | None, as_json: bool) -> None:
    """Give a task another status."""
    _moved(_asked(config, "PUT", _path(task_id), {"status": status}), as_json)


@tasks.command()
@_task_id
@click.argument("text", type=click.STRING)
@config_option
@json_option
def comment(task_id: str, text: str, config: str | None, as_json: bool) -> None:
    """Write a comment on a task."""
    answer = _asked(config, "POST", _path(task_id) + "/comments", {"content": text})
    show_json(answer) if as_json else show(f"Commented on {safe(answer.get('task_id'))}.")


@tasks.command()
@_task_id
@click.argument("verdict", type=click.Choice([verdict.value for verdict in Verdict]))
@click.option("--comment", type=click.STRING, help="What the assignee should know.")
@config_option
@json_option
def review(task_id: str, verdict: str, comment: str | None, config: str | None, as_json: bool) -> None:
    """Approve a task in review, ask for changes, or reject it."""
    body = {"action": verdict} | ({} if comment is None else {"comment": comment})
    _moved(_asked(config, "POST", _path(task_id) + "/review", body), as_json)


@tasks.command("rm")
@_task_id
@config_option
@json_option
def remove(task_id: str, config: str | None, as_json: bool) -> None:
    """Remove a task and everything below it."""
    answer = _asked(config, "DELETE", _path(task_id))
    show_json(answer) if as_json else show(f"Removed {safe(answer.get('deleted'))}.")


def _asked(config: str | None, method: str, path: str, body: object = None) -> dict[str, object]:
    return accepted(operator(config).exchange(method, path, body))


def _path(task_id: str) -> str:
    return f"/tasks/{quote(task_id, safe='')}"


def _moved(answer: Mapping[str, object], as_json: bool) -> None:
    show_json(answer) if as_json else show(f"{safe(answer.get('id'))} is now {safe(answer.get('status'))}.")


def _show_table(found: object) -> None:
    names = ("id", "status", "priority", "assignee_id", "title")
    rows = [[task.get(name) for name in names] for task in rows_of(found)]
    show(table(("ID", "STATUS", "PRIORITY", "ASSIGNEE", "TITLE"), rows, width=terminal_width()))


def _data(value: object) -> str:
    return ", ".join(f"{name}: {said}" for name, said in row_of(value).items() if said is not None)
