"""Events on their way to somebody outside: which, and when again. Ring: domain. Source: Standard Webhooks spec; webhook-signatures.md §1.1.

    active          | Answered 2xx           | active: the head is over, the pace quickens     | NEXT
    active          | Answered 410           | stopped: it wants no more                       | STOPPED
    active          | Answered else,         | active: the head is tried again by `SCHEDULE`;  |
                    |   Unreached            |   paused when that has run out                  | PAUSED
    paused, stopped | Answered 2xx           | the same: the head is over (it was on its way)  | NEXT
    paused, stopped | Answered else,         | the same, the attempt noted                     |
                    |   Unreached            |                                                 |
    active          | Paused                 | paused                                          | PAUSED
    paused          | Paused                 | the same                                        |
    any             | Resumed                | active, the head is tried at once and its       | RESUMED unless it was
                    |                        |   schedule begins anew                          |   active

`Paused` for a stopped one is refused with `Conflict`. Events wait in line whatever the condition: only a full line misses any, and that is counted.

429, 502 and 504 slow the whole subscriber: from then on there is a pause between deliveries, twice as long each time, half as long after each success.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum, StrEnum

import msgspec

from clawgate.domain.errors import Conflict
from clawgate.domain.events import RULES
from clawgate.domain.inbox import OPEN, State

SCHEDULE = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds before each attempt, from the one before; the first is at once."""
MOST_RETRY_AFTER_SECONDS = 86_400.0
JITTER = 0.1
"""A wait is up to so much longer."""
MOST_SUBSCRIPTIONS = 32
ATTEMPTS_KEPT = 50
TEST, MISSED = "subscription_test", "events_missed"
"""Come whatever was asked for: they are about the subscription itself."""
OUTCOMES = tuple(f"message_{state}" for state in State if state not in OPEN)
"""`message_done`, …: an accepted message has come to this."""
KINDS = (*OUTCOMES, *RULES)
"""Every kind that may be asked for."""
_OK, _REDIRECT, _GONE, _SLOW = 200, 300, 410, (429, 502, 504)
_LEAST_PACE_MS, _MOST_PACE_MS = 1_000, 60_000


class Condition(StrEnum):
    """Whether a subscriber is sent to; the words are on the wire of `/api/subscriptions`."""

    ACTIVE = "active"
    PAUSED = "paused"
    STOPPED = "stopped"
    """It answered 410."""


