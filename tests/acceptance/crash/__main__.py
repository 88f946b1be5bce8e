"""`make crash`: 200 rounds of load and `kill -9`, an audit, and its table in `docs/explanation/promises.md`. `CLAWGATE_CRASH_ROUNDS` says how many."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.acceptance.crash.audit import audited
from tests.acceptance.crash.house import House, commit, nursery_environment
from tests.acceptance.crash.load import Load
from tests.acceptance.crash.nursery import Nursery
from tests.acceptance.crash.results import table, write
from tests.acceptance.crash.rounds import crashed

FEWEST, MOST = 70, 160
"""Messages that are acknowledged between two kills."""


def say(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()


def main() -> int:
    """0 when every promise held."""
    rounds, seed = int(os.environ.get("CLAWGATE_CRASH_ROUNDS", "200")), int(time.time())
    home = Path(tempfile.mkdtemp(prefix="clawgate-crash-"))
    nursery = Nursery(dict(os.environ) | nursery_environment())
    house = House(home, nursery)
    load = Load(house, seed)
    begun, tried = time.monotonic(), commit()
    say(f"{rounds} rounds in {home}, seed {seed}, commit {tried}")
    try:
        crashed(house, load, rounds, FEWEST, MOST, seed, say)
        audit = audited(house, load)
        found = {"commit": tried, "date": time.strftime("%Y-%m-%d"), "minutes": round((time.monotonic() - begun) / 60, 1)}
        found |= {"rounds": rounds, "kills": house.kills, **audit._asdict()}
        write(found)
        say(table(found))
        for name, some in audit.problems.items():
            say(f"{name}: {some}")
    finally:
        house.close()
        nursery.close()
    if audit.problems:
        return 1
    shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
