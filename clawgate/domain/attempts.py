"""The attempts of an item: each turn that was started for it, and how it ended. Ring: domain. Source: design §1.

an attempt that ended without an answer   is written down in the commit that ends it (`ended`)
one under way, and the one that answered  are told from the item's own columns (`standing`), so that the ordinary message costs no row
the one that answered, once its reply     is written down before the item's columns change (`kept_of`)
makes trouble
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from clawgate.domain.inbox import CallerLeft, Completed, Denied, Drop, Event, Failed, Item, OwnerLost, State, ToolUnsettled

MOST_KEPT = 50
"""Attempts kept of one item, the last ones; their numbers go on counting."""


class Outcome(StrEnum):
    """How an attempt ended; the words are on the wire of `/api/inbox/{id}`."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    DENIED = "denied"
    UNCERTAIN = "uncertain"
    LOST = "lost"
    CANCELLED = "cancelled"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One turn that was started.

    Attributes:
        number: from 1, over the whole life of the item, an operator's retries included; 0 = the store has yet to give it one.
        started_ms, ended_ms: wall clock, milliseconds; `ended_ms` None = it runs.
        error: an `AgentError.code` and the like, None when it has an answer or runs.
        retry_ms: when the next one is due, None = nobody has said.
        provider, model: who was asked, as far as it came to that and is known.
    """

    started_ms: int
    outcome: Outcome
    number: int = 0
    ended_ms: int | None = None
    error: str | None = None
    retry_ms: int | None = None
    provider: str | None = None
    model: str | None = None


def outcome_of(before: Item, event: Event, after: Item) -> Outcome | None:
    """How a step ended the attempt under way; None when it ended none."""
    if before.state is not State.RUNNING or after.state is State.RUNNING:
        return None
    match event:
        case Completed():
            return Outcome.COMPLETED
        case Failed():
            return Outcome.FAILED
        case Denied():
            return Outcome.DENIED
        case ToolUnsettled():
            return Outcome.UNCERTAIN
        case OwnerLost():
            return Outcome.LOST
        case CallerLeft() | Drop():
            return Outcome.CANCELLED
    return None


def ended(before: Item, event: Event, after: Item, outcome: Outcome | None) -> Attempt | None:
    """The attempt that a step ended without an answer; None when it ended none, or with one. `outcome` is what `outcome_of` says of it."""
    if outcome is None or outcome is Outcome.COMPLETED:
        return None
    asked = event if isinstance(event, Failed) else None
    return Attempt(
        started_ms=_started(before),
        ended_ms=after.updated_ms,
        outcome=outcome,
        error=after.error,
        retry_ms=after.due_ms if after.state is State.WAITING else None,
        provider=(asked.provider or None) if asked else None,
        model=(asked.model or None) if asked else None,
    )


def kept_of(before: Item) -> Attempt | None:
    """The attempt that answered, when a step is about to change the columns that tell of it."""
    return _answered(before) if before.state is State.DONE and before.attempts else None


def standing(item: Item, written: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """All attempts of an item, oldest first.

    Args:
        written: those that are written down, oldest first, read together with the item.
    """
    latest: Attempt | None = None
    if item.state is State.RUNNING:
        latest = Attempt(started_ms=_started(item), outcome=Outcome.RUNNING)
    elif item.answer is not None and item.attempts and not any(attempt.outcome is Outcome.COMPLETED for attempt in written):
        latest = _answered(item)
    if latest is None:
        return written
    number = written[-1].number + 1 if written else 1
    return (*written, msgspec.structs.replace(latest, number=number))


def _answered(item: Item) -> Attempt:
    return Attempt(started_ms=_started(item), ended_ms=item.updated_ms, outcome=Outcome.COMPLETED, provider=item.provider, model=item.model)


def _started(item: Item) -> int:
    return item.started_ms or item.accepted_ms
