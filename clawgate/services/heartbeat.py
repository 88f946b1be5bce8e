"""The heartbeat: the agent is asked about each line of HEARTBEAT.md, again and again. Ring: services. Source: rantaiclaw.md §17; zeroclaw.md A3 (metric).

Rounds are counted on the wall clock, so that a restart within a round asks nothing twice: a line of a round is a dedupe key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
from twisted.logger import Logger

from clawgate.domain.messages import DedupeKey, Inbound, TurnOptions
from clawgate.domain.settings.model import HeartbeatSettings
from clawgate.ports.clock import Clock
from clawgate.ports.events import ComponentHealth, Meter
from clawgate.ports.workspace import Workspace
from clawgate.services.ingress import Ingress
from clawgate.services.supervisor import Ready, Supervisor

_log = Logger()
COMPONENT = "heartbeat"
FILE = "HEARTBEAT.md"
MOST_TASKS = 64
_MOST_BYTES = 65_536
_MOST_CHARS = 4_000
_SHORTEST_MINUTES = 5
_LONGEST_NAP_SECONDS = 60.0


def tasks(text: str) -> tuple[str, ...]:
    """The tasks of a file: what follows "- " at the beginning of a line; each once, in order, at most `MOST_TASKS`."""
    lines = (line.strip() for line in text.splitlines())
    found = (line.removeprefix("- ").strip()[:_MOST_CHARS] for line in lines if line.startswith("- "))
    return tuple(dict.fromkeys(task for task in found if task))[:MOST_TASKS]


class Heartbeat(msgspec.Struct, eq=False):
    """Asks about each task, once in each round.

    Attributes:
        settings: as they are now; switched off while it runs, it asks nothing and is no component any more.
    """

    workspace: Workspace
    ingress: Ingress
    clock: Clock
    meter: Meter
    health: ComponentHealth
    settings: Callable[[], HeartbeatSettings]
    _round: int = 0

    def apply(self, supervisor: Supervisor) -> None:
        """Starts the component when the settings want it; to be called at start and when they have changed."""
        if self.settings().enabled and not supervisor.is_running(COMPONENT):
            supervisor.start(COMPONENT, self.run)

    async def run(self, ready: Ready) -> None:
        """The component's life."""
        while True:
            settings = self.settings()
            interval_ms = max(settings.interval_minutes, _SHORTEST_MINUTES) * 60_000
            now_ms = self.clock.wall_ms()
            if not settings.enabled:
                self.health.forget(COMPONENT)
            else:
                ready()
                number = now_ms // interval_ms
                if number != self._round:
                    await self.beat(number, interval_ms)
                    self._round = number
            left_seconds = (interval_ms - self.clock.wall_ms() % interval_ms) / 1000
            await self.clock.sleep(min(max(left_seconds, 1.0), _LONGEST_NAP_SECONDS))

    async def beat(self, number: int, interval_ms: int) -> None:
        """One round. Raises Draining, Overloaded, StoreUnavailable: what is left of it is asked when the component is started again."""
        text = await self.workspace.read(FILE, _MOST_BYTES)
        found = tasks(text) if text is not None else ()
        for task in found:
            await self.ingress.accept(_inbound(task, number, interval_ms))
        self.meter.count("heartbeat_ticks_total")
        if found:
            _log.info("heartbeat: {count} tasks", count=len(found))


def _inbound(task: str, number: int, interval_ms: int) -> Inbound:
    digest = hashlib.sha256(task.encode("utf-8", "replace")).hexdigest()
    key = DedupeKey(COMPONENT, f"{number}:{interval_ms}:{digest}", max(2 * interval_ms // 1000, 86_400))
    return Inbound(source=COMPONENT, principal=COMPONENT, text=task, dedupe=key, options=TurnOptions())
