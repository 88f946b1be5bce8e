"""Runs of scheduled jobs, carried to their end. Ring: services. Source: design §1 (one road; once for each tick, across restarts); rantaiclaw.md §12.

An agent's run is an inbox item under the dedupe key of its tick: whoever carries it again after a crash finds the same item, and the run ends as the item ends.
A shell run is begun once: one that was running when the process ended is uncertain, and a person decides. Its output is announced after its end is written
down: what a crash in between swallows can be read with the run.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine

import msgspec
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain.approvals import Level
from clawgate.domain.commands import CommandPolicy, Say, judge
from clawgate.domain.cron import OUTPUT_CHARS, DeliveryMode, Job, JobKind, Run, RunStatus, SessionTarget, ended, ended_as
from clawgate.domain.errors import GatewayError, Overloaded, StoreUnavailable
from clawgate.domain.inbox import Item
from clawgate.domain.messages import DedupeKey, Inbound, ReplyTo, TurnOptions
from clawgate.domain.settings.model import AutonomySettings, ChannelsSettings, CronSettings, SchedulerSettings
from clawgate.ports.clock import Clock
from clawgate.ports.cron import CronRows
from clawgate.ports.processes import Processes
from clawgate.ports.stores import Inbox
from clawgate.services.deadlines import Expired, within
from clawgate.services.delivery import Delivery
from clawgate.services.events import Events
from clawgate.services.ingress import Ingress
from clawgate.services.shield import shielded
from clawgate.services.waiters import Waiters

_log = Logger()
MOST_SHELLS = 4
"""Shell jobs at work at once; others wait for their turn."""
TOLD_CHARS = 1_000
"""Of a run's output on the bus, which keeps many events; the whole is with the run."""
_DEDUPE_SECONDS = 7 * 86_400
_DOUBTFUL_MS = 6 * 86_400_000
"""A run that old without an item may have had one whose key is forgotten: it is not asked again."""
_RETRY_SECONDS = 5.0
_HOUR_MS = 3_600_000
_MOST_OPEN = 200


class CronPolicy(msgspec.Struct, frozen=True):
    """The live settings that decide about jobs.

    Attributes:
        workspace, home: absolute paths.
    """

    cron: CronSettings
    scheduler: SchedulerSettings
    autonomy: AutonomySettings
    channels: ChannelsSettings
    workspace: str
    home: str

    @property
    def is_read_only(self) -> bool:
        """Whether nothing may act."""
        return self.autonomy.level == Level.READ_ONLY

    @property
    def is_running(self) -> bool:
        """Whether ticks are run."""
        return self.cron.enabled and self.scheduler.enabled

    @property
    def commands(self) -> CommandPolicy:
        """What shell jobs may do."""
        own = self.autonomy
        return CommandPolicy(
            level=Level(own.level),
            allowed=own.allowed_commands,
            forbidden_paths=own.forbidden_paths,
            workspace_only=own.workspace_only,
            workspace=self.workspace,
            home=self.home,
            block_high_risk=own.block_high_risk_commands,
            ask_medium_risk=own.require_approval_for_medium_risk,
        )


