"""What was remembered on request. Ring: services. Source: design §5 (offline agent's `/remember` and `/recall`)."""

from __future__ import annotations

from attrs import define

from clawgate.domain.messages import MemoryEntry
from clawgate.ports.clock import Clock, Ids
from clawgate.ports.stores import Memory as MemoryRows

_FOUND_AT_MOST = 10
_SEARCHED_AT_MOST = 50


@define
class Memory:
    """Core memories: those a person asked for. Each principal sees its own."""

    rows: MemoryRows
    clock: Clock
    ids: Ids

    async def remember(self, text: str, principal: str) -> None:
        """Stores a text. Raises StoreUnavailable."""
        entry = MemoryEntry(key=f"core_{self.ids.uuid()}", content=text, category="core", session=principal, created_ms=self.clock.wall_ms())
        await self.rows.put(entry)

    async def recall(self, words: str, principal: str) -> list[str]:
        """Remembered texts that hold every word, newest first; at most ten."""
        found = await self.rows.find(words, _SEARCHED_AT_MOST)
        own = [entry.content for entry in found if entry.category == "core" and entry.session == principal]
        return own[:_FOUND_AT_MOST]
