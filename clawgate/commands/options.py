"""Converters of command line options. Ring: entry."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import click

from clawgate.domain.caller import Scope
from clawgate.domain.inbox import State

_DURATION = re.compile(r"(?:\d{1,9}[smhd])+", re.ASCII)
_PART = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
MAX_DURATION_SECONDS = 3650 * 86_400
_MAX_URL_CHARS = 512


def parse_duration(text: str) -> int:
    """Seconds of `30s`, `10m`, `12h`, `7d`, or several of them in a row (`1h30m`).

    Raises:
        ValueError: it is something else, nothing, or more than ten years; says so.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is no duration; write a number and s, m, h or d, such as 30s, 10m, 12h, 7d")
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if not 0 < seconds <= MAX_DURATION_SECONDS:
        raise ValueError(f"{text!r} is not between one second and ten years")
    return seconds


def spoken(seconds: int) -> str:
    """A duration for people: 600 is "10 minutes"; the largest unit that divides it."""
    units = ((86_400, "day"), (3600, "hour"), (60, "minute"))
    size, name = next((unit for unit in units if seconds >= unit[0] and seconds % unit[0] == 0), (1, "second"))
    count = seconds // size
    return f"{count} {name}{'' if count == 1 else 's'}"


def duration(text: str) -> int:
    """Converter: whole seconds of `30s`, `10m`, `12h`, `7d`."""
    try:
        return parse_duration(text)
    except ValueError as problem:
        raise click.BadParameter(str(problem)) from None


def base_url(text: str) -> str:
    """Converter: an absolute http or https URL, without query, fragment and final slash."""
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_good = False
    if not is_good or parts.query or parts.fragment or any(char.isspace() or not char.isprintable() for char in text) or len(text) > _MAX_URL_CHARS:
        raise click.BadParameter(f"{text[:80]!r} is no http or https URL; write it whole, such as https://host.example")
    return text.rstrip("/")


def states(text: str) -> str:
    """Converter: names of inbox states, separated by commas, as the daemon takes them."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if name not in set(State)]
    if wrong or not names:
        raise click.BadParameter(f"{', '.join(wrong) or 'nothing'} is no state; use {', '.join(State)}")
    return ",".join(names)


SCOPE = click.Choice([scope.value for scope in Scope])
PORT = click.IntRange(0, 65_535)
config_option = click.option("--config", metavar="FILE", type=click.Path(path_type=str), help="config.toml to use.")
json_option = click.option("--json", "as_json", is_flag=True, type=click.BOOL, help="Print the raw JSON.")
