"""Scheduled jobs on SQLite: one winner for each tick, indexes for what is asked often, nothing left of a job that is removed."""

from __future__ import annotations

import sqlite3

import msgspec
import pytest
from pytest_twisted import ensureDeferred

from clawgate.domain.cron import CronSchedule, Delivery, DeliveryMode, EverySchedule, Job, JobKind, Run, RunStatus, ended
from clawgate.domain.errors import Conflict, NotFound
from clawgate.stores import cron_rows
from clawgate.testing.clock import ManualClock
from clawgate.testing.sqlite_stores import SqliteStores
from clawgate.testing.store import InlineStore

JOB = Job(
    id="j",
    schedule=CronSchedule("0 9 * * *", "UTC"),
    kind=JobKind.AGENT,
    principal="me",
    created_ms=1,
    next_ms=1_000,
    prompt="Grüße 🦀",
    name="n",
    model="m",
    delivery=Delivery(DeliveryMode.ANNOUNCE, "linq", "+1", False),
)
RUN = Run(job_id="j", kind=JobKind.AGENT, tick_ms=1_000, started_ms=1_001)
SHELL = msgspec.structs.replace(RUN, kind=JobKind.SHELL)


def moved(next_ms: int, *, enabled: bool = True) -> Job:
    return msgspec.structs.replace(JOB, next_ms=next_ms, enabled=enabled)


async def opened() -> InlineStore:
    store = InlineStore(ManualClock())
    await store.start()
    await store.cron.add(JOB, 10)
    return store


@ensureDeferred
async def test_job_comes_back_as_it_went_in(opener: SqliteStores) -> None:
    store = await opener()
    await store.cron.add(JOB, 10)
    assert await store.cron.get("j") == JOB
    assert await store.cron.all() == (JOB,)
    assert await store.cron.get("k") is None


@ensureDeferred
async def test_of_two_that_take_a_tick_one_gets_it() -> None:
    cron = (await opened()).cron
    first, second = cron.claim(moved(2_000), 1_000, RUN), cron.claim(moved(2_000), 1_000, RUN)
    taken = await first
    assert taken is not None
    assert (taken.id, taken.status, await second) == (1, RunStatus.RUNNING, None)
    assert (await cron.get("j"), await cron.runs("j", 9)) == (moved(2_000), (taken,))


@ensureDeferred
async def test_tick_is_passed_over_while_a_run_is_open_and_the_next_one_is_not() -> None:
    cron = (await opened()).cron
    taken = await cron.claim(moved(2_000), 1_000, RUN)
    assert taken is not None
    assert await cron.claim(moved(3_000), 2_000, RUN) is None
    assert await cron.next_due_ms() == 3_000
    with pytest.raises(Conflict):
        await cron.begin(RUN)
    assert await cron.finish(ended(taken, RunStatus.OK, "x", 5), 10)
    assert await cron.claim(moved(4_000), 3_000, RUN) is not None


@ensureDeferred
async def test_changed_removed_and_switched_off_jobs_give_no_tick() -> None:
    cron = (await opened()).cron
    await cron.change("j", lambda job: msgspec.structs.replace(job, next_ms=7))
    assert await cron.claim(moved(2_000), 1_000, RUN) is None
    await cron.change("j", lambda job: msgspec.structs.replace(job, next_ms=1_000, enabled=False))
    assert await cron.claim(moved(2_000), 1_000, RUN) is None
    assert (await cron.due(9_999, 9), await cron.next_due_ms()) == ((), None)
    assert await cron.remove("j")
    assert not await cron.remove("j")
    assert await cron.claim(moved(2_000), 1_000, RUN) is None
    with pytest.raises(NotFound):
        await cron.begin(RUN)
    with pytest.raises(NotFound):
        await cron.change("j", lambda job: job)


@ensureDeferred
async def test_run_ends_once_and_tells_its_job() -> None:
    cron = (await opened()).cron
    run = await cron.begin(RUN)
    await cron.accepted(run.id, "00000000000000ff")
    assert (await cron.open_runs(9))[0].item_id == "00000000000000ff"
    assert await cron.finish(ended(run, RunStatus.FAILED, "no", 5_000, 3), 10)
    assert not await cron.finish(ended(run, RunStatus.OK, "yes", 6_000), 10)
    job = await cron.get("j")
    assert job is not None
    assert (job.last_ms, job.last_status, job.last_output) == (5_000, "failed", "no")
    assert [(each.status, each.attempt) for each in await cron.runs("j", 9)] == [(RunStatus.FAILED, 3)]
    assert await cron.open_runs(9) == ()


@ensureDeferred
async def test_only_shell_runs_are_uncertain_at_start() -> None:
    cron = (await opened()).cron
    await cron.add(msgspec.structs.replace(JOB, id="s", kind=JobKind.SHELL, schedule=EverySchedule(1)), 10)
    await cron.begin(RUN)
    await cron.begin(msgspec.structs.replace(SHELL, job_id="s"))
    assert (await cron.recover(9_000), await cron.recover(9_000)) == (1, 0)
    assert [(await cron.runs(job_id, 9))[0].status for job_id in ("j", "s")] == [RunStatus.RUNNING, RunStatus.UNCERTAIN]
    assert await cron.shell_runs_since(1_001) == 1
    assert await cron.shell_runs_since(1_002) == 0


@ensureDeferred
async def test_number_of_a_run_never_comes_again() -> None:
    cron = (await opened()).cron
    first = await cron.begin(RUN)
    await cron.remove("j")
    await cron.add(JOB, 10)
    assert (await cron.begin(RUN)).id > first.id


@ensureDeferred
async def test_no_more_jobs_than_may_be() -> None:
    cron = (await opened()).cron
    with pytest.raises(Conflict):
        await cron.add(msgspec.structs.replace(JOB, id="k"), 1)


_INDEXED = {
    "due": (cron_rows.DUE, 2, "cron_jobs_due"),
    "next due": (cron_rows.NEXT_DUE, 0, "cron_jobs_due"),
    "all": (cron_rows.ALL, 0, "cron_jobs_next"),
    "open": (cron_rows.OPEN, 0, "cron_runs_open"),
    "busy": (cron_rows.BUSY, 1, "cron_runs_one"),
    "runs": (cron_rows.RUNS, 2, "cron_runs_job"),
    "shell runs": (cron_rows.SHELL_SINCE, 1, "cron_runs_shell"),
}


@pytest.mark.parametrize("what", _INDEXED)
def test_query_of_jobs_uses_its_index_and_sorts_nothing(connection: sqlite3.Connection, what: str) -> None:
    sql, wanted, index = _INDEXED[what]
    plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, (1,) * wanted)]
    assert index in " ".join(plan)
    assert not [line for line in plan if "TEMP B-TREE" in line]
