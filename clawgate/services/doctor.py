"""Runs the doctor's checks. Ring: services. Source: rantaiclaw.md §10 (GET /doctor)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from clawgate.domain.doctor import Condition, Result, checks
from clawgate.domain.errors import Invalid
from clawgate.domain.settings.findings import Facts
from clawgate.domain.settings.model import Settings
from clawgate.ports.clock import Clock
from clawgate.ports.stores import Store
from clawgate.ports.threads import FileFacts
from clawgate.services.health import Health


class Doctor(msgspec.Struct):
    """Looks at configuration, components and store; asks nobody outside."""

    settings: Callable[[], Settings]
    facts: FileFacts
    health: Health
    store: Store
    clock: Clock

    async def results(self) -> tuple[Result, ...]:
        """Every check once, in the contract's order."""
        began = self.clock.monotonic()
        condition = await self._condition()
        found = []
        for _, run in checks(self.settings()):
            check, ended = run(condition), self.clock.monotonic()
            found.append(Result(check, int((ended - began) * 1000)))
            began = ended
        return tuple(found)

    async def _condition(self) -> Condition:
        facts: Facts | None = None
        problem = ""
        try:
            facts = await self.facts(self.settings())
        except Invalid as found:
            problem = str(found)
        runtime = self.health.snapshot()
        return Condition(
            facts=facts,
            facts_problem=problem,
            unhealthy=self.health.unhealthy(),
            store_problem=self.store.health().problem,
            pid=runtime.pid,
            uptime_seconds=runtime.uptime_seconds,
        )
