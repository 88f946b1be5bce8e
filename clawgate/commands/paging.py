"""Lists that come in pages: what a page is asked for with, and how the next one is. Ring: entry."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import click

from clawgate.commands.operator import Operator, Refused
from clawgate.commands.options import parse_duration
from clawgate.commands.output import safe, show
from clawgate.domain.times import parse_rfc3339

_MAX_PAGE = 500
limit_option = click.option("--limit", type=click.IntRange(1, _MAX_PAGE), default=50, show_default=True, help="At most so many.")
cursor_option = click.option("--cursor", type=click.STRING, help="Go on where the page before ended.")


def page(own: Operator, path: str, **query: object) -> dict[str, object]:
    """What the daemon answers.

    Args:
        query: as it was typed; what is empty is left out.

    Raises:
        click.BadParameter: `since` is no time. Refused, NotRunning, Unavailable, Invalid: as `Operator.ask`.
    """
    given = {name: moment(own, str(value)) if name == "since" else value for name, value in query.items() if value}
    return own.ask("GET", f"{path}?{urlencode(given)}")


def show_more(answer: Mapping[str, object]) -> None:
    """Says how the next page is asked for, if there is one."""
    if answer.get("cursor"):
        show(f"More with: --cursor {safe(answer['cursor'])}")


def moment(own: Operator, text: str) -> str:
    """What the daemon takes for `since`: a duration counts back from the daemon's own clock.

    Raises:
        click.BadParameter: it is none of the three forms.
    """
    if (text.isascii() and text.isdigit()) or parse_rfc3339(text) is not None:
        return text
    try:
        seconds = parse_duration(text)
    except ValueError:
        raise click.BadParameter("use 2h (ago), an RFC 3339 time with a zone, or seconds since 1970", param_hint="--since") from None
    runtime = own.ask("GET", "/health").get("runtime")
    now_ms = parse_rfc3339(str(runtime.get("updated_at"))) if isinstance(runtime, dict) else None
    if now_ms is None:
        raise Refused("the daemon does not tell its time; use an RFC 3339 time")
    return str(max(0, now_ms // 1000 - seconds))
