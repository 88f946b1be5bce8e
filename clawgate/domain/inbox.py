"""The inbox item: what was promised to whom, and what may happen to it. Ring: domain. Source: design §1.

The promise, as a table. "Promised" means somebody was told 202, 200 (a platform), 408 with a Location, or that their yes to its tools counts: the item
must reach one outcome even if its caller is gone and the process is killed. "Keyed" means an idempotency key or a platform's message id points at it.
"Journalled" means that a round of tool calls is written down and allowed: the calls may be made from now on.

    state      | event          | next state                                   | effects
    -----------+----------------+----------------------------------------------+---------------------------------------------
    received   | Claimed        | running                                      |
    waiting    | Claimed        | running                                      |
    running    | Completed      | done                                         | Answer, HoldKey, NextInLine
    running    | Failed         | waiting if promised, retryable, tries left;  | —
               |                |   else dead                                  | Answer, ReleaseKey, NextInLine
    running    | Journalled     | same, journalled                             |
    running    | Denied         | dropped: a tool was refused, or nobody       | Answer, ReleaseKey, NextInLine
               |                |   answered in time                           |
    running    | ToolUnsettled  | uncertain                                    | Answer, HoldKey, NextInLine
    running    | OwnerLost      | received and promised if promised or keyed;  |
               |                |   else dropped                               | (dropped: ReleaseKey, NextInLine)
    running    | OwnerLost      | dead, when it was started `MOST_STARTS`      | Answer, ReleaseKey, NextInLine
               |                |   times: it may be what ends the process     |
    received   | OwnerLost      | the same                                     | (dropped: ReleaseKey, NextInLine)
    received   | CallerLeft     | dropped unless promised or keyed             | ReleaseKey, NextInLine
    running    | CallerLeft     | dropped unless promised, keyed or a tool is  | CancelTurn, ReleaseKey, NextInLine
               |                |   journalled; else unchanged                 |
    waiting    | CallerLeft     | unchanged: what waits was promised           |
    received,  |                |                                              |
    running,   |                |                                              |
    waiting    | Promise        | same, promised                               |
    done,      |                |                                              |
    uncertain  | SendUnsettled  | uncertain, if there is an answer             |
    done,      |                |                                              |
    uncertain, |                |                                              |
    dead       | SendDead       | dead (the key stays), if there is an answer  |
    done,      |                |                                              |
    uncertain, |                |                                              |
    dead       | SendSettled    | done, if there is an answer: every part of   |
               |                |   it has its receipt, the resent ones too    |
    dead,      |                |                                              |
    uncertain, | Retry          | received, tries start again; with an answer  | Resend when there is an answer
    dropped    |                |   already committed: done                    |
    received,  |                |                                              |
    waiting    | Drop           | dropped                                      | Answer, ReleaseKey, NextInLine
    dead,      |                |                                              |
    uncertain  | Drop           | dropped                                      | ReleaseKey
    running    | Drop           | dropped                                      | CancelTurn, Answer, ReleaseKey, NextInLine

Every other pair is refused with `Conflict`: what becomes of the apology for an item without an answer does not change its outcome. `Completed`,
`Failed`, `Journalled`, `Denied` and `ToolUnsettled` carry their owner: from another than the present owner they are refused too, so the late result of a
lost owner is discarded.
"""

from __future__ import annotations

from enum import Enum, StrEnum

import msgspec

from clawgate.domain.errors import Conflict
from clawgate.domain.messages import ReplyTo, TurnOptions


class State(StrEnum):
    """Where an item stands; the words are on the wire of `/api/inbox`."""

    RECEIVED = "received"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    DEAD = "dead"
    UNCERTAIN = "uncertain"
    DROPPED = "dropped"


OPEN = frozenset({State.RECEIVED, State.RUNNING, State.WAITING})
"""States in which an item holds up those behind it in its conversation."""

