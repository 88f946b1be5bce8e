"""`clawgate control`. Ring: entry. Source: design §4.18; the route of `web/surfaces/control.py`."""

from __future__ import annotations

import click

from clawgate.commands.operator import operator
from clawgate.commands.options import config_option, json_option
from clawgate.commands.output import safe, show, show_json


@click.group()
def control() -> None:
    """The control plane of OpenClaw Enterprise."""


@control.command()
@config_option
@json_option
def token(config: str | None, as_json: bool) -> None:
    """The token that counts now, alone on its line for scripts."""
    answer = operator(config).ask("GET", "/admin/control/token")
    show_json(answer) if as_json else show(safe(answer.get("token")))
