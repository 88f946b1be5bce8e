"""The table of `domain.inbox`, row by row, for the tests of the rules and of the stores that apply them. Ring: testing."""

from __future__ import annotations

from typing import Any

import msgspec

from clawgate.domain.inbox import (
    MOST_STARTS,
    CallerLeft,
    Claimed,
    Completed,
    Denied,
    Drop,
    Effect,
    Event,
    Failed,
    Item,
    Journalled,
    OwnerLost,
    Promise,
    Retry,
    SendDead,
    SendSettled,
    SendUnsettled,
    State,
    ToolUnsettled,
)
from clawgate.testing.store_builders import NOW_MS, OWNER, an_item


class Row(msgspec.Struct, frozen=True):
    """One row: an item, what happens to it, and what comes of it; `changes` are the fields that must differ besides `updated_ms`."""

    item: Item
    event: Event
    state: State
    effects: tuple[Effect, ...]
    changes: dict[str, Any]  # Any: values of any field of an item


_ANSWER, _HOLD, _RELEASE, _NEXT = Effect.ANSWER, Effect.HOLD_KEY, Effect.RELEASE_KEY, Effect.NEXT_IN_LINE
_RECEIVED, _RUNNING, _WAITING, _DONE, _DEAD, _UNCERTAIN, _DROPPED = State
_ENDED, _GIVEN_UP = (_ANSWER, _HOLD, _NEXT), (_ANSWER, _RELEASE, _NEXT)
_HELD: dict[str, Any] = {"promised": False}  # Any: fields of an item; a caller waits, nobody was promised anything
_KEYED: dict[str, Any] = {"promised": False, "keyed": True}  # Any: as above
_ANSWERED: dict[str, Any] = {"answer": "an answer", "model": "m"}  # Any: as above
EVENTS: tuple[Event, ...] = (
    Claimed(OWNER),
    Completed(OWNER, "an answer", "m", "p"),
    Failed(OWNER, "timeout", True, 2.0, 5),
    ToolUnsettled(OWNER, "pay"),
    Journalled(OWNER),
    Denied(OWNER, "pay"),
    OwnerLost(),
    CallerLeft(),
    Promise(),
    SendUnsettled(),
    SendDead("refused"),
    SendSettled(),
    Retry(),
    Drop(),
)
"""One of each kind."""


def item_in(state: State, **fields: Any) -> Item:  # Any: fields of an item
    """A promised item in `state`, as the road there leaves it."""
    way: dict[str, Any] = {}  # Any: as above
    if state is _RUNNING:
        way = {"owner": OWNER, "attempts": 1}
    elif state is not _RECEIVED:
        way = {"attempts": 1} | (_ANSWERED if state is _DONE else {"error": "before"})
    return an_item(1, state=state, **(way | fields))


def _row(start: State, fields: dict[str, Any], event: Event, state: State, effects: tuple[Effect, ...] = (), **changes: Any) -> Row:  # Any: fields
    if state is not start:
        changes["state"] = state
    return Row(item_in(start, **fields), event, state, effects, changes)


def _failure(retryable: bool = True, max_attempts: int = 5) -> Failed:
    return Failed(OWNER, "timeout", retryable, 2.5, max_attempts)


_DROPPED_BY = {"error": "dropped_by_operator"}
_AGAIN: dict[str, Any] = {"attempts": 0, "error": None}  # Any: fields of an item

