"""Where sessions are kept. Ring: ports. The errors are those of `ports.stores`.

A turn is saved by the store itself, in the commit of its outcome (`ports.stores.Inbox.settle`): question and answer are there exactly once, or neither is.
`principal` None sees everybody's sessions; else only that principal's own exist.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.sessions import ActiveSession, Hit, Insights, Message, Session


class SessionPage(msgspec.Struct, frozen=True):
    """Sessions, newest first, and how many there are in all."""

    sessions: tuple[Session, ...]
    total: int


class Found(msgspec.Struct, frozen=True):
    """What an id or the beginning of one means: `session` is set when `matches` is 1."""

    session: Session | None
    matches: int


class Sessions(Protocol):
    """Kept conversations."""

    def active(self, principal: str | None, limit: int) -> Deferred[tuple[ActiveSession, ...]]:
        """Sessions, the one with the newest message first."""

    def page(self, principal: str | None, limit: int, offset: int) -> Deferred[SessionPage]:
        """Sessions, newest first."""

    def find(self, key: str, principal: str | None) -> Deferred[Found]:
        """The session with this id, else the one whose id begins with it; `%` and `_` mean themselves."""

    def get(self, session_id: str) -> Deferred[Session | None]:
        """The session with exactly this id, whoever made it."""

    def messages(self, session_id: str, limit: int) -> Deferred[tuple[Message, ...]]:
        """The last `limit` messages, oldest first."""

    def add(self, session_id: str, message: Message) -> Deferred[bool]:
        """Adds a message behind all others. Whether there was such a session."""

    def search(self, query: str, principal: str | None, limit: int) -> Deferred[tuple[Hit, ...]]:
        """Messages that match, best first.

        Args:
            query: FTS5 syntax; what is none is taken as plain words.
        """

    def rename(self, session_id: str, title: str) -> Deferred[bool]:
        """Whether there was such a session."""

    def remove(self, session_id: str) -> Deferred[bool]:
        """Forgets a session with its messages. Whether there was one."""

    def insights(self, principal: str | None, newest: int) -> Deferred[Insights]:
        """Totals over the newest so many sessions."""
