"""Files of the workspace. Ring: ports."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred


class Notes(Protocol):
    """Small text files that people write for the agent."""

    def read(self, name: str, most_bytes: int) -> Deferred[str | None]:
        """The first `most_bytes` of a file in the workspace, None when there is none or it cannot be read. Undecodable bytes are replaced."""
