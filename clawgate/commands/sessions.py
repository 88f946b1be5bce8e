"""`clawgate sessions`. Ring: entry. Source: rantaiclaw.md §10 (sessions); routes of `web/surfaces/sessions.py`."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote, urlencode

import click

from clawgate.commands.operator import operator
from clawgate.commands.options import config_option, json_option
from clawgate.commands.output import pairs, rows_of, safe, show, show_json, table, terminal_width

_ROOT = "/api/v1/sessions"
_MAX_PAGE, _MAX_HITS = 500, 200
_MOST_SECONDS = 253_402_300_799
"""The last second that a date can be made of."""


@click.group()
def sessions() -> None:
    """Look at kept conversations, search, rename and forget them. ID is a whole id, or enough of its beginning."""


@sessions.command("list")
@click.option("--limit", type=click.IntRange(1, _MAX_PAGE), default=50, show_default=True, help="At most so many.")
@click.option("--offset", type=click.IntRange(0), default=0, help="Leave out so many of the newest.")
@config_option
@json_option
def list_sessions(limit: int, offset: int, config: str | None, as_json: bool) -> None:
    """Kept conversations, newest first."""
    answer = operator(config).ask("GET", f"{_ROOT}?" + urlencode({"limit": limit, "offset": offset}))
    if as_json:
        return show_json(answer)
    found = rows_of(answer.get("sessions"))
    if not found:
        return show("No sessions.")
    rows = [[one.get("id"), _moment(one.get("started_at")), one.get("message_count"), one.get("model"), one.get("title")] for one in found]
    show(table(("ID", "STARTED", "MESSAGES", "MODEL", "TITLE"), rows, width=terminal_width()))
    total = answer.get("total")
    if isinstance(total, int) and total > offset + len(found):
        show(f"{total} in all. More with: --offset {offset + len(found)}")


@sessions.command("show")
@click.argument("session_id", metavar="ID", type=click.STRING)
@config_option
@json_option
def show_session(session_id: str, config: str | None, as_json: bool) -> None:
    """One conversation, from its beginning."""
    answer = operator(config).ask("GET", _path(session_id))
    if as_json:
        return show_json(answer)
    show(pairs({"id": answer.get("id"), "title": answer.get("title"), "model": answer.get("model"), "started": _moment(answer.get("started_at"))}))
    for message in rows_of(answer.get("messages")):
        show(f"\n{safe(message.get('role'))}, {_moment(message.get('timestamp'))}:\n{safe(message.get('content'), keep_lines=True)}")


@sessions.command()
@click.argument("query", type=click.STRING)
@click.option("--limit", type=click.IntRange(1, _MAX_HITS), default=20, show_default=True, help="At most so many.")
@config_option
@json_option
def search(query: str, limit: int, config: str | None, as_json: bool) -> None:
    """Messages that hold the words of QUERY, best first; AND, OR, NOT, "phrases" and begin* work."""
    answer = operator(config).ask("POST", f"{_ROOT}/search", {"query": query, "limit": limit})
    if as_json:
        return show_json(answer)
    found = rows_of(answer.get("results"))
    if not found:
        return show("Nothing found.")
    rows = [[hit.get("session_id"), _moment(hit.get("timestamp")), hit.get("role"), hit.get("content")] for hit in found]
    show(table(("SESSION", "TIME", "WHO", "MESSAGE"), rows, width=terminal_width()))


@sessions.command()
@click.argument("session_id", metavar="ID", type=click.STRING)
@click.argument("title", type=click.STRING)
@config_option
@json_option
def rename(session_id: str, title: str, config: str | None, as_json: bool) -> None:
    """Give a conversation another title."""
    answer = operator(config).ask("PUT", _path(session_id) + "/title", {"title": title})
    show_json(answer) if as_json else show(f"{safe(answer.get('id'))} is now: {safe(answer.get('title'))}")


@sessions.command("rm")
@click.argument("session_id", metavar="ID", type=click.STRING)
@config_option
@json_option
def remove(session_id: str, config: str | None, as_json: bool) -> None:
    """Forget a conversation."""
    answer = operator(config).ask("DELETE", _path(session_id))
    if as_json:
        return show_json(answer)
    show(f"{safe(answer.get('id'))} is forgotten." if answer.get("deleted") is True else f"{safe(answer.get('id'))} was gone already.")


def _path(session_id: str) -> str:
    return f"{_ROOT}/{quote(session_id, safe='')}"


def _moment(seconds: object) -> str | None:
    """`2026-01-31 12:30:05` in UTC."""
    if not isinstance(seconds, int) or not 0 <= seconds <= _MOST_SECONDS:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
