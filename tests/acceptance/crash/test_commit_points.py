"""`kill -9` right before and right after each kind of COMMIT: the process kills itself there, and the next one finds what is left (design §1, §6)."""

from __future__ import annotations

import os
import signal

import pytest

from tests.acceptance.crash.audit import audited
from tests.acceptance.crash.child import Plan
from tests.acceptance.crash.house import House
from tests.acceptance.crash.load import Load
from tests.acceptance.crash.peers import Heard, Platform, Subscriber, Taken
from tests.acceptance.crash.recorded import entries
from tests.acceptance.crash.rows import rows
from tests.acceptance.daemon import DEADLINE_SECONDS, until

pytestmark = pytest.mark.acceptance
IS_LONG = "CLAWGATE_CRASH_ROUNDS" in os.environ
UNDER_LOAD = (
    "accept",
    "claim",
    "put off",
    "calls allowed",
    "calls asked about",
    "question asked",
    "question answered",
    "call begun",
    "call made",
    "outcome",
    "send claimed",
    "send settled",
    "device paired",
    "device revoked",
    "audit entry",
)
AT_START = ("sends recovered", "items recovered")
WITH_AN_EVENT = ("event put off", "event settled")
DAY = 86_400


def died_at(house: House, plan: Plan) -> None:
    """Waits until the process has killed itself where it was told to."""
    until(lambda: house.is_dead, f"it dies {plan.when} {plan.point}", DEADLINE_SECONDS)
    house.kills += 1
    house.check_log()
    assert house.daemon.ended() == -signal.SIGKILL, house.daemon.errors
    assert house.mark.read_text().splitlines()[-1] == f"{plan.when} {plan.point}"


def dies_while_starting(house: House, plan: Plan) -> None:
    house.begin(plan)
    died_at(house, plan)


def dies_under_load(house: House, load: Load, plan: Plan) -> None:
    try:
        house.start(plan)
    except ConnectionError:  # what the life before left unfinished got there first, while this one was asked whether it is up
        died_at(house, plan)
        return
    load.begin()
    died_at(house, plan)
    load.end()


def killed_by(house: House, peer: Platform | Subscriber, load: Load) -> Taken | Heard:
    """Kills the daemon when a part of a reply has reached its platform, or an event its subscriber, and nobody has been told; what that was."""
    got: list[Taken | Heard] = []

    def kill(one: Taken | Heard) -> None:
        got.append(one)
        assert house.daemon.process is not None
        house.daemon.process.kill()

    house.start()
    peer.arrived = kill
    load.begin()
    until(lambda: house.is_dead, "somebody outside has it, and the daemon is dead")
    load.end()
    peer.arrived = lambda one: None
    house.kills += 1
    house.check_log()
    return got[0]


def test_no_commit_point_loses_or_doubles_anything(house: House) -> None:
    for when in ("before", "after"):
        dies_while_starting(house, Plan("migration", when))
    load = Load(house)
    for number, point in enumerate(UNDER_LOAD):
        for when in ("before", "after"):
            if IS_LONG or (when == "before") == bool(number % 2) or point in ("accept", "outcome"):
                dies_under_load(house, load, Plan(point, when, 1 + number % 3))
    for when in ("before", "after"):
        dies_while_starting(house, Plan("start recorded", when))
    killed_by(house, house.platform, load)
    for point in AT_START:
        for when in ("before", "after"):
            dies_while_starting(house, Plan(point, when))
    killed_by(house, house.subscriber, load)
    for point in WITH_AN_EVENT:
        house.subscriber.is_away = point == "event put off"
        for when in ("before", "after"):
            dies_while_starting(house, Plan(point, when))
    house.start()
    assert audited(house, load).problems == {}
    assert len(load.acknowledged) > len(UNDER_LOAD)


def test_a_reply_whose_bytes_have_left_is_not_sent_again(house: House) -> None:
    load = Load(house)
    parts = {killed_by(house, house.platform, load).text for _ in range(2)}
    house.start()
    audit = audited(house, load)
    assert audit.problems == {}
    assert audit.uncertain_sends >= len(parts) == 2


def test_an_event_whose_bytes_have_left_is_told_again_under_its_id(house: House) -> None:
    load = Load(house)
    events = [killed_by(house, house.subscriber, load) for _ in range(2)]
    house.start()
    audit = audited(house, load)
    assert audit.problems == {}
    assert [house.subscriber.heard.count(event) >= 2 for event in events] == [True] * 2


def test_a_kill_while_keys_and_messages_are_forgotten_takes_nothing_else(house: House) -> None:
    house.start()
    told = [house.daemon.tell(f"keyed-{number}-plain", Idempotency_Key=f"k{number}").json["id"] for number in range(8)]
    house.settle()
    house.kill()
    house.clock.write_text(str(2 * DAY))
    for when in ("before", "after"):
        dies_while_starting(house, Plan("keys purged", when, offset=True))
    assert [row.id for row in rows(house)] == told
    house.clock.write_text(str(30 * DAY))
    dies_while_starting(house, Plan("messages forgotten", "before", offset=True))
    assert [row.id for row in rows(house)] == told
    dies_while_starting(house, Plan("messages forgotten", "after", offset=True))
    assert rows(house) == []
    before = entries(house.database)
    house.clock.write_text(str(500 * DAY))
    dies_while_starting(house, Plan("audit pruned", "before", offset=True))
    assert entries(house.database) >= before
    house.log_end = None  # it goes from the front now
    dies_while_starting(house, Plan("audit pruned", "after", offset=True))
    assert (entries(house.database) < before, house.broken_logs) == (True, [])
    house.start(Plan(offset=True))
    assert house.daemon.tell("keyed-9-plain", Idempotency_Key="k1").status == 202


def test_a_kill_in_the_middle_of_a_migration_leaves_the_schema_before_it(house: House) -> None:
    house.start()
    told = house.daemon.tell("alone-1-plain").json["id"]
    house.settle()
    house.kill()
    for when in ("before", "after"):
        dies_while_starting(house, Plan("migration", when, more_schema=True))
    house.start(Plan(more_schema=True))
    assert house.daemon.call("GET", f"/api/inbox/{told}").json["response"] == "re alone-1-plain"
