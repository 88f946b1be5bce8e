"""What belongs to a question: history, personality, skills, memories, files. Ring: services. Source: design §1 (turn), §4.15; rantaiclaw.md §10."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from clawgate.domain.inbox import Item
from clawgate.domain.messages import PLAIN, MemoryEntry, TurnOptions
from clawgate.domain.prompts import PromptPolicy, Surroundings, history_of
from clawgate.domain.turn import Line
from clawgate.ports.stores import Inbox

History = Callable[[str, int], Awaitable[tuple[tuple[Line, ...], int]]]
"""Session id and most lines → the session's last lines, oldest first, and how many messages come before them."""
Preface = Callable[[TurnOptions | None], Awaitable[str]]
Enclosed = Callable[[Item], Awaitable[str]]
"""Item → what is put before its text."""
Recall = Callable[[str, int, str], Awaitable[tuple[MemoryEntry, ...]]]
"""Question, at most so many, for whom → what is remembered, best first."""


class Context(msgspec.Struct, eq=False):
    """Gathers it for one turn."""

    inbox: Inbox
    session: History
    preface: Preface
    recall: Recall
    enclosed: Enclosed

    async def of(self, item: Item, policy: PromptPolicy, *, for_model: bool) -> Surroundings:
        """What is sent with the item's text.

        Args:
            for_model: personality, skills, memories and attached files too; they are for models only.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        history, earlier = await self._history(item, policy)
        if not for_model:
            return Surroundings(history=history, earlier=earlier)
        recalled = await self.recall(item.text, policy.recalled, item.principal) if policy.recalled else ()
        enclosed = await self.enclosed(item)
        preface = await self.preface(item.options)
        return Surroundings(history=history, earlier=earlier, preface=preface, recalled=recalled, enclosed=enclosed)

    async def _history(self, item: Item, policy: PromptPolicy) -> tuple[tuple[Line, ...], int]:
        session_id = (item.options or PLAIN).session
        if session_id:
            return await self.session(session_id, policy.history_lines)
        if item.conversation is None:
            return (), 0
        return history_of(await self.inbox.history(item.conversation, item.id, policy.history_items)), 0
