"""Revoking against a real daemon: by its command line, and by taking a hash out of `config.toml`. Source: design §4.8, §4.10, §6."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from clawgate.domain.tokens import token_hash
from tests.acceptance.daemon import DEADLINE_SECONDS, Daemon, ask_on, until

pytestmark = pytest.mark.acceptance
LISTING = "/api/devices"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "home").start()
    yield made
    made.close()


def clawgate(daemon: Daemon, *arguments: str) -> str:
    """What a command of the operator's says."""
    command = [sys.executable, "-m", "clawgate", *arguments, "--config", str(daemon.config), "--json"]
    env = {"HOME": str(daemon.home), "PATH": "/usr/bin:/bin", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=daemon.home, timeout=DEADLINE_SECONDS, check=False)
    assert done.returncode == 0, done
    return done.stdout


def second_token(daemon: Daemon) -> str:
    """Another device, by a code of the operator's."""
    code = json.loads(clawgate(daemon, "pair"))["pairing_code"]
    return str(daemon.call("POST", "/pair", headers={"X-Pairing-Code": code}).json["token"])


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    """What is closed at the end."""
    with ExitStack() as stack:
        yield stack


def kept(daemon: Daemon, closing: ExitStack) -> http.client.HTTPConnection:
    parts = urlsplit(daemon.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=DEADLINE_SECONDS)
    closing.callback(connection.close)
    return connection


def status_on(connection: http.client.HTTPConnection, token: str) -> int:
    return ask_on(connection, "GET", LISTING, headers={"Authorization": f"Bearer {token}"}).status


def request_of(token: str, path: str = LISTING) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


class Raw:
    """A socket that says what it is told and reads what comes."""

    def __init__(self, daemon: Daemon, closing: ExitStack) -> None:
        parts = urlsplit(daemon.url)
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 0), DEADLINE_SECONDS)
        closing.callback(self.socket.close)
        self.read = b""

    def more(self) -> bool:
        """Whether anything else came; False = the connection has ended."""
        data = self.socket.recv(65_536)
        self.read += data
        return bool(data)

    def until(self, pattern: bytes) -> None:
        while not re.search(pattern, self.read):
            assert self.more(), self.read


def test_device_revoked_by_the_command_line_is_out_on_every_connection(daemon: Daemon, closing: ExitStack) -> None:
    daemon.pair()
    doomed = second_token(daemon)
    connection, stream, pipe = kept(daemon, closing), Raw(daemon, closing), Raw(daemon, closing)
    assert status_on(connection, doomed) == 200
    stream.socket.sendall(request_of(doomed, "/api/events"))
    stream.until(rb": open")
    pipe.socket.sendall(request_of(doomed) + request_of(doomed)[:-2])  # the second one has yet to end
    pipe.until(rb"HTTP/1.1 200")

    devices = {device["id"] for device in daemon.call("GET", LISTING).json["devices"]}
    own = next(device["id"] for device in json.loads(clawgate(daemon, "devices", "list"))["devices"])
    assert own in devices
    clawgate(daemon, "devices", "revoke", own)

    assert status_on(connection, doomed) == 401
    pipe.socket.sendall(b"\r\n" + request_of(doomed))
    pipe.until(rb"(?s)HTTP/1.1 401.*HTTP/1.1 401")
    while b"\r\n0\r\n\r\n" not in stream.read and stream.more():
        pass
    assert b"\r\n0\r\n\r\n" in stream.read
    assert daemon.call("GET", LISTING).status == 200


def test_hash_taken_out_of_the_file_is_out_at_the_reload(daemon: Daemon, closing: ExitStack) -> None:
    daemon.pair()
    doomed = second_token(daemon)
    connection = kept(daemon, closing)
    assert status_on(connection, doomed) == 200
    until(lambda: token_hash(doomed) in daemon.config.read_text(), "the hash is in the file")
    text = re.sub(rf'"{token_hash(doomed)}",?\s*', "", daemon.config.read_text())
    daemon.config.write_text(text)
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: status_on(connection, doomed) == 401, "the token is dead")
    assert status_on(connection, daemon.token) == 200
    daemon.kill()
    daemon.start()
    again = kept(daemon, closing)
    assert (status_on(again, doomed), status_on(again, daemon.token)) == (401, 200)
