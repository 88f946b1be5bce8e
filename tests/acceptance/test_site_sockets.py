"""The site on real sockets: what a client reads that is refused while it still sends, slow senders, and a process out of descriptors."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.acceptance
DEADLINE_SECONDS = 15.0
SERVER = """
import resource, sys
files = int(sys.argv[1])
if files:
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
from twisted.internet import reactor
from twisted.python import log
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from clawgate.web.limits import Limits
from clawgate.web.site import GatewaySite

class Root(Resource):
    isLeaf = True
    renders_raw_path = True
    def render(self, request):
        request.answer((), b"len=%d" % len(request.content.read()))
        return NOT_DONE_YET

limits = Limits(header_timeout_seconds=0.3, body_timeout_seconds=0.3, idle_timeout_seconds=0.3, max_connections=0, max_connections_per_client=0)
if files:
    limits = Limits(header_timeout_seconds=60, max_connections=0, max_connections_per_client=0)
port = reactor.listenTCP(0, GatewaySite(Root(), limits, reactor=reactor), interface="127.0.0.1")
sys.stdout.write("%d\\n" % port.getHost().port)
sys.stdout.flush()
reactor.run()
"""


def serve(files: int) -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(files)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    yield from serve(0)


@pytest.fixture
def cramped_port() -> Iterator[int]:
    yield from serve(24)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)


def read_all(client: socket.socket) -> bytes:
    received = b""
    while piece := client.recv(65_536):
        received += piece
    return received


@pytest.mark.parametrize("framing", [b"Content-Length: 30000000", b"Transfer-Encoding: chunked"])
def test_client_still_sending_30_mb_reads_the_whole_413(port: int, framing: bytes) -> None:
    with connect(port) as client:
        client.sendall(b"POST /b HTTP/1.1\r\nHost: g\r\n" + framing + b"\r\n\r\n" + (b"1c9c380\r\n" if b"chunked" in framing else b""))
        for _ in range(30):
            client.sendall(b"x" * 1_000_000)
        client.shutdown(socket.SHUT_WR)
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 413 ") and answer.endswith(b'{"error":"Request body too large"}')


def trickle(client: socket.socket, data: bytes) -> float:
    """Sends a byte every 50 ms until the other end closes; seconds it took."""
    client.settimeout(0.05)
    started = time.monotonic()
    for index in range(int(DEADLINE_SECONDS / 0.05)):
        client.send(data[index % len(data) :][:1])
        try:
            if client.recv(1, socket.MSG_PEEK) is not None:
                break
        except TimeoutError:
            continue
    client.settimeout(DEADLINE_SECONDS)
    return time.monotonic() - started


def test_slow_head_is_a_408_at_its_deadline(port: int) -> None:
    with connect(port) as client:
        assert trickle(client, b"GET /" + b"a" * 1000) < 2
        assert read_all(client).startswith(b"HTTP/1.1 408 ")


def test_slow_body_is_a_408_at_its_deadline(port: int) -> None:
    with connect(port) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 5000\r\n\r\n")
        assert trickle(client, b"a") < 2
        assert read_all(client).startswith(b"HTTP/1.1 408 ")


def test_silent_and_idle_connections_are_closed(port: int) -> None:
    with connect(port) as client:
        assert read_all(client) == b""
    with connect(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: g\r\n\r\n")
        assert read_all(client).endswith(b"\r\n\r\nlen=0")


def test_accepting_survives_running_out_of_descriptors(cramped_port: int) -> None:
    crowd = [connect(cramped_port) for _ in range(60)]
    for client in crowd:
        client.close()
    for _ in range(100):
        try:
            with connect(cramped_port) as client:
                client.sendall(b"POST / HTTP/1.1\r\nHost: g\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab")
                if read_all(client).endswith(b"len=2"):
                    return
        except ConnectionError:
            continue
    pytest.fail("no request was answered after the crowd had gone")
