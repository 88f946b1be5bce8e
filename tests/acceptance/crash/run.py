"""`make crash`: many rounds of load and `kill -9`, and the table of what came of it."""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from tests.acceptance.crash.audit import as_json, audited
from tests.acceptance.crash.house import House
from tests.acceptance.crash.load import Load
from tests.acceptance.daemon import until


def crashed(house: House, load: Load, rounds: int, fewest: int, most: int, seed: int, say: bool = False) -> None:
    """Kills the daemon under load `rounds` times, each time after some more acknowledged messages; every fifth time also while it starts."""
    chance = random.Random(seed)  # noqa: S311 - chance, no secret
    house.start()
    for number in range(rounds):
        wanted = len(load.acknowledged) + chance.randint(fewest, most)
        load.begin()
        until(lambda: len(load.acknowledged) >= wanted or house.is_dead, "messages are acknowledged")
        time.sleep(chance.random() * 0.2)
        house.kill()
        load.end()
        if number % 5 == 4:
            process = house.daemon.spawn()
            time.sleep(chance.random() * 1.5)
            process.kill()
            process.wait(30)
            house.kills += 1
        house.start()
        if say:
            print(f"{time.strftime('%H:%M:%S')} round {number + 1} kills {house.kills} acknowledged {len(load.acknowledged)} {load.refusals}", flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=200)
    options.add_argument("--seed", type=int, default=int(time.time()))
    asked = options.parse_args()
    home = Path(tempfile.mkdtemp(prefix="crash"))
    print(home, asked, flush=True)
    house = House(home)
    load = Load(house, asked.seed)
    try:
        crashed(house, load, asked.rounds, 60, 160, asked.seed, say=True)
        audit = audited(house, load)
        print(as_json(audit), audit.problems)
    finally:
        house.close()
