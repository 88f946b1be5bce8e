"""A store that fails while everybody is at it: full, broken, locked; and a clock that jumps (design §6, §7).

No 2xx that is not true, service again by itself when the trouble is over, and the audit holds.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest

from tests.acceptance.crash.audit import audited
from tests.acceptance.crash.child import Plan
from tests.acceptance.crash.house import House
from tests.acceptance.crash.load import Load
from tests.acceptance.daemon import until

pytestmark = pytest.mark.acceptance
HOUR, DAYS = 3600, 3 * 86_400


def goes_on(load: Load, count: int) -> None:
    """Waits for so many further promises."""
    wanted = len(load.acknowledged) + count
    until(lambda: len(load.acknowledged) >= wanted, f"{count} more are acknowledged")


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_disk_that_fails_now_and_then_costs_no_promise(house: House, error: str) -> None:
    house.start(Plan(errors=(error,), error_every=12))
    load = Load(house)
    load.begin()
    goes_on(load, 20)
    house.trouble.touch()
    until(lambda: load.refusals.get(503, 0) >= 5, "some are refused")
    goes_on(load, 20)
    house.trouble.unlink()
    goes_on(load, 20)
    load.end()
    assert audited(house, load).problems == {}


def test_a_disk_that_fails_always_refuses_until_it_is_well(house: House) -> None:
    house.start(Plan(errors=("ENOSPC", "EIO"), error_every=1))
    load = Load(house)
    load.begin()
    goes_on(load, 20)
    house.trouble.touch()
    until(lambda: load.refusals.get(503, 0) >= 5, "everybody is refused")
    before = len(load.acknowledged)
    time.sleep(0.5)
    assert len(load.acknowledged) == before
    house.trouble.unlink()
    goes_on(load, 20)
    house.trouble.touch()
    house.kill()
    load.end()
    house.trouble.unlink()
    house.start()
    assert audited(house, load).problems == {}


def test_a_store_that_another_process_locks_waits_or_refuses(house: House) -> None:
    house.start()
    load = Load(house)
    load.begin()
    goes_on(load, 20)
    with closing(sqlite3.connect(house.database, isolation_level=None)) as other:
        for seconds in (0.3, 0.3):
            other.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            other.execute("ROLLBACK")
            time.sleep(0.1)
        other.execute("BEGIN IMMEDIATE")
        until(lambda: load.refusals.get(503, 0) > 0, "somebody is refused")
        other.execute("ROLLBACK")
    goes_on(load, 20)
    load.end()
    assert audited(house, load).problems == {}


def test_after_a_restart_with_a_clock_that_was_set_back_conversations_go_on_in_order(house: House) -> None:
    house.clock.write_text(str(3 * 86_400))
    house.start(Plan(offset=True))
    before = [house.daemon.tell(f"session-a-{number}-slow", Session_Id="a").json["id"] for number in range(3)]
    house.kill()
    house.clock.write_text("0")
    house.start()
    after = [house.daemon.tell(f"session-a-{number}-plain", Session_Id="a").json["id"] for number in range(3, 6)]
    assert before + after == sorted(before + after)
    house.settle()
    asked = list(dict.fromkeys(house.model.asked))
    assert [int(text.split("-")[2]) for text in asked] == [0, 1, 2, 3, 4, 5]


def test_a_clock_that_jumps_by_hours_costs_no_promise(house: House) -> None:
    load = Load(house)
    for _ in range(3):
        house.start(Plan(jumps=(0, HOUR, -HOUR), offset=True))
        load.begin()
        goes_on(load, 30)
        house.kill()
        load.end()
    house.start(Plan(offset=True))
    assert audited(house, load).problems == {}


def test_a_clock_that_jumps_by_days_loses_nothing(house: House) -> None:
    """Keys last for hours: what is sent again after days is another message."""
    load = Load(house, is_sent_again=False)
    house.start(Plan(jumps=(0, DAYS, -DAYS)))
    load.begin()
    goes_on(load, 50)
    load.end()
    assert audited(house, load, replay=False).problems == {}
