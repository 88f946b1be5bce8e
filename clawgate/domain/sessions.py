"""Sessions: conversations that are kept, titled and searched. Ring: domain. Source: rantaiclaw.md §10 (sessions; POST /agent/chat: what is saved)."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum

import msgspec

from clawgate.domain.turn import Role

TITLE_CHARS = 50
"""Of a title made from the first question; a longer line is cut and ends in an ellipsis."""
RENAMED_CHARS = 200
"""Of a title that somebody gave."""
_TITLE_WITHIN_CHARS = 16_384
SOURCE = "api"
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One kept conversation.

    Attributes:
        title: None when the first question had no line to make one of.
        model: of the first turn.
        principal: who made it.
    """

    id: str
    title: str | None
    model: str
    principal: str
    started_ms: int
    source: str = SOURCE
    message_count: int = 0


class Message(msgspec.Struct, frozen=True):
    """One line of a session."""

    role: Role
    content: str
    at_ms: int


class Hit(msgspec.Struct, frozen=True):
    """A message that a search found.

    Attributes:
        rank: bm25; the more negative the better.
    """

    session_id: str
    title: str | None
    message: Message
    rank: float


class Insights(msgspec.Struct, frozen=True):
    """Totals over the newest sessions; `latest` is None when there are none."""

    sessions: int
    messages: int
    latest: Session | None

    @property
    def average(self) -> float:
        """Messages per session; 0.0 without sessions."""
        return self.messages / self.sessions if self.sessions else 0.0


class ActiveSession(msgspec.Struct, frozen=True):
    """A session and when its last message was saved."""

    session: Session
    last_ms: int


class ChatState(StrEnum):
    """What a session is doing."""

    IDLE = "idle"
    RUNNING = "running"
    ERROR = "error"


class Running(msgspec.Struct, frozen=True):
    """A session with an open turn; times are wall-clock milliseconds."""

    session_id: str
    created_ms: int
    last_ms: int
    message_count: int


class Standing(msgspec.Struct, frozen=True):
    """What a session is doing, and with which message since when."""

    session_id: str
    state: ChatState
    turn_id: str = ""
    turn_started_ms: int = 0


def is_uuid(text: str) -> bool:
    """Whether text has the shape of a UUID (8-4-4-4-12 hexadecimal digits), so that a caller may name a new session by it."""
    return _UUID.fullmatch(text) is not None


def is_worth_saving(answer: str | None) -> bool:
    """Whether a turn with this answer is saved: blank answers are not."""
    return bool(answer and answer.strip())


def title_of(question: str) -> str | None:
    """The title of a session that begins with this question: its first line that holds anything, at most 50 characters and an ellipsis.

    Returns None when there is no such line near its beginning.
    """
    title = next((line for line in map(_plain, question[:_TITLE_WITHIN_CHARS].splitlines()) if line), None)
    return title if title is None or len(title) <= TITLE_CHARS else title[:TITLE_CHARS].rstrip() + "…"


def renamed(title: str) -> str:
    """A given title as it is stored, at most 200 characters; "" when nothing is left of it."""
    return _plain(title)[:RENAMED_CHARS].rstrip()


def _plain(text: str) -> str:
    """Whitespace collapsed, control characters and lone surrogates out."""
    spaced = " ".join(text.split())
    return " ".join("".join(char for char in spaced if unicodedata.category(char) not in ("Cc", "Cs")).split())
