"""The scheduler: takes due ticks, and looks after runs that have not ended. Ring: services. Source: rantaiclaw.md §12, §17; design §1.

A tick is taken and its run written down in one commit, so it is run once, also when the process ends right after. The loop runs whether or not jobs are
wanted ("ok and not supervised" upstream): switched off, it takes no ticks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from clawgate.domain.cron import AtSchedule, EverySchedule, Job, Run, RunStatus, ended, follows_set_back, is_skipped, next_every
from clawgate.domain.errors import BadRequest, NotFound
from clawgate.ports.clock import Clock
from clawgate.ports.cron import CronRows, Schedules
from clawgate.services.cron_runs import CronPolicy, CronRuns
from clawgate.services.supervisor import Ready, Supervisor

_log = Logger()
COMPONENT = "scheduler"
_MOST_TICKS = 100
_SHORTEST_SECONDS, _LONGEST_SECONDS, _OPEN_SECONDS, _IDLE_SECONDS = 1.0, 60.0, 15.0, 3_600.0


class Scheduler(msgspec.Struct, eq=False):
    """Runs jobs when they are due.

    Attributes:
        policy: the settings as they are now.
    """

    rows: CronRows
    schedules: Schedules
    runs: CronRuns
    clock: Clock
    policy: Callable[[], CronPolicy]
    _since_ms: int | None = None
    _nap: Deferred[None] | None = None
    _is_woken: bool = False

    async def start(self, supervisor: Supervisor) -> None:
        """Sees to what the last process left, and begins."""
        await self.runs.recover()
        supervisor.start(COMPONENT, self.run)

    async def stop(self, supervisor: Supervisor) -> None:
        """Takes no more ticks and ends what can be ended."""
        await supervisor.stop(COMPONENT)
        await self.runs.stop()

    def wake(self) -> None:
        """A job or a setting has changed: it looks again, at once or when the look it is at is over."""
        self._is_woken = True
        if self._nap is not None and not self._nap.called:
            self._nap.callback(None)

    def mend_waits(self, now_ms: int) -> Deferred[int]:
        """The wall clock may have been set back: jobs that would wait for all of that have their next tick worked out anew. Returns how many."""
        return Deferred.fromCoroutine(self._mend_waits(now_ms))

    async def _mend_waits(self, now_ms: int) -> int:
        late = {job.id: next_ms for job in await self.rows.all() if (next_ms := self._earlier(job, now_ms)) is not None}
        for job_id, next_ms in late.items():
            try:
                await self.rows.change(job_id, partial(_due_by, next_ms=next_ms))
            except NotFound:
                pass  # removed meanwhile
        return len(late)

    def _earlier(self, job: Job, now_ms: int) -> int | None:
        """The job's next tick by the clock as it is now; None when that is not earlier."""
        if not job.enabled or not follows_set_back(job, now_ms):
            return None
        try:
            next_ms = self.schedules.next_ms(job.schedule, now_ms)
        except BadRequest:
            return None  # its next tick says so
        return next_ms if next_ms is not None and next_ms < job.next_ms else None

    async def run(self, ready: Ready) -> None:
        """The component's life."""
        while True:
            self._is_woken = False
            seconds = await self.look()
            ready()
            if not self._is_woken:
                await self._sleep(seconds)

    async def look(self) -> float:
        """Takes what is due; seconds until it is worth looking again."""
        is_busy = await self.runs.go_on()
        seconds = _OPEN_SECONDS if is_busy else _IDLE_SECONDS
        if not self.policy().is_running:
            self._since_ms = None
            return min(seconds, _LONGEST_SECONDS)
        now_ms = self.clock.wall_ms()
        if self._since_ms is None:
            self._since_ms = now_ms
        for job in await self.rows.due(now_ms, _MOST_TICKS):
            await self._take(job, now_ms, self._since_ms)
            seconds = _OPEN_SECONDS
        next_ms = await self.rows.next_due_ms()
        if next_ms is None:
            return seconds
        return min(seconds, max(_SHORTEST_SECONDS, min((next_ms - self.clock.wall_ms()) / 1000, _LONGEST_SECONDS)))

    async def _take(self, job: Job, now_ms: int, since_ms: int) -> None:
        after, tick_ms = self._after(job, now_ms), job.next_ms
        run = Run(job_id=job.id, kind=job.kind, tick_ms=tick_ms, started_ms=now_ms)
        if is_skipped(tick_ms, since_ms, self.policy().cron.missed_runs):
            run = ended(run, RunStatus.SKIPPED, "nothing ran at the time", now_ms)
        taken = await self.rows.claim(after, tick_ms, run)
        if taken is None:
            _log.info("the tick of cron job {job} is passed over", job=job.id)
        elif taken.status is RunStatus.RUNNING:
            self.runs.begin(taken, job)

    def _after(self, job: Job, now_ms: int) -> Job:
        """The job with its next tick after now; off when there is none."""
        next_ms = None
        if isinstance(job.schedule, EverySchedule):
            next_ms = next_every(job.next_ms, job.schedule.every_ms, now_ms)
        elif not isinstance(job.schedule, AtSchedule):
            try:
                next_ms = self.schedules.next_ms(job.schedule, now_ms)
            except BadRequest as problem:
                _log.warn("cron job {job} is switched off: {problem}", job=job.id, problem=str(problem))
        return msgspec.structs.replace(job, next_ms=job.next_ms if next_ms is None else next_ms, enabled=next_ms is not None)

    async def _sleep(self, seconds: float) -> None:
        nap: Deferred[None] = Deferred()
        self._nap = nap
        timer = self.clock.call_later(seconds, self.wake)
        try:
            await nap
        finally:
            self._nap = None
            if timer.active():
                timer.cancel()


def _due_by(job: Job, next_ms: int) -> Job:
    return msgspec.structs.replace(job, next_ms=min(next_ms, job.next_ms))
