"""`clawgate inbox` and `clawgate send`. Ring: entry. Source: design §1, §4.5, §4.6; routes of `web/surfaces/inbox.py` and `webhook.py`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from urllib.parse import quote, urlencode

import click

from clawgate.commands.operator import EX_TEMPFAIL, Operator, Refused, accepted, operator
from clawgate.commands.options import config_option, duration, json_option, states
from clawgate.commands.output import pairs, rows_of, safe, second, show, show_json, table, terminal_width
from clawgate.commands.paging import cursor_option, limit_option, page, show_more
from clawgate.system.control import Reply

_MOST_STDIN_CHARS = 1_000_000
_ATTEMPT = ("number", "started_at", "duration_ms", "outcome", "error", "retry_at", "provider", "model")


@click.group()
def inbox() -> None:
    """Look at accepted messages, and decide about those that stopped."""


@inbox.command("list")
@click.option(
    "--state", type=states, metavar="STATES", help="Only these, separated by commas: received, running, waiting, done, dead, uncertain, dropped."
)
@click.option("--since", type=click.STRING, help="Accepted since: 2h (ago), an RFC 3339 time, or seconds since 1970.")
@limit_option
@cursor_option
@config_option
@json_option
def list_items(state: str | None, since: str | None, limit: int, cursor: str | None, config: str | None, as_json: bool) -> None:
    """Accepted messages, newest first."""
    answer = page(operator(config), "/api/inbox", limit=limit, state=state, since=since, cursor=cursor)
    if as_json:
        return show_json(answer)
    items = rows_of(answer.get("items"))
    if not items:
        return show("No messages.")
    rows = [
        [item.get("id"), item.get("state"), item.get("attempts"), second(item.get("accepted_at")), item.get("source"), item.get("message")]
        for item in items
    ]
    show(table(("ID", "STATE", "TRIES", "ACCEPTED", "SOURCE", "MESSAGE"), rows, width=terminal_width()))
    show_more(answer)


@inbox.command("show")
@click.argument("item_id", metavar="ID", type=click.STRING)
@config_option
@json_option
def show_item(item_id: str, config: str | None, as_json: bool) -> None:
    """One message, its outcome, its attempts, what its tools did and the parts of its reply."""
    answer = _asked(config, "GET", item_id)
    if as_json:
        return show_json(answer)
    names = ("id", "state", "source", "conversation", "attempts", "accepted_at", "updated_at", "next_attempt_at", "model", "error")
    show(pairs({name.replace("_", " "): answer.get(name) for name in names if answer.get(name) not in (None, "")}))
    for name in ("message", "response"):
        if isinstance(answer.get(name), str):
            show(f"\n{name}:\n{safe(answer[name], keep_lines=True)}")
    _show_rows(answer.get("attempt_history"), _ATTEMPT, ("NO", "STARTED", "MS", "OUTCOME", "ERROR", "AGAIN AT", "PROVIDER", "MODEL"))
    _show_rows(answer.get("steps"), ("step", "tool", "state", "arguments", "result"), ("CALL", "TOOL", "STATE", "ARGUMENTS", "RESULT"))
    _show_rows(answer.get("sends"), ("part", "channel", "target", "state", "attempts", "error"), ("PART", "CHANNEL", "TO", "STATE", "TRIES", "ERROR"))


@inbox.command()
@click.argument("item_id", metavar="ID", type=click.STRING, required=False)
@click.option("--all-dead", is_flag=True, type=click.BOOL, help="Every dead message, in place of one.")
@config_option
@json_option
def retry(item_id: str | None, all_dead: bool, config: str | None, as_json: bool) -> None:
    """Try a stopped message again, or every dead one."""
    if all_dead is (item_id is not None):
        raise click.UsageError("name one message, or --all-dead")
    if item_id is not None:
        return _decided(_asked(config, "POST", item_id, "/retry"), as_json)
    retried = _redriven(operator(config))
    show_json({"retried": retried}) if as_json else show(f"{retried} dead messages are tried again.")


def _redriven(own: Operator) -> int:
    """How many dead messages are tried again, page after page."""
    retried, cursor = 0, ""
    while True:
        answer = own.ask("POST", "/api/inbox/retry" + (f"?{urlencode({'cursor': cursor})}" if cursor else ""))
        retried += int(str(answer.get("retried")))
        cursor = str(answer.get("cursor") or "")
        if not cursor:
            return retried


@inbox.command()
@click.argument("item_id", metavar="ID", type=click.STRING)
@config_option
@json_option
def drop(item_id: str, config: str | None, as_json: bool) -> None:
    """Give a message up."""
    _decided(_asked(config, "POST", item_id, "/drop"), as_json)


@click.command()
@click.argument("text", type=click.STRING)
@click.option("--session", type=click.STRING, help="Conversation it belongs to; not given = one of its own.")
@click.option("--async", "is_async", is_flag=True, type=click.BOOL, help="Do not wait for the answer.")
@click.option("--key", type=click.STRING, help="Idempotency key: the same key is answered once.")
@click.option("--timeout", type=duration, metavar="DURATION", default="10m", show_default=True, help="Longest wait for the daemon.")
@config_option
@json_option
@click.pass_context
def send(
    context: click.Context, text: str, session: str | None, is_async: bool, key: str | None, timeout: int, config: str | None, as_json: bool
) -> None:
    """Ask the agent; TEXT of "-" is read from stdin.

    Exit code 75: the message is accepted and has no answer yet.
    """
    own = operator(config)
    message = _from_stdin() if text == "-" else text
    reply = own.exchange(
        "POST", "/webhook", {"message": message, "session_id": session}, headers=_headers(own, is_async, key), timeout_seconds=timeout
    )
    show_answer(context, reply, as_json)


def show_answer(context: click.Context, reply: Reply, as_json: bool) -> None:
    """What came of a message that was sent; exit code 75 when there is no answer yet. Raises Refused."""
    if reply.status == 408:
        item_id = reply.headers.get("location", "").rpartition("/")[2]
        show_json({"id": item_id, "status": "running"}) if as_json else show(f"No answer yet. Look later with: clawgate inbox show {safe(item_id)}")
        context.exit(EX_TEMPFAIL)
    answer = accepted(reply)
    if as_json:
        show_json(answer)
    elif reply.status == 202:
        show(f"Accepted as {safe(answer.get('id'))}. Look later with: clawgate inbox show {safe(answer.get('id'))}")
    else:
        show(safe(answer.get("response"), keep_lines=True))


def _show_rows(found: object, fields: tuple[str, ...], heads: tuple[str, ...]) -> None:
    rows = [[row.get(name) for name in fields] for row in rows_of(found)]
    if rows:
        show("\n" + table(heads, rows, width=terminal_width()))


def _from_stdin() -> str:
    text = sys.stdin.read(_MOST_STDIN_CHARS + 1)
    if len(text) > _MOST_STDIN_CHARS:
        raise click.BadParameter(f"stdin holds more than {_MOST_STDIN_CHARS} characters", param_hint="TEXT")
    return text


def _headers(own: Operator, is_async: bool, key: str | None) -> dict[str, str]:
    headers = {"Prefer": "respond-async"} if is_async else {}
    if key is not None:
        if not key.isascii() or not key.isprintable():
            raise click.BadParameter("use visible ASCII characters", param_hint="--key")
        headers["X-Idempotency-Key"] = key
    settings = own.settings_if_good()
    webhook = settings.channels_config.webhook if settings is not None else None
    if webhook is not None and webhook.secret:
        headers["X-Webhook-Secret"] = webhook.secret.reveal()
    return headers


def _asked(config: str | None, method: str, item_id: str, ending: str = "") -> dict[str, object]:
    reply = operator(config).exchange(method, _path(item_id) + ending)
    if reply.status == 404:
        raise Refused(f"no message has the id {safe(item_id)}; `clawgate inbox list` shows those there are")
    return accepted(reply)


def _path(item_id: str) -> str:
    return f"/api/inbox/{quote(item_id, safe='')}"


def _decided(answer: Mapping[str, object], as_json: bool) -> None:
    show_json(answer) if as_json else show(f"{safe(answer.get('id'))} is now {safe(answer.get('state'))}.")
