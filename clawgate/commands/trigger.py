"""`clawgate trigger`: set off a prompt of webhook-routes.json. Ring: entry. Source: rantaiclaw.md §8; route of `web/surfaces/triggers.py`."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

import click

from clawgate.commands.inbox import show_answer
from clawgate.commands.operator import operator
from clawgate.commands.options import config_option, duration, json_option


def _value(text: str) -> tuple[str, str]:
    """Converter: `name=value`."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{text[:80]!r} is not name=value")
    return name, value


def _payload(text: str) -> object:
    """Converter: any JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise click.BadParameter("is not JSON") from None


@click.command()
@click.argument("path", type=click.STRING)
@click.argument("values", metavar="[NAME=VALUE]...", nargs=-1, type=_value)
@click.option("--payload", type=_payload, metavar="JSON", help="Handed to the agent below the message.")
@click.option("--async", "is_async", is_flag=True, type=click.BOOL, help="Do not wait for the answer.")
@click.option("--timeout", type=duration, metavar="DURATION", default="10m", show_default=True, help="Longest wait for the daemon.")
@config_option
@json_option
@click.pass_context
def trigger(
    context: click.Context,
    path: str,
    values: tuple[tuple[str, str], ...],
    payload: object,
    is_async: bool,
    timeout: int,
    config: str | None,
    as_json: bool,
) -> None:
    """Set off the trigger PATH; its {NAME}s are filled in.

    Exit code 75: it is accepted and has no answer yet.
    """
    url = "/triggers/" + quote(path.lstrip("/")) + ("?" + urlencode(values) if values else "")
    body = None if payload is None else {"payload": payload}
    headers = {"Prefer": "respond-async"} if is_async else {}
    reply = operator(config).exchange("POST", url, body, headers=headers, timeout_seconds=timeout)
    show_answer(context, reply, as_json)
