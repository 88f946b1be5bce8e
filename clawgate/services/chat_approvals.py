"""Questions about tools that stand in a chat. Ring: services. Source: rantaiclaw.md §13; design §1.

A question is a fact of the store, one for each conversation, for ten minutes; it is spent in the same commit that accepts what its answer leads to, so it is
answered once, across crashes and redeliveries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from clawgate.domain import chat_approvals as rules
from clawgate.domain.audit import Action, Outcome
from clawgate.domain.chat_approvals import Question, Word
from clawgate.domain.inbox import Item
from clawgate.domain.messages import PLAIN
from clawgate.ports.audit import Recorder
from clawgate.ports.clock import Clock
from clawgate.ports.journal import Facts
from clawgate.ports.stores import FactKey
from clawgate.services.audit import NOT_RECORDED

KIND = "chat_approval"
GRANTS = "chat_grant"
GRANT_DAYS = 30
"""How long "always" lasts; upstream forgets it with the process."""
_DAY_MS = 86_400_000


class Ordinary(msgspec.Struct, frozen=True):
    """The message is what it is; `spends` the question that is over with it, None when there was none."""

    spends: FactKey | None = None


class Replay(msgspec.Struct, frozen=True):
    """The question's message runs again, with its tools allowed.

    Attributes:
        always: whether its sender may always use them; to be told with `grant` once the replay is accepted.
    """

    question: Question
    spends: FactKey
    always: bool


class Say(msgspec.Struct, frozen=True):
    """A fixed sentence; `spends` the question when it is over."""

    text: str
    spends: FactKey | None = None


Decision = Ordinary | Replay | Say


class ChatApprovals(msgspec.Struct):
    """Open questions and standing permissions.

    Attributes:
        is_owner: whether a sender may approve tools, by the live settings.
        terms: names the autonomy settings in force: what was granted under others does not count.
    """

    facts: Facts
    clock: Clock
    is_owner: Callable[[str], bool]
    terms: Callable[[], str]
    audit: Recorder = NOT_RECORDED

    async def question(self, item: Item, tools: Sequence[str]) -> str:
        """The reply that asks for these tools; from now on the next message of the item's conversation may answer it.

        A later question of the same conversation replaces it.
        """
        if item.conversation is not None:
            sender = (item.options or PLAIN).sender
            asked = Question(item_id=item.id, text=item.text, sender=sender, tools=rules.distinct(tools))
            expires_ms = self.clock.wall_ms() + rules.PENDING_SECONDS * 1000
            await self.audit.record(Action.APPROVAL_ASKED, item.principal, item.id, Outcome.ASKED, sender=sender, tools=asked.tools)
            await self.facts.put(KIND, item.conversation, msgspec.json.encode(asked).decode(), expires_ms)
        return rules.question_text(tools)

    async def decide(self, conversation: str, sender: str, text: str) -> Decision:
        """What a message in a conversation means; the table of `domain.chat_approvals`. Changes nothing."""
        found = await self.facts.get(KIND, conversation, self.clock.wall_ms())
        if found is None:
            return Ordinary()
        spends, word = FactKey(KIND, conversation, found), rules.classify(text)
        if word is Word.OTHER:
            return Ordinary(spends)
        if word is Word.DENY:
            return Say(rules.DENIED, spends)
        if not self.is_owner(sender):
            return Say(rules.NOT_AN_OWNER)
        return Replay(msgspec.json.decode(found, type=Question), spends, word is Word.ALWAYS)

    async def answered(self, spends: FactKey, channel: str, sender: str, *, approved: bool) -> None:
        """Records somebody's word, before anything follows from it.

        Raises:
            StoreUnavailable: a yes is not recorded; a no counts in any case.
        """
        question = msgspec.json.decode(spends.value, type=Question)
        writing, outcome = (self.audit.record, Outcome.APPROVED) if approved else (self.audit.attempt, Outcome.DENIED)
        await writing(Action.APPROVAL_ANSWERED, f"{channel}:{sender}", question.item_id, outcome, tools=question.tools)

    async def granted(self, channel: str, sender: str) -> tuple[str, ...]:
        """Tools that this sender may always use, in alphabetical order."""
        found = await self.facts.get(GRANTS, self._grantee(channel, sender), self.clock.wall_ms())
        return () if found is None else msgspec.json.decode(found, type=tuple[str, ...])

    async def grant(self, channel: str, sender: str, tools: Sequence[str]) -> None:
        """Lets a sender always use these tools, too."""
        held = tuple(sorted({*await self.granted(channel, sender), *tools}))
        expires_ms = self.clock.wall_ms() + GRANT_DAYS * _DAY_MS
        await self.audit.record(Action.TOOLS_GRANTED, f"channel:{channel}", sender, tools=tools, days=GRANT_DAYS)
        await self.facts.put(GRANTS, self._grantee(channel, sender), msgspec.json.encode(held).decode(), expires_ms)

    def _grantee(self, channel: str, sender: str) -> str:
        return f"{channel}:{sender}:{self.terms()}"
