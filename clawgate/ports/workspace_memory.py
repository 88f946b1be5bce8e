"""The file in which people read what is remembered. Ring: ports. Source: rantaiclaw.md §10 (MEMORY.md)."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred


class MemoryFile(Protocol):
    """MEMORY.md in the workspace."""

    def write(self, text: str, is_empty: bool) -> Deferred[None]:
        """Replaces the file, whole or not at all; a file that somebody else wrote is kept beside it.

        Args:
            is_empty: nothing is remembered: no file is made where there is none.

        Raises (errback):
            OSError: it could not be written.
        """
