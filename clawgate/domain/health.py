"""How the daemon's components are. Ring: domain. Source: zeroclaw.md A3 (/health), rantaiclaw.md §5 (/readyz)."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Status(StrEnum):
    """A component's word; "starting" is not unhealthy."""

    STARTING = "starting"
    OK = "ok"
    ERROR = "error"


class Component(msgspec.Struct, frozen=True):
    """One component's record, in wall-clock milliseconds."""

    status: Status
    updated_ms: int
    last_ok_ms: int | None = None
    last_error: str | None = None
    restart_count: int = 0


def ok(before: Component | None, now_ms: int) -> Component:
    """The record after the component was seen well; clears the last error."""
    return Component(Status.OK, now_ms, now_ms, None, before.restart_count if before else 0)


def failed(before: Component | None, now_ms: int, error: str) -> Component:
    """The record after a failure; the time it was last well is kept."""
    return Component(Status.ERROR, now_ms, before.last_ok_ms if before else None, error, before.restart_count if before else 0)


def restarted(before: Component | None, now_ms: int) -> Component:
    """The record of a component that is being started again."""
    if before is None:
        return Component(Status.STARTING, now_ms, restart_count=1)
    return msgspec.structs.replace(before, status=Status.STARTING, updated_ms=now_ms, restart_count=before.restart_count + 1)
