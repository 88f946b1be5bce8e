"""What a run says: a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tests.bench.rows import Row
from tests.bench.targets import judged


class Report(msgspec.Struct, frozen=True):
    """All of it, as it is kept in JSON.

    Attributes:
        peers: versions by name.
    """

    machine: dict[str, str]
    rows: list[Row]
    peers: dict[str, str] = {}


def number(value: float | None) -> str:
    """Three digits or so; nothing for nothing."""
    if value is None:
        return ""
    return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


_HEADS = ("row", "unit", "clawgate", "p50 ms", "p99 ms", "RSS MiB", "peer", "theirs", "p50 ms", "p99 ms", "RSS MiB", "ratio")


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [f"| {' | '.join(_HEADS)} |", "|---|---|" + "---:|" * 4 + "---|" + "---:|" * 5]
    for row in rows:
        cells = [row.name, row.unit, *_cells(row.ours.value, row.ours.p50_ms, row.ours.p99_ms, row.ours.rss_mib), row.peer]
        theirs = row.theirs
        cells += _cells(theirs.value, theirs.p50_ms, theirs.p99_ms, theirs.rss_mib) if theirs is not None else ("",) * 4
        lines.append(f"| {' | '.join([*cells, number(row.ratio)])} |")
    return "\n".join(lines)


def targets_table(rows: Sequence[Row]) -> str:
    """What was promised of them, as Markdown."""
    lines = ["| row | promised | measured | |", "|---|---|---:|---|"]
    for target, row, is_kept in judged(rows):
        lines.append(f"| {row.name} | {target.text(row)} | {number(target.measured(row))} | {'kept' if is_kept else '**missed**'} |")
    return "\n".join(lines)


def _cells(*values: float | None) -> tuple[str, ...]:
    return tuple(map(number, values))
