"""Rounds of load and `kill -9`. Source: design §6."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from tests.acceptance.crash.house import House
from tests.acceptance.crash.load import Load
from tests.acceptance.daemon import until


def crashed(house: House, load: Load, rounds: int, fewest: int, most: int, seed: int, say: Callable[[str], None] = lambda line: None) -> None:
    """Kills the daemon under load `rounds` times, each time after some more acknowledged messages; every fifth time also while it starts."""
    chance = random.Random(seed)
    house.start()
    for number in range(rounds):
        wanted = len(load.acknowledged) + chance.randint(fewest, most)
        load.begin()
        until(lambda wanted=wanted: len(load.acknowledged) >= wanted, "messages are acknowledged", 120)  # type: ignore[misc]  # bound in the loop
        time.sleep(chance.random() * 0.2)
        house.kill()
        load.end()
        if number % 5 == 4:
            house.begin_and_kill(chance.random() * 0.5)
        house.start()
        say(f"round {number + 1} kills {house.kills} acknowledged {len(load.acknowledged)} refused {load.refusals}")
