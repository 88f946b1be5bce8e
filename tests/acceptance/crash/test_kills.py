"""`kill -9` under load, again and again: nothing acknowledged is lost, nothing happens twice (design §1, §6). `make crash` does 200 rounds."""

from __future__ import annotations

import os

import pytest

from tests.acceptance.crash.audit import audited
from tests.acceptance.crash.house import House
from tests.acceptance.crash.load import Load
from tests.acceptance.crash.rounds import crashed
from tests.acceptance.daemon import until

pytestmark = pytest.mark.acceptance
ROUNDS = int(os.environ.get("CLAWGATE_CRASH_ROUNDS", "10"))


def test_nothing_acknowledged_is_lost_or_done_twice_under_kill_9(house: House) -> None:
    load = Load(house)
    crashed(house, load, ROUNDS, 15, 40, seed=1)
    audit = audited(house, load)
    assert audit.problems == {}
    assert audit.acknowledged >= 15 * ROUNDS
    assert house.kills >= ROUNDS
    assert audit.replayed > 0


def test_a_kill_while_starting_harms_nothing(house: House) -> None:
    house.start()
    load = Load(house)
    load.begin()
    until(lambda: len(load.acknowledged) >= 30, "messages are acknowledged")
    house.kill()
    load.end()
    for delay_ms in (10, 60, 150, 300):
        house.begin_and_kill(delay_ms / 1000)
    house.start()
    assert audited(house, load).problems == {}
