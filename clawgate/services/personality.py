"""The personality, read and changed. Ring: services. Source: rantaiclaw.md §10 (Personality)."""

from __future__ import annotations

import msgspec

from clawgate.domain.personality import Change, Personality, changed
from clawgate.ports.clock import Clock
from clawgate.ports.personality import PersonalityFile
from clawgate.services.cached import Cached
from clawgate.services.events import Events

FRESH_SECONDS = 2.0


class Personalities(msgspec.Struct, eq=False, dict=True):
    """The personality of this gateway's agent.

    Attributes:
        profile: the profile's name, as answers carry it.
    """

    file: PersonalityFile
    profile: str
    clock: Clock
    events: Events

    def __post_init__(self) -> None:
        self._found: Cached[Personality | None] = Cached(self.file.read, self.clock, FRESH_SECONDS)

    async def recent(self) -> Personality | None:
        """At most two seconds old; None = not configured. Raises Conflict when the file cannot be used."""
        return await self._found.get()

    async def current(self) -> Personality | None:
        """As it is now; None = not configured. Raises Conflict when the file cannot be used."""
        return await self._found.refresh()

    async def change(self, change: Change) -> Personality:
        """The personality after a change, on disk.

        Raises:
            BadRequest: an unknown preset, a blank or overlong text. Conflict: the file there cannot be used, or somebody saves it in this moment.
        """
        try:
            after = await self.file.change(lambda before: changed(before, change))
        finally:
            self._found.invalidate()
        self.events.publish("personality_changed", {"preset": after.preset, "name": after.name})
        return after
