"""`/api/v1/version`, `auth/info`, `status`, `doctor`, `channels`, `providers…`: what this gateway is. Ring: edge (web). Source: rantaiclaw.md §10."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from clawgate.domain.approvals import Level, ToolPolicy
from clawgate.domain.caller import Scope
from clawgate.domain.settings.masking import shown_text
from clawgate.domain.settings.model import Settings
from clawgate.services.catalog import Catalog
from clawgate.services.devices import Devices
from clawgate.services.doctor import Doctor
from clawgate.services.health import Health
from clawgate.services.login import Login
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import about_wire as wire
from clawgate.web.dialects import api_wire
from clawgate.web.router import Door, Router


class AboutSurface(msgspec.Struct):
    """Questions that change nothing, a refreshed list of models excepted.

    Attributes:
        settings: as they are now.
    """

    version: str
    settings: Callable[[], Settings]
    health: Health
    devices: Devices
    login: Login
    doctor: Doctor
    catalog: Catalog

    def register(self, router: Router) -> None:
        """Adds the routes."""
        add = partial(router.add, limiter="api", dialect=api_wire.refusal)
        add("GET", "/api/v1/version", self.show_version, auth=Door.PUBLIC, summary="Name, version, fingerprint of the configuration")
        add("GET", "/api/v1/auth/info", self.auth_info, auth=Door.PUBLIC, summary="Whether a console has to log in")
        add("GET", "/api/v1/status", self.status, auth=Scope.READ, summary="Provider, autonomy and components")
        add("GET", "/api/v1/doctor", self.diagnose, auth=Scope.READ, summary="Checks of configuration and daemon")
        add("GET", "/api/v1/channels", self.channels, auth=Scope.READ, summary="Configured channels")
        add("GET", "/api/v1/providers", self.providers, auth=Scope.READ, summary="Known providers")
        add("GET", "/api/v1/providers/<provider>/models", self.models, auth=Scope.READ, summary="A provider's models, without asking it")
        add("POST", "/api/v1/providers/<provider>/models/refresh", self.refresh, auth=Scope.WRITE, summary="Ask a provider for its models")

    async def show_version(self, call: Call) -> Answer:
        """Open to everybody."""
        return json_answer(200, {"name": wire.NAME, "version": self.version, "config_fingerprint": self.settings().config_fingerprint})

    async def auth_info(self, call: Call) -> Answer:
        """Open to everybody; never the user's name."""
        return json_answer(200, {"login_required": self.login.is_required, "idle_timeout_secs": self.login.idle_timeout_seconds})

    async def status(self, call: Call) -> Answer:
        """What runs and how."""
        settings = self.settings()
        level = Level(settings.autonomy.level)
        policy = ToolPolicy(level=level, always_ask=frozenset(settings.autonomy.always_ask))
        return json_answer(
            200,
            {
                "version": self.version,
                "provider": shown_text(settings.default_provider),
                "model": settings.default_model,
                "memory_backend": settings.memory.backend,
                "autonomy": wire.AUTONOMY[level],
                "autonomy_preset": policy.preset,
                "workspace_dir": settings.workspace,
                "paired": self.devices.is_paired,
                "runtime": self.health.snapshot(),
            },
        )

    async def diagnose(self, call: Call) -> Answer:
        """Every check, offline."""
        return json_answer(200, {"results": [wire.result_object(result) for result in await self.doctor.results()]})

    async def channels(self, call: Call) -> Answer:
        """Presence of the sections."""
        return json_answer(200, wire.channels_object(self.settings()))

    async def providers(self, call: Call) -> Answer:
        """The whole table."""
        return json_answer(200, wire.providers_object())

    async def models(self, call: Call) -> Answer:
        """Curated, or what the vendor said last."""
        return json_answer(200, wire.models_object(await self.catalog.models(str(call.values["provider"]))))

    async def refresh(self, call: Call) -> Answer:
        """What the vendor says now; when it says nothing, what was known, and why."""
        return json_answer(200, wire.refreshed_object(await self.catalog.refresh(str(call.values["provider"]))))
