"""Words to systemd (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawgate.system.notify import Heartbeat, Notifier
from clawgate.testing.clock import ManualClock


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = f"clawgate-test-{os.getpid()}"
    address = str(tmp_path / "notify") if request.param == "path" else "@" + name
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address if request.param == "path" else "\0" + name)
        listener.setblocking(False)
        yield listener, address


def test_each_message(manager: tuple[socket.socket, str]) -> None:
    listener, address = manager
    notifier = Notifier(address)
    assert all([notifier.ready(), notifier.ready("serving"), notifier.stopping(), notifier.alive(), notifier.status("3 turns\nleft")])
    heard = [listener.recv(4096) for _ in range(5)]
    assert heard == [b"READY=1", b"READY=1\nSTATUS=serving", b"STOPPING=1", b"WATCHDOG=1", b"STATUS=3 turns\\nleft"]


def test_reloading_carries_the_monotonic_clock(manager: tuple[socket.socket, str]) -> None:
    listener, address = manager
    assert Notifier(address).reloading()
    first, second = listener.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0


def test_the_environment_names_the_socket(manager: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch) -> None:
    listener, address = manager
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert Notifier().ready()
    assert listener.recv(4096) == b"READY=1"


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all", "@nobody-listens-here", "/" + "x" * 500, "/a\0b", "/\udcff"])
def test_nobody_listening_is_no_error(address: str) -> None:
    assert [Notifier(address).ready(), Notifier(address).status("x")] == [False, False]


def test_a_deaf_manager_does_not_block(manager: tuple[socket.socket, str]) -> None:
    _, address = manager
    notifier = Notifier(address)
    assert [notifier.alive() for _ in range(5000)].count(False) > 0


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [("", "", 0.0), ("30000000", "", 15.0), ("30000000", "own", 15.0), ("30000000", "1", 0.0), ("x", "", 0.0), ("-5", "", 0.0), ("5", "x", 0.0)],
)
def test_how_often_the_watchdog_wants_to_hear(monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, seconds: float) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert Notifier("").watchdog_seconds() == seconds


def test_heart_beats_as_often_as_asked_until_it_is_stopped(manager: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch) -> None:
    listener, address = manager
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    clock = ManualClock()
    heartbeat = Heartbeat(Notifier(address), clock)
    heartbeat.start()
    clock.advance(25)
    heartbeat.stop()
    clock.advance(100)
    assert [listener.recv(4096) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    with pytest.raises(BlockingIOError):
        listener.recv(4096)
    assert clock.pending == 0


def test_heart_is_still_when_nobody_asks(manager: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    clock = ManualClock()
    Heartbeat(Notifier(manager[1]), clock).start()
    assert clock.pending == 0
