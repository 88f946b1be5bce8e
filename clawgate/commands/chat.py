"""`clawgate chat`. Ring: entry. The conversation itself: `commands/conversation.py`."""

from __future__ import annotations

import click

from clawgate.commands.operator import operator
from clawgate.commands.options import base_url, config_option

TOKEN = "CLAWGATE_TOKEN"


@click.command()
@click.option("--session", metavar="ID", type=click.STRING, default="", help="Go on in this session; else a new one.")
@click.option("--url", metavar="URL", type=base_url, help=f"A gateway elsewhere; its token is taken from {TOKEN}. Else the daemon of this machine.")
@config_option
def chat(session: str, url: str | None, config: str | None) -> None:
    """Talk to the agent. `/attach PATH` adds a file to the next message, Ctrl-C gives a turn up, Ctrl-D leaves."""
    from clawgate.commands.conversation import converse  # late: no other command needs a WebSocket client

    own = operator(config)
    converse(own, url, own.environ.get(TOKEN, ""), session)
