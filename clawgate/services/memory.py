"""What is remembered: on request, by the agent, through the API. Ring: services. Source: design §5 (`/remember`, `/recall`); rantaiclaw.md §10 (memory).

Whose is what: an administrator sees and changes everything, and what it stores through the API is everybody's, as upstream; anybody else sees their own and
everybody's, and changes their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.caller import Caller
from clawgate.domain.errors import Conflict, NotFound
from clawgate.domain.memory import (
    CORE,
    MemoryHit,
    MemoryPage,
    Stored,
    checked_category,
    checked_key,
    cleaned,
    telling_words,
    worth_recalling,
)
from clawgate.domain.messages import MemoryEntry
from clawgate.ports.clock import Clock, Ids
from clawgate.ports.stores import Memory as MemoryRows

MOST_HITS = 500
_FOUND_AT_MOST = 10
_CONSIDERED = 50


def _nobody_told(kind: str, data: Mapping[str, object]) -> None:
    """Nobody wants to know."""


class Memory(msgspec.Struct):
    """Remembered texts.

    Attributes:
        is_on: `[memory] backend` is not "none".
        told: hears of what changes ("memory_stored", "memory_removed"), once it is committed.
    """

    rows: MemoryRows
    clock: Clock
    ids: Ids
    is_on: bool = True
    told: Callable[[str, Mapping[str, Any]], None] = _nobody_told  # JSON values

    # --- for agents without a model behind them

    def remember(self, text: str, principal: str) -> Deferred[None]:
        """Stores a text as the principal's own; fires once it is stored, errbacks with StoreUnavailable."""
        entry = MemoryEntry(key=f"core_{self.ids.uuid()}", content=text, category=CORE, created_ms=self.clock.wall_ms(), principal=principal)
        return self.rows.put(entry).addCallback(lambda _: self._stored(entry))

    def recall(self, words: str, principal: str) -> Deferred[list[str]]:
        """The principal's own texts that hold every word, newest first; at most ten."""
        return self.rows.find(words, _CONSIDERED).addCallback(_own, principal)

    # --- for prompts

    async def recalled(self, question: str, limit: int, principal: str) -> tuple[MemoryEntry, ...]:
        """Core memories, the principal's and everybody's, that share words with a question: those that share most first, at most `limit`.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        if not self.is_on or limit <= 0 or self.rows.is_empty(CORE):
            return ()
        words = telling_words(question)
        if not words:
            return ()
        return worth_recalling(words, await self.rows.related(words, CORE, principal, _CONSIDERED), limit)

    # --- for callers and tools

    async def page(self, reader: str | None, category: str | None, limit: int, offset: int) -> MemoryPage:
        """Entries of a category (None = all), newest first; `reader` None sees everybody's."""
        return await self.rows.page(category, reader, limit, offset) if self.is_on else MemoryPage((), 0)

    async def search(self, reader: str | None, query: str, category: str | None, limit: int, offset: int) -> MemoryPage:
        """A page of what is found, best first; at most 500 are found in all."""
        hits: tuple[MemoryHit, ...] = await self.rows.search(query, category, reader, MOST_HITS) if self.is_on else ()
        return MemoryPage(hits[offset : offset + limit], len(hits))

    async def get(self, reader: str | None, key: str) -> MemoryEntry:
        """The entry. Raises NotFound when there is none, or it is somebody else's."""
        entry = await self.rows.get(key) if self.is_on else None
        if entry is None or (reader is not None and entry.principal not in (None, reader)):
            raise NotFound(f"no memory with key '{key}'")
        return entry

    async def create(self, caller: Caller, content: str, key: str | None, category: str = CORE, session: str | None = None) -> Stored:
        """Stores what a caller wants remembered; an administrator's is everybody's.

        Raises:
            InvalidContent, RejectedContent: it is not to be stored.
            BadRequest: key or category cannot be used.
            Conflict: memory is off, or the key is somebody else's.
        """
        chosen = checked_key(key) if key else f"memory_{self.ids.uuid()}"
        owner = caller.sees_only
        return await self.store(content, chosen, category, owner=owner, writer=owner, session=session)

    async def store(self, content: str, key: str, category: str, *, owner: str | None, writer: str | None, session: str | None = None) -> Stored:
        """Stores a text.

        Args:
            owner: whose it is, None = everybody's.
            writer: who replaces an earlier text of that key, None = an administrator.

        Raises:
            As `create`.
        """
        if not self.is_on:
            raise Conflict('memory is off: [memory] backend is "none"')
        clean, category = cleaned(content), checked_category(category)
        now_ms = self.clock.wall_ms()
        entry = MemoryEntry(key=key, content=clean.content, category=category, session=session or None, created_ms=now_ms, principal=owner)
        await self.rows.create(entry, writer)
        self._stored(entry)
        return Stored(key, clean.notes)

    async def remove(self, writer: str | None, key: str) -> bool:
        """Whether there was such an entry that `writer` (None = an administrator) may forget."""
        entry = await self.rows.remove(key, writer) if self.is_on else None
        if entry is not None:
            self.told("memory_removed", {"key": key, "category": entry.category})
        return entry is not None

    def _stored(self, entry: MemoryEntry) -> None:
        self.told("memory_stored", {"key": entry.key, "category": entry.category})


def _own(found: tuple[MemoryEntry, ...], principal: str) -> list[str]:
    own = [entry.content for entry in found if entry.category == CORE and entry.principal == principal]
    return own[:_FOUND_AT_MOST]
