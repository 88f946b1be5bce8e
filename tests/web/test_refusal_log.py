"""What the log says of refused requests."""

from __future__ import annotations

from twisted.logger import capturedLogs, formatEvent

from clawgate.testing.gateway import MemoryGateway
from clawgate.web.refusals import MOST_A_SECOND


def _lines(gate: MemoryGateway, count: int, path: str = "/webhook") -> list[str]:
    with capturedLogs() as events:
        for _ in range(count):
            gate.client.post(path, {"message": "hi"}, token="nobody")
    return [line for event in events if (line := formatEvent(event)) and ("POST" in line or "refused" in line)]


def _told(gate: MemoryGateway, seconds: float) -> list[str]:
    with capturedLogs() as events:
        gate.clock.advance(seconds)
    return [formatEvent(event) for event in events if "refused" in formatEvent(event)]


def test_each_refusal_is_a_line() -> None:
    gate = MemoryGateway()
    gate.pair()
    lines = _lines(gate, 3, "/nowhere")
    assert len(lines) == 3
    assert all(line.endswith(" POST /nowhere 404 203.0.113.9") for line in lines)


def test_a_flood_is_told_once_a_second_with_its_numbers() -> None:
    gate = MemoryGateway()
    gate.pair()
    assert len(_lines(gate, MOST_A_SECOND + 7, "/nowhere")) == MOST_A_SECOND
    _lines(gate, 2, "/webhook")
    assert _told(gate, 1.0) == ["9 more requests were refused within a second: 2 × 401, 7 × 404"]
    assert _told(gate, 5.0) == []


def test_after_a_flood_each_refusal_is_a_line_again() -> None:
    gate = MemoryGateway()
    gate.pair()
    _lines(gate, MOST_A_SECOND + 1, "/nowhere")
    gate.clock.advance(1.0)
    assert len(_lines(gate, 1, "/nowhere")) == 1


def test_no_timer_is_left_by_a_refusal_that_was_noted() -> None:
    gate = MemoryGateway()
    gate.pair()
    before = gate.clock.pending
    _lines(gate, 1, "/nowhere")
    assert gate.clock.pending == before
