"""Runs the soak, prints what came of it, and writes soak.json, soak.md and soak.png.

python -m tests.soak                                 2,000,000 requests
python -m tests.soak --requests 100000 --out /tmp/x  a shorter one
python -m tests.soak --from soak.json                page and plot of an earlier one
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

from tests.bench.machine import machine
from tests.soak import report
from tests.soak.run import progress, soak


def main() -> int:
    """0 when the promise was kept."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2_000_000)
    parser.add_argument("--people", type=int, default=48, help="how many ask at once")
    parser.add_argument("--out", type=Path, default=Path("docs/explanation"), help="where to write")
    parser.add_argument("--from", dest="earlier", type=Path, help="the JSON of an earlier soak, instead of a new one")
    options = parser.parse_args()
    if options.earlier:
        whole = msgspec.json.decode(options.earlier.read_bytes(), type=report.Report)
    else:
        with tempfile.TemporaryDirectory(prefix="clawgate-soak-") as home:
            found = machine()
            whole = report.Report(found, asyncio.run(soak(Path(home), options.requests, options.people, progress(options.requests))))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "soak.json").write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1))
    text = report.page(whole)
    (options.out / "soak.md").write_text(text, encoding="utf-8")
    print(text)
    try:
        report.plot(whole.soaked, options.out / "soak.png")
    except ImportError:
        print("there is no plot without matplotlib: pip install 'clawgate[bench]'", file=sys.stderr)
    return 0 if report.verdict(whole.soaked).is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
