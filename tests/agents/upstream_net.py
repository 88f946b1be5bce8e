"""An in-memory upstream: byte pipes between a real `HttpClient` and either a real `Site` or a server that a test scripts byte by byte."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint, ITransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from clawgate.agents.http import HttpClient
from clawgate.testing.clock import ManualClock

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


@implementer(ITransport)
class End:
    """One end of a connection. What it writes arrives at the other end when the net is pumped."""

    disconnecting = False

    def __init__(self, net: Net) -> None:
        self.net = net
        self.protocol: Any = None
        self.other: End
        self.arrived: deque[bytes | None] = deque()  # None: the other end closed
        self.is_paused = self.is_closed = self.was_aborted = False

    def write(self, data: bytes) -> None:
        if not self.is_closed and data:
            self.other.arrived.append(bytes(data))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        self.disconnecting = True
        self.close(ConnectionDone())

    def abortConnection(self) -> None:
        self.was_aborted = True
        self.close(ConnectionAborted())

    def close(self, reason: Exception) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.other.arrived.append(None)
            self.net.later.append(lambda: self.protocol.connectionLost(Failure(reason)))

    def pauseProducing(self) -> None:
        self.is_paused = True

    def resumeProducing(self) -> None:
        self.is_paused = False

    def stopProducing(self) -> None:
        self.loseConnection()

    def registerProducer(self, producer: object, streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 4)

    getHost = getPeer

    def step(self) -> bool:
        """Hands over one piece. Returns whether there was one."""
        if self.is_closed or self.is_paused or not self.arrived:
            return False
        piece = self.arrived.popleft()
        if piece is None:
            self.close(ConnectionDone())
        else:
            self.protocol.dataReceived(piece)
        return True


@implementer(IStreamClientEndpoint)
class Net:
    """The endpoint of a client and the upstream behind it.

    Args:
        server: builds a protocol per connection; None refuses.
    """

    def __init__(self, server: Callable[[], Any] | None) -> None:
        self.server = server
        self.ends: list[tuple[End, End]] = []
        self.later: deque[Callable[[], object]] = deque()
        self.hangs = False

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        if self.hangs:
            return Deferred()
        if self.server is None:
            return fail(ConnectionRefusedError())
        ours, theirs = End(self), End(self)
        ours.other, theirs.other = theirs, ours
        ours.protocol, theirs.protocol = protocolFactory.buildProtocol(None), self.server()
        self.ends.append((ours, theirs))
        theirs.protocol.makeConnection(theirs)
        ours.protocol.makeConnection(ours)
        return succeed(ours.protocol)

    def pump(self, rounds: int = 10_000) -> None:
        for _ in range(rounds):
            moved = False
            for pair in tuple(self.ends):
                moved = sum(end.step() for end in pair) > 0 or moved
            while self.later:
                self.later.popleft()()
                moved = True
            if not moved:
                return
        raise AssertionError("the net never comes to rest")

    @property
    def open(self) -> list[tuple[End, End]]:
        return [pair for pair in self.ends if not pair[0].is_closed]


class Scripted(Protocol):
    """A server that keeps what it gets and says what it is told."""

    def __init__(self, on_request: Callable[[Scripted], None] | None = None) -> None:
        self.received = b""
        self.requests = 0
        self.is_lost = False
        self.on_request = on_request

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
        if found and len(body) >= length:
            self.last_head, self.last_body = head, body[:length]
            self.received = body[length:]
            self.requests += 1
            if self.on_request is not None:
                self.on_request(self)

    def say(self, *pieces: bytes) -> None:
        assert self.transport is not None
        for piece in pieces:
            self.transport.write(piece)

    def hang_up(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.is_lost = True


class Upstream:
    """A net of scripted servers.

    Args:
        on_request: what each server does with a whole request.
    """

    def __init__(self, on_request: Callable[[Scripted], None] | None = None) -> None:
        self.servers: list[Scripted] = []
        self.on_request = on_request
        self.net = Net(self._build)

    def _build(self) -> Scripted:
        self.servers.append(Scripted(self.on_request))
        return self.servers[-1]

    @property
    def requests(self) -> int:
        return sum(server.requests for server in self.servers)

    @property
    def last(self) -> Scripted:
        return self.servers[-1]


def client(net: Net, clock: ManualClock, **options: Any) -> HttpClient:
    settings: dict[str, Any] = {
        "base_url": "http://upstream.test:8080/v1",
        "max_inflight": 4,
        "idle_timeout_seconds": 30,
        "response_cap_bytes": 1 << 20,
        "endpoint": net,
    }
    return HttpClient(clock.reactor, clock, **{**settings, **options})


def answer(body: bytes, *, status: str = "200 OK", kind: str = "application/json", headers: tuple[str, ...] = ()) -> bytes:
    """A whole answer with a length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def stream_head(kind: str = "text/event-stream") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def streamed(body: bytes, size: int = 37) -> list[bytes]:
    """A whole stream, in chunks that cut lines and characters."""
    return [stream_head(), *(chunk(body[i : i + size]) for i in range(0, len(body), size)), b"0\r\n\r\n"]


def recorded_answer(name: str) -> Callable[[Scripted], None]:
    """Answers with a recorded file: a first line of status and type, a blank line, the body."""
    head, _, body = recorded(name).partition(b"\n\n")
    status, kind, *headers = head.decode().split("\n")
    if kind == "text/event-stream":
        return lambda server: server.say(*streamed(body))
    return lambda server: server.say(answer(body.strip(), status=status, kind=kind, headers=tuple(headers)))
