"""Conversations over a socket: what happens in one, and what a connection does about it. Ring: domain. Source: construct-realtime.md §6, §12; design §4.16.

A session's events are numbered; each is one numbered frame at most, so that whoever names the last number seen misses nothing and gets nothing twice.

One connection, as a table:

    phase       | event                | next       | effects
    ------------+----------------------+------------+-----------------------------------------------
    connecting  | Connected(last)      | listening  | Follow(last, or where it began; says "connected")
    connecting  | Quiet                | listening  | Follow(where it began)
    connecting  | any other frame      | listening  | Follow(where it began), then as in busy
    connecting  | Turns                | the same   | -
    listening,  | Connected            | the same   | Complain: it comes first or not at all
    busy        | Asked                | the same   | Ask
                | Answered             | the same   | Resolve
                | Unclear              | the same   | Complain
                | Quiet                | the same   | -
                | Turns(open)          | busy while any is open, else listening
    busy        | Cancelled            | the same   | Cancel
    listening   | Cancelled            | the same   | -
    any         | Left                 | gone       | Unfollow; the turns go on
    gone        | anything             | gone       | -
"""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from clawgate.domain.attachments import NOTHING, Enclosed
from clawgate.domain.errors import Conflict
from clawgate.domain.inbox import Item, State
from clawgate.domain.sessions import Message
from clawgate.domain.turn import ApprovalAsked, Delta, Thought, ToolEnded, ToolStarted, Trimmed

MOST_OPEN = 8
"""Messages of one session that run or wait; the next one is refused."""
CONNECT_SECONDS = 5.0
"""How long the first frame is waited for before the session is followed without it."""
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


# --- what happens in a session


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


# --- one connection


class Phase(StrEnum):
    """Where a connection stands."""

    CONNECTING = "connecting"
    LISTENING = "listening"
    BUSY = "busy"
    GONE = "gone"


class Connection(msgspec.Struct, frozen=True):
    """One connection.

    Attributes:
        began: the number after which it follows the session unless it says otherwise.
        resumes: whether `began` is what the client has seen; else it is where the session stood.
    """

    began: int
    resumes: bool = False
    phase: Phase = Phase.CONNECTING


class Connected(msgspec.Struct, frozen=True):
    """The client introduces itself; `last` = the last number that it has seen, None = it does not say."""

    last: int | None = None


class Asked(msgspec.Struct, frozen=True):
    """The client says something to the agent."""

    text: str
    enclosed: Enclosed = NOTHING


class Answered(msgspec.Struct, frozen=True):
    """The client's word on a tool."""

    id: str
    approve: bool
    always: bool = False


class Cancelled(msgspec.Struct, frozen=True):
    """The client wants the running turn to end."""


class Unclear(msgspec.Struct, frozen=True):
    """A frame that means nothing."""

    problem: Problem
    message: str


class Quiet(msgspec.Struct, frozen=True):
    """The client did not introduce itself in time."""


class Turns(msgspec.Struct, frozen=True):
    """So many turns of the session are open."""

    open: int


class Left(msgspec.Struct, frozen=True):
    """The connection is over."""


Frame = Connected | Asked | Answered | Cancelled | Unclear
Event = Frame | Quiet | Turns | Left


class Follow(msgspec.Struct, frozen=True):
    """Begin to tell what happens after `after`, which the client has seen (`resumes`) or where the session stood; `says_connected` = greet first."""

    after: int
    resumes: bool
    says_connected: bool = False


class Ask(msgspec.Struct, frozen=True):
    """Take the message."""

    text: str
    enclosed: Enclosed = NOTHING


class Resolve(msgspec.Struct, frozen=True):
    """Give the word on a tool."""

    word: Answered


class Cancel(msgspec.Struct, frozen=True):
    """Give the running turn up."""


class Complain(msgspec.Struct, frozen=True):
    """Tell the client what it did wrong."""

    problem: Problem
    message: str


class Unfollow(msgspec.Struct, frozen=True):
    """Tell it nothing more."""


Effect = Follow | Ask | Resolve | Cancel | Complain | Unfollow
Step = tuple[Connection, tuple[Effect, ...]]


def unsupported(kind: str) -> str:
    """What a client reads whose frame is of a type that means nothing, at least not now."""
    return f'Unsupported message type "{kind}". Send {{"type":"message","content":"your text"}}'


AGAIN = Complain(Problem.UNKNOWN_MESSAGE_TYPE, unsupported("connect"))


def step(record: Connection, event: Event) -> Step:
    """The connection after `event`, and what follows from it."""
    if record.phase is Phase.GONE:
        return record, ()
    match event:
        case Left():
            return _in(record, Phase.GONE), (Unfollow(),)
        case Turns(open=open_turns):
            return (record if record.phase is Phase.CONNECTING else _in(record, Phase.BUSY if open_turns else Phase.LISTENING)), ()
        case Connected(last=last) if record.phase is Phase.CONNECTING:
            after, resumes = (record.began, record.resumes) if last is None else (last, True)
            return _in(record, Phase.LISTENING), (Follow(after, resumes, says_connected=True),)
        case Quiet():
            return _following(record)
    following, effects = _following(record)
    return following, (*effects, *_asked_for(record.phase, event))


def _following(record: Connection) -> Step:
    if record.phase is not Phase.CONNECTING:
        return record, ()
    return _in(record, Phase.LISTENING), (Follow(record.began, record.resumes),)


def _asked_for(phase: Phase, frame: Frame) -> tuple[Effect, ...]:
    match frame:
        case Asked(text=text, enclosed=enclosed):
            return (Ask(text, enclosed),)
        case Answered():
            return (Resolve(frame),)
        case Cancelled():
            return () if phase is Phase.LISTENING else (Cancel(),)
        case Unclear(problem=problem, message=message):
            return (Complain(problem, message),)
        case Connected():
            return (AGAIN,)


def _in(record: Connection, phase: Phase) -> Connection:
    return msgspec.structs.replace(record, phase=phase)
