"""Scheduled jobs and their runs: what they are, what may be asked of them, when one is missed. Ring: domain. Source: rantaiclaw.md §12, §21 (cron); design §1.

    schedule   cron   a calendar expression in a time zone        `ports.cron.Schedules` knows calendars
               at     once, at a moment
               every  again and again, counted from the last tick
    run        running → ok | failed | timeout | uncertain        uncertain: the process ended while it ran, nobody knows what it did
               skipped                                            its tick passed while nothing was running, and `[cron] missed_runs` is "skip"

A job has one run at a time: a tick that comes while one runs is passed over.
"""

from __future__ import annotations

import unicodedata
from enum import StrEnum

import msgspec

from clawgate.domain.errors import BadRequest
from clawgate.domain.inbox import Item, State
from clawgate.domain.messages import is_storable
from clawgate.domain.tools import bounded

MOST_JOBS = 1_000
OUTPUT_CHARS = 16_384
"""Longest output that is kept of a run."""
_MOST_NAME_CHARS, _MOST_COMMAND_CHARS, _MOST_PROMPT_CHARS, _MOST_FIELD_CHARS = 200, 4_096, 65_536, 512
_LONGEST_MS = 10 * 366 * 86_400_000
CREATED_BY = "gateway"


class CronSchedule(msgspec.Struct, frozen=True, tag_field="kind", tag="cron"):
    """`tz`: an IANA zone, None = UTC."""

    expr: str
    tz: str | None = None


class AtSchedule(msgspec.Struct, frozen=True, tag_field="kind", tag="at"):
    """Once."""

    at_ms: int


class EverySchedule(msgspec.Struct, frozen=True, tag_field="kind", tag="every"):
    """Again and again."""

    every_ms: int


Schedule = CronSchedule | AtSchedule | EverySchedule


class JobKind(StrEnum):
    """Who does the work."""

    SHELL = "shell"
    AGENT = "agent"


class SessionTarget(StrEnum):
    """Which conversation an agent job belongs to: one of its own each time, or the job's."""

    ISOLATED = "isolated"
    MAIN = "main"


class DeliveryMode(StrEnum):
    """What becomes of an agent's answer besides being kept."""

    NONE = "none"
    ANNOUNCE = "announce"


class Delivery(msgspec.Struct, frozen=True):
    """Where an agent's answer is sent.

    Attributes:
        best_effort: a channel that is not configured is passed over; else the run fails before anything is asked.
    """

    mode: DeliveryMode = DeliveryMode.NONE
    channel: str | None = None
    to: str | None = None
    best_effort: bool = True


