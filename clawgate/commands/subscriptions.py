"""`clawgate subscriptions`. Ring: entry. Source: routes of `web/surfaces/subscriptions.py`."""

from __future__ import annotations

from urllib.parse import quote

import click

from clawgate.commands.operator import Refused, accepted, operator
from clawgate.commands.options import config_option, json_option
from clawgate.commands.output import pairs, rows_of, safe, second, show, show_json, table, terminal_width

_name = click.argument("name", metavar="NAME", type=click.STRING)
_SHOWN = (
    "name",
    "state",
    "reason",
    "url",
    "queued",
    "oldest_at",
    "missed",
    "delivered",
    "attempts",
    "next_attempt_at",
    "failing_since",
    "last_status",
)
_MORE = ("last_error", "last_attempt_at", "last_success_at")


@click.group()
def subscriptions() -> None:
    """Look at receivers of events, and decide about those that do not answer."""


@subscriptions.command("list")
@config_option
@json_option
def list_subscriptions(config: str | None, as_json: bool) -> None:
    """Subscriptions and how it stands with them."""
    answer = operator(config).ask("GET", "/api/subscriptions")
    if as_json:
        return show_json(answer)
    found = rows_of(answer.get("subscriptions"))
    if not found:
        return show("No subscriptions. Write [subscriptions.NAME] into config.toml.")
    rows = [
        [one.get("name"), one.get("state"), one.get("queued"), second(one.get("oldest_at")), one.get("last_status") or one.get("last_error")]
        for one in found
    ]
    show(table(("NAME", "STATE", "QUEUED", "OLDEST", "LAST"), rows, width=terminal_width()))


@subscriptions.command("show")
@_name
@config_option
@json_option
def show_subscription(name: str, config: str | None, as_json: bool) -> None:
    """One subscription and its last attempts."""
    answer = _asked(config, "GET", name)
    if as_json:
        return show_json(answer)
    show(pairs({field.replace("_", " "): answer.get(field) for field in (*_SHOWN, *_MORE) if answer.get(field) not in (None, "")}))
    fields = ("type", "attempt", "duration_ms", "status", "error", "id")
    rows = [[second(row.get("at")), *(row.get(field) for field in fields)] for row in rows_of(answer.get("recent_attempts"))]
    if rows:
        show("\n" + table(("AT", "EVENT", "TRY", "MS", "STATUS", "ERROR", "ID"), rows, width=terminal_width()))


@subscriptions.command()
@_name
@config_option
@json_option
def pause(name: str, config: str | None, as_json: bool) -> None:
    """Send nothing to it for now; events wait in its line."""
    _decided(config, name, "pause", as_json)


@subscriptions.command()
@_name
@config_option
@json_option
def resume(name: str, config: str | None, as_json: bool) -> None:
    """Send to it again, at once."""
    _decided(config, name, "resume", as_json)


@subscriptions.command()
@_name
@config_option
@json_option
def test(name: str, config: str | None, as_json: bool) -> None:
    """Send it an event for trying things out."""
    answer = _asked(config, "POST", name, "/test")
    look = f"clawgate subscriptions show {safe(name)}"
    show_json(answer) if as_json else show(f"In its line as {safe(answer.get('id'))}. What came of it: {look}")


@subscriptions.command()
@_name
@config_option
@json_option
def drop(name: str, config: str | None, as_json: bool) -> None:
    """Empty its line: what waits there is never sent."""
    answer = _asked(config, "POST", name, "/drop")
    show_json(answer) if as_json else show(f"{safe(answer.get('dropped'))} events are gone.")


def _decided(config: str | None, name: str, what: str, as_json: bool) -> None:
    answer = _asked(config, "POST", name, f"/{what}")
    show_json(answer) if as_json else show(
        f"{safe(answer.get('name'))} is now {safe(answer.get('state'))}, {safe(answer.get('queued'))} events wait."
    )


def _asked(config: str | None, method: str, name: str, ending: str = "") -> dict[str, object]:
    reply = operator(config).exchange(method, f"/api/subscriptions/{quote(name, safe='')}{ending}")
    if reply.status == 404:
        raise Refused(f"there is no subscription {safe(name)}; `clawgate subscriptions list` shows those there are")
    return accepted(reply)
