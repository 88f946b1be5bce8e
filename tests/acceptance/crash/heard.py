"""What a subscriber was told, held against what is on disk (docs/howto/subscriptions.md).

once at least     each outcome of a message is told, also when the process dies in between
one id            the copies of an event have one id, and say the same; no event comes under two
in order          once the next event has come, none before it comes again; and conversations end in their order
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby

from tests.acceptance.crash.house import House
from tests.acceptance.crash.peers import Heard
from tests.acceptance.crash.rows import Row

_OPEN = ("received", "running", "waiting")
_PREFIX = "message_"
_AFTER_DONE = ("uncertain", "dead")
"""What a message that was answered comes to when its reply does."""


def unheard(house: House, found: Sequence[Row]) -> list[str]:
    """Messages with an outcome that nobody was told."""
    told = {(event.item, event.kind) for event in house.subscriber.heard}
    return [f"{row.text}: {row.state}" for row in found if row.state not in _OPEN and (row.id, _PREFIX + row.state) not in told]


def misheard(house: House, found: Sequence[Row]) -> list[str]:
    """Events that are not what is on disk, came under two ids, with two contents, or out of order."""
    heard, by_id = tuple(house.subscriber.heard), {row.id: row for row in found}
    events = tuple(dict.fromkeys(heard))
    wrong = [f"{event}: says something else" for event in events if not _is_true(event, by_id.get(event.item))]
    wrong += [f"{event}: another under its id" for event in _again(events)]
    return wrong + _two_outcomes(events, by_id) + _out_of_order(heard) + _lines_out_of_order(events, by_id)


def _is_true(event: Heard, row: Row | None) -> bool:
    return row is not None and (event.answer == row.answer if event.kind == "message_done" else event.answer in (None, row.answer))


def _again(events: Sequence[Heard]) -> list[Heard]:
    """Those that share their id with one before, and are not copies of it."""
    first = {event.id: event for event in reversed(events)}
    return [event for event in events if first[event.id] != event]


def _two_outcomes(events: Sequence[Heard], by_id: dict[str, Row]) -> list[str]:
    """Items that came to more than one end, other than a reply that went wrong, or not to that which is on disk."""
    ends: dict[str, list[str]] = defaultdict(list)
    for event in events:
        ends[event.item].append(event.kind.removeprefix(_PREFIX))
    return [f"{item}: {states}" for item, states in ends.items() if not _is_one_end(states) or item not in by_id or by_id[item].state != states[-1]]


def _is_one_end(states: Sequence[str]) -> bool:
    return len(states) == 1 or (len(states) == 2 and states[0] == "done" and states[1] in _AFTER_DONE)


def _out_of_order(heard: Sequence[Heard]) -> list[str]:
    """Events that came again after one that was behind them."""
    runs = [event for event, _ in groupby(heard)]
    return [f"{event}: came again later" for number, event in enumerate(runs) if event in runs[:number]] if len(runs) > len(set(runs)) else []


def _lines_out_of_order(events: Sequence[Heard], by_id: dict[str, Row]) -> list[str]:
    """Conversations whose messages did not end in their order."""
    ended: dict[str, list[str]] = defaultdict(list)
    for event in events:
        conversation = by_id[event.item].conversation if event.item in by_id else None
        if conversation is not None and event.item not in ended[conversation]:
            ended[conversation].append(event.item)
    return [f"{conversation}: ended out of order" for conversation, items in ended.items() if items != sorted(items)]
