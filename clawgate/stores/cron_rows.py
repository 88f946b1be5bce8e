"""Rows of scheduled jobs and their runs, and their SQL. Ring: edge. Schema: sql/0005_cron.sql; the records: domain/cron.py."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from clawgate.domain.cron import Job, JobKind, Run, RunStatus
from clawgate.stores.operations import Params

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Job).decode

_JOB = "next_ms, enabled, last_ms, last_status, job, last_output"
_RUN = "job_id, kind, tick_ms, started_ms, status, finished_ms, attempt, item_id, manual, output"

COUNT = "SELECT count(*) FROM cron_jobs"
INSERT = f"INSERT INTO cron_jobs (id, {_JOB}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
REPLACE = "UPDATE cron_jobs SET next_ms = ?, enabled = ?, last_ms = ?, last_status = ?, job = ?, last_output = ? WHERE id = ?"
GET = f"SELECT {_JOB} FROM cron_jobs WHERE id = ?"  # noqa: S608
ALL = f"SELECT {_JOB} FROM cron_jobs ORDER BY next_ms, id"  # noqa: S608
DUE = f"SELECT {_JOB} FROM cron_jobs INDEXED BY cron_jobs_due WHERE enabled = 1 AND next_ms <= ? ORDER BY next_ms LIMIT ?"  # noqa: S608
NEXT_DUE = "SELECT min(next_ms) FROM cron_jobs INDEXED BY cron_jobs_due WHERE enabled = 1"
TAKE = "UPDATE cron_jobs SET next_ms = ?, enabled = ? WHERE id = ? AND enabled = 1 AND next_ms = ?"
REMOVE = "DELETE FROM cron_jobs WHERE id = ?"

BUSY = "SELECT 1 FROM cron_runs WHERE job_id = ? AND status = 'running'"
BEGIN = f"INSERT INTO cron_runs ({_RUN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
ACCEPTED = "UPDATE cron_runs SET item_id = ? WHERE id = ?"
END = "UPDATE cron_runs SET status = ?, finished_ms = ?, attempt = ?, output = ? WHERE id = ? AND status = 'running'"
OPEN = f"SELECT id, {_RUN} FROM cron_runs INDEXED BY cron_runs_open WHERE status = 'running' ORDER BY id"  # noqa: S608
RUNS = f"SELECT id, {_RUN} FROM cron_runs WHERE job_id = ? ORDER BY id DESC LIMIT ?"  # noqa: S608
TRIM = (
    "DELETE FROM cron_runs WHERE job_id = ?1 AND status <> 'running' "
    "AND id <= (SELECT id FROM cron_runs WHERE job_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"
)
REMOVE_RUNS = "DELETE FROM cron_runs WHERE job_id = ?"
SHELL_SINCE = "SELECT count(*) FROM cron_runs INDEXED BY cron_runs_shell WHERE kind = 'shell' AND started_ms >= ?"


def job_row(job: Job) -> Params:
    """The parameters of `INSERT` without the id, and of `REPLACE` before it."""
    text = _encode(msgspec.structs.replace(job, last_output=None)).decode()
    return job.next_ms, job.enabled, job.last_ms, job.last_status, text, job.last_output


def job_of(row: tuple[Any, ...]) -> Job:  # a row in the order of `_JOB`
    """The job of a row."""
    next_ms, enabled, last_ms, last_status, text, last_output = row
    return msgspec.structs.replace(
        _decode(text), next_ms=next_ms, enabled=bool(enabled), last_ms=last_ms, last_status=last_status, last_output=last_output
    )


def run_row(run: Run) -> Params:
    """The parameters of `BEGIN`."""
    began = (run.job_id, run.kind.value, run.tick_ms, run.started_ms, run.status.value)
    return (*began, run.finished_ms, run.attempt, run.item_id, run.is_manual, run.output)


def run_of(row: tuple[Any, ...]) -> Run:  # a row in the order of the id and `_RUN`
    """The run of a row."""
    number, job_id, kind, tick_ms, started_ms, status, finished_ms, attempt, item_id, manual, output = row
    return Run(
        id=number,
        job_id=job_id,
        kind=JobKind(kind),
        tick_ms=tick_ms,
        started_ms=started_ms,
        status=RunStatus(status),
        finished_ms=finished_ms,
        attempt=attempt,
        item_id=item_id,
        is_manual=bool(manual),
        output=output,
    )


def maybe_job(connection: sqlite3.Connection, job_id: str) -> Job | None:
    """The job with this id, or None."""
    row = connection.execute(GET, (job_id,)).fetchone()
    return None if row is None else job_of(row)


def store_run(connection: sqlite3.Connection, run: Run) -> Run:
    """Inserts the run; returns it with its number."""
    return msgspec.structs.replace(run, id=connection.execute(BEGIN, run_row(run)).lastrowid)
