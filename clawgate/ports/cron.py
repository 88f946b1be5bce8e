"""Scheduled jobs: their rows, and the calendar. Ring: ports. The errors of the rows are those of `ports.stores`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from clawgate.domain.cron import Job, Run, Schedule


class Schedules(Protocol):
    """Knows calendars and time zones."""

    def next_ms(self, schedule: Schedule, after_ms: int) -> int | None:
        """The first tick after a moment (wall clock, milliseconds); None = there is none any more. May be called in any thread.

        Raises:
            BadRequest: the expression or the zone is none.
        """


class CronRows(Protocol):
    """Jobs and their runs."""

    def add(self, job: Job, most: int) -> Deferred[None]:
        """Stores a new job. Raises Conflict when there are `most` already."""

    def get(self, job_id: str) -> Deferred[Job | None]:
        """The job, or None."""

    def all(self) -> Deferred[tuple[Job, ...]]:
        """Every job, the one that is due first first."""

    def change(self, job_id: str, change: Callable[[Job], Job]) -> Deferred[Job]:
        """Reads, changes and writes a job in one commit; `change` runs in the writer's thread and may run twice. Raises NotFound, and what `change` raises."""

    def remove(self, job_id: str) -> Deferred[bool]:
        """Removes a job and its runs; whether there was one."""

    def due(self, now_ms: int, limit: int) -> Deferred[tuple[Job, ...]]:
        """Jobs that are on and due, the most overdue first."""

    def next_due_ms(self) -> Deferred[int | None]:
        """When the next job is due, None when no job is on."""

    def claim(self, job: Job, tick_ms: int, run: Run) -> Deferred[Run | None]:
        """Takes a tick in one commit: writes `next_ms` and `enabled` of `job` and stores the run.

        Returns None when there is nothing to run: somebody else took the tick, the job was changed or removed meanwhile, or (the tick being passed over) its
        last run has not ended.
        """

    def begin(self, run: Run) -> Deferred[Run]:
        """Stores a run by hand. Raises NotFound (no such job), Conflict (one runs)."""

    def accepted(self, run_id: int, item_id: str) -> Deferred[None]:
        """The agent's run has its item."""

    def finish(self, run: Run, kept: int) -> Deferred[bool]:
        """The end of a run that is running, with what follows for its job, and all but the newest `kept` runs of the job forgotten.

        Returns whether the run was running.
        """

    def open_runs(self, limit: int) -> Deferred[tuple[Run, ...]]:
        """Runs of agents that have not ended, oldest first."""

    def recover(self, now_ms: int) -> Deferred[int]:
        """At start: shell runs found running are uncertain. Returns how many."""

    def runs(self, job_id: str, limit: int) -> Deferred[tuple[Run, ...]]:
        """Runs of a job, newest first."""

    def shell_runs_since(self, ms: int) -> Deferred[int]:
        """Shell runs begun at or after a moment."""
