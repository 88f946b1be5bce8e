"""The agents' HTTP client on transports of Twisted's own: what their queues hide must not become somebody else's answer."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_http import Keeper
from twisted.internet import tcp
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from upstream_net import Net, answer, client
from zope.interface import implementer

from clawgate.testing.clock import ManualClock
from tests.certificates import Authority


class TlsServer(Protocol):
    """Scripted over TLS: what one `say` is told are records of their own that leave together."""

    def __init__(self, context: ssl.SSLContext, script: Callable[[TlsServer], None]) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._script, self._is_ready = script, False
        self.requests = 0

    def dataReceived(self, data: bytes) -> None:
        self._in.write(data)
        try:
            if not self._is_ready:
                self._tls.do_handshake()
                self._is_ready = True
            while self._tls.read(65536):
                self.requests += 1
                self._script(self)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        self.say()

    def say(self, *records: bytes) -> None:
        for record in records:
            self._tls.write(record)
        self.send(self._out.read())

    def say_and_close(self, record: bytes) -> None:
        self._tls.write(record)
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.unwrap()
        self.send(self._out.read())

    def send(self, data: bytes) -> None:
        assert self.transport is not None
        if data:
            self.transport.write(data)


@implementer(IStreamClientEndpoint)
class OverTls:
    """A net whose connections are TLS."""

    def __init__(self, net: Net, trusted: Path, clock: ManualClock) -> None:
        self._net, self._clock = net, clock
        self._options = optionsForClientTLS("localhost", trustRoot=Certificate.loadPEM(trusted.read_bytes()))

    def connect(self, protocolFactory: Any) -> Deferred[Any]:  # Any: as IStreamClientEndpoint has it
        wrapped: Deferred[Any] = self._net.connect(TLSMemoryBIOFactory(self._options, True, protocolFactory, clock=self._clock.reactor))
        return wrapped.addCallback(lambda tls: tls.wrappedProtocol)


class Secure:
    """A client, and servers that do as they are told with every request."""

    def __init__(self, directory: Path) -> None:
        authority = Authority(directory, "ours")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, authority.issue("server")))
        self.clock, self.servers = ManualClock(), list[TlsServer]()
        self.script: Callable[[TlsServer], None] = lambda server: server.say(answer(b"mine"))

        def build() -> TlsServer:
            self.servers.append(TlsServer(context, lambda server: self.script(server)))
            return self.servers[-1]

        self.net = Net(build)
        self.client = client(self.net, self.clock, max_inflight=1, endpoint=OverTls(self.net, authority.path, self.clock))

    def post(self) -> tuple[Keeper, Deferred[None]]:
        keeper = Keeper()
        return keeper, self.client.post("/x", {}, b"{}", keeper)

    def pump(self) -> None:
        for _ in range(20):
            self.net.pump()
            self.clock.advance(0.001)


@pytest.fixture
def secure(tmp_path: Path) -> Secure:
    return Secure(tmp_path)


def test_what_came_with_an_answer_in_records_of_its_own_is_not_the_next_request_s_answer(secure: Secure) -> None:
    secure.script = lambda server: server.say(answer(b"mine %d" % len(secure.servers)), answer(b"evil"))
    posts = [secure.post() for _ in range(3)]
    secure.pump()
    assert [(keeper.body, posted.called) for keeper, posted in posts] == [(b"mine %d" % number, True) for number in (1, 2, 3)]
    assert secure.net.open == []


def test_a_tls_connection_that_ends_with_its_answer_is_not_used_again(secure: Secure) -> None:
    secure.script = lambda server: server.say_and_close(answer(b"mine"))
    posts = [secure.post() for _ in range(2)]
    secure.pump()
    assert [keeper.body for keeper, _ in posts] == [b"mine", b"mine"]
    assert [server.requests for server in secure.servers] == [1, 1]


def test_a_tls_connection_is_used_again(secure: Secure) -> None:
    posts = [secure.post() for _ in range(3)]
    secure.pump()
    assert [keeper.body for keeper, _ in posts] == [b"mine"] * 3
    assert [server.requests for server in secure.servers] == [3]


Pair = tuple[tcp.Server, socket.socket]


class Sockets:
    """An endpoint whose connections are a pair of sockets each, of which the test has the far end."""

    def __init__(self) -> None:
        self.reactor = MemoryReactorClock()
        self.pairs: list[Pair] = []

    def connect(self, protocolFactory: Any) -> Deferred[Any]:  # Any: as IStreamClientEndpoint has it
        ours, theirs = socket.socketpair()
        protocol = protocolFactory.buildProtocol(None)
        for end in (ours, theirs):
            end.setblocking(False)
        transport = tcp.Server(ours, protocol, ("127.0.0.1", 1), None, 1, self.reactor)  # type: ignore[arg-type]  # no port: nothing here asks for one
        transport.setTcpNoDelay = lambda enabled: None  # type: ignore[method-assign]  # these have no delays
        self.pairs.append((transport, theirs))
        protocol.makeConnection(transport)
        return succeed(protocol)

    def close(self) -> None:
        for transport, theirs in self.pairs:
            transport.socket.close()
            theirs.close()


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    found = Sockets()
    yield found
    found.close()


def test_an_answer_before_its_request_has_left_ends_the_connection(sockets: Sockets) -> None:
    keeper = Keeper()
    upstream = client(Net(None), ManualClock(), endpoint=sockets)
    posted = upstream.post("/x", {}, b"x" * (8 << 20), keeper)
    [(transport, theirs)] = sockets.pairs
    transport.doWrite()
    assert transport.dataBuffer
    theirs.send(answer(b"too much", status="413 Content Too Large"))
    transport.doRead()
    assert (keeper.status, keeper.body, posted.called) == (413, b"too much", True)
    upstream.post("/x", {}, b"{}", Keeper())
    assert len(sockets.pairs) == 2


def test_a_request_that_took_a_while_to_leave_does_not_end_the_connection(sockets: Sockets) -> None:
    upstream = client(Net(None), ManualClock(), endpoint=sockets)
    upstream.post("/x", {}, b"x" * (8 << 20), Keeper())
    [(transport, theirs)] = sockets.pairs
    left = 8 << 20
    while transport.dataBuffer or transport._tempDataBuffer or left > 0:
        transport.doWrite()
        try:
            left -= len(theirs.recv(1 << 20))
        except BlockingIOError:
            break
    theirs.send(answer(b"whole"))
    transport.doRead()
    upstream.post("/x", {}, b"{}", Keeper())
    assert len(sockets.pairs) == 1


def test_a_connection_that_is_not_quiet_stays_the_client_s_to_end(sockets: Sockets) -> None:
    clock = ManualClock()
    upstream = client(Net(None), clock, endpoint=sockets)
    upstream.post("/x", {}, b"{}", Keeper())
    [(first, theirs)] = sockets.pairs
    theirs.send(answer(b"one"))
    first.doRead()
    theirs.send(b"not read before the next request is sent")
    upstream.post("/x", {}, b"{}", Keeper())
    assert len(sockets.pairs) == 2
    upstream.stop()
    assert [transport._aborting for transport, _ in sockets.pairs] == [True, True]


def test_transports_have_the_private_names_we_look_at(sockets: Sockets, secure: Secure) -> None:
    client(Net(None), ManualClock(), endpoint=sockets).post("/x", {}, b"x" * (8 << 20), Keeper())
    transport: Any = sockets.pairs[0][0]  # Any: whose queues no interface names
    assert (len(transport.dataBuffer), bool(transport._tempDataBuffer)) == (0, True)
    transport.doWrite()
    assert (len(transport.dataBuffer) > 0, transport._tempDataBuffer) == (True, [])
    secure.post()
    tls: Any = secure.net.ends[0][0].protocol
    assert isinstance(tls, TLSMemoryBIOProtocol)
    assert tls._appSendBuffer == []
    secure.clock.advance(0.001)
    assert len(tls._appSendBuffer) == 1  # until the handshake is done
