"""Pieces that do not wait for the reactor (design §4.17)."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import tcp
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import implementer

from clawgate.web.at_once import waiting_bytes, write_at_once

Pair = tuple[tcp.Server, socket.socket, MemoryReactor]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    reactor = MemoryReactor()
    protocol = Protocol()
    server = tcp.Server(ours, protocol, ("127.0.0.1", 1), None, 1, reactor)  # type: ignore[arg-type]  # no port: nothing here asks for one
    protocol.makeConnection(server)
    for end in (ours, theirs):
        end.setblocking(False)
    yield server, theirs, reactor
    ours.close()
    theirs.close()


def drained(theirs: socket.socket, server: tcp.Server) -> bytes:
    got = b""
    for _ in range(1000):
        try:
            got += theirs.recv(1 << 20)
        except BlockingIOError:
            if not server.dataBuffer and not server._tempDataBuffer:
                return got
            server.doWrite()
    raise AssertionError("it never came to an end")


def test_a_piece_is_there_without_the_reactor(pair: Pair) -> None:
    server, theirs, reactor = pair
    write_at_once(server, b"piece")
    assert (theirs.recv(100), list(reactor.writers)) == (b"piece", [])


def test_what_the_socket_does_not_take_waits_and_keeps_its_place(pair: Pair) -> None:
    server, theirs, reactor = pair
    pieces = [bytes([number]) * 300_000 for number in range(8)]
    for piece in pieces:
        write_at_once(server, piece)
    assert list(reactor.writers) == [server]
    assert drained(theirs, server) == b"".join(pieces)


def test_what_was_written_before_goes_first(pair: Pair) -> None:
    server, theirs, _ = pair
    server.write(b"first")
    write_at_once(server, b"second")
    assert drained(theirs, server) == b"firstsecond"


def test_a_client_that_is_gone_is_the_reactors_to_find(pair: Pair) -> None:
    server, theirs, reactor = pair
    theirs.close()
    write_at_once(server, b"piece")
    assert list(reactor.writers) == [server]
    assert isinstance(server.doWrite(), Exception)


def test_after_a_half_close_nothing_is_sent_and_nothing_waits(pair: Pair) -> None:
    server, theirs, reactor = pair
    write_at_once(server, b"last")
    server.loseWriteConnection()
    server.doWrite()
    write_at_once(server, b"too late")
    assert (theirs.recv(100), theirs.recv(100), list(reactor.writers)) == (b"last", b"", [])


def test_what_comes_before_a_close_is_sent_before_it(pair: Pair) -> None:
    server, theirs, _ = pair
    server.loseConnection()
    write_at_once(server, b"last")
    assert isinstance(server.doWrite(), ConnectionDone)
    assert theirs.recv(100) == b"last"


def test_a_producer_is_paused_by_what_waits_and_goes_on_after_it(pair: Pair) -> None:
    server, theirs, _ = pair
    asked: list[str] = []

    @implementer(IPushProducer)
    class Producer:
        def pauseProducing(self) -> None:
            asked.append("pause")

        def resumeProducing(self) -> None:
            asked.append("resume")

        def stopProducing(self) -> None:
            asked.append("stop")

    server.registerProducer(Producer(), True)
    write_at_once(server, b"small")
    assert asked == []
    write_at_once(server, b"x" * 4_000_000)
    assert asked == ["pause"]
    drained(theirs, server)
    assert asked == ["pause", "resume"]


def test_what_waits_is_counted_below_tls_too_and_where_nobody_can_tell_it_is_nothing(pair: Pair) -> None:
    server, theirs, _ = pair
    wrapper: Any = ProtocolWrapper(None, Protocol())  # Any: it is untyped upstream
    wrapper.transport = server
    write_at_once(server, b"x" * 4_000_000)
    server.write(b"more")
    in_the_kernel = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            in_the_kernel += len(theirs.recv(1 << 20))
    assert waiting_bytes(server) == waiting_bytes(wrapper) == 4_000_004 - in_the_kernel > 0
    drained(theirs, server)
    assert waiting_bytes(server) == 0
    assert waiting_bytes(StringTransport()) == 0


def test_a_twisted_without_these_names_writes_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Server:
        connected, disconnecting, TLS, dataBuffer = 1, 0, False, b""
        written = b""

        def write(self, data: bytes) -> None:
            self.written += data

    monkeypatch.setattr(tcp, "Server", Server)
    server = Server()
    write_at_once(server, b"piece")
    assert server.written == b"piece"


def test_nothing_passes_by_tls(pair: Pair) -> None:
    server, theirs, _ = pair

    class Tls:
        """As Twisted's wrapper does, it lends every name of what it wraps."""

        written = b""

        def write(self, data: bytes) -> None:
            self.written += data

        def __getattr__(self, name: str) -> Any:
            return getattr(server, name)

    around, started = Tls(), Tls()
    write_at_once(around, b"secret")
    server.TLS, server.protocol = True, started  # type: ignore[assignment]  # as startTLS leaves it
    write_at_once(server, b"secret")
    assert (around.written, started.written) == (b"secret", b"secret")
    with pytest.raises(BlockingIOError):
        theirs.recv(100)
