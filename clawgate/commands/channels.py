"""`clawgate channels`. Ring: entry. Source: rantaiclaw.md §3, §7 (self-onboarding); routes of `web/surfaces/channels.py`."""

from __future__ import annotations

import click

from clawgate.commands.operator import operator
from clawgate.commands.options import config_option, json_option
from clawgate.commands.output import rows_of, safe, show, show_json, table, terminal_width

_MOST_MINUTES = 24 * 60


@click.group()
def channels() -> None:
    """List channels, and let people in on them."""


@channels.command("list")
@config_option
@json_option
def list_channels(config: str | None, as_json: bool) -> None:
    """Channels and whether they are configured."""
    answer = operator(config).ask("GET", "/admin/channels")
    if as_json:
        return show_json(answer)
    rows = [
        [one.get("name"), one.get("title"), "yes" if one.get("configured") else "no", one.get("allowed")] for one in rows_of(answer.get("channels"))
    ]
    show(table(("NAME", "TITLE", "CONFIGURED", "ALLOWED"), rows, width=terminal_width()))


@channels.command()
@config_option
@click.option("--channel", "name", required=True, type=click.STRING, metavar="NAME", help="For which channel; `gateway` = for POST /pair.")
@click.option("--ttl", default=15, show_default=True, type=click.IntRange(1, _MOST_MINUTES), metavar="MIN", help="Minutes until it expires.")
@click.option("--max-uses", default=1, show_default=True, type=click.IntRange(0, 1000), metavar="N", help="People who may use it; 0 = all in time.")
@click.option("--no-owner", is_flag=True, type=click.BOOL, help="Whoever claims it may chat, and not approve tools.")
@json_option
def pair(config: str | None, name: str, ttl: int, max_uses: int, no_owner: bool, as_json: bool) -> None:
    """Make a code with which somebody lets themselves in on a channel."""
    body = {"channel": name, "ttl_secs": ttl * 60, "max_uses": max_uses, "owner": not no_owner}
    answer = operator(config).ask("POST", "/admin/channels/codes", body)
    if as_json:
        return show_json(answer)
    show(f"Pairing code: {safe(answer.get('code'))}  ({ttl} minutes, {_uses(max_uses)})")
    if name == "gateway":
        return show("Send: POST /pair with header X-Pairing-Code")
    show(f"To chat, send the bot:      /bind {safe(answer.get('code'))}")
    if answer.get("grant_owner"):
        show(f"To approve tools, instead:  /claim {safe(answer.get('code'))}")


def _uses(max_uses: int) -> str:
    return {0: "any number of people", 1: "one use"}.get(max_uses, f"{max_uses} uses")
