"""Who watches a turn or sits in a room, and one of them who breaks (services/streams.py, services/rooms.py)."""

from __future__ import annotations

import pytest
from twisted.logger import capturedLogs

from clawgate.domain.chat import ChatEvent, Taken
from clawgate.domain.turn import Delta, TurnEvent
from clawgate.services.rooms import Room
from clawgate.services.streams import Streams


def breaks(event: object) -> None:
    raise ValueError(event)


def test_one_who_breaks_keeps_no_other_from_watching_a_turn() -> None:
    streams = Streams()
    heard: list[TurnEvent] = []
    for watcher in (breaks, heard.append):
        streams.watch("1", watcher)
    with capturedLogs() as logged:
        streams.tell("1", Delta("x"))
        streams.tell("1", Delta("y"))
    assert heard == [Delta("x"), Delta("y")]
    assert [entry["item"] for entry in logged] == ["1", "1"]


def test_one_who_breaks_keeps_no_other_from_sitting_in_a_room() -> None:
    room = Room("s", "ann", 7, 0.0)
    heard: list[ChatEvent] = []
    room.listeners += [breaks, heard.append]
    with capturedLogs() as logged:
        room.tell(Taken("1"))
    assert heard == [ChatEvent(8, Taken("1"), 0)]
    assert [entry["session"] for entry in logged] == ["s"]


@pytest.mark.parametrize("ends", [1, 2])
def test_who_ends_watching_hears_nothing_more(ends: int) -> None:
    streams = Streams()
    heard: list[TurnEvent] = []
    end = streams.watch("1", heard.append)
    for _ in range(ends):
        end()
    streams.tell("1", Delta("x"))
    assert heard == []
