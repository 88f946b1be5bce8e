"""What was remembered on request. Ring: services. Source: design §5 (offline agent's `/remember` and `/recall`)."""

from __future__ import annotations

from attrs import define
from twisted.internet.defer import Deferred

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

    def remember(self, text: str, principal: str) -> Deferred[None]:
        """Stores a text; fires once it is stored, errbacks with StoreUnavailable."""
        key, now_ms = f"core_{self.ids.uuid()}", self.clock.wall_ms()
        return self.rows.put(MemoryEntry(key=key, content=text, category="core", session=principal, created_ms=now_ms))

    def recall(self, words: str, principal: str) -> Deferred[list[str]]:
        """Remembered texts that hold every word, newest first; at most ten."""
        return self.rows.find(words, _SEARCHED_AT_MOST).addCallback(_own, principal)


def _own(found: tuple[MemoryEntry, ...], principal: str) -> list[str]:
    own = [entry.content for entry in found if entry.category == "core" and entry.session == principal]
    return own[:_FOUND_AT_MOST]
