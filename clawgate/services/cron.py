"""Scheduled jobs: making, changing, removing them, and running one by hand. Ring: services. Source: rantaiclaw.md §12, §21 (cron)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from clawgate.domain.caller import OPERATOR
from clawgate.domain.commands import Say, judge
from clawgate.domain.cron import MOST_JOBS, DeliveryMode, Draft, Job, JobKind, Run, changed, made, needs_tick
from clawgate.domain.errors import BadRequest, Forbidden, NotFound, SwitchedOff
from clawgate.ports.clock import Clock, Ids
from clawgate.ports.cron import CronRows, Schedules
from clawgate.services.cron_runs import CronPolicy, CronRuns
from clawgate.services.events import Events

MOST_RUNS = 500


class Listed(msgspec.Struct, frozen=True):
    """Every job, and whether they are taken and run."""

    jobs: tuple[Job, ...]
    is_enabled: bool
    is_running: bool


class Written(msgspec.Struct, frozen=True):
    """A job as it is now; `warning` says why it would be refused when it is due, "" = it would not."""

    job: Job
    warning: str


class Cron(msgspec.Struct):
    """What may be done about jobs.

    Attributes:
        policy: the settings as they are now.
        has_channel: whether a channel of this name is configured.
        changed: called when a job may be due earlier than before.
    """

    rows: CronRows
    schedules: Schedules
    runs: CronRuns
    clock: Clock
    ids: Ids
    events: Events
    policy: Callable[[], CronPolicy]
    has_channel: Callable[[str | None], bool]
    changed: Callable[[], None] = lambda: None

    def check_enabled(self) -> None:
        """Raises SwitchedOff when jobs are not taken; reading them always is possible."""
        if not self.policy().cron.enabled:
            raise SwitchedOff("cron")

    async def all(self) -> Listed:
        """Every job, the one that is due first first."""
        policy = self.policy()
        return Listed(await self.rows.all(), policy.cron.enabled, policy.scheduler.enabled)

    async def add(self, draft: Draft, principal: str) -> Written:
        """Makes a job.

        Raises:
            SwitchedOff. BadRequest: it is no job, is never due, or its command is blocked. Forbidden: agent jobs are not taken here. Conflict: too many.
        """
        self.check_enabled()
        now_ms = self.clock.wall_ms()
        job = made(draft, self.ids.uuid(), principal, now_ms, self._next_ms(draft, now_ms))
        warning = self._judged(job, principal)
        await self.rows.add(job, MOST_JOBS)
        self._tell("cron_job_created", job)
        return Written(job, warning)

    async def change(self, job_id: str, draft: Draft, principal: str) -> Written:
        """Changes a job; what the draft does not say stays. A job that asks something else from now on asks for `principal`.

        Raises:
            NotFound, and as `add`.
        """
        self.check_enabled()
        now_ms = self.clock.wall_ms()

        def apply(job: Job) -> Job:
            whole = draft if draft.schedule is not None else msgspec.structs.replace(draft, schedule=job.schedule)
            result = changed(job, draft, self._next_ms(whole, now_ms) if needs_tick(job, draft) else None)
            # Who says what is asked is asked for: nobody reads another's memory by words put into their job.
            return msgspec.structs.replace(result, principal=principal) if (result.prompt, result.kind) != (job.prompt, job.kind) else result

        before = await self._found(job_id)
        warning = "" if draft.only_switches and not draft.enabled else self._judged(apply(before), principal, is_new=not draft.only_switches)
        try:
            job = await self.rows.change(job_id, apply)
        except NotFound:
            raise _missing(job_id) from None
        self._tell("cron_job_updated", job)
        return Written(job, warning)

    async def remove(self, job_id: str) -> None:
        """Removes a job and its runs; one that is at work goes on, and nobody is told what becomes of it. Raises SwitchedOff, NotFound."""
        self.check_enabled()
        if not await self.rows.remove(job_id):
            raise _missing(job_id)
        self.events.publish("cron_job_deleted", {"job_id": job_id})

    async def run_now(self, job_id: str, *, is_approved: bool, wait_seconds: float) -> Run:
        """Runs a job at once, beside its schedule; nothing is delivered.

        Returns:
            The run: ended, or still running when the wait was over.

        Raises:
            SwitchedOff, NotFound. BadRequest: autonomy is read-only, or the command is blocked or needs an approval. Conflict: the job is running.
        """
        self.check_enabled()
        job = await self._found(job_id)
        policy = self.policy()
        if policy.is_read_only:
            raise BadRequest("blocked by security policy: autonomy is read-only")
        if job.kind is JobKind.SHELL:
            judgement = judge(job.command, policy.commands)
            if judgement.say is Say.BLOCK or (judgement.say is Say.ASK and not is_approved):
                raise BadRequest(f"blocked by security policy: {judgement.reason}")
        now_ms = self.clock.wall_ms()
        try:
            run = await self.rows.begin(Run(job_id=job_id, kind=job.kind, tick_ms=now_ms, started_ms=now_ms, is_manual=True))
        except NotFound:
            raise _missing(job_id) from None
        self.changed()
        return await self.runs.wait(run, job, wait_seconds, is_approved=is_approved)

    async def history(self, job_id: str, limit: int) -> tuple[Run, ...]:
        """Runs of a job, newest first; none for a job that does not exist."""
        return await self.rows.runs(job_id, min(limit, MOST_RUNS))

    async def _found(self, job_id: str) -> Job:
        job = await self.rows.get(job_id)
        if job is None:
            raise _missing(job_id)
        return job

    def _next_ms(self, draft: Draft, now_ms: int) -> int | None:
        return None if draft.schedule is None else self.schedules.next_ms(draft.schedule, now_ms)

    def _judged(self, job: Job, principal: str, *, is_new: bool = True) -> str:
        """Why the job would be refused when it is due. Raises BadRequest, Forbidden for what is not taken at all."""
        policy = self.policy()
        if job.kind is JobKind.AGENT and is_new and policy.channels.approval_owners and principal != OPERATOR:
            raise Forbidden("agent jobs cannot be made over the API while channels_config.approval_owners is set; use `clawgate cron add`")
        warnings = []
        if job.kind is JobKind.SHELL:
            judgement = judge(job.command, policy.commands)
            if judgement.say is Say.BLOCK:
                raise BadRequest(f"command blocked by security policy: {judgement.reason}")
            warnings += [judgement.reason] if judgement.say is Say.ASK else []
        elif policy.is_read_only:
            warnings.append("autonomy is read-only")
        if job.delivery.mode is DeliveryMode.ANNOUNCE:
            warnings += [] if self.has_channel(job.delivery.channel) else [f"the channel {job.delivery.channel} is not configured"]
        return "; ".join(warnings)

    def _tell(self, kind: str, job: Job) -> None:
        self.events.publish(kind, {"job_id": job.id, "name": job.name, "job_type": job.kind, "enabled": job.enabled})
        self.changed()


def _missing(job_id: str) -> NotFound:
    return NotFound(f"Cron job '{job_id}' not found")
