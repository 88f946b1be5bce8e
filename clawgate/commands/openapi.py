"""`clawgate openapi`. Ring: entry. Source: design §3."""

from __future__ import annotations

import click

from clawgate import __version__
from clawgate.commands.operator import operator
from clawgate.commands.options import config_option
from clawgate.commands.output import show_json
from clawgate.domain.settings import Settings


@click.command()
@config_option
def openapi(config: str | None) -> None:
    """Print the HTTP interface as OpenAPI 3.1; a running gateway serves the same at /api/openapi.json."""
    from twisted.internet import reactor  # late: no other command needs one

    from clawgate.gateway import Gateway
    from clawgate.web.openapi import document

    settings = operator(config).settings_if_good() or Settings()
    routes = Gateway.build(Settings(), reactor).router.routes
    show_json(document(routes, __version__, settings.gateway.path_prefix))
