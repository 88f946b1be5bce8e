"""What a soak says: a verdict, a page in Markdown, a plot."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.soak.run import Soaked
from tests.soak.samples import Sample

ALLOWED_GROWTH = 0.10
ROWS = 20


class Verdict(msgspec.Struct, frozen=True):
    """The promise and what was measured; memory in MiB.

    Attributes:
        tenth, end: resident memory after the first tenth of the requests, and at the last sample with everybody there.
        growth: of `end` over `tenth`, as a share.
    """

    tenth: float
    end: float
    growth: float
    unexpected: int

    @property
    def is_kept(self) -> bool:
        """Memory within 10 %, and every answer as expected."""
        return self.growth <= ALLOWED_GROWTH and not self.unexpected


class Report(msgspec.Struct, frozen=True):
    """All of it, as it is kept in JSON."""

    machine: dict[str, str]
    soaked: Soaked


def loaded(soaked: Soaked) -> list[Sample]:
    """The samples that were taken while people were there."""
    return [sample for sample in soaked.samples[1:-1] if sample.requests <= soaked.requests]


def verdict(soaked: Soaked) -> Verdict:
    """Whether the promise was kept."""
    samples = loaded(soaked)
    tenth = next(sample for sample in samples if sample.requests >= soaked.requests / 10)
    return Verdict(tenth.rss_kib / 1024, samples[-1].rss_kib / 1024, samples[-1].rss_kib / tenth.rss_kib - 1, soaked.unexpected)


def page(report: Report) -> str:
    """The page for docs/explanation."""
    soaked, found = report.soaked, verdict(report.soaked)
    asked = sorted(soaked.asked.items(), key=lambda each: -each[1])
    lines = [
        "# A day of traffic, compressed",
        "",
        "Made by `make soak`; do not edit.",
        *_PROMISE,
        "",
        f"**The promise is {'kept' if found.is_kept else 'broken'}.**",
        f"{soaked.requests:,} requests and {soaked.frames:,} frames and events in {soaked.seconds / 60:.0f} minutes,",
        f"{soaked.requests / soaked.seconds:,.0f} requests a second.",
        f"{found.tenth:.1f} MiB after the first tenth, {found.end:.1f} MiB at the end: {found.growth:+.1%}.",
        f"Unexpected answers: {soaked.unexpected}.",
        "",
        " · ".join(f"{name}: {value}" for name, value in report.machine.items()),
        "",
        "![Memory, files and threads over the requests](soak.png)",
        "",
        *_table(_spread(soaked.samples)),
        "",
        *_ends(soaked.samples[0], soaked.samples[-1]),
        "",
        *_COMPRESSION,
        "",
        "## What was asked",
        "",
        "| habit | requests | answers |",
        "|---|---:|---|",
        *(f"| {habit.replace('_', ' ')} | {count:,} | {_answers(soaked, habit)} |" for habit, count in asked),
        "",
    ]
    if soaked.examples:
        lines += ["## What should not have been", "", *(f"- `{example}`" for example in soaked.examples), ""]
    if soaked.complaints:
        lines += ["## Warnings and errors in the daemon's log", "", *(f"- {count:,} × `{text}`" for text, count in soaked.complaints.items()), ""]
    return "\n".join(lines)


_PROMISE = (
    "The promise: over 2,000,000 requests of many clients, keys and sessions the daemon's resident memory (RSS) at the end lies within 10 % of what it was",
    "after the first tenth, and every answer has the status it should have.",
)
_COMPRESSION = (
    "How the day is compressed: ended messages are kept for a minute, idempotency keys for 30 seconds, and 2,000 messages are remembered, so that rows come",
    "and go as they do over days. Limits are high enough to let one machine be everybody: people come from 250 loopback addresses of their own and from 20,000",
    "behind a trusted proxy, with 32 devices' tokens, 4,000 sessions and 6,000 telephone numbers.",
    "",
    "What grows during the first tenth are maps and caches on their way to their bounds: 10,000 clients in each limiter, the pages that the store keeps (16 MB",
    "for its writer), the rings of events and of the log. What is kept for a day or for ever (ids of signed deliveries, revoked devices, conversations that",
    "nobody deletes), is on disk, where it can be seen to grow.",
)


def _ends(first: Sample, last: Sample) -> tuple[str, ...]:
    """What the idle daemon has at the end that it had not at the start."""
    more = last.gauges["http_connections"] - first.gauges["http_connections"]
    return (
        "The first row is the idle daemon before the first request, the last one the idle daemon after everybody has gone:",
        f"{last.fds - first.fds:+} files, {last.threads - first.threads:+} threads, {more:+.0f} connections, {last.gauges['sockets_open']:.0f} sockets,",
        f"{last.gauges['queue_depth']:.0f} messages without an outcome, {last.gauges['unhandled_errors_total']:.0f} unhandled errors.",
        "Files and threads that stay are pools: connections to platforms, readers of the store, files of the configuration.",
    )


def _spread(samples: list[Sample]) -> list[Sample]:
    """The first and the last one, and some between."""
    step = max(1, (len(samples) - 1) // ROWS)
    return [*samples[:-1:step], samples[-1]]


def _table(samples: list[Sample]) -> list[str]:
    heads = (
        "requests",
        "s",
        "s of processor",
        "RSS MiB",
        "PSS MiB",
        "USS MiB",
        "files",
        "threads",
        "database MiB",
        "connections",
        "sockets",
        "turns",
        "open messages",
        "metric lines",
    )
    lines = [f"| {' | '.join(heads)} |", "|" + "---:|" * len(heads)]
    for one in samples:
        memory = (f"{kib / 1024:.1f}" for kib in (one.rss_kib, one.pss_kib, one.uss_kib))
        gauges = (f"{one.gauges[name]:.0f}" for name in ("http_connections", "sockets_open", "turns_running", "queue_depth", "series"))
        cells = (
            f"{one.requests:,}",
            f"{one.seconds:.0f}",
            f"{one.cpu_seconds:.0f}",
            *memory,
            str(one.fds),
            str(one.threads),
            f"{one.database_bytes / 2**20:.0f}",
            *gauges,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _answers(soaked: Soaked, habit: str) -> str:
    found = ((key.rpartition(" "), count) for key, count in soaked.statuses.items())
    return ", ".join(f"{status}: {count:,}" for (name, _, status), count in found if name == habit)


def plot(soaked: Soaked, path: Path) -> None:
    """Draws memory, files and threads over the requests."""
    from matplotlib.figure import Figure

    samples, found = loaded(soaked), verdict(soaked)
    figure = Figure(figsize=(9, 6), layout="constrained")
    memory, counts = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    at = [sample.requests / 1000 for sample in samples]
    memory.plot(at, [sample.rss_kib / 1024 for sample in samples], label="RSS")
    memory.plot(at, [sample.uss_kib / 1024 for sample in samples], label="USS")
    memory.axhspan(found.tenth * (1 - ALLOWED_GROWTH), found.tenth * (1 + ALLOWED_GROWTH), alpha=0.12, label="10 % around the first tenth")
    memory.axvline(soaked.requests / 10_000, linestyle=":", linewidth=1)
    memory.set(ylabel="MiB", ylim=(0, None))
    memory.legend(loc="lower right")
    counts.plot(at, [sample.fds for sample in samples], label="files")
    counts.plot(at, [sample.threads for sample in samples], label="threads")
    counts.plot(at, [sample.gauges["http_connections"] for sample in samples], label="connections", linewidth=0.8)
    counts.set(xlabel="requests, thousands", ylim=(0, None))
    counts.legend(loc="lower right")
    figure.savefig(path, dpi=110)
