"""What the road does with bytes that nobody should send, over real sockets: the contract's status, and a daemon that lives (zeroclaw.md A5)."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator

import pytest

from tests.acceptance.daemon import DEADLINE_SECONDS, Daemon, settings

pytestmark = pytest.mark.acceptance
HEAD = "POST /webhook HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
JSON = "Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("bad"), settings(gateway="header_timeout_secs = 1\nbody_timeout_secs = 1\nidle_timeout_secs = 2"))
    try:
        made.start().pair()
        yield made
        assert made.call("POST", "/webhook", {"message": "hello"}).status == 200
        assert made.stop() == 0
        log = made.printed + made.errors
        assert "Traceback" not in log
        assert made.token not in re.sub(r"TOKEN=.*", "", log)
    finally:
        made.close()


def exchange(daemon: Daemon, *pieces: bytes, half_close: bool = False) -> bytes:
    """Everything that comes back until the daemon closes."""
    with socket.create_connection(("127.0.0.1", int(daemon.url.rpartition(":")[2])), DEADLINE_SECONDS) as wire:
        wire.settimeout(DEADLINE_SECONDS)
        received = b""
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                wire.sendall(piece)
            if half_close:
                wire.shutdown(socket.SHUT_WR)
            while data := wire.recv(65536):
                received += data
        return received


def status(received: bytes) -> int:
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", received)
    return int(found[1]) if found else 0


def ask(daemon: Daemon, body: bytes, headers: str = JSON) -> bytes:
    head = HEAD.format(token=daemon.token) + headers + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return exchange(daemon, head.encode() + body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"message": 1}',
        b'{"message": null}',
        b'{"text": "x"}',
        b'{"message": "\xff"}',
        b'{"message": "\\ud800"}',
        b"[" * 60_000,
        b'{"message": "x"} trailing',
        b"\x00" * 100,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_is_no_message_is_400(daemon: Daemon, body: bytes) -> None:
    assert status(ask(daemon, body)) == 400


def test_a_message_may_be_any_text(daemon: Daemon) -> None:
    for body in (b'{"message": ""}', b'{"message": "\\u0000 \xf0\x9f\x9a\xaa \xe2\x80\xae"}', b'{"message": "' + b"x" * 65_000 + b'"}'):
        assert status(ask(daemon, body)) == 200


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        (b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(2000)) + b"\r\n", 431),
        (b"GET //health HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /../health HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GARBAGE\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else str(value),
)
def test_a_request_that_is_none_is_refused_and_its_connection_closed(daemon: Daemon, head: bytes, expected: int) -> None:
    received = exchange(daemon, head)
    assert status(received) == expected, received[:300]
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\n",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
def test_half_a_request_does_not_hold_its_connection(daemon: Daemon, sent: bytes) -> None:
    assert status(exchange(daemon, sent)) in (0, 408)


@pytest.mark.parametrize("cut", [20, 60, 120])
def test_a_client_that_half_closes_in_the_middle_leaves_nothing(daemon: Daemon, cut: int) -> None:
    whole = (HEAD.format(token=daemon.token) + JSON + "Content-Length: 18\r\n\r\n").encode() + b'{"message": "bye"}'
    before = daemon.call("GET", "/api/inbox?limit=500").json["items"]
    assert status(exchange(daemon, whole[:cut], half_close=True)) in (0, 400, 408)
    assert daemon.call("GET", "/api/inbox?limit=500").json["items"] == before


@pytest.mark.parametrize(
    "headers",
    [
        "X-Idempotency-Key: " + "k" * 9000 + "\r\n",
        "X-Idempotency-Key: \xff\xfe\r\n",
        "X-Idempotency-Key: a\r\nX-Idempotency-Key: b\r\n",
        "X-Session-Id: ../../etc/passwd\r\n",
        "X-Session-Id: " + "s" * 5000 + "\r\n",
        "X-Forwarded-For: " + "1.2.3.4, " * 400 + "\r\n",
        "Prefer: " + "respond-async;" * 500 + "\r\n",
        "Content-Encoding: gzip\r\n",
        "Expect: 100-continue\r\n",
    ],
    ids=lambda headers: headers[:30],
)
def test_hostile_headers_are_answered_and_never_break_the_handler(daemon: Daemon, headers: str) -> None:
    body = b'{"message": "hello"}'
    head = HEAD.format(token=daemon.token) + JSON + headers + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    received = exchange(daemon, head.encode("latin-1") + body).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert status(received) in (200, 202, 400, 415, 417, 431), received[:300]


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer \xff", "Bearer " + "z" * 7000, "Bearer zc_" + "0" * 64])
def test_what_is_no_token_is_401_before_the_body_is_looked_at(daemon: Daemon, authorization: str) -> None:
    head = f"POST /webhook HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nConnection: close\r\nContent-Length: 1\r\n\r\n{{"
    assert status(exchange(daemon, head.encode("latin-1"))) in (401, 429)


def test_memory_stays_where_it_is(daemon: Daemon) -> None:
    def batch() -> None:
        for _ in range(60):
            exchange(daemon, b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 200_000)
            exchange(daemon, b"GET /" + b"a" * 100_000)

    batch()
    before = daemon.rss_kib()
    batch()
    assert daemon.rss_kib() - before < 8_000
