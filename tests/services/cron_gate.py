"""A gateway with jobs in memory, and short words for what tests do with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from clawgate.domain.settings.model import AutonomySettings, ChannelsSettings, CronSettings, GatewaySettings, SchedulerSettings, Settings
from clawgate.domain.turn import Prompt
from clawgate.ports.channels import Channel
from clawgate.testing.agents import Answer, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Response
from clawgate.testing.processes import ScriptedProcesses

JOBS = "/api/v1/cron"
MINUTE = {"kind": "every", "every_ms": 60_000}
OPEN_DOOR = GatewaySettings(require_pairing=False, api_rate_limit_per_minute=0)


class CronGate:
    """A running gateway that asks for no token."""

    def __init__(
        self,
        answers: Sequence[Answer] | Callable[[Prompt], Answer] = ("ok",),
        *,
        held: bool = False,
        channels: Mapping[str, Channel] | None = None,
        owners: tuple[str, ...] = (),
        own: GatewaySettings = OPEN_DOOR,
        scheduler: bool = True,
        autonomy: Mapping[str, Any] | None = None,  # fields of AutonomySettings
        **cron: Any,  # fields of CronSettings
    ) -> None:
        self.settings = Settings(
            gateway=own,
            cron=CronSettings(**cron),
            scheduler=SchedulerSettings(enabled=scheduler),
            autonomy=AutonomySettings(**{"allowed_commands": ("*",), **(autonomy or {})}),
            channels_config=ChannelsSettings(approval_owners=owners),
        )
        self.processes = ScriptedProcesses()
        self.agent = ScriptedAgent(answers, is_held=held)
        self.gate = MemoryGateway(self.settings, agent=self.agent, channels=channels, edges={"processes": self.processes})

    def again(self, *, later_ms: int = 0) -> None:
        """The process is killed; the next one starts on the same rows, so much later."""
        self.gate.clock.step_wall(later_ms)
        self.gate.store.kill()
        image = self.gate.store.image()
        channels = dict(self.gate.edges.channels)
        edges = {"processes": self.processes}
        self.gate = MemoryGateway(self.settings, agent=self.agent, channels=channels, store_image=image, before=self.gate, edges=edges)

    def take_up(self, **sections: Mapping[str, object]) -> None:
        """Sections of config.toml are changed by hand, and taken up."""
        for name, values in sections.items():
            self.gate.config.base[name] = dict(values)
        Deferred.fromCoroutine(self.gate.gateway.live.reload())
        self.gate.pump()

    def ask(self, method: str, path: str = "", body: Mapping[str, object] | bytes = b"", **options: Any) -> Response:
        """A request to `/api/v1/cron`."""
        return self.gate.client.request(method, JOBS + path, body, **options)

    def add(self, schedule: Mapping[str, object] = MINUTE, **fields: object) -> str:
        """The id of a new job; an agent's unless there is a command."""
        body = {"schedule": schedule, **({} if "command" in fields else {"prompt": "hi"}), **fields}
        answer = self.ask("POST", "", body)
        assert answer.status == 200, answer
        return str(answer.json["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as it is listed."""
        return next(job for job in self.ask("GET").json["jobs"] if job["id"] == job_id)

    def has(self, job_id: str) -> bool:
        """Whether there is such a job."""
        return any(job["id"] == job_id for job in self.ask("GET").json["jobs"])

    def runs(self, job_id: str) -> list[dict[str, Any]]:
        """Its runs, newest first."""
        found: list[dict[str, Any]] = self.ask("GET", f"/{job_id}/runs").json["runs"]
        return found

    def statuses(self, job_id: str) -> list[str]:
        """How its runs stand, newest first."""
        return [run["status"] for run in self.runs(job_id)]

    def later(self, seconds: float) -> None:
        """Time passes."""
        self.gate.clock.advance(seconds)
        self.gate.pump()
