"""The event bus (design §1, §6)."""

from __future__ import annotations

import pytest

from clawgate.domain.errors import Overloaded
from clawgate.domain.events import BusEvent
from clawgate.services.events import KEPT, MOST_WATCHERS, Events
from clawgate.testing.clock import ManualClock


def test_watchers_are_told_in_order_until_they_end() -> None:
    events, seen = Events(ManualClock()), list[BusEvent]()
    end = events.watch(seen.append)
    events.publish("task_created", {"id": "1"})
    events.publish("task_deleted", {"id": "1"})
    end()
    end()
    events.publish("task_created", {"id": "2"})
    assert [(event.number, event.kind) for event in seen] == [(1, "task_created"), (2, "task_deleted")]


def test_a_watcher_that_breaks_takes_nobody_along() -> None:
    events, seen = Events(ManualClock()), list[BusEvent]()

    def broken(event: BusEvent) -> None:
        raise RuntimeError

    events.watch(broken)
    events.watch(seen.append)
    events.publish("a", {})
    assert len(seen) == 1


def test_so_many_are_remembered_and_no_more() -> None:
    events = Events(ManualClock())
    for _ in range(KEPT + 5):
        events.publish("a", {})
    assert [event.number for event in events.recent()][:1] == [6]
    assert [event.number for event in events.recent(KEPT + 3)] == [KEPT + 4, KEPT + 5]


def test_watchers_are_bounded() -> None:
    events = Events(ManualClock())
    for _ in range(MOST_WATCHERS):
        events.watch(lambda event: None)
    with pytest.raises(Overloaded):
        events.watch(lambda event: None)


def test_what_nobody_watches_and_nobody_keeps_leaves_no_trace() -> None:
    events, seen = Events(ManualClock()), list[BusEvent]()
    events.publish("agent_start", {})
    assert (events.number, events.recent()) == (0, ())
    events.watch(seen.append)
    events.publish("agent_start", {}, "ann")
    assert [(event.number, event.principal) for event in seen] == [(1, "ann")]
    assert events.recent() == ()


def test_who_comes_back_late_is_told_how_many_are_forgotten_at_most() -> None:
    events = Events(ManualClock())
    for _ in range(KEPT + 5):
        events.publish("task_created", {})
    assert [events.forgotten_since(after) for after in (0, 2, 5, KEPT + 5, KEPT + 6)] == [0, 3, 0, 0, 0]


def test_a_number_of_an_earlier_process_gets_everything() -> None:
    events = Events(ManualClock())
    events.publish("task_created", {})
    assert [event.number for event in events.recent(500)] == [1]
