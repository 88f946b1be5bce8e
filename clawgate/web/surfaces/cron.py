"""`/api/v1/cron`: scheduled jobs. Ring: edge (web). Source: rantaiclaw.md §12."""

from __future__ import annotations

from functools import partial

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.errors import Forbidden
from clawgate.services.cron import MOST_RUNS, Cron, Written
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import cron_wire
from clawgate.web.dialects.api_wire import failure
from clawgate.web.documented import documented
from clawgate.web.router import Handler, Recorded, Router

_PATH = "/api/v1/cron"
_DEFAULT_RUNS = 50
_WAIT_SECONDS = 120.0
"""As long as upstream's handlers may take; the job goes on after it."""


class CronSurface(msgspec.Struct):
    """Making, changing, running and removing jobs."""

    cron: Cron

    def register(self, router: Router) -> None:
        """Adds the routes."""

        def add(method: str, path: str, handler: Handler, auth: Scope, summary: str, *, timed: bool = True) -> None:
            recorded = Recorded.BY_DOOR if method == "GET" else Recorded.ALWAYS
            add_route = partial(router.add, recorded=recorded, summary=summary)
            add_route(method, _PATH + path, handler, auth=auth, limiter="api", dialect=cron_wire.refusal, timed=timed)

        add("GET", "", self.list, Scope.READ, "Scheduled jobs, the next one first")
        add("POST", "", self.create, Scope.WRITE, "Make a scheduled job")
        add("PUT", "/<job_id>", self.change, Scope.WRITE, "Change a scheduled job")
        add("DELETE", "/<job_id>", self.delete, Scope.WRITE, "Remove a scheduled job and its runs")
        add("POST", "/<job_id>/run", self.run, Scope.WRITE, "Run a job now and wait for it", timed=False)
        add("GET", "/<job_id>/runs", self.runs, Scope.READ, "Runs of a job, newest first")

    async def list(self, call: Call) -> Answer:
        """Every job."""
        listed = await self.cron.all()
        jobs = [cron_wire.job_object(job) for job in listed.jobs]
        flags = {"cron_enabled": listed.is_enabled, "scheduler_enabled": listed.is_running}
        return json_answer(200, {"jobs": jobs, "count": len(jobs), **flags})

    @documented(body=cron_wire.NewJob)
    async def create(self, call: Call) -> Answer:
        """The new job."""
        self.cron.check_enabled()
        return _written(await self.cron.add(cron_wire.draft_of(call.json(cron_wire.NewJob)), call.caller.principal))

    @documented(body=cron_wire.JobChange)
    async def change(self, call: Call) -> Answer:
        """The job as it is now."""
        self.cron.check_enabled()
        draft = cron_wire.draft_of(call.json(cron_wire.JobChange))
        return _written(await self.cron.change(str(call.values["job_id"]), draft, call.caller.principal))

    async def delete(self, call: Call) -> Answer:
        """That it is gone."""
        job_id = str(call.values["job_id"])
        await self.cron.remove(job_id)
        return json_answer(200, {"id": job_id, "deleted": True})

    @documented(query={"approved": bool})
    async def run(self, call: Call) -> Answer:
        """What the run came to; 408 when it takes longer than the wait, and the run goes on."""
        is_approved = call.flag("approved")
        if is_approved and not call.caller.may(Scope.APPROVE):
            raise Forbidden("approved=true needs the scope approve", scope=Scope.APPROVE)
        job_id = str(call.values["job_id"])
        run = await self.cron.run_now(job_id, is_approved=is_approved, wait_seconds=_WAIT_SECONDS)
        if run.finished_ms is not None:
            return json_answer(200, cron_wire.outcome_object(run))
        status, body, _ = failure(408, "timeout", cron_wire.STILL_RUNNING)
        return json_answer(status, body, (b"Location", f"{call.base}{_PATH}/{run.job_id}/runs".encode("latin-1")))

    @documented(query={"limit": int})
    async def runs(self, call: Call) -> Answer:
        """Runs; none for a job that does not exist."""
        runs = await self.cron.history(str(call.values["job_id"]), call.number("limit", _DEFAULT_RUNS, most=MOST_RUNS))
        return json_answer(200, {"runs": [cron_wire.run_object(run) for run in runs], "count": len(runs)})


def _written(written: Written) -> Answer:
    return json_answer(200, cron_wire.job_object(written.job) | ({"warning": written.warning} if written.warning else {}))