ROWS: dict[str, Row] = {
    "a received item is claimed": _row(_RECEIVED, {}, Claimed("boot-2"), _RUNNING, owner="boot-2", attempts=1, started_ms=NOW_MS),
    "a waiting item is claimed": _row(_WAITING, {}, Claimed("boot-2"), _RUNNING, owner="boot-2", attempts=2, started_ms=NOW_MS),
    "a turn completes": _row(_RUNNING, {"error": "before"}, EVENTS[1], _DONE, _ENDED, owner="", error=None, provider="p", **_ANSWERED),
    "a promised turn fails and is tried again": _row(_RUNNING, {}, _failure(), _WAITING, owner="", error="timeout", due_ms=NOW_MS + 2_500),
    "a turn fails for good": _row(_RUNNING, {}, _failure(retryable=False), _DEAD, _GIVEN_UP, owner="", error="timeout"),
    "a turn fails for the last time": _row(_RUNNING, {"attempts": 5}, _failure(), _DEAD, _GIVEN_UP, owner="", error="timeout"),
    "an unpromised turn fails": _row(_RUNNING, _HELD, _failure(), _DEAD, _GIVEN_UP, owner="", error="timeout"),
    "a keyed unpromised turn fails": _row(_RUNNING, _KEYED, _failure(), _DEAD, _GIVEN_UP, owner="", error="timeout"),
    "a tool is unsettled": _row(_RUNNING, {}, EVENTS[3], _UNCERTAIN, _ENDED, owner="", error="tool_unsettled:pay"),
    "a tool is denied": _row(_RUNNING, {}, EVENTS[5], _DROPPED, _GIVEN_UP, owner="", **{"error": "denied"}),
    "the tool calls of a turn are written down": _row(_RUNNING, _HELD, EVENTS[4], _RUNNING, journalled=True),
    "a promised running item loses its owner": _row(_RUNNING, {}, OwnerLost(), _RECEIVED, owner=""),
    "a keyed running item loses its owner": _row(_RUNNING, _KEYED, OwnerLost(), _RECEIVED, owner="", promised=True),
    "a held running item loses its owner": _row(_RUNNING, _HELD, OwnerLost(), _DROPPED, (_RELEASE, _NEXT), owner="", error="caller_gone"),
    "an item that ended its process too often is given up": _row(
        _RUNNING, {"attempts": MOST_STARTS}, OwnerLost(), _DEAD, _GIVEN_UP, owner="", error="crash_loop"
    ),
    "a promised received item loses its owner": _row(_RECEIVED, {}, OwnerLost(), _RECEIVED),
    "a keyed received item loses its owner": _row(_RECEIVED, _KEYED, OwnerLost(), _RECEIVED, promised=True),
    "a held received item loses its owner": _row(_RECEIVED, _HELD, OwnerLost(), _DROPPED, (_RELEASE, _NEXT), error="caller_gone"),
    "the caller of a held received item leaves": _row(_RECEIVED, _HELD, CallerLeft(), _DROPPED, (_RELEASE, _NEXT), error="caller_left"),
    "the caller of a promised received item leaves": _row(_RECEIVED, {}, CallerLeft(), _RECEIVED),
    "the caller of a keyed received item leaves": _row(_RECEIVED, _KEYED, CallerLeft(), _RECEIVED),
    "the caller of a held running item leaves": _row(
        _RUNNING, _HELD, CallerLeft(), _DROPPED, (Effect.CANCEL_TURN, _RELEASE, _NEXT), owner="", error="caller_left"
    ),
    "the caller of a promised running item leaves": _row(_RUNNING, {}, CallerLeft(), _RUNNING),
    "the caller of a keyed running item leaves": _row(_RUNNING, _KEYED, CallerLeft(), _RUNNING),
    "the caller of a journalled running item leaves": _row(_RUNNING, _HELD | {"journalled": True}, CallerLeft(), _RUNNING),
    "the caller of a waiting item leaves": _row(_WAITING, {}, CallerLeft(), _WAITING),
    "a received item is promised": _row(_RECEIVED, _HELD, Promise(), _RECEIVED, promised=True),
    "a running item is promised": _row(_RUNNING, _HELD, Promise(), _RUNNING, promised=True),
    "a waiting item is promised again": _row(_WAITING, {}, Promise(), _WAITING),
    "the reply of a done item is unsettled": _row(_DONE, {}, SendUnsettled(), _UNCERTAIN, error="send_unsettled"),
    "another part is unsettled": _row(_UNCERTAIN, _ANSWERED, SendUnsettled(), _UNCERTAIN, error="send_unsettled"),
    "the reply of a done item is dead": _row(_DONE, {}, SendDead("refused"), _DEAD, error="refused"),
    "the reply of an uncertain item is dead": _row(_UNCERTAIN, _ANSWERED, SendDead("refused"), _DEAD, error="refused"),
    "another part is dead": _row(_DEAD, _ANSWERED, SendDead("refused"), _DEAD, error="refused"),
    "the reply of a done item is settled": _row(_DONE, {}, SendSettled(), _DONE),
    "the reply of an uncertain item is settled": _row(_UNCERTAIN, _ANSWERED, SendSettled(), _DONE, error=None),
    "the reply of a dead item is settled": _row(_DEAD, _ANSWERED, SendSettled(), _DONE, error=None),
    "a dead item is retried": _row(_DEAD, {"attempts": 5, "due_ms": 7}, Retry(), _RECEIVED, due_ms=0, **_AGAIN),
    "an uncertain item is retried": _row(_UNCERTAIN, {}, Retry(), _RECEIVED, **_AGAIN),
    "a dropped item is retried and promised": _row(_DROPPED, _HELD, Retry(), _RECEIVED, promised=True, **_AGAIN),
    "a dead reply is retried": _row(_DEAD, _ANSWERED, Retry(), _DONE, (Effect.RESEND,), error=None),
    "an uncertain reply is retried": _row(_UNCERTAIN, _ANSWERED, Retry(), _DONE, (Effect.RESEND,), error=None),
    "a dropped reply is retried": _row(_DROPPED, _ANSWERED, Retry(), _DONE, (Effect.RESEND,), error=None),
    "a received item is dropped": _row(_RECEIVED, {}, Drop(), _DROPPED, _GIVEN_UP, **_DROPPED_BY),
    "a waiting item is dropped": _row(_WAITING, {}, Drop(), _DROPPED, _GIVEN_UP, **_DROPPED_BY),
    "a dead item is dropped": _row(_DEAD, {}, Drop(), _DROPPED, (_RELEASE,), **_DROPPED_BY),
    "an uncertain item is dropped": _row(_UNCERTAIN, {}, Drop(), _DROPPED, (_RELEASE,), **_DROPPED_BY),
    "a running item is dropped": _row(_RUNNING, {}, Drop(), _DROPPED, (Effect.CANCEL_TURN, *_GIVEN_UP), owner="", **_DROPPED_BY),
}
"""Every row, both sides of every "if" in it."""

REFUSED: tuple[tuple[Item, Event], ...] = (
    *(
        (item_in(state), event)
        for state in State
        for event in EVENTS
        if not any(row.item.state is state and type(row.event) is type(event) for row in ROWS.values())
    ),
    *((item_in(_RUNNING, owner="boot-2"), event) for event in EVENTS[1:6]),
    *((item_in(state), event) for state in (_UNCERTAIN, _DEAD) for event in EVENTS[9:12]),
)
"""Every pair that is in no row, and the rows whose owner or answer is missing."""
