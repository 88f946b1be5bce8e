"""Scheduled jobs on SQLite. Ring: edge. Implements `ports.cron.CronRows`. Schema: sql/0005_cron.sql."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.cron import Job, JobKind, Run, RunStatus, after_run, ended
from clawgate.domain.errors import Conflict, NotFound
from clawgate.stores import cron_rows as rows
from clawgate.stores.readers import Readers
from clawgate.stores.writer import Writer

_UNCERTAIN = "the daemon ended while this ran; nobody knows how far it came"


class SqliteCron(msgspec.Struct, eq=False):
    """Jobs and their runs."""

    writer: Writer
    readers: Readers

    def add(self, job: Job, most: int) -> Deferred[None]:
        """`ports.cron.CronRows.add`."""
        return self.writer.call(partial(_add, job=job, most=most))

    def get(self, job_id: str) -> Deferred[Job | None]:
        """`ports.cron.CronRows.get`."""
        return self.readers.read(partial(rows.maybe_job, job_id=job_id))

    def all(self) -> Deferred[tuple[Job, ...]]:
        """`ports.cron.CronRows.all`."""
        return self.readers.read(lambda connection: tuple(map(rows.job_of, connection.execute(rows.ALL))))

    def change(self, job_id: str, change: Callable[[Job], Job]) -> Deferred[Job]:
        """`ports.cron.CronRows.change`."""
        return self.writer.call(partial(_change, job_id=job_id, change=change))

    def remove(self, job_id: str) -> Deferred[bool]:
        """`ports.cron.CronRows.remove`."""
        return self.writer.call(partial(_remove, job_id=job_id))

    def due(self, now_ms: int, limit: int) -> Deferred[tuple[Job, ...]]:
        """`ports.cron.CronRows.due`."""
        return self.readers.read(lambda connection: tuple(map(rows.job_of, connection.execute(rows.DUE, (now_ms, limit)))))

    def next_due_ms(self) -> Deferred[int | None]:
        """`ports.cron.CronRows.next_due_ms`."""
        return self.readers.read(_next_due_ms)

    def claim(self, job: Job, tick_ms: int, run: Run) -> Deferred[Run | None]:
        """`ports.cron.CronRows.claim`."""
        return self.writer.call(partial(_claim, job=job, tick_ms=tick_ms, run=run))

    def begin(self, run: Run) -> Deferred[Run]:
        """`ports.cron.CronRows.begin`."""
        return self.writer.call(partial(_begin, run=run))

    def accepted(self, run_id: int, item_id: str) -> Deferred[None]:
        """`ports.cron.CronRows.accepted`."""
        return self.writer.statements((rows.ACCEPTED,), ((item_id, run_id),), None)

    def finish(self, run: Run, kept: int) -> Deferred[bool]:
        """`ports.cron.CronRows.finish`."""
        return self.writer.call(partial(_finish, run=run, kept=kept))

    def open_runs(self, limit: int) -> Deferred[tuple[Run, ...]]:
        """`ports.cron.CronRows.open_runs`."""
        return self.readers.read(partial(_open_runs, limit=limit))

    def recover(self, now_ms: int) -> Deferred[int]:
        """`ports.cron.CronRows.recover`."""
        return self.writer.call(partial(_recover, now_ms=now_ms))

    def runs(self, job_id: str, limit: int) -> Deferred[tuple[Run, ...]]:
        """`ports.cron.CronRows.runs`."""
        return self.readers.read(lambda connection: tuple(map(rows.run_of, connection.execute(rows.RUNS, (job_id, limit)))))

    def shell_runs_since(self, ms: int) -> Deferred[int]:
        """`ports.cron.CronRows.shell_runs_since`."""
        return self.readers.read(lambda connection: int(connection.execute(rows.SHELL_SINCE, (ms,)).fetchone()[0]))


def _add(connection: sqlite3.Connection, job: Job, most: int) -> None:
    if connection.execute(rows.COUNT).fetchone()[0] >= most:
        raise Conflict(f"there are {most} jobs already; delete one first")
    connection.execute(rows.INSERT, (job.id, *rows.job_row(job)))


def _change(connection: sqlite3.Connection, job_id: str, change: Callable[[Job], Job]) -> Job:
    job = rows.maybe_job(connection, job_id)
    if job is None:
        raise NotFound(job_id)
    new = change(job)
    connection.execute(rows.REPLACE, (*rows.job_row(new), job_id))
    return new


def _remove(connection: sqlite3.Connection, job_id: str) -> bool:
    connection.execute(rows.REMOVE_RUNS, (job_id,))
    return connection.execute(rows.REMOVE, (job_id,)).rowcount > 0


def _next_due_ms(connection: sqlite3.Connection) -> int | None:
    found = connection.execute(rows.NEXT_DUE).fetchone()[0]
    return None if found is None else int(found)


def _claim(connection: sqlite3.Connection, job: Job, tick_ms: int, run: Run) -> Run | None:
    if connection.execute(rows.TAKE, (job.next_ms, job.enabled, job.id, tick_ms)).rowcount != 1:
        return None
    if run.status is RunStatus.RUNNING and connection.execute(rows.BUSY, (job.id,)).fetchone() is not None:
        return None
    if run.status is not RunStatus.RUNNING:
        _tell(connection, run)
    return rows.store_run(connection, run)


def _tell(connection: sqlite3.Connection, run: Run) -> bool:
    """Writes down with the job what became of a run; whether the job is still there."""
    job = rows.maybe_job(connection, run.job_id)
    new = None if job is None else after_run(job, run)
    if new is not None:
        connection.execute(rows.REPLACE, (*rows.job_row(new), run.job_id))
    return new is not None


def _begin(connection: sqlite3.Connection, run: Run) -> Run:
    if rows.maybe_job(connection, run.job_id) is None:
        raise NotFound(run.job_id)
    if connection.execute(rows.BUSY, (run.job_id,)).fetchone() is not None:
        raise Conflict("the job is running")
    return rows.store_run(connection, run)


def _finish(connection: sqlite3.Connection, run: Run, kept: int) -> bool:
    changed = (run.status.value, run.finished_ms, run.attempt, run.output, run.id)
    if connection.execute(rows.END, changed).rowcount != 1:
        return False
    if _tell(connection, run):
        connection.execute(rows.TRIM, (run.job_id, max(kept, 1)))
    else:
        _remove(connection, run.job_id)
    return True


def _open_runs(connection: sqlite3.Connection, limit: int) -> tuple[Run, ...]:
    found = map(rows.run_of, connection.execute(rows.OPEN))
    return tuple(run for run in found if run.kind is JobKind.AGENT)[:limit]


def _recover(connection: sqlite3.Connection, now_ms: int) -> int:
    lost = [run for run in map(rows.run_of, connection.execute(rows.OPEN).fetchall()) if run.kind is JobKind.SHELL]
    for run in lost:
        end = ended(run, RunStatus.UNCERTAIN, _UNCERTAIN, now_ms)
        connection.execute(rows.END, (end.status.value, end.finished_ms, end.attempt, end.output, end.id))
        _tell(connection, end)
    return len(lost)
