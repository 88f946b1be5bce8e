"""`make bench`: clawgate and its peers under the same load in the same run.

python -m tests.bench                          all rows; writes performance.json, performance.md and the plots
python -m tests.bench --only relay             some rows, printed
python -m tests.bench --quick                  a few rows for a second or two each; fails when one is far worse beside its peer than it should be
python -m tests.bench --page performance.json  page and plots of an earlier run
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from tests.bench import further, peers
from tests.bench.chat import chat_rows
from tests.bench.filled import SMALL, Size
from tests.bench.growth import growth_rows
from tests.bench.hooks import hook_rows
from tests.bench.intake import intake_rows
from tests.bench.machine import disk, machine
from tests.bench.plain import plain_rows
from tests.bench.relay import relay_rows
from tests.bench.report import Report, page, plots, table, targets_table
from tests.bench.rows import Row
from tests.bench.targets import broken

OUT = Path("docs/explanation")
Measure = Callable[[Path, bool], Iterator[Row]]
MEASURES: dict[str, Measure] = {
    "intake": lambda directory, is_quick: intake_rows(directory, *_extent(is_quick), is_whole=not is_quick),
    "relay": lambda directory, is_quick: relay_rows(directory, *_extent(is_quick), is_whole=not is_quick),
    "hooks": lambda directory, is_quick: hook_rows(directory, *_extent(is_quick)),
    "plain": lambda directory, is_quick: plain_rows(directory, *_extent(is_quick), is_whole=not is_quick),
    "chat": lambda directory, is_quick: chat_rows(directory, *((64, 1) if is_quick else (400, 3))),
    "growth": lambda directory, is_quick: growth_rows(directory, SMALL if is_quick else Size(), *reversed(_extent(is_quick))),
    "events": lambda directory, is_quick: further.event_rows(directory, *((200, 1) if is_quick else (1_000, 10))),
    "sockets": lambda directory, is_quick: further.socket_rows(directory, *((500, 1) if is_quick else (5_000, 25))),
    "start": lambda directory, is_quick: further.start_rows(directory, *((1, 1) if is_quick else (5, 6))),
    "offline": lambda directory, is_quick: further.offline_rows(directory, 1 if is_quick else 6),
    "backlog": lambda directory, is_quick: further.backlog_rows(directory, *((1, 1_000) if is_quick else (6, 10_000))),
    "tasks": lambda directory, is_quick: further.task_rows(directory, 10_000 if is_quick else 100_000),
    "search": lambda directory, is_quick: further.search_rows(directory, 10_000 if is_quick else 100_000),
}
QUICK = ("intake", "relay", "plain")


def main() -> int:
    """0, or 1 when something failed twice, or the quick run found a ratio below its floor twice."""
    options = _options()
    if options.page:
        _write(msgspec.json.decode(options.page.read_bytes(), type=Report), options.out)
        return 0
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # so that what was started is ended
    try:
        peers.require_same_python()
    except RuntimeError as problem:
        print(problem, file=sys.stderr)
        return 1
    rows, complaints = measured(options.only or (QUICK if options.quick else tuple(MEASURES)), is_quick=options.quick)
    with tempfile.TemporaryDirectory() as directory:
        report = Report(machine() | {"disk": disk(Path(directory))}, rows, peers.versions())
    where = "\n".join(f"{name}: {value}" for name, value in (report.machine | report.peers).items())
    print(where, "", table(rows), "", targets_table(rows), sep="\n")
    if options.json:
        options.json.write_bytes(_encoded(report))
    if not (options.only or options.quick or complaints):
        _write(report, options.out)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller, shorter, and held against the floors of targets.py")
    parser.add_argument("--only", choices=sorted(MEASURES), action="append", help="these rows only; may be repeated")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--page", type=Path, help="the JSON of an earlier run, instead of a new one")
    parser.add_argument("--out", type=Path, default=OUT, help="where page and plots are written")
    return parser.parse_args()


def _extent(is_quick: bool) -> tuple[int, int]:
    """Seconds of a turn, and turns: one server's may differ from the next by a factor of two, and what waits for a disk by more, so many rather than long."""
    return (1, 3) if is_quick else (2, 9)


def measured(names: Sequence[str], *, is_quick: bool) -> tuple[list[Row], list[str]]:
    """All rows, and what is wrong with them. What fails, or is too slow in the quick run, gets a second chance: the machine may have been busy elsewhere."""
    rows: list[Row] = []
    complaints: list[str] = []
    for name in names:
        found, wrong = _tried(name, is_quick)
        if wrong:
            print(*wrong, f"{name} once more", sep="\n", file=sys.stderr)
            found, wrong = _tried(name, is_quick)
        rows += found
        complaints += wrong
    return rows, complaints


def _tried(name: str, is_quick: bool) -> tuple[list[Row], list[str]]:
    try:
        found = _rows(name, is_quick)
    except (RuntimeError, OSError, subprocess.SubprocessError) as problem:
        return [], [f"{name}: {problem}"]
    return found, broken(found) if is_quick else []


def _rows(name: str, is_quick: bool) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        for row in MEASURES[name](Path(directory), is_quick):
            beside = f", {row.peer}: {row.theirs.value:,.2f}" if row.theirs is not None else ""
            print(f"{row.name}: {row.ours.value:,.2f}{beside} {row.unit}", file=sys.stderr, flush=True)
            rows.append(row)
    return rows


def _encoded(report: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def _write(report: Report, out: Path) -> None:
    """Numbers, page and plots into a directory."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "performance.json").write_bytes(_encoded(report))
    (out / "performance.md").write_text(page(report), encoding="utf-8")
    with contextlib.suppress(ImportError):
        plots(report.rows, out)
        return
    print("there are no plots without matplotlib: pip install 'clawgate[bench]'", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
