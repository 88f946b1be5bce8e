"""Very many who listen: idle WebSockets, and subscribers of the event stream. The clients are bare sockets, so that one core can be thousands of them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import resource
import select
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from tests.bench.load import Load
from tests.bench.servers import LOAD_CORE, Server, daemon

_OPENED_AT_ONCE = 50
_WAIT_SECONDS = 60.0
_OF_ONE_TOKEN = 50
"""Connections; the daemon lets one credential have a bounded share of all."""
_PONG = b"\x8a\x80\0\0\0\0"
_READ_BYTES = 64 * 1024
_SUBSCRIBE = (lambda _: "GET /api/events HTTP/1.1\r\n", b": open\n\n")
_EVENT = re.compile(rb'id: (\d+)\ndata: \{"payload":\{"sent":([\d.]+),')


class Idle(msgspec.Struct, frozen=True):
    """What sockets cost that say nothing; `pings` that the daemon sent meanwhile, `health_ms` what an answer took beside them."""

    kib_each: float
    pings: int
    health_ms: float


class FanOut(msgspec.Struct, frozen=True):
    """What became of the events; latencies in milliseconds from before publishing to after receiving, CPU as a share of its core."""

    received: int
    lost: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    server_cpu: float
    client_cpu: float


class Client:
    """One connection."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setblocking(False)
        self.received = b""


class Crowd:
    """Connections that one thread serves."""

    def __init__(self, server: Server, tokens: list[str]) -> None:
        parts = urlsplit(server.url)
        self.address = (str(parts.hostname), int(parts.port or 0))
        self.clients: dict[int, Client] = {}
        self._tokens, self._poll = tokens, select.epoll()

    def grow(self, count: int, head: Callable[[int], str], is_open: bytes) -> None:
        """Opens so many, some at a time, each until it has got `is_open`.

        Args:
            head: request line and headers, each with its line's end, of the connection of a number.
        """
        for first in range(0, count, _OPENED_AT_ONCE):
            fresh = set()
            for number in range(first, min(first + _OPENED_AT_ONCE, count)):
                client = Client(self.address)
                fresh.add(client.socket.fileno())
                self.clients[client.socket.fileno()] = client
                self._poll.register(client.socket.fileno(), select.EPOLLIN)
                bearer = self._tokens[number // _OF_ONE_TOKEN % len(self._tokens)]
                client.socket.sendall(f"{head(number)}Host: bench\r\nAuthorization: Bearer {bearer}\r\n\r\n".encode())
            self._await_opened(fresh, is_open)

    def _await_opened(self, fresh: set[int], is_open: bytes) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while fresh:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(fresh)} connections did not open: {self.clients[fresh.pop()].received[:200]!r}")
            for client, piece in self.heard(1.0):
                client.received += piece
                if is_open in client.received:
                    fresh.discard(client.socket.fileno())
                    client.received = b""

    def heard(self, seconds: float) -> Iterator[tuple[Client, bytes]]:
        """What has arrived, waiting for it up to so long. Raises RuntimeError: the server ended a connection."""
        for number, _ in self._poll.poll(seconds, 1024):
            piece = self.clients[number].socket.recv(_READ_BYTES)
            if not piece:
                raise RuntimeError("the server ended a connection")
            yield self.clients[number], piece

    def close(self) -> None:
        """Closes them all."""
        self._poll.close()
        for client in self.clients.values():
            client.socket.close()


