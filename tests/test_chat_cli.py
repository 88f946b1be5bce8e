"""`clawgate chat`: which frames end its own turn (design §4.16)."""

from __future__ import annotations

import io
import json
from typing import Any, cast

import pytest
from websockets.sync.client import ClientConnection

from clawgate.commands.conversation import _Talk

Frame = dict[str, Any]  # JSON
START: Frame = {"type": "session_start", "session_id": "s", "message_count": 0}
QUESTION: Frame = {"type": "message", "role": "user", "source": "api", "content": "who?", "seq": 1}


def turn(text: str, seq: int) -> list[Frame | None]:
    return [{"type": "chunk", "content": text, "seq": seq}, {"type": "done", "full_response": text, "seq": seq + 1}]


class Connection:
    """Frames that come; None = nothing more until the client has said something."""

    def __init__(self, *frames: Frame | None) -> None:
        self.frames = list(frames)
        self.sent: list[Frame] = []

    def recv(self, timeout: float | None = None) -> str:
        if not self.frames or (self.frames[0] is None and timeout is not None):
            raise TimeoutError
        frame = self.frames.pop(0)
        return self.recv(timeout) if frame is None else json.dumps(frame)

    def send(self, text: str) -> None:
        self.sent.append(json.loads(text))


def talked(monkeypatch: pytest.MonkeyPatch, connection: Connection, lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    _Talk(cast("ClientConnection", connection), lambda session, path: "").run()


def test_a_turn_of_another_door_that_stands_before_is_not_taken_for_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    connection = Connection(START, QUESTION, None, *turn("theirs", 2), *turn("ours", 4), None, *turn("again", 6))
    talked(monkeypatch, connection, "one\ntwo\n")
    assert capsys.readouterr().out.split() == ["[api,", "user:", "who?]", "theirs", "ours", "again"]
    assert connection.frames == []


def test_a_turn_that_another_door_begins_later_stands_behind_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection(START, None, QUESTION, *turn("ours", 2), *turn("theirs", 4), None, *turn("again", 6))
    talked(monkeypatch, connection, "one\ntwo\n")
    assert connection.frames == []
    assert [frame["type"] for frame in connection.sent] == ["connect", "message", "message"]


def test_a_refusal_of_our_own_message_is_not_another_turns_end(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal: Frame = {"type": "error", "message": "full", "code": "SESSION_QUEUE_FULL"}
    connection = Connection(START, QUESTION, None, refusal, None, *turn("theirs", 2), *turn("ours", 4))
    talked(monkeypatch, connection, "one\ntwo\n")
    assert connection.frames == []
