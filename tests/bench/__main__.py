"""`make bench`: prints one table. `--quick` measures a second or two a row."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tests.bench import further
from tests.bench.machine import machine
from tests.bench.report import Report, table, targets_table
from tests.bench.rows import Row

Measure = Callable[[Path, bool], Iterator[Row]]
MEASURES: dict[str, Measure] = {
    "start": lambda directory, is_quick: further.start_rows(directory, *((1, 1) if is_quick else (5, 6))),
    "offline": lambda directory, is_quick: further.offline_rows(directory, 1 if is_quick else 6),
    "backlog": lambda directory, is_quick: further.backlog_rows(directory, *((1, 1_000) if is_quick else (6, 10_000))),
    "sockets": lambda directory, is_quick: further.socket_rows(directory, *((500, 1) if is_quick else (5_000, 25))),
    "events": lambda directory, is_quick: further.event_rows(directory, *((200, 1) if is_quick else (1_000, 10))),
    "tasks": lambda directory, is_quick: further.task_rows(directory, 10_000 if is_quick else 100_000),
    "search": lambda directory, is_quick: further.search_rows(directory, 10_000 if is_quick else 100_000),
}


def main() -> int:
    """Measures, prints, and keeps the numbers as JSON."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a second a row")
    parser.add_argument("--only", choices=sorted(MEASURES), action="append", help="these rows only; may be repeated")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        for name, measure in MEASURES.items():
            for row in measure(directory, options.quick) if not options.only or name in options.only else ():
                rows.append(row)
                print(f"{row.name}: {row.ours.value:,.2f} {row.unit}", file=sys.stderr)
    report = Report(machine(), rows)
    print("\n".join(f"{name}: {value}" for name, value in report.machine.items()), "", table(rows), "", targets_table(rows), sep="\n")
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
