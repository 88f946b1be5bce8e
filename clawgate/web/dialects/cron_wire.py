"""Shapes and refusals of `/api/v1/cron`. Ring: edge, under the domain rule. Source: rantaiclaw.md §12; times as everywhere (compatibility.md no. 18)."""

from __future__ import annotations

import msgspec

from clawgate.domain.cron import (
    AtSchedule,
    CronSchedule,
    Delivery,
    DeliveryMode,
    Draft,
    EverySchedule,
    Job,
    JobKind,
    Run,
    RunStatus,
    Schedule,
    SessionTarget,
)
from clawgate.domain.errors import GatewayError, SwitchedOff
from clawgate.domain.times import parse_rfc3339, rfc3339, rfc3339_or_none
from clawgate.web.dialects import api_wire
from clawgate.web.dialects.extractor_wire import wrong_shape
from clawgate.web.dialects.root_wire import Refusal

SWITCHED_OFF = "cron is disabled by config (cron.enabled=false)"
STILL_RUNNING = "The job is still running; its outcome will be among its runs."


class AtBody(msgspec.Struct, tag_field="kind", tag="at"):
    """`{"kind":"at","at":ts}`"""

    at: str


class DeliveryBody(msgspec.Struct):
    """Defaults as published."""

    mode: DeliveryMode = DeliveryMode.NONE
    channel: str | None = None
    to: str | None = None
    best_effort: bool = True


class _JobBody(msgspec.Struct, kw_only=True):
    """What both bodies hold; null is the same as not there."""

    job_type: JobKind | None = None
    prompt: str | None = None
    command: str | None = None
    name: str | None = None
    model: str | None = None
    session_target: SessionTarget | None = None
    delivery: DeliveryBody | None = None
    delete_after_run: bool | None = None


class NewJob(_JobBody, kw_only=True):
    """The body of `POST`."""

    schedule: CronSchedule | AtBody | EverySchedule


class JobChange(_JobBody, kw_only=True):
    """The body of `PUT`."""

    schedule: CronSchedule | AtBody | EverySchedule | None = None
    enabled: bool | None = None


def draft_of(body: NewJob | JobChange) -> Draft:
    """What a body asks for.

    Raises:
        WrongShape: the moment of an `at` schedule is none.
    """
    delivery = body.delivery
    return Draft(
        schedule=_schedule(body.schedule),
        kind=body.job_type,
        prompt=body.prompt,
        command=body.command,
        name=body.name,
        model=body.model,
        session_target=body.session_target,
        delivery=None if delivery is None else Delivery(delivery.mode, delivery.channel, delivery.to, delivery.best_effort),
        delete_after_run=body.delete_after_run,
        enabled=body.enabled if isinstance(body, JobChange) else None,
    )


def _schedule(body: CronSchedule | AtBody | EverySchedule | None) -> Schedule | None:
    if not isinstance(body, AtBody):
        return body
    at_ms = parse_rfc3339(body.at)
    if at_ms is None:
        raise wrong_shape("schedule.at must be an RFC 3339 time with a zone")
    return AtSchedule(at_ms)


def schedule_object(schedule: Schedule) -> dict[str, object]:
    """A schedule; `tz` only when there is one."""
    match schedule:
        case CronSchedule(expr=expr, tz=tz):
            return {"kind": "cron", "expr": expr, **({"tz": tz} if tz else {})}
        case AtSchedule(at_ms=at_ms):
            return {"kind": "at", "at": rfc3339(at_ms)}
        case EverySchedule(every_ms=every_ms):
            return {"kind": "every", "every_ms": every_ms}


def job_object(job: Job) -> dict[str, object]:
    """A job; `expression` is "" for one without a calendar."""
    delivery = job.delivery
    return {
        "id": job.id,
        "expression": job.schedule.expr if isinstance(job.schedule, CronSchedule) else "",
        "schedule": schedule_object(job.schedule),
        "command": job.command,
        "prompt": job.prompt,
        "name": job.name,
        "job_type": job.kind,
        "session_target": job.session_target,
        "model": job.model,
        "enabled": job.enabled,
        "delivery": {"mode": delivery.mode, "channel": delivery.channel, "to": delivery.to, "best_effort": delivery.best_effort},
        "delete_after_run": job.delete_after_run,
        "created_at": rfc3339(job.created_ms),
        "next_run": rfc3339(job.next_ms),
        "last_run": rfc3339_or_none(job.last_ms),
        "last_status": job.last_status,
        "last_output": job.last_output,
        "created_by": job.created_by,
    }


def run_object(run: Run) -> dict[str, object]:
    """A run; `item_id` leads to `/api/inbox`."""
    return {
        "id": run.id,
        "job_id": run.job_id,
        "started_at": rfc3339(run.started_ms),
        "finished_at": rfc3339_or_none(run.finished_ms),
        "status": run.status,
        "output": run.output,
        "duration_ms": None if run.finished_ms is None else run.finished_ms - run.started_ms,
        "attempt": run.attempt,
        "item_id": run.item_id,
    }


def outcome_object(run: Run) -> dict[str, object]:
    """What a run by hand came to."""
    return {"id": run.job_id, "success": run.status is RunStatus.OK, "output": run.output or ""}


def refusal(error: GatewayError) -> Refusal:
    """The answer to an error."""
    if isinstance(error, SwitchedOff):
        return api_wire.failure(409, "cron_disabled", SWITCHED_OFF)
    return api_wire.refusal(error)
