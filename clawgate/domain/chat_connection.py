"""One connection to a chat. Ring: domain. Source: construct-realtime.md §12; design §4.16. What happens in its session: domain/chat.py.

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

from enum import StrEnum

import msgspec

from clawgate.domain.attachments import NOTHING, Enclosed
from clawgate.domain.chat import Problem

CONNECT_SECONDS = 5.0
"""How long the first frame is waited for before the session is followed without it."""


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
