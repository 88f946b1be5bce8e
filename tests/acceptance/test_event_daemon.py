"""`/api/events` and `/api/daemon/logs` of a real daemon, with a client that reads and one that does not (construct-realtime.md §7; design §6)."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.daemon import DEADLINE_SECONDS, Daemon

pytestmark = pytest.mark.acceptance
QUESTION = {"type": "human_approval_request", "run_id": "r", "step_id": "s"}


class Stream:
    """One event stream on a socket with a small buffer."""

    def __init__(self, daemon: Daemon, path: str, token: str) -> None:
        parts = urlsplit(daemon.url)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(DEADLINE_SECONDS)
        self.socket.connect((parts.hostname or "", parts.port))
        lines = [f"GET {path} HTTP/1.1", f"Host: {parts.netloc}", *([f"Authorization: Bearer {token}"] if token else []), "", ""]
        self.socket.sendall("\r\n".join(lines).encode())
        self.file = self.socket.makefile("rb")
        self.status = self.file.readline()  # it is open: what happens from now on is told

    def frames(self) -> Iterator[dict[str, Any]]:  # Any: JSON
        for line in self.file:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])

    def until(self, kind: str) -> list[dict[str, Any]]:  # Any: JSON
        """The frames up to and with the first of a kind."""
        seen = []
        for frame in self.frames():
            seen.append(frame)
            if frame["type"] == kind:
                return seen
        raise AssertionError(f"the stream ended before {kind}")

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    one = Daemon(tmp_path / "home").start()
    one.pair()
    yield one
    if one.process is not None and one.process.poll() is None:
        one.stop()


def test_a_turn_and_a_question_are_told_and_the_question_survives(daemon: Daemon) -> None:
    ticket = daemon.call("POST", "/api/events/ticket").json["ticket"]
    stream = Stream(daemon, f"/api/events?ticket={ticket}", "")
    assert stream.status == b"HTTP/1.1 200 OK\r\n"
    daemon.call("POST", "/webhook", {"message": "hi"})
    assert [frame["type"] for frame in stream.until("agent_end")][-3:] == ["agent_start", "llm_request", "agent_end"]
    assert daemon.call("POST", "/api/channel-events", QUESTION).json == {"ok": True}
    assert stream.until("human_approval_request")[-1]["run_id"] == "r"
    assert daemon.stop() == 0
    assert stream.file.read().endswith(b"0\r\n\r\n")
    stream.close()
    daemon.start()
    assert [one["run_id"] for one in daemon.call("GET", "/api/workflows/approvals").json["approvals"]] == ["r"]
    assert daemon.call("POST", "/api/workflows/runs/r/approve", {"approved": True}).json["message"] == "Workflow approved"


def test_a_client_that_does_not_read_misses_events_and_holds_nobody_up(daemon: Daemon) -> None:
    stream = Stream(daemon, "/api/events", daemon.token)
    payload = {"text": "x" * 60_000}
    for _ in range(100):
        assert daemon.call("POST", "/api/channel-events", payload).status == 200
    told = stream.until("lagged")
    daemon.call("POST", "/api/channel-events", QUESTION)
    told += stream.until("human_approval_request")
    heard = sum(1 for frame in told if frame["type"] == "channel_event" and frame["payload"] == payload)
    missed = sum(int(frame["missed"]) for frame in told if frame["type"] == "lagged")
    others = sum(1 for event in daemon.call("GET", "/api/events/history").json["events"] if event["type"] != QUESTION["type"])
    assert missed > 0
    assert 100 <= heard + missed <= 100 + others
    stream.close()


def test_the_log_is_told_without_the_token(daemon: Daemon) -> None:
    stream = Stream(daemon, "/api/daemon/logs", daemon.token)
    lines = []
    daemon.call("GET", "/no-such-path")
    for frame in stream.frames():
        lines.append(str(frame["line"]))
        if "/no-such-path 404" in lines[-1]:
            break
    stream.close()
    assert any("listening on" in line for line in lines)
    assert not [line for line in lines if daemon.token in line]