class RunStatus(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    UNCERTAIN = "uncertain"
    SKIPPED = "skipped"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One scheduled job.

    Attributes:
        principal: for whom agents are asked: who made the job.
        next_ms: the next tick; of a job that is off, the last one it had.
        last_ms, last_status, last_output: of the run that ended last.
    """

    id: str
    schedule: Schedule
    kind: JobKind
    principal: str
    created_ms: int
    next_ms: int
    prompt: str | None = None
    command: str = ""
    name: str | None = None
    session_target: SessionTarget = SessionTarget.ISOLATED
    model: str | None = None
    enabled: bool = True
    delivery: Delivery = Delivery()
    delete_after_run: bool = False
    created_by: str = CREATED_BY
    last_ms: int | None = None
    last_status: str | None = None
    last_output: str | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Attributes:
        id: counts from 1; 0 = not stored yet.
        tick_ms: the tick it stands for; of a run by hand, when it was asked for.
        item_id: the inbox item of an agent's run, None until it is accepted.
        is_manual: asked for by hand: it does not count as a tick and delivers nothing.
    """

    id: int = 0
    job_id: str
    kind: JobKind
    tick_ms: int
    started_ms: int
    status: RunStatus = RunStatus.RUNNING
    finished_ms: int | None = None
    output: str | None = None
    attempt: int = 1
    item_id: str | None = None
    is_manual: bool = False

    @property
    def key(self) -> str:
        """Its name among the dedupe keys of the inbox: one for each tick, and one for each run by hand."""
        return f"{self.job_id}:run:{self.id}" if self.is_manual else f"{self.job_id}:{self.tick_ms}"


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; None = not said."""

    schedule: Schedule | None = None
    kind: JobKind | None = None
    prompt: str | None = None
    command: str | None = None
    name: str | None = None
    model: str | None = None
    session_target: SessionTarget | None = None
    delivery: Delivery | None = None
    delete_after_run: bool | None = None
    enabled: bool | None = None

    @property
    def only_switches(self) -> bool:
        """Whether nothing but `enabled` is said."""
        return self == Draft(enabled=self.enabled)


def inferred(kind: JobKind | None, prompt: str | None, command: str | None) -> JobKind:
    """The kind of a job: an agent's has a prompt, a shell's a command.

    Raises:
        BadRequest: not exactly one of the two is there, or not that of `kind`.
    """
    has_prompt, has_command = bool((prompt or "").strip()), bool((command or "").strip())
    if has_prompt == has_command:
        raise BadRequest("exactly one of prompt or command must be given")
    found = JobKind.AGENT if has_prompt else JobKind.SHELL
    if kind not in (None, found):
        raise BadRequest(f"a job of type {kind} needs a {'prompt' if kind is JobKind.AGENT else 'command'}")
    return found


def made(draft: Draft, job_id: str, principal: str, now_ms: int, next_ms: int | None) -> Job:
    """A new job.

    Args:
        next_ms: the schedule's first tick after now; None = it has none.

    Raises:
        BadRequest: the draft is not a whole job, or is never due.
    """
    _check(draft)
    if draft.schedule is None:
        raise BadRequest("schedule is missing")
    kind = inferred(draft.kind, draft.prompt, draft.command)
    is_once = isinstance(draft.schedule, AtSchedule)
    return Job(
        id=job_id,
        schedule=draft.schedule,
        kind=kind,
        principal=principal,
        created_ms=now_ms,
        next_ms=_due(draft.schedule, next_ms),
        prompt=draft.prompt if kind is JobKind.AGENT else None,
        command=draft.command or "" if kind is JobKind.SHELL else "",
        name=draft.name,
        session_target=draft.session_target or SessionTarget.ISOLATED,
        model=draft.model or None,
        delivery=draft.delivery or Delivery(),
        delete_after_run=is_once if draft.delete_after_run is None else draft.delete_after_run,
    )


def needs_tick(job: Job, draft: Draft) -> bool:
    """Whether the change asks for a next tick to be worked out anew: another schedule, or a job that is switched on again."""
    return draft.schedule is not None or (draft.enabled is True and not job.enabled)


def changed(job: Job, draft: Draft, next_ms: int | None) -> Job:
    """The job after a change; what is not said stays.

    Args:
        next_ms: as for `made`; looked at only when `needs_tick`.

    Raises:
        BadRequest: the result would be no whole job, or is never due.
    """
    _check(draft)
    switches = draft.kind is not None and draft.kind is not job.kind
    prompt = draft.prompt if switches or draft.prompt is not None else job.prompt
    command = draft.command if switches or draft.command is not None else job.command
    kind = inferred(draft.kind or job.kind, prompt, command)
    schedule = draft.schedule or job.schedule
    given: dict[str, object] = {"name": draft.name, "model": draft.model, "session_target": draft.session_target, "delivery": draft.delivery}
    given |= {"delete_after_run": draft.delete_after_run, "enabled": draft.enabled}
    return msgspec.structs.replace(
        job,
        schedule=schedule,
        kind=kind,
        prompt=prompt if kind is JobKind.AGENT else None,
        command=command or "" if kind is JobKind.SHELL else "",
        next_ms=_due(schedule, next_ms) if needs_tick(job, draft) else job.next_ms,
        **{name: value for name, value in given.items() if value is not None},
    )


def _due(schedule: Schedule, next_ms: int | None) -> int:
    if next_ms is None:
        raise BadRequest("schedule.at must be in the future" if isinstance(schedule, AtSchedule) else "the schedule is never due")
    return next_ms


def _check(draft: Draft) -> None:
    """Raises BadRequest for texts that cannot be kept and numbers that make no sense."""
    if draft.name is not None and any(unicodedata.category(char) == "Cc" for char in draft.name):
        raise BadRequest("name must not contain control characters")
    if isinstance(draft.schedule, EverySchedule) and not 0 < draft.schedule.every_ms <= _LONGEST_MS:
        raise BadRequest("schedule.every_ms must be between 1 and ten years")
    delivery = draft.delivery or Delivery()
    if delivery.mode is DeliveryMode.ANNOUNCE and not ((delivery.channel or "").strip() and (delivery.to or "").strip()):
        raise BadRequest("delivery.channel and delivery.to are required for announce")
    _bounded("name", draft.name, _MOST_NAME_CHARS)
    _bounded("command", draft.command, _MOST_COMMAND_CHARS)
    _bounded("prompt", draft.prompt, _MOST_PROMPT_CHARS)
    for name, text in (("model", draft.model), ("delivery.channel", delivery.channel), ("delivery.to", delivery.to)):
        _bounded(name, text, _MOST_FIELD_CHARS)


def _bounded(name: str, text: str | None, most_chars: int) -> None:
    if text is not None and (len(text) > most_chars or "\0" in text or not is_storable(text)):
        raise BadRequest(f"{name} must be text of at most {most_chars} characters")


# --- ticks and runs


SHORTEST_MS = 1_000
"""A rhythm that is quicker is kept as it was written, and run at this one."""
SET_BACK_MS = 3 * 3_600_000


def is_skipped(tick_ms: int, since_ms: int, missed_runs: str) -> bool:
    """Whether a due tick is not run: it passed before `since_ms`, when nothing ran, and the policy is "skip". With "once", one run makes up for all."""
    return tick_ms < since_ms and missed_runs == "skip"


def next_every(tick_ms: int, every_ms: int, now_ms: int) -> int:
    """The first tick after now in the rhythm of `tick_ms`, at least a second apart: those in between are passed over."""
    step_ms = max(every_ms, SHORTEST_MS)
    return tick_ms + (max(0, now_ms - tick_ms) // step_ms + 1) * step_ms


def follows_set_back(job: Job, now_ms: int) -> bool:
    """Whether the job's next tick is worked out anew after the wall clock was set back.

    After less than `SET_BACK_MS` the ticks of that time have been run and nothing is repeated; after more the job goes by the new time, as with cron. A moment
    is a moment.
    """
    return not isinstance(job.schedule, AtSchedule) and max(job.last_ms or 0, job.created_ms) - now_ms >= SET_BACK_MS


def ended(run: Run, status: RunStatus, output: str, now_ms: int, attempt: int = 1) -> Run:
    """The run after its end; the output is cut to `OUTPUT_CHARS`."""
    text = bounded(output, OUTPUT_CHARS)
    return msgspec.structs.replace(run, status=status, output=text, finished_ms=max(now_ms, run.started_ms), attempt=max(attempt, 1))


_OUTCOMES = {State.DONE: RunStatus.OK, State.DEAD: RunStatus.FAILED, State.UNCERTAIN: RunStatus.UNCERTAIN, State.DROPPED: RunStatus.FAILED}


def ended_as(run: Run, item: Item, now_ms: int) -> Run:
    """The run after its item's end."""
    output = item.answer if item.answer is not None else f"{item.state}: {item.error or 'no answer'}"
    return ended(run, _OUTCOMES.get(item.state, RunStatus.UNCERTAIN), output, now_ms, item.attempts)


def after_run(job: Job, run: Run) -> Job | None:
    """The job after a run has ended, None = it is removed: it was wanted once, and that went well."""
    if job.delete_after_run and run.status is RunStatus.OK and not run.is_manual:
        return None
    return msgspec.structs.replace(job, last_ms=run.finished_ms, last_status=run.status.value, last_output=run.output)
