"""What a run says: tables for the terminal, a page in Markdown, plots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.bench.rows import OURS, Row, Side
from tests.bench.targets import judged

Axes = Any  # matplotlib's, which is there only with the `bench` extra
THROUGHPUT, LATENCY = "performance-throughput.png", "performance-latency.png"


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


# -- tables


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown: those beside a peer in a line for each server, then the others."""
    return "\n\n".join(found for found in (_beside(rows), _alone(rows)) if found)


def targets_table(rows: Sequence[Row]) -> str:
    """What was promised of them, as Markdown."""
    lines = ["| row | promised | measured | |", "|---|---|---:|---|"]
    for target, row, is_kept in judged(rows):
        lines.append(f"| {row.name} | {target.text(row)} | {number(target.measured(row))} | {'kept' if is_kept else '**missed**'} |")
    return "\n".join(lines)


def _beside(rows: Sequence[Row]) -> str:
    lines = []
    for first, servers in _grouped(rows):
        unit = first.unit
        for server, side, ratio in servers:
            cells = (number(side.value), *map(number, (side.p50_ms, side.p99_ms, side.cpu_us, side.rss_mib)), number(ratio))
            lines.append(f"| {first.name if server == OURS else ''} | {server} | {unit} | {' | '.join(cells)} |")
    heads = ["| row | server | unit |  | p50 ms | p99 ms | µs CPU | RSS MiB | ratio |", "|---|---|---|" + "---:|" * 6]
    return "\n".join([*heads, *lines]) if lines else ""


def _alone(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        if row.theirs is None:
            cells = (number(row.ours.value), row.unit, number(row.ours.p50_ms), number(row.ours.p99_ms), number(row.ours.rss_mib), row.note)
            lines.append(f"| {row.name} | {' | '.join(cells)} |")
    heads = ["| row |  | unit | p50 ms | p99 ms | RSS MiB | |", "|---|---:|---|" + "---:|" * 3 + "---|"]
    return "\n".join([*heads, *lines]) if lines else ""


def _grouped(rows: Sequence[Row]) -> Iterator[tuple[Row, list[tuple[str, Side, float | None]]]]:
    """The rows with peers by key: the first one, and each server with its side and the ratio of ours over it."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.theirs is not None:
            groups.setdefault((row.key, row.name), []).append(row)
    for group in groups.values():
        theirs = [(row.peer, row.theirs, row.ratio) for row in group if row.theirs is not None]
        yield group[0], [(OURS, group[0].ours, None), *theirs]


# -- page

_METHOD = (
    "Each server is one process with a core for itself; the load generator (`wrk`, one thread) and the canned upstream have another. Server and peer run",
    "side by side in the same run and take turns, two seconds each, nine times after a warm-up; the table has the",
    "medians. The status of every answer is checked, and one that is not as expected fails the run. A ratio is clawgate's figure over the peer's. µs CPU",
    "is the processor time of the server's process for each answer, with everything it did for it before and after.",
)
_UNEQUAL = (
    "- clawgate's rate limits are off. What else it does for a request is on: limits of size and time, the log (to a file), metrics, events, the audit trail.",
    "  The peers have neither limits nor metrics, and their access logs are off.",
    "- Everything is on one machine, over loopback. Real networks and real models take longer than anything here; then what counts is the processor time that",
    "  a turn costs, and how it waits for its place, not how many there could be.",
    "- The peers' programs are ours, in `tests/bench/peers`: under uvicorn httptools, uvloop and one worker, pydantic models, one pooled `httpx.AsyncClient`,",
    "  SQLite in WAL mode with `synchronous = FULL`. More workers would use more cores, as more daemons would.",
    "- How long the disk takes to make a write durable weighs more on a server that commits each message by itself than on one that commits many together.",
    "  It is told with the machine.",
)
_AGAIN = (
    "`make bench` measures all of it and writes this page. It needs two free cores, `wrk` and `webhook` (`sudo apt-get install wrk webhook`), and fetches the",
    "peers into environments of their own. `make bench ARGS='--only relay'` prints some of the rows. The numbers are in [performance.json](performance.json).",
)


def page(report: Report) -> str:
    """The page for docs/explanation."""
    missed = sum(not is_kept for _, _, is_kept in judged(report.rows))
    total = len(judged(report.rows))
    lines = [
        "# Speed, beside others",
        "",
        "Made by `make bench`; do not edit.",
        *_METHOD,
        "",
        " · ".join(f"{name}: {value}" for name, value in report.machine.items()),
        "",
        " · ".join(f"{name} {version}" for name, version in report.peers.items()),
        "",
        "## What was promised",
        "",
        f"{total - missed} of {total} kept.",
        "",
        targets_table(report.rows),
        "",
        "## What was measured",
        "",
        f"![Answers a second, clawgate and its peers]({THROUGHPUT})",
        "",
        f"![Latency from p50 to p99, clawgate and its peers]({LATENCY})",
        "",
        table(report.rows),
        "",
        *_notes(report.rows),
        "",
        "## What is unequal",
        "",
        *_UNEQUAL,
        "",
        "## Again",
        "",
        *_AGAIN,
        "",
    ]
    return "\n".join(lines)


def _notes(rows: Sequence[Row]) -> list[str]:
    return [f"- {row.name}, {row.peer}: {row.note}." for row in rows if row.theirs is not None and row.note]


# -- plots


def plots(rows: Sequence[Row], out: Path) -> None:
    """Draws throughput and latency of the rows that have both, a small plot a row.

    Raises:
        ImportError: there is no matplotlib.
    """
    _drawn(rows, _throughput, "answers a second", out / THROUGHPUT)
    _drawn(rows, _latency, "ms, from p50 to p99", out / LATENCY)


def _drawn(rows: Sequence[Row], draw: Callable[[Axes, list[tuple[str, Side]]], None], label: str, path: Path) -> None:
    from matplotlib.figure import Figure

    loads = [
        (first.name, [(name, side) for name, side, _ in servers]) for first, servers in _grouped(rows) if first.ours.p50_ms and first.unit == "req/s"
    ]
    columns = 3
    lines = -(-len(loads) // columns) or 1
    figure = Figure(figsize=(11, 1.1 + 1.5 * lines), layout="constrained")
    for place, (name, sides) in enumerate(loads, start=1):
        axes = figure.add_subplot(lines, columns, place)
        draw(axes, sides)
        axes.set_title(name.replace("`", ""), fontsize=8)
        axes.tick_params(labelsize=7)
        axes.invert_yaxis()
    figure.supxlabel(label, fontsize=9)
    figure.savefig(path, dpi=110)


def _throughput(axes: Axes, sides: list[tuple[str, Side]]) -> None:
    bars = axes.barh([name for name, _ in sides], [side.value for _, side in sides], color=[_color(name) for name, _ in sides])
    axes.bar_label(bars, [number(side.value) for _, side in sides], fontsize=7, padding=2)
    axes.margins(x=0.25)


def _latency(axes: Axes, sides: list[tuple[str, Side]]) -> None:
    for name, side in sides:
        ends = [side.p50_ms or 0.0, side.p99_ms or 0.0]
        axes.plot(ends, [name, name], marker="o", markersize=4, color=_color(name))
    axes.set_xscale("log")
    axes.margins(y=0.3)


def _color(name: str) -> str:
    return "#c2410c" if name == OURS else "#94a3b8"
