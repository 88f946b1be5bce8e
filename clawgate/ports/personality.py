"""Where the personality is kept. Ring: ports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from clawgate.domain.personality import Personality


class PersonalityFile(Protocol):
    """persona.toml, and SYSTEM.md beside it. Nothing here blocks the caller."""

    def read(self) -> Deferred[Personality | None]:
        """What the file says; None when there is none.

        Raises (errback):
            Conflict: it cannot be read, or is no TOML; the text names file and place.
        """

    def change(self, make: Callable[[Personality | None], Personality]) -> Deferred[Personality]:
        """Writes both files, each whole or not at all; other keys and comments of persona.toml stay.

        Args:
            make: the new personality of what the file says when it is its turn; called where it may block, and raises what it likes.

        Raises (errback):
            Conflict: persona.toml is no TOML, or somebody else saves it in this moment. OSError: it cannot be written.
        """
