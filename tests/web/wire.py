"""One connection to a site, in memory: bytes in, answers out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from clawgate.web.channel import GatewayChannel
from clawgate.web.limits import Limits
from clawgate.web.request import GatewayRequest
from clawgate.web.site import GatewaySite

LIMITS = Limits(header_timeout_seconds=10, body_timeout_seconds=30, idle_timeout_seconds=60, max_body_bytes=1000, max_connections=0)


class Wire(StringTransport):
    """A transport that remembers how it was closed."""

    def __init__(self, peer: IAddress | None = None) -> None:
        super().__init__(peerAddress=peer)
        self.half_closed = self.aborted = False

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()

    @property
    def is_closing(self) -> bool:
        return self.disconnecting or self.half_closed or self.aborted


class Recorder(Resource):
    """Answers every request at once with what it saw, or keeps it when `holds`."""

    isLeaf = True
    renders_raw_path = True

    def __init__(self) -> None:
        super().__init__()
        self.holds = False
        self.held: list[GatewayRequest] = []
        self.seen: list[tuple[bytes, bytes, bytes]] = []

    def render(self, request: Any) -> int:  # Any: Resource.render is untyped upstream
        self.seen.append((request.method, request.uri, request.content.read()))
        if self.holds:
            self.held.append(request)
        else:
            request.answer(((b"Content-Type", b"text/plain"),), b"saw " + request.uri)
        return NOT_DONE_YET


class Reply(msgspec.Struct, frozen=True):
    status: int
    headers: dict[bytes, bytes]
    body: bytes


def replies(raw: bytes) -> list[Reply]:
    """Answers with a length or chunks, in order; fails on anything that is not a whole answer."""
    found = []
    while raw:
        head, end, raw = raw.partition(b"\r\n\r\n")
        assert end, head
        first, *lines = head.split(b"\r\n")
        status = int(first.split(b" ")[1])
        headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
        body = b""
        if headers.get(b"transfer-encoding") == b"chunked":
            size = -1
            while size:
                line, _, raw = raw.partition(b"\r\n")
                size = int(line, 16)
                body, raw = body + raw[:size], raw[size + 2 :]
        else:
            length = int(headers.get(b"content-length", b"0"))
            assert len(raw) >= length, (head, raw)
            body, raw = raw[:length], raw[length:]
        found.append(Reply(status, headers, body))
    return found


class Bench:
    """A site on a clock, with one connection open."""

    def __init__(self, limits: Limits = LIMITS, *, host: str = "192.0.2.1", resource: Any = None, **options: Any) -> None:  # Any: passed on
        self.clock = Clock()
        self.events: list[str] = []
        self.resource = resource or Recorder()
        self.site = GatewaySite(self.resource, limits, reactor=self.clock, on_event=self.events.append, **options)
        self.site.startFactory()
        self.channel, self.wire = self.connect(host)

    def connect(self, host: str) -> tuple[GatewayChannel, Wire]:
        channel = self.build(IPv4Address("TCP", host, 4000))
        assert isinstance(channel, GatewayChannel)
        wire = Wire(IPv4Address("TCP", host, 4000))
        channel.makeConnection(wire)
        return channel, wire

    def build(self, address: IAddress) -> Any:  # Any: a channel, or what turns the client away
        return self.site.buildProtocol(address)

    def send(self, data: bytes, deliver: Callable[[bytes], list[bytes]] | None = None) -> None:
        for piece in deliver(data) if deliver else [data]:
            self.channel.dataReceived(piece)

    def lose(self) -> None:
        self.channel.connectionLost(Failure(ConnectionDone()))

    @property
    def replies(self) -> list[Reply]:
        return replies(self.wire.value())

    @property
    def statuses(self) -> list[int]:
        return [reply.status for reply in self.replies]


def whole(data: bytes) -> list[bytes]:
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


POST = (
    b"POST /webhook?x=1&y=%20 HTTP/1.1\r\nHost: gate.example:3000\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n"
    + b'{"message":"hi"}'
)
GET = b"GET /health HTTP/1.1\r\nHost: gate.example\r\n\r\n"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n"
