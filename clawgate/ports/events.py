"""What the house tells whoever listens: meters, health, the log. Ring: ports."""

from __future__ import annotations

from typing import Protocol

from clawgate.domain.events import LogLine


class Meter(Protocol):
    """Counts and measures by the names of `domain.metrics.FAMILIES`; an unknown name is a programming error (KeyError)."""

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Adds to a counter; `labels` in the family's order."""

    def gauge(self, name: str, value: float, *labels: str) -> None:
        """Sets a gauge."""

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Adds to a histogram."""

    def exposition(self) -> bytes:
        """Prometheus text format."""


class ComponentHealth(Protocol):
    """Where components report how they are."""

    def ok(self, component: str) -> None:
        """It is well."""

    def failed(self, component: str, error: str) -> None:
        """It is not; `error` is shown to operators and carries no secret."""

    def restarted(self, component: str) -> None:
        """It is being started again."""

    def forget(self, component: str) -> None:
        """It is no longer part of the gateway."""


class LogLines(Protocol):
    """The last lines of the daemon's log.

    Attributes:
        is_fed: whether this process writes its log through our observer.
    """

    is_fed: bool

    def after(self, number: int) -> tuple[LogLine, ...]:
        """The lines after a number that are still there, oldest first."""