class CronRuns(msgspec.Struct, eq=False):
    """Carries runs to their end."""

    rows: CronRows
    ingress: Ingress
    inbox: Inbox
    waiters: Waiters
    processes: Processes
    clock: Clock
    events: Events
    policy: Callable[[], CronPolicy]
    has_channel: Callable[[str | None], bool]
    delivery: Delivery
    _at_work: dict[Deferred[None], int] = {}
    _watched: dict[str, Deferred[Item]] = {}
    _waiting: dict[int, Deferred[Run]] = {}
    _shells: DeferredSemaphore = msgspec.field(default_factory=lambda: DeferredSemaphore(MOST_SHELLS))

    def begin(self, run: Run, job: Job, *, is_approved: bool = False) -> None:
        """Begins to carry a run that was just written down."""
        self.events.publish("cron_run_started", {"job_id": job.id, "run_id": run.id, "manual": run.is_manual})
        self._carry(run, self._shell(run, job, is_approved) if run.kind is JobKind.SHELL else self._agent(run, job))

    async def go_on(self) -> bool:
        """Looks after the runs of agents that have not ended: accepted again if they were not, ended if their item has. Whether there are any."""
        runs = await self.rows.open_runs(_MOST_OPEN)
        for run in runs:
            if run.id not in self._at_work.values():
                self._carry(run, self._follow(run))
        return bool(runs)

    async def recover(self) -> None:
        """At start: shell runs found running are uncertain."""
        lost = await self.rows.recover(self.clock.wall_ms())
        if lost:
            _log.warn("{count} shell jobs were running when the daemon ended; what became of them is uncertain", count=lost)

    async def wait(self, run: Run, job: Job, seconds: float, *, is_approved: bool) -> Run:
        """Begins a run and waits for its end; the run as it is when the wait is over."""
        waiter: Deferred[Run] = Deferred()
        self._waiting[run.id] = waiter
        try:
            self.begin(run, job, is_approved=is_approved)
            return await within(waiter, seconds, self.clock)
        except Expired:
            return run
        finally:
            self._waiting.pop(run.id, None)

    async def stop(self) -> None:
        """Ends the programs that run. Their runs are uncertain at the next start; those of agents go on then."""
        for work in tuple(self._at_work):
            work.cancel()
        for item_id, waiter in tuple(self._watched.items()):
            self.waiters.forget(item_id, waiter)
        self._watched.clear()
        for work in tuple(self._at_work):
            await shielded(work)
        await self.processes.stop()

    def _carry(self, run: Run, steps: Coroutine[Deferred[object], object, None]) -> None:
        work = Deferred.fromCoroutine(steps)
        self._at_work[work] = run.id
        work.addErrback(self._broke, run)
        work.addBoth(self._left, work)

    def _left(self, _: object, work: Deferred[None]) -> None:
        self._at_work.pop(work, None)

    def _broke(self, failure: Failure, run: Run) -> None:
        if failure.check(GatewayError):  # tried again at the scheduler's next look
            _log.warn("cron run {run} has to wait: {problem}", run=run.id, problem=failure.getErrorMessage())
        elif not failure.check(CancelledError):
            _log.failure("cron run {run} broke", failure, run=run.id)

    # --- agents

    async def _follow(self, run: Run) -> None:
        if run.item_id is not None:
            await self._look_at(run, run.item_id)
            return
        job = await self.rows.get(run.job_id)
        if job is not None:
            await self._agent(run, job)

    async def _agent(self, run: Run, job: Job) -> None:
        if self.clock.wall_ms() - run.started_ms > _DOUBTFUL_MS:
            await self._finish(ended(run, RunStatus.UNCERTAIN, "it is not known whether the agent was asked", self.clock.wall_ms()))
            return
        problem = self._refusal(run, job)
        if problem:
            await self._finish(ended(run, RunStatus.FAILED, problem, self.clock.wall_ms()))
            return
        accepted = await self.ingress.accept(self._inbound(run, job))
        await self.rows.accepted(run.id, accepted.item.id)
        await self._look_at(run, accepted.item.id)

    def _refusal(self, run: Run, job: Job) -> str:
        if self.policy().is_read_only:
            return "blocked by security policy: autonomy is read-only"
        return self._undeliverable(run, job)

    def _undeliverable(self, run: Run, job: Job) -> str:
        """Why what comes of a run cannot be told although it must be, "" = it can, or need not."""
        delivery = job.delivery
        if delivery.mode is DeliveryMode.ANNOUNCE and not run.is_manual and not delivery.best_effort and not self.has_channel(delivery.channel):
            return f"the channel {delivery.channel} is not configured"
        return ""

    def _inbound(self, run: Run, job: Job) -> Inbound:
        return Inbound(
            source="cron",
            principal=job.principal,
            text=job.prompt or job.command,
            conversation=f"cron:{job.id}" if job.session_target is SessionTarget.MAIN else None,
            dedupe=DedupeKey("cron", run.key, _DEDUPE_SECONDS),
            reply=self._reply(run, job),
            options=TurnOptions(model=job.model or ""),
        )

    def _reply(self, run: Run, job: Job) -> ReplyTo | None:
        delivery = job.delivery
        is_told = delivery.mode is DeliveryMode.ANNOUNCE and not run.is_manual and self.has_channel(delivery.channel)
        return ReplyTo(delivery.channel or "", delivery.to or "") if is_told else None

    async def _look_at(self, run: Run, item_id: str) -> None:
        """Ends the run when its item has ended; else has itself told when it does."""
        self._watch(run, item_id)
        item = await self.inbox.get(item_id)
        if item is None:
            await self._finish(ended(run, RunStatus.UNCERTAIN, "what became of it is no longer known", self.clock.wall_ms()))
        elif not item.is_open:
            await self._finish(ended_as(run, item, self.clock.wall_ms()))
        else:
            return
        waiter = self._watched.pop(item_id, None)
        if waiter is not None:
            self.waiters.forget(item_id, waiter)

    def _watch(self, run: Run, item_id: str) -> None:
        if item_id in self._watched:
            return
        try:
            waiter = self.waiters.expect(item_id)
        except Overloaded:
            return  # the scheduler looks again
        self._watched[item_id] = waiter
        waiter.addCallbacks(self._told, self._not_told, callbackArgs=(run,), errbackArgs=(item_id,))

    def _told(self, item: Item, run: Run) -> None:
        self._watched.pop(item.id, None)
        self._carry(run, self._finish(ended_as(run, item, self.clock.wall_ms())))

    def _not_told(self, _: Failure, item_id: str) -> None:
        self._watched.pop(item_id, None)

    # --- shell

    async def _shell(self, run: Run, job: Job, is_approved: bool) -> None:
        async with self._shells:
            status, output = await self._worked(run, job, is_approved)
        over = ended(run, status, output, self.clock.wall_ms())
        await self._finish(over)
        await self._announce(over, job)

    async def _announce(self, run: Run, job: Job) -> None:
        """Tells a chat what a program wrote; outside of any conversation, as no agent was asked."""
        message = msgspec.structs.replace(self._inbound(run, job), conversation=None)
        if message.reply is None or not (run.output or "").strip():
            return
        try:
            await self.ingress.answered(message, run.output or "", self.delivery.parts)
        except GatewayError as problem:
            _log.warn("the output of cron run {run} cannot be announced: {problem}", run=run.id, problem=str(problem))

    async def _worked(self, run: Run, job: Job, is_approved: bool) -> tuple[RunStatus, str]:
        """How the command ended; judged once more, because the settings may have changed."""
        policy, problem = self.policy(), self._undeliverable(run, job)
        if problem:
            return RunStatus.FAILED, problem
        judgement = judge(job.command, policy.commands)
        if judgement.say is Say.BLOCK or (judgement.say is Say.ASK and not is_approved):
            return RunStatus.FAILED, f"blocked by security policy: {judgement.reason}"
        most = policy.autonomy.max_actions_per_hour
        if most and await self.rows.shell_runs_since(self.clock.wall_ms() - _HOUR_MS) > most:
            return RunStatus.FAILED, "blocked by security policy: max_actions_per_hour is reached"
        seconds = float(policy.cron.job_timeout_secs)
        end = await self.processes.run(judgement.argv, timeout_seconds=seconds, output_bytes=OUTPUT_CHARS)
        cut = "\n… (more was written)" if end.is_cut else ""
        if end.timed_out:
            return RunStatus.TIMEOUT, f"{end.output}{cut}\nended after {seconds:g} s".lstrip()
        if end.exit_code == 0:
            return RunStatus.OK, end.output + cut
        how = "by a signal" if end.exit_code is None else f"with exit code {end.exit_code}"
        return RunStatus.FAILED, f"{end.output}{cut}\nended {how}".lstrip()

    # --- the end

    async def _finish(self, run: Run) -> None:
        """Writes the end down, for as long as the store refuses."""
        while True:
            try:
                was_running = await shielded(self.rows.finish(run, self.policy().cron.runs_kept))
                break
            except StoreUnavailable as problem:
                _log.warn("the end of cron run {run} cannot be written yet: {problem}", run=run.id, problem=problem.detail)
                await self.clock.sleep(_RETRY_SECONDS)
        if was_running:
            _log.info("cron job {job} ended: {status}", job=run.job_id, status=run.status)
            data = {"job_id": run.job_id, "run_id": run.id, "status": run.status, "manual": run.is_manual, "output": (run.output or "")[:TOLD_CHARS]}
            self.events.publish("cron_run_finished", data)
        waiter = self._waiting.pop(run.id, None)
        if waiter is not None:
            waiter.callback(run)
