"""Files of the workspace. Ring: ports. Source: rantaiclaw.md §10 (MEMORY.md), §17 (HEARTBEAT.md)."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred


class Workspace(Protocol):
    """Small text files that people write for the agent."""

    def read(self, name: str, most_bytes: int) -> Deferred[str | None]:
        """The first `most_bytes` of a file in the workspace, None when there is none or it cannot be read. Undecodable bytes are replaced."""


class MemoryFile(Protocol):
    """MEMORY.md in the workspace."""

    def write(self, text: str, is_empty: bool) -> Deferred[None]:
        """Replaces the file, whole or not at all; a file that somebody else wrote is kept beside it.

        Args:
            is_empty: nothing is remembered: no file is made where there is none.

        Raises (errback):
            OSError: it could not be written.
        """
