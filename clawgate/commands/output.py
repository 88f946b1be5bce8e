"""How commands print: aligned tables, raw JSON, and nothing that a terminal would obey. Ring: entry.

Messages, names and errors come from outside; a control or direction character in them is shown as `�`, never sent to the terminal.
"""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence

import click

GAP = "  "


def show(text: str = "") -> None:
    """Prints a line that is ours, on stdout."""
    click.echo(text)


def complain(text: str) -> None:
    """Prints a line on stderr."""
    click.echo(text, err=True)


def show_json(value: object) -> None:
    """Prints JSON in ASCII: good for every encoding, and for every terminal."""
    click.echo(json.dumps(value, indent=2))


def safe(value: object, *, keep_lines: bool = False) -> str:
    """Text as a terminal may have it.

    Args:
        value: None is "-".
        keep_lines: line ends stay; else everything is on one line.
    """
    if value is None or value == "":
        return "-"
    lines = str(value).splitlines() or [""]
    return ("\n" if keep_lines else " ").join("".join(char if char.isprintable() else "�" for char in line.expandtabs()) for line in lines)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, width: int = 0) -> str:
    """Rows below headings, in columns as wide as their widest cell.

    Args:
        rows: each as long as `headings`.
        width: columns of the terminal; the last cell is cut to fit. 0 = cut nothing.
    """
    cells = [list(headings), *([safe(value) for value in row] for row in rows)]
    widths = [max(columns_of(row[index]) for row in cells) for index in range(len(headings))]
    room = max(width - sum(widths[:-1]) - len(GAP) * (len(widths) - 1), 8) if width else 0
    return "\n".join(_line(row, widths, room) for row in cells)


def pairs(values: Mapping[str, object]) -> str:
    """Names and values below one another."""
    width = max(map(len, values), default=0)
    return "\n".join(f"{name:<{width}}{GAP}{safe(value)}" for name, value in values.items())


def row_of(value: object) -> dict[str, object]:
    """A JSON object; empty for anything else that a daemon of another version may send."""
    return value if isinstance(value, dict) else {}


def rows_of(value: object) -> list[dict[str, object]]:
    """The objects of a JSON array, as `row_of`."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def second(text: object) -> object:
    """`2026-01-31 12:30:05` of an RFC 3339 time in UTC."""
    return text[:19].replace("T", " ") if isinstance(text, str) else None


def terminal_width() -> int:
    """Columns of the terminal; 0 when stdout is none, so that scripts get everything."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def columns_of(text: str) -> int:
    """Columns a text takes: wide characters take two, combining ones none."""
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _line(row: Sequence[str], widths: Sequence[int], room: int) -> str:
    padded = [cell + " " * (widths[index] - columns_of(cell)) for index, cell in enumerate(row[:-1])]
    return GAP.join([*padded, _cut(row[-1], room)]).rstrip()


def _cut(text: str, room: int) -> str:
    if not room or columns_of(text) <= room:
        return text
    kept = ""
    for char in text:
        if columns_of(kept + char) >= room:
            break
        kept += char
    return kept + "…"
