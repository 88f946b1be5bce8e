"""MEMORY.md follows what is remembered. Ring: services. Source: rantaiclaw.md §10 (memory: "re-projected").

Changes that come close together are written once, a second after the first; one file is written at a time.
"""

from __future__ import annotations

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from clawgate.domain.memory import CORE, markdown
from clawgate.ports.clock import Clock
from clawgate.ports.stores import Memory as MemoryRows
from clawgate.ports.workspace import MemoryFile
from clawgate.services.shield import shielded

_log = Logger()
_DELAY_SECONDS = 1.0
_MOST_ENTRIES = 1_000


class MemoryProjection(msgspec.Struct, eq=False):
    """Writes the file when something has changed.

    Attributes:
        file: None = there is no workspace, and nothing is written.
    """

    rows: MemoryRows
    file: MemoryFile | None
    clock: Clock
    _timer: IDelayedCall | None = None
    _writing: Deferred[None] | None = None

    def changed(self) -> None:
        """Something is remembered or forgotten: the file is written soon."""
        if self.file is not None and self._timer is None:
            self._timer = self.clock.call_later(_DELAY_SECONDS, self._due)

    async def start(self) -> None:
        """Makes up for what an earlier process did not get to."""
        self.changed()

    async def stop(self) -> None:
        """Writes what is not written yet."""
        timer, self._timer = self._timer, None
        is_pending = timer is not None and timer.active()
        if timer is not None and is_pending:
            timer.cancel()
        if self._writing is not None:
            await shielded(self._writing)
        if is_pending:
            await self._write()

    def _due(self) -> None:
        self._timer = None
        if self._writing is not None:
            self.changed()
            return
        writing = self._writing = Deferred.fromCoroutine(self._write())
        writing.addBoth(self._written)

    def _written(self, result: object) -> None:
        self._writing = None

    async def _write(self) -> None:
        if self.file is None:
            return
        try:
            page = await self.rows.page(CORE, None, _MOST_ENTRIES, 0)
            await self.file.write(markdown(hit.entry for hit in page.hits), not page.hits)
        except CancelledError:
            raise
        except Exception as problem:
            _log.warn("MEMORY.md could not be written: {problem}", problem=str(problem))
