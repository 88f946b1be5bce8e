"""Conversations over a socket: what happens in one. Ring: domain. Source: construct-realtime.md §6, §12; design §4.16.

A session's events are numbered; each is one numbered frame at most, so that whoever names the last number seen misses nothing and gets nothing twice.
"""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from clawgate.domain.errors import Conflict
from clawgate.domain.inbox import Item, State
from clawgate.domain.sessions import Message
from clawgate.domain.turn import ApprovalAsked, Delta, Thought, ToolEnded, ToolStarted, Trimmed

MOST_OPEN = 8
"""Messages of one session that run or wait; the next one is refused."""
_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


class SessionBusy(Conflict):
    """As many messages of the session as may be are open."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"Session gw_{session_id} queue full ({MOST_OPEN} pending requests)")


class Problem(StrEnum):
    """Why something did not go; the words of construct.v1, and where it has none of zeroclaw.v1."""

    INVALID_JSON = "INVALID_JSON"
    UNKNOWN_MESSAGE_TYPE = "UNKNOWN_MESSAGE_TYPE"
    EMPTY_CONTENT = "EMPTY_CONTENT"
    INVALID_APPROVAL_RESPONSE = "INVALID_APPROVAL_RESPONSE"
    SESSION_BUSY = "SESSION_BUSY"
    AUTH_ERROR = "AUTH_ERROR"
    PROVIDER_ERROR = "PROVIDER_ERROR"
    AGENT_ERROR = "AGENT_ERROR"
    SOP_DISABLED = "SOP_DISABLED"


class Taken(msgspec.Struct, frozen=True):
    """A message was accepted; its turn begins when those before it have ended."""

    item_id: str


class Added(msgspec.Struct, frozen=True):
    """Another door put a message into the session: a question whose turn begins, or words that nobody is asked about.

    Attributes:
        source: the door's name.
    """

    session_id: str
    message: Message
    source: str


class Settled(msgspec.Struct, frozen=True):
    """The pieces are over; the whole answer follows."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The turn ended with an answer; tokens are None when nobody counted."""

    text: str
    model: str = ""
    provider: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    last_input_tokens: int | None = None


class Failed(msgspec.Struct, frozen=True):
    """The turn ended without an answer."""

    problem: Problem
    message: str


class Aborted(msgspec.Struct, frozen=True):
    """Somebody gave the turn up."""


Happening = Taken | Added | Delta | Thought | Trimmed | ToolStarted | ToolEnded | ApprovalAsked | Settled | Done | Failed | Aborted
"""Of a turn's own events what memories were recalled and what was counted is not told piece by piece."""


class ChatEvent(msgspec.Struct, frozen=True):
    """One thing that happened in a session.

    Attributes:
        seq: grows from event to event, also over restarts of the daemon; below 2^53.
        open_turns: messages of the session that run or wait, after it.
    """

    seq: int
    what: Happening
    open_turns: int


def outcome(item: Item, done: Done) -> tuple[Happening, ...]:
    """How the end of a turn is told.

    Args:
        item: ended.
        done: what is told of an answer.
    """
    if item.state is State.DONE:
        return Settled(), done
    if item.is_denied:
        return (Failed(Problem.AGENT_ERROR, "A tool call was denied."),)
    if item.state is State.DROPPED:
        return (Aborted(),)
    if item.state is State.UNCERTAIN:
        return (Failed(Problem.AGENT_ERROR, f"Nobody knows what a tool call did; see /api/inbox/{item.id}"),)
    return (Failed(_PROBLEMS.get(item.error or "", Problem.AGENT_ERROR), f"The agent could not answer ({item.error})"),)


_PROBLEMS = {"auth": Problem.AUTH_ERROR} | dict.fromkeys(
    ("rate_limited", "overloaded", "timeout", "bad_request", "content", "unavailable", "protocol"), Problem.PROVIDER_ERROR
)


def is_session_id(text: str) -> bool:
    """Whether a client may name a new session so: letters, digits, `.`, `_`, `-`, at most 128."""
    return _SESSION_ID.fullmatch(text) is not None


def conversation(session_id: str) -> str:
    """The inbox's name of a session's line; that of `POST /api/v1/agent/chat` too."""
    return f"chat:{session_id}"


def session_of(item: Item) -> str:
    """The session in whose line an item stands, "" = in none."""
    kind, _, session_id = (item.conversation or "").partition(":")
    return session_id if kind == "chat" else ""
