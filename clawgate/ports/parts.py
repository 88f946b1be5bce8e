"""What follows the settings while running. Ring: ports. Source: design §6 ("the new built beside the old, persisted, swapped")."""

from __future__ import annotations

from typing import Protocol

from clawgate.domain.settings import Settings


class Prepared(Protocol):
    """A part's next state, built beside the one that works. Exactly one of `commit` and `abandon` is called; `retire` after `commit`."""

    def commit(self) -> None:
        """Takes over. Plain assignments: it must not fail, wait or do I/O."""

    async def abandon(self) -> None:
        """Undoes the preparation; the part is as before."""

    async def retire(self) -> None:
        """Closes what was replaced; nobody waits for it, and it may take its time."""


class LivePart(Protocol):
    """A part of the gateway that follows changes.

    Attributes:
        name: in logs and in refusals.
    """

    name: str

    async def prepare(self, old: Settings, new: Settings) -> Prepared | None:
        """The state that belongs to `new`; None when nothing of it concerns this part.

        Raises:
            NotApplied: it cannot work; nothing is left behind. Invalid: a setting cannot work.
        """