class Subscriber(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with one subscription.

    Attributes:
        reason: why it is not active: "operator", "schedule_exhausted", "gone"; "" while it is.
        attempts: of the delivery at the head of its line.
        due_ms: the head is not sent before (wall clock); 0 = at once.
        pace_ms: the pause between deliveries.
        failing_since_ms: when the first attempt failed since the last success; 0 = none did.
        depth: deliveries in line. missed: events that found the line full, ever.
    """

    name: str
    condition: Condition = Condition.ACTIVE
    reason: str = ""
    attempts: int = 0
    due_ms: int = 0
    pace_ms: int = 0
    failing_since_ms: int = 0
    last_status: int | None = None
    last_error: str = ""
    last_attempt_ms: int = 0
    last_success_ms: int = 0
    delivered: int = 0
    depth: int = 0
    missed: int = 0


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one subscriber.

    Attributes:
        id: the same over all attempts; without "." (the signature's separator).
        at_ms: when it happened.
        data: a JSON object as text.
    """

    id: str
    subscription: str
    kind: str
    at_ms: int
    data: str


class Line(msgspec.Struct, frozen=True):
    """A subscriber and the first of its line, None when that is empty."""

    subscriber: Subscriber
    head: Delivery | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt that was made.

    Attributes:
        status: what was answered; None = nothing was, and `error` says why.
    """

    id: str
    kind: str
    at_ms: int
    duration_ms: int
    number: int = 0
    status: int | None = None
    error: str = ""


class Wish(msgspec.Struct, frozen=True):
    """What a subscription asks for.

    Attributes:
        most: deliveries in its line; what comes then is missed.
    """

    kinds: frozenset[str]
    has_answer: bool
    most: int


class Answered(msgspec.Struct, frozen=True):
    """There was an answer. `retry_after` in seconds, None = nothing was said; `jitter` random in [0, 1)."""

    status: int
    retry_after: float | None = None
    jitter: float = 0.0


class Unreached(msgspec.Struct, frozen=True):
    """There was none; `error` is one word, such as "timeout"."""

    error: str
    jitter: float = 0.0


class Paused(msgspec.Struct, frozen=True):
    """A person wants nothing sent for now."""


class Resumed(msgspec.Struct, frozen=True):
    """A person wants it sent to again."""


Event = Answered | Unreached | Paused | Resumed


class Effect(Enum):
    """What follows from a step."""

    NEXT = "next"
    """The head is over: remove it."""
    PAUSED = "paused"
    STOPPED = "stopped"
    RESUMED = "resumed"


Step = tuple[Subscriber, tuple[Effect, ...]]


def step(subscriber: Subscriber, event: Event, now_ms: int) -> Step:
    """The subscriber after `event`, and what follows.

    Raises:
        Conflict: a stopped one cannot be paused.
    """
    is_active = subscriber.condition is Condition.ACTIVE
    match event:
        case Answered() if _OK <= event.status < _REDIRECT:
            return _delivered(subscriber, event, now_ms), (Effect.NEXT,)
        case Answered() if event.status == _GONE and is_active:
            noted = _noted(subscriber, event, now_ms)
            return _with(noted, condition=Condition.STOPPED, reason="gone"), (Effect.STOPPED,)
        case Answered() | Unreached():
            noted = _noted(subscriber, event, now_ms)
            return _failed(noted, event, now_ms) if is_active else (noted, ())
        case Paused():
            if subscriber.condition is Condition.STOPPED:
                raise Conflict(f"subscription {subscriber.name} is stopped")
            return _with(subscriber, condition=Condition.PAUSED, reason=subscriber.reason or "operator"), (Effect.PAUSED,) if is_active else ()
        case Resumed():
            fresh = _with(subscriber, condition=Condition.ACTIVE, reason="", attempts=0, due_ms=0, pace_ms=0, failing_since_ms=0)
            return fresh, () if is_active else (Effect.RESUMED,)


def _delivered(subscriber: Subscriber, event: Answered, now_ms: int) -> Subscriber:
    pace_ms = subscriber.pace_ms // 2 if subscriber.pace_ms > _LEAST_PACE_MS else 0
    return _with(
        subscriber,
        attempts=0,
        due_ms=now_ms + pace_ms,
        pace_ms=pace_ms,
        failing_since_ms=0,
        last_status=event.status,
        last_error="",
        last_attempt_ms=now_ms,
        last_success_ms=now_ms,
        delivered=subscriber.delivered + 1,
    )


def _noted(subscriber: Subscriber, event: Answered | Unreached, now_ms: int) -> Subscriber:
    status, error = (event.status, f"HTTP {event.status}") if isinstance(event, Answered) else (None, event.error)
    return _with(
        subscriber,
        attempts=subscriber.attempts + 1,
        failing_since_ms=subscriber.failing_since_ms or now_ms,
        last_status=status,
        last_error=error,
        last_attempt_ms=now_ms,
    )


def _failed(noted: Subscriber, event: Answered | Unreached, now_ms: int) -> Step:
    if noted.attempts >= len(SCHEDULE):
        return _with(noted, condition=Condition.PAUSED, reason="schedule_exhausted"), (Effect.PAUSED,)
    status, asked = (event.status, event.retry_after or 0.0) if isinstance(event, Answered) else (0, 0.0)
    seconds = SCHEDULE[noted.attempts] * (1 + JITTER * event.jitter)
    seconds = max(seconds, min(asked, MOST_RETRY_AFTER_SECONDS))
    pace_ms = min(max(noted.pace_ms * 2, _LEAST_PACE_MS), _MOST_PACE_MS) if status in _SLOW else noted.pace_ms
    return _with(noted, due_ms=now_ms + int(seconds * 1000), pace_ms=pace_ms), ()


def _with(subscriber: Subscriber, **changes: object) -> Subscriber:
    return msgspec.structs.replace(subscriber, **changes)


# --- which events


def kinds_of(patterns: Iterable[str]) -> frozenset[str]:
    """The kinds that these patterns name.

    A pattern is a kind, `PREFIX*` or `*`; a dot is as good as an underscore. Kinds of a high rate (turns and their tools, canvas frames, what workflows say)
    come only by their full names.
    """
    return frozenset().union(*map(_matching, patterns))


def strangers(patterns: Iterable[str]) -> tuple[str, ...]:
    """Patterns that no kind fits."""
    return tuple(pattern for pattern in patterns if not _matching(pattern))


def _matching(pattern: str) -> Collection[str]:
    name = pattern.strip().lower().replace(".", "_")
    if not name.endswith("*"):
        return {name} & set(KINDS)
    return {kind for kind in KINDS if kind.startswith(name[:-1]) and (kind not in RULES or RULES[kind].is_kept)}
