"""The control plane of a real daemon, asked as OpenClaw Enterprise's own client asks it (openclaw-enterprise.md §2, §7)."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.acceptance.daemon import DEADLINE_SECONDS, Daemon, settings, until

pytestmark = pytest.mark.acceptance
_CLIENT_SECONDS = 10.0
_FLOOD = 20 * 1024 * 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Plane:
    """A daemon with a control plane."""

    def __init__(self, home: Path, **env: str) -> None:
        self.port = free_port()
        self.daemon = Daemon(home, settings(), env={"WS_CONTROL_PORT": str(self.port)} | env)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/gateway"

    def scraped(self) -> str:
        """The token as scripts take it from stdout."""
        lines = [line for line in self.daemon.printed.splitlines() if line.startswith("   Token    : ")]
        return lines[-1].partition(": ")[2] if lines else ""

    def command(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "clawgate", *arguments, "--config", str(self.daemon.config)]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=True).stdout

    def ask(self, token: str, cmd: str, data: object = None) -> Any:
        """Upstream's client: one frame out, the first frame back is the reply, all within ten seconds."""
        with opened(self.url) as connection:
            return asked(connection, token, cmd, data)


def opened(url: str) -> ClientConnection:
    return connect(url, open_timeout=_CLIENT_SECONDS, max_size=None)


def asked(connection: ClientConnection, token: str, cmd: str, data: object = None) -> Any:
    connection.send(json.dumps({"token": token, "cmd": cmd} | ({"data": data} if data else {})))
    return json.loads(connection.recv(_CLIENT_SECONDS))


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    plane = Plane(tmp_path / "home", GEMINI_API_KEY="g-canary", GEMINI_MODEL="gemini-test")
    plane.daemon.start()
    try:
        until(plane.scraped, "the token is printed")
        yield plane
    finally:
        plane.daemon.close()


def test_upstreams_client_works_with_the_printed_token(plane: Plane) -> None:
    token = plane.scraped()

    assert plane.ask(token, "ping")["result"]["pong"] is True
    assert plane.ask(token, "switch_provider", {"provider": "gemini"})["result"] == {
        "previous": "offline",
        "active": "gemini",
        "model": "gemini-test",
    }
    assert plane.ask(token, "switch_provider", {"provider": "kimi"})["error"] == "Command failed: KimiProvider: MOONSHOT_API_KEY is not set"
    assert plane.ask(token, "status")["result"]["provider"] == "Gemini"
    assert plane.command("control", "token").strip() == token
    new = plane.ask(token, "rotate_token")["result"]["token"]
    assert plane.scraped() == plane.command("control", "token").strip() == new != token
    assert plane.ask(token, "ping")["error"].startswith("Unauthorised: Token JTI")
    assert token not in plane.daemon.errors
    assert plane.daemon.stop() == 0


def test_rotation_reaches_a_second_open_socket(plane: Plane) -> None:
    token = plane.scraped()
    with opened(plane.url) as first, opened(plane.url) as second:
        new = asked(first, token, "rotate_token")["result"]["token"]
        assert asked(second, token, "ping")["ok"] is False
        assert asked(second, new, "ping")["ok"] is True


def test_garbage_and_floods_leave_it_alive(plane: Plane) -> None:
    token = plane.scraped()
    host, port = urlsplit(plane.url).hostname, plane.port
    for garbage in (b"\x00\xff" * 20_000, b"GET / HTTP/1.1\r\n\r\n", b"GET /" + b"x" * 100_000):
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=_CLIENT_SECONDS) as raw:
            raw.sendall(garbage)
            raw.recv(100)
    with pytest.raises(ConnectionClosed) as too_large, opened(plane.url) as connection:
        connection.send("x" * _FLOOD)
        connection.recv(_CLIENT_SECONDS)
    assert too_large.value.rcvd is None or too_large.value.rcvd.code == 1009
    with pytest.raises(ConnectionClosed), opened(plane.url) as connection:
        for _ in range(1000):
            connection.send("null")
        while True:
            connection.recv(_CLIENT_SECONDS)
    assert plane.ask(token, "ping")["ok"] is True
    assert plane.daemon.call("GET", "/health").status == 200


def test_who_is_not_listed_is_refused_after_the_handshake(tmp_path: Path) -> None:
    plane = Plane(tmp_path / "home", TRUSTED_CLIENT_IPS="")
    plane.daemon.start()
    try:
        until(plane.scraped, "the token is printed")
        with pytest.raises(ConnectionClosed) as refused, opened(plane.url) as connection:
            connection.recv(_CLIENT_SECONDS)
        assert refused.value.rcvd is not None
        assert (refused.value.rcvd.code, refused.value.rcvd.reason) == (1008, "IP not permitted")
    finally:
        plane.daemon.close()


def test_a_taken_port_does_not_end_the_daemon(tmp_path: Path) -> None:
    plane = Plane(tmp_path / "home")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", plane.port))
        holder.listen()
        plane.daemon.start()
        try:
            component = plane.daemon.call("GET", "/health").json["runtime"]["components"]["control plane"]
            assert component["status"] == "error"
            assert f"127.0.0.1:{plane.port}" in component["last_error"]
        finally:
            plane.daemon.close()