@contextlib.contextmanager
def _crowd(server: Server, tokens: list[str]) -> Iterator[Crowd]:
    """A crowd on the load generator's core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {LOAD_CORE})
    crowd = Crowd(server, tokens)
    try:
        yield crowd
    finally:
        crowd.close()
        os.sched_setaffinity(0, cores)


@contextlib.contextmanager
def _crowded_daemon(directory: Path, count: int) -> Iterator[tuple[Server, list[str]]]:
    """A daemon for so many connections, and tokens for them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 100:
        raise RuntimeError(f"{count} connections need more open files: ulimit -Hn {count + 100}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    tokens = [f"zc_{hashlib.sha256(b'bench %d' % number).hexdigest()}" for number in range(-(-count // _OF_ONE_TOKEN))]
    with daemon(directory, tokens=tokens) as server:
        yield server, tokens


# -- idle WebSockets


def idle_sockets(directory: Path, path: str, count: int, hold_seconds: float) -> Idle:
    """Holds `count` open WebSockets that say nothing, but answer pings, for `hold_seconds`.

    Args:
        path: where to; "%d" stands for the connection's number.

    Raises:
        RuntimeError: one did not open or did not stay open.
    """
    key = base64.b64encode(b"sixteen octets..").decode()
    upgrade = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"

    def head(number: int) -> str:
        return f"GET {path.replace('%d', str(number))} HTTP/1.1\r\n{upgrade}"

    with _crowded_daemon(directory, count) as (server, tokens), _crowd(server, tokens) as crowd:
        crowd.grow(_OPENED_AT_ONCE, head, b'"type":')  # what the first ones load is no socket's
        _pongs(crowd, 1.0)
        before = server.rss_mib
        crowd.grow(count, lambda number: head(number + _OPENED_AT_ONCE), b'"type":')
        pings = _pongs(crowd, hold_seconds)
        return Idle((server.rss_mib - before) * 1024 / count, pings, _health_ms(server))


def _health_ms(server: Server) -> float:
    began = time.monotonic()
    with urllib.request.urlopen(server.url + "/health", timeout=10) as answer:
        answer.read()
    return (time.monotonic() - began) * 1000


def _pongs(crowd: Crowd, seconds: float) -> int:
    """Answers pings for so long; how many came."""
    pings, end = 0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for client, piece in crowd.heard(left):
            if piece.startswith(b"\x89"):
                client.socket.sendall(_PONG)
                pings += 1
    return pings


# -- subscribers


def fan_out(directory: Path, subscribers: int, per_second: int, seconds: float) -> FanOut:
    """Posts events to a daemon with so many subscribers, until every one has got all of them or ten seconds more have gone by."""
    with _crowded_daemon(directory, subscribers) as (server, tokens), _crowd(server, tokens) as crowd:
        crowd.grow(subscribers, *_SUBSCRIBE)
        return _measured(server, crowd, per_second, round(per_second * seconds))


def beside(directory: Path, subscribers: int, work: Callable[[Server], Load]) -> Load:
    """What `work` measures while so many subscribers read what it makes happen."""
    with _crowded_daemon(directory, subscribers) as (server, tokens), _crowd(server, tokens) as crowd, ThreadPoolExecutor(1) as pool:
        crowd.grow(subscribers, *_SUBSCRIBE)
        doing = pool.submit(work, server)
        while not doing.done():
            for _ in crowd.heard(0.05):
                pass
        return doing.result()


def _measured(server: Server, crowd: Crowd, per_second: int, count: int) -> FanOut:
    publisher = _Publisher(crowd.address)
    seen = dict.fromkeys(crowd.clients, 0)
    waits: list[float] = []
    began, cpu, own = time.monotonic(), server.cpu_seconds, time.process_time()
    posted, expected = 0, count * len(crowd.clients)
    while len(waits) < expected and time.monotonic() < began + count / per_second + 10:
        now = time.monotonic()
        if posted < count and now >= began + posted / per_second:
            publisher.post({"sent": now, "text": "x" * 100})
            posted += 1
        due = began + posted / per_second if posted < count else now + 0.5
        for client, piece in crowd.heard(max(0.0, due - now)):
            _take(client, piece, seen, waits)
    took = time.monotonic() - began
    waits.sort()
    return FanOut(
        received=len(waits),
        lost=expected - len(waits),
        p50_ms=waits[len(waits) // 2] * 1000,
        p99_ms=waits[int(len(waits) * 0.99)] * 1000,
        most_ms=waits[-1] * 1000,
        server_cpu=(server.cpu_seconds - cpu) / took,
        client_cpu=(time.process_time() - own) / took,
    )


def _take(client: Client, piece: bytes, seen: dict[int, int], waits: list[float]) -> None:
    now, data = time.monotonic(), client.received + piece
    number = seen[client.socket.fileno()]
    end = 0
    for found in _EVENT.finditer(data):
        end = found.end()
        if int(found[1]) <= number:
            raise RuntimeError(f"event {int(found[1])} came after event {number}")
        number = int(found[1])
        waits.append(now - float(found[2]))
    seen[client.socket.fileno()] = number
    client.received = data[max(end, len(data) - 80) :]  # an event may have begun that goes on in the next piece


class _Publisher:
    """Posts events on one kept connection, without waiting for the answers."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address)

    def post(self, event: dict[str, object]) -> None:
        """Sends one; reads what has been answered so far."""
        body = json.dumps(event, separators=(",", ":"))
        head = f"POST /api/channel-events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._socket.sendall((head + body).encode())
        with contextlib.suppress(BlockingIOError):
            answer = self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            if answer.count(b"HTTP/1.1 200") != answer.count(b"HTTP/1.1"):
                raise RuntimeError(f"an event was refused: {answer[:200]!r}")
