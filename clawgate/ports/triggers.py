"""Where the routes of triggers stand. Ring: ports. Source: rantaiclaw.md §8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from clawgate.domain.triggers import TriggerRoute


class RoutesFile(Protocol):
    """webhook-routes.json."""

    def read(self) -> Deferred[tuple[TriggerRoute, ...] | None]:
        """The routes now; None = there is no file. Raises (errback) Invalid when it cannot be used, none of it."""

    def watch(self, changed: Callable[[], object]) -> None:
        """Calls `changed` whenever the file changed, appeared or vanished, until `stop`."""

    def stop(self) -> None:
        """Looks no more."""
