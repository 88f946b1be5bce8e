"""`/ws/chat` with a real client against a real daemon, and `clawgate chat` on a pipe (construct-realtime.md §12; zeroclaw.md B5; design §4.16)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.acceptance.daemon import DEADLINE_SECONDS, Daemon, Upstream, settings, until

pytestmark = pytest.mark.acceptance
SESSION = "11111111-1111-4111-8111-111111111111"
Frame = dict[str, Any]  # JSON


def remembers(request: Frame) -> Frame:
    """A model that stores a note when asked to, and then says so."""
    last = request["messages"][-1]
    if last["role"] == "tool":
        return {"content": "noted"}
    if "note" not in last["content"]:
        return {"content": f"re {last['content']}"}
    arguments = '{"key":"n1","content":"tea"}'
    return {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "memory_store", "arguments": arguments}}]}


class House:
    """A daemon and its model."""

    def __init__(self, home: Path) -> None:
        self.upstream = Upstream()
        self.upstream.delta = remembers
        self.daemon = Daemon(home / "home", settings(self.upstream.provider, more='[autonomy]\nalways_ask = ["memory_store"]'))
        self.daemon.start().pair()

    def connect(self, query: str = "", dialect: str = "construct.v1") -> ClientConnection:
        url = "ws" + self.daemon.url.removeprefix("http") + f"/ws/chat?session_id={SESSION}{query}"
        return connect(url, subprotocols=[Subprotocol(dialect), Subprotocol(f"bearer.{self.daemon.token}")], proxy=None)

    def messages(self) -> list[str]:
        return [line["content"] for line in self.daemon.call("GET", f"/api/sessions/{SESSION}/messages").json["messages"]]

    def chat(self, *arguments: str) -> subprocess.Popen[str]:
        """`clawgate chat` with pipes."""
        command = [sys.executable, "-m", "clawgate", "chat", "--config", str(self.daemon.config), *arguments]
        env = {"PATH": os.environ["PATH"], "HOME": str(self.daemon.home), "PYTHONIOENCODING": "utf-8", "CLAWGATE_TOKEN": self.daemon.token}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=env, text=True, cwd=self.daemon.home)

    def close(self) -> None:
        self.daemon.close()
        self.upstream.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with closing(House(tmp_path)) as made:
        yield made


def frame(socket: ClientConnection) -> Frame:
    return dict(json.loads(socket.recv(timeout=DEADLINE_SECONDS)))


def frames(socket: ClientConnection, last: str) -> list[Frame]:
    """Up to the first frame of a type."""
    found = [frame(socket)]
    while found[-1]["type"] != last:
        found.append(frame(socket))
    return found


def send(socket: ClientConnection, **fields: object) -> None:
    socket.send(json.dumps(fields))


@pytest.mark.parametrize("dialect", ["construct.v1", "zeroclaw.v1"])
def test_a_turn_with_a_question_over_a_real_socket(house: House, dialect: str) -> None:
    with house.connect(dialect=dialect) as socket:
        assert socket.subprotocol == dialect
        assert frame(socket)["type"] == "session_start"
        send(socket, type="connect")
        assert frame(socket)["type"] == "connected"
        send(socket, type="message", content="note tea")
        send(socket, type="approval_response", request_id=frames(socket, "approval_request")[-1]["request_id"], decision="approve")
        kinds = [each["type"] for each in frames(socket, "done")]
        assert kinds == ["tool_call", "tool_result", "chunk", *(["chunk_reset"] if dialect == "construct.v1" else []), "done"]
    assert house.messages() == ["note tea", "noted"]


def test_a_connection_that_breaks_is_taken_up_again(house: House) -> None:
    with house.connect() as socket:
        send(socket, type="message", content="note tea")
        seen = frames(socket, "approval_request")
        socket.socket.shutdown(SHUT_RDWR)
    with house.connect(f"&last_seq={seen[-1]['seq']}") as again:
        send(again, type="approval_response", request_id=seen[-1]["request_id"], decision="approve")
        assert frame(again)["missed"] is False
        rest = frames(again, "done")
    assert [each["type"] for each in rest] == ["tool_call", "tool_result", "chunk", "chunk_reset", "done"]
    assert rest[0]["seq"] > seen[-1]["seq"]


def test_a_killed_daemon_finishes_the_turn_and_keeps_the_session(house: House) -> None:
    with house.connect() as socket:
        send(socket, type="message", content="one")
        last = frames(socket, "done")[-1]["seq"]
        house.upstream.gate.clear()
        send(socket, type="message", content="two")
        until(lambda: house.upstream.asked[-1:] == ["two"], "the second turn runs")
        house.daemon.kill()
        with pytest.raises(ConnectionClosed):
            frames(socket, "never")
    house.upstream.gate.set()
    house.daemon.start()
    with house.connect(f"&last_seq={last}") as again:
        start = frame(again)
        assert (start["resumed"], start["missed"]) == (True, True)
    until(lambda: house.messages() == ["one", "re one", "two", "re two"], "the turn is finished")


def test_the_command_line_talks_asks_and_leaves(house: House) -> None:
    (house.daemon.home / "list.txt").write_text("buy milk")
    talk = house.chat("--session", SESSION)
    out, err = talk.communicate("hello\nnote tea\ny\n/attach list.txt\nbye\n", timeout=DEADLINE_SECONDS)
    assert (talk.returncode, err.splitlines()[0].split(",")[0]) == (0, f"session {SESSION}")
    assert [line for line in out.splitlines() if line] == [
        "re hello",
        '[memory_store {"content": "tea", "key": "n1"}]',
        "[memory_store: remembered as n1]",
        "noted",
        "re [Attached file: list.txt (8 bytes, text/plain)]",
        "buy milk",
        "[End of file: list.txt]",
        "bye",
    ]
    assert house.messages()[-2] == "bye"


def test_the_command_line_goes_to_a_url_with_a_token_and_says_who_refuses(house: House) -> None:
    (house.daemon.home / "a b.bin").write_bytes(b"\0" * 100_000)
    talk = house.chat("--url", house.daemon.url)
    out, err = talk.communicate("/attach a b.bin\n/attach gone\nhello\n", timeout=DEADLINE_SECONDS)
    binary = "[Attached binary file: a b.bin (100000 bytes, application/octet-stream) — content not inlined]"
    assert [line for line in out.splitlines() if line] == [f"re {binary}", "hello"]
    assert err.splitlines()[1:] == ["a b.bin goes with the next message", "gone: No such file or directory"]
    house.daemon.token = "wrong"
    talk = house.chat("--url", house.daemon.url)
    err = talk.communicate("hello\n", timeout=DEADLINE_SECONDS)[1]
    assert (talk.returncode, err.startswith("clawgate: Unauthorized")) == (1, True)


def test_an_interrupt_gives_the_turn_up_and_the_talk_goes_on(house: House) -> None:
    house.upstream.gate.clear()
    talk = house.chat()
    assert talk.stdin is not None
    talk.stdin.write("slow\n")
    talk.stdin.flush()
    until(lambda: house.upstream.asked == ["slow"], "the turn runs")
    talk.send_signal(signal.SIGINT)
    until(lambda: house.daemon.call("GET", "/api/inbox?state=dropped").json["items"], "the turn is given up")
    house.upstream.gate.set()
    out, _ = talk.communicate("next\n", timeout=DEADLINE_SECONDS)
    assert (talk.returncode, [line for line in out.splitlines() if line]) == (0, ["(given up)", "re next"])


def test_the_command_line_says_when_nobody_is_there(house: House) -> None:
    house.daemon.stop()
    talk = house.chat()
    assert "no daemon is running" in talk.communicate("", timeout=DEADLINE_SECONDS)[1]
    assert talk.returncode == 69
    talk = house.chat("--url", "http://127.0.0.1:1")
    assert talk.communicate("", timeout=DEADLINE_SECONDS)[1].startswith("clawgate: no connection")
    assert talk.returncode == 69