STOPPED = frozenset({State.DEAD, State.UNCERTAIN})
"""States in which an item waits for a person to decide."""
_DENIED = "denied"


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted message.

    Attributes:
        id: 16 hexadecimal digits, time-ordered (`ids`).
        source: the door: "webhook", or a channel's name.
        principal: `Caller.principal` of who asked; who else may read the outcome is decided on it.
        text: what was asked, as it came.
        conversation: items with the same value run one at a time, in order; None is a conversation of its own.
        reply: where the answer is sent, None when somebody waits or polls for it.
        promised, keyed: see the module.
        journalled: tool calls are written down and allowed: the turn may no longer be cancelled.
        owner: boot id of the process that runs it, "" when nobody does.
        attempts: turns started, this one included.
        due_ms: not to be started before (wall clock, milliseconds); 0 = at once.
        started_ms: when the turn under way, or the one that answered, was started; 0 = with the accept.
        answer, model, provider: the committed outcome and who gave it; `error` the last failure's code.
        options: what the turn is asked with besides the text.
    """

    id: str
    source: str
    principal: str
    text: str
    accepted_ms: int
    conversation: str | None = None
    reply: ReplyTo | None = None
    promised: bool = False
    keyed: bool = False
    journalled: bool = False
    state: State = State.RECEIVED
    owner: str = ""
    attempts: int = 0
    due_ms: int = 0
    updated_ms: int = 0
    started_ms: int = 0
    answer: str | None = None
    model: str | None = None
    provider: str | None = None
    error: str | None = None
    options: TurnOptions | None = None

    @property
    def is_denied(self) -> bool:
        """Whether it ended because a tool was refused, or nobody answered in time."""
        return self.error == _DENIED

    @property
    def is_open(self) -> bool:
        """Whether an outcome is still to come."""
        return self.state in OPEN

    @property
    def must_finish(self) -> bool:
        """Whether somebody relies on an outcome even if the caller is gone."""
        return self.promised or self.keyed


class RetryPolicy(msgspec.Struct, frozen=True):
    """When a failed item is tried again: exponential with jitter.

    Attributes:
        max_attempts: turns in all before the item is dead.
        initial_seconds, factor, max_seconds: the wait before attempt n+1 is initial × factor^(n−1), at most max.
    """

    max_attempts: int = 5
    initial_seconds: float = 2.0
    factor: float = 3.0
    max_seconds: float = 300.0

    def delay_seconds(self, attempts: int, jitter: float, asked_for: float | None = None) -> float:
        """Seconds to wait after `attempts` failures.

        Args:
            attempts: failures so far, at least 1.
            jitter: random in [0, 1): the wait is between half and all of the exponential.
            asked_for: what the other side asked for; the wait is never shorter, and never longer than ten times `max_seconds`.
        """
        exponential = min(self.initial_seconds * self.factor ** min(attempts - 1, 32), self.max_seconds)
        return max(exponential * (0.5 + jitter / 2), min(asked_for or 0.0, self.max_seconds * 10))


class Claimed(msgspec.Struct, frozen=True):
    """A process took the item to run it."""

    owner: str


class Completed(msgspec.Struct, frozen=True):
    """The turn ended with an answer."""

    owner: str
    answer: str
    model: str
    provider: str = ""


class Failed(msgspec.Struct, frozen=True):
    """The turn ended without an answer; `code` is an `AgentError.code`, `delay_seconds` the wait if it is tried again, `provider` and `model` who was asked."""

    owner: str
    code: str
    retryable: bool
    delay_seconds: float
    max_attempts: int
    provider: str = ""
    model: str = ""


class Journalled(msgspec.Struct, frozen=True):
    """Tool calls of its turn are written down and allowed; from now on its turn is not cancelled when the caller leaves."""

    owner: str


class Denied(msgspec.Struct, frozen=True):
    """Somebody refused a tool call, or did not answer in time, and with it the turn is refused."""

    owner: str
    tool: str


class ToolUnsettled(msgspec.Struct, frozen=True):
    """A tool call that is not idempotent was begun and its result is not known."""

    owner: str
    step: str


class OwnerLost(msgspec.Struct, frozen=True):
    """The process that ran it, or that held it for a waiting caller, is gone."""


class CallerLeft(msgspec.Struct, frozen=True):
    """The waiting caller closed its connection."""


class Promise(msgspec.Struct, frozen=True):
    """The caller is about to be told 202 or 408 and may come back for the outcome."""


class SendUnsettled(msgspec.Struct, frozen=True):
    """The reply left and no receipt came."""


class SendDead(msgspec.Struct, frozen=True):
    """The reply was refused for good or given up."""

    code: str


class SendSettled(msgspec.Struct, frozen=True):
    """Every part of the reply has its receipt."""


class Retry(msgspec.Struct, frozen=True):
    """An operator wants it tried again."""


class Drop(msgspec.Struct, frozen=True):
    """An operator gives it up."""


Event = (
    Claimed
    | Completed
    | Failed
    | Journalled
    | Denied
    | ToolUnsettled
    | OwnerLost
    | CallerLeft
    | Promise
    | SendUnsettled
    | SendDead
    | SendSettled
    | Retry
    | Drop
)


class Effect(Enum):
    """What is to be done after the new record is committed."""

    ANSWER = "answer"
    HOLD_KEY = "hold_key"
    RELEASE_KEY = "release_key"
    NEXT_IN_LINE = "next_in_line"
    CANCEL_TURN = "cancel_turn"
    RESEND = "resend"


MOST_STARTS = 25
"""An item whose process was lost at this many starts, failures included, is given up: it may be the reason."""
_ENDED = (Effect.ANSWER, Effect.HOLD_KEY, Effect.NEXT_IN_LINE)
_GIVEN_UP = (Effect.ANSWER, Effect.RELEASE_KEY, Effect.NEXT_IN_LINE)
Step = tuple[Item, tuple[Effect, ...]]


def step(item: Item, event: Event, now_ms: int) -> Step:
    """The item after `event`, and what follows from it.

    Raises:
        Conflict: the table has no such row, or the event comes from an owner that lost the item.
    """
    match event:
        case Claimed(owner=owner) if item.state in (State.RECEIVED, State.WAITING):
            return _with(item, now_ms, state=State.RUNNING, owner=owner, attempts=item.attempts + 1, started_ms=now_ms), ()
        case Completed() | Failed() | ToolUnsettled() if item.state is State.RUNNING and event.owner == item.owner:
            return _turn_ended(item, event, now_ms)
        case Denied(owner=owner) if item.state is State.RUNNING and owner == item.owner:
            return _with(item, now_ms, state=State.DROPPED, owner="", error=_DENIED), _GIVEN_UP
        case Journalled(owner=owner) if item.state is State.RUNNING and owner == item.owner:
            return _with(item, now_ms, journalled=True), ()
        case OwnerLost() if item.state in (State.RUNNING, State.RECEIVED):
            return _owner_lost(item, now_ms)
        case CallerLeft() if item.is_open:
            return _caller_left(item, now_ms)
        case Promise() if item.is_open:
            return _with(item, now_ms, promised=True), ()
        case SendUnsettled() | SendDead() | SendSettled():
            return _send_settled(item, event, now_ms)
        case Retry() if item.state in (State.DEAD, State.UNCERTAIN, State.DROPPED):
            return _retried(item, now_ms)
        case Drop() if item.state not in (State.DONE, State.DROPPED):
            return _dropped(item, now_ms)
    raise Conflict(f"item {item.id} is {item.state}: {type(event).__name__} does not apply")


def _turn_ended(item: Item, event: Completed | Failed | ToolUnsettled, now_ms: int) -> Step:
    match event:
        case Completed():
            told = {"answer": event.answer, "model": event.model, "provider": event.provider or None}
            return _with(item, now_ms, state=State.DONE, owner="", error=None, **told), _ENDED
        case ToolUnsettled():
            return _with(item, now_ms, state=State.UNCERTAIN, owner="", error=f"tool_unsettled:{event.step}"), _ENDED
        case Failed():
            if item.promised and event.retryable and item.attempts < event.max_attempts:
                due_ms = now_ms + int(event.delay_seconds * 1000)
                return _with(item, now_ms, state=State.WAITING, owner="", error=event.code, due_ms=due_ms), ()
            return _with(item, now_ms, state=State.DEAD, owner="", error=event.code), _GIVEN_UP


def _owner_lost(item: Item, now_ms: int) -> Step:
    if item.state is State.RUNNING and item.attempts >= MOST_STARTS:
        return _with(item, now_ms, state=State.DEAD, owner="", error="crash_loop"), _GIVEN_UP
    if item.must_finish:
        return _with(item, now_ms, state=State.RECEIVED, owner="", promised=True), ()
    return _with(item, now_ms, state=State.DROPPED, owner="", error="caller_gone"), (Effect.RELEASE_KEY, Effect.NEXT_IN_LINE)


def _caller_left(item: Item, now_ms: int) -> Step:
    if item.must_finish or item.journalled or item.state is State.WAITING:
        return item, ()
    cancel = (Effect.CANCEL_TURN,) if item.state is State.RUNNING else ()
    dropped = _with(item, now_ms, state=State.DROPPED, owner="", error="caller_left")
    return dropped, (*cancel, Effect.RELEASE_KEY, Effect.NEXT_IN_LINE)


def _send_settled(item: Item, event: SendUnsettled | SendDead | SendSettled, now_ms: int) -> Step:
    has_answer = item.answer is not None
    match event:
        case SendUnsettled() if has_answer and item.state in (State.DONE, State.UNCERTAIN):
            return _with(item, now_ms, state=State.UNCERTAIN, error="send_unsettled"), ()
        case SendDead() if has_answer and item.state in (State.DONE, State.UNCERTAIN, State.DEAD):
            return _with(item, now_ms, state=State.DEAD, error=event.code), ()
        case SendSettled() if has_answer and item.state in (State.DONE, State.UNCERTAIN, State.DEAD):
            return _with(item, now_ms, state=State.DONE, error=None), ()
    raise Conflict(f"item {item.id} is {item.state}: {type(event).__name__} does not apply")


def _retried(item: Item, now_ms: int) -> Step:
    if item.answer is not None:
        return _with(item, now_ms, state=State.DONE, error=None), (Effect.RESEND,)
    return _with(item, now_ms, state=State.RECEIVED, owner="", attempts=0, due_ms=0, error=None, promised=True), ()


def _dropped(item: Item, now_ms: int) -> Step:
    effects: tuple[Effect, ...] = _GIVEN_UP if item.is_open else (Effect.RELEASE_KEY,)
    if item.state is State.RUNNING:
        effects = (Effect.CANCEL_TURN, *effects)
    return _with(item, now_ms, state=State.DROPPED, owner="", error="dropped_by_operator"), effects


def _with(item: Item, now_ms: int, **changes: object) -> Item:
    return msgspec.structs.replace(item, updated_ms=now_ms, **changes)
