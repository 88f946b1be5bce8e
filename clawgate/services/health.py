"""How the daemon and its components are, for `/health` and `/readyz`. Ring: services; implements `ports.events.ComponentHealth`.

Source: zeroclaw.md A3 (/health), rantaiclaw.md §5, §17.
"""

from __future__ import annotations

import msgspec
from twisted.logger import Logger

from clawgate.domain import health, times
from clawgate.domain.health import Component, Status
from clawgate.ports.clock import Clock

_log = Logger()
MAX_COMPONENTS = 512
MAX_ERROR_CHARS = 512


class ComponentReport(msgspec.Struct, frozen=True, kw_only=True):
    """One component as shown; times are RFC 3339."""

    status: str
    updated_at: str
    last_ok: str | None
    last_error: str | None
    restart_count: int


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """The `runtime` member of `/health`: whole seconds, components in the order of their names."""

    pid: int
    updated_at: str
    uptime_seconds: int
    components: dict[str, ComponentReport]


class Health:
    """What components say about themselves. Kept in memory; a restart begins anew."""

    def __init__(self, clock: Clock, pid: int) -> None:
        """
        Args:
            clock: uptime counts from now, on its monotonic side.
            pid: this process, as shown.
        """
        self._clock, self._pid, self._started = clock, pid, clock.monotonic()
        self._components: dict[str, Component] = {}
        self._shown: dict[str, ComponentReport] | None = None

    def ok(self, component: str) -> None:
        """It is well; clears its last error."""
        self._put(component, health.ok(self._components.get(component), self._clock.wall_ms()))

    def failed(self, component: str, error: str) -> None:
        """It is not well; `error` is shown to operators, cut to 512 characters."""
        self._put(component, health.failed(self._components.get(component), self._clock.wall_ms(), error[:MAX_ERROR_CHARS]))

    def restarted(self, component: str) -> None:
        """It is being started again."""
        self._put(component, health.restarted(self._components.get(component), self._clock.wall_ms()))

    def forget(self, component: str) -> None:
        """It is no longer part of the gateway."""
        self._components.pop(component, None)
        self._shown = None

    def unhealthy(self) -> list[str]:
        """Components in error, sorted; "starting" is not an error."""
        return sorted(name for name, component in self._components.items() if component.status is Status.ERROR)

    def snapshot(self) -> Runtime:
        """Everything as shown now."""
        if self._shown is None:
            self._shown = {name: _report(self._components[name]) for name in sorted(self._components)}
        return Runtime(
            pid=self._pid,
            updated_at=times.rfc3339(self._clock.wall_ms()),
            uptime_seconds=int(self._clock.monotonic() - self._started),
            components=self._shown,
        )

    def _put(self, name: str, component: Component) -> None:
        if name not in self._components and len(self._components) >= MAX_COMPONENTS:
            _log.warn("more than {bound} components; {name} is not shown", bound=MAX_COMPONENTS, name=name)
            return
        self._components[name] = component
        self._shown = None


def _report(component: Component) -> ComponentReport:
    return ComponentReport(
        status=component.status.value,
        updated_at=times.rfc3339(component.updated_ms),
        last_ok=times.rfc3339_or_none(component.last_ok_ms),
        last_error=component.last_error,
        restart_count=component.restart_count,
    )
