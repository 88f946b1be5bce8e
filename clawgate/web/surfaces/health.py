"""`/health`, `/readyz`, `/metrics`. Ring: edge (web). Source: zeroclaw.md A3, B1; rantaiclaw.md §5; design §4.1."""

from __future__ import annotations

import msgspec

from clawgate.ports.events import Meter
from clawgate.services.devices import Devices
from clawgate.services.health import Health
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.documented import TEXT, documented
from clawgate.web.router import Door, Router

EXPOSITION = b"text/plain; version=0.0.4; charset=utf-8"


class HealthSurface(msgspec.Struct):
    """How the gateway is, for people, load balancers and Prometheus; cheap and open."""

    health: Health
    devices: Devices
    meter: Meter
    require_pairing: bool

    def register(self, router: Router) -> None:
        """Adds the routes."""
        router.add("GET", "/health", self.show, auth=Door.PUBLIC, summary="Liveness and components")
        router.add("GET", "/readyz", self.ready, auth=Door.PUBLIC, summary="Readiness: 503 while a component is in error")
        router.add("GET", "/metrics", self.metrics, auth=Door.PUBLIC, summary="Prometheus exposition")

    async def show(self, call: Call) -> Answer:
        """Always 200 while the daemon answers at all."""
        return json_answer(
            200,
            {"status": "ok", "paired": self.devices.is_paired, "require_pairing": self.require_pairing, "runtime": self.health.snapshot()},
        )

    @documented(statuses=(200, 503))
    async def ready(self, call: Call) -> Answer:
        """200, or 503 with the names of components in error."""
        unhealthy = self.health.unhealthy()
        return json_answer(
            503 if unhealthy else 200,
            {"status": "unready" if unhealthy else "ready", "unhealthy_components": unhealthy, "runtime": self.health.snapshot()},
        )

    @documented(gives=(TEXT,))
    async def metrics(self, call: Call) -> Answer:
        """The exposition, or the published hint when metrics are off."""
        return Answer(200, self.meter.exposition(), EXPOSITION)
