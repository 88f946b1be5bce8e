"""The routes of triggers as they are now. Ring: services. Source: rantaiclaw.md §8.

A file that cannot be used changes nothing: the last good routes stay, and health and log say so.
"""

from __future__ import annotations

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from clawgate.domain.errors import Invalid
from clawgate.domain.triggers import TriggerRoute, find
from clawgate.ports.events import ComponentHealth
from clawgate.ports.triggers import RoutesFile

_log = Logger()
COMPONENT = "triggers"


class Triggers(msgspec.Struct, eq=False):
    """What can be triggered."""

    file: RoutesFile
    health: ComponentHealth
    _routes: tuple[TriggerRoute, ...] = ()
    _asked: int = 0

    async def start(self) -> None:
        """Reads the file, and again whenever it changes."""
        self.file.watch(self._changed)  # first: what changes while it is read is read again
        await self.load()

    async def stop(self) -> None:
        """Looks no more."""
        self.file.stop()

    def find(self, path: str) -> TriggerRoute:
        """The route of a path. Raises NoTrigger."""
        return find(self._routes, path)

    async def load(self) -> None:
        """Reads the file now. Never fails; of two at once the later one counts."""
        self._asked += 1
        number = self._asked
        try:
            found = await self.file.read()
        except CancelledError:
            raise
        except Invalid as problem:
            if number == self._asked:
                self.health.failed(COMPONENT, problem.problem)  # not the path: anybody reads /health
                _log.warn("the routes of triggers stay as they were: {problem}", problem=str(problem))
            return
        if number == self._asked:
            self._take(found)

    def _take(self, found: tuple[TriggerRoute, ...] | None) -> None:
        self._routes = found or ()
        if found is None:
            self.health.forget(COMPONENT)
            return
        self.health.ok(COMPONENT)
        _log.info("{count} routes of triggers", count=len(found))

    def _changed(self) -> None:
        Deferred.fromCoroutine(self.load()).addErrback(lambda failure: _log.failure("the routes of triggers were not read", failure))
