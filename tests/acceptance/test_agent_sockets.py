"""The agents' HTTP client over real sockets: TLS that is not trusted, a refused port, cancelling, warm connections, answers nobody asked for."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import reactor, ssl
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol

from clawgate.agents.http import HttpClient
from clawgate.agents.http_exchange import HeaderLookup
from clawgate.agents.openai import openai_backend
from clawgate.agents.vendor import VendorBackend
from clawgate.domain.errors import AgentUnavailable
from clawgate.domain.secret import Secret
from clawgate.system.clock import SystemClock
from clawgate.testing.agents import ListSink, prompt

pytestmark = pytest.mark.acceptance

DEADLINE_SECONDS = 10
T = TypeVar("T")
EVENT = b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":%s}]}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Server(Protocol):
    """Streams one event and waits, or a whole answer."""

    def connectionMade(self) -> None:
        self.factory.seen.append("open")  # type: ignore[attr-defined, union-attr]  # the factory below

    def dataReceived(self, data: bytes) -> None:
        self.factory.seen.append("bytes")  # type: ignore[attr-defined, union-attr]  # as above
        assert self.transport is not None
        self.transport.write(HEAD)
        if self.factory.is_slow:  # type: ignore[attr-defined, union-attr]  # as above
            self.transport.write(chunk(EVENT % b"null"))
        else:
            self.transport.write(chunk(EVENT % b'"stop"') + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    def connectionLost(self, reason: object = None) -> None:  # type: ignore[override]  # only noted
        self.factory.seen.append("lost")  # type: ignore[attr-defined, union-attr]  # as above


class Servers(Factory):
    noisy = False
    protocol = Server

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.is_slow = False


def within(deferred: Deferred[T]) -> Deferred[T]:
    return deferred.addTimeout(DEADLINE_SECONDS, reactor)


async def until(is_so: Callable[[], bool]) -> None:
    clock = SystemClock(reactor)
    deadline = clock.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert clock.monotonic() < deadline, "it never happened"
        await clock.sleep(0.01)


def backend(url: str) -> VendorBackend:
    clock = SystemClock(reactor)
    http = HttpClient(reactor, clock, base_url=url, max_inflight=2, idle_timeout_seconds=30, response_cap_bytes=1 << 20)
    return openai_backend("custom", http, clock, model="m", key=Secret("sk-canary"))


@pytest.fixture
def servers() -> Servers:
    return Servers()


@pytest.fixture
def plain(servers: Servers) -> Iterator[IListeningPort]:
    port = reactor.listenTCP(0, servers, interface="127.0.0.1")  # type: ignore[attr-defined]  # the reactor module
    yield port
    pytest_twisted.blockon(port.stopListening())


@pytest.fixture
def tls(servers: Servers) -> Iterator[IListeningPort]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    options = ssl.PrivateCertificate.loadPEM(pem).options()
    port = reactor.listenSSL(0, servers, options, interface="127.0.0.1")  # type: ignore[attr-defined]  # the reactor module
    yield port
    pytest_twisted.blockon(port.stopListening())


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # Twisted's own way of making a context
@pytest_twisted.ensureDeferred
async def test_a_certificate_that_is_not_trusted_gets_nothing(servers: Servers, tls: IListeningPort) -> None:
    agent = backend(f"https://127.0.0.1:{tls.getHost().port}/v1")
    with pytest.raises(AgentUnavailable) as caught:
        await within(agent.run(prompt(), ListSink()))
    assert "certificate" in caught.value.detail
    await within(agent.stop())
    await until(lambda: servers.seen.count("lost") == servers.seen.count("open"))
    assert "bytes" not in servers.seen


@pytest_twisted.ensureDeferred
async def test_a_port_where_nobody_listens_is_unavailable() -> None:
    port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")  # type: ignore[attr-defined]  # the reactor module
    number = port.getHost().port
    await port.stopListening()
    with pytest.raises(AgentUnavailable):
        await within(backend(f"http://127.0.0.1:{number}").run(prompt(), ListSink()))


@pytest_twisted.ensureDeferred
async def test_cancelling_closes_the_connection(servers: Servers, plain: IListeningPort) -> None:
    servers.is_slow = True
    sink = ListSink()
    running = backend(f"http://127.0.0.1:{plain.getHost().port}").run(prompt(), sink)
    await until(lambda: bool(sink.deltas))
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    await until(lambda: servers.seen[-1] == "lost")


@pytest_twisted.ensureDeferred
async def test_one_connection_serves_many_and_stopping_closes_it(servers: Servers, plain: IListeningPort) -> None:
    agent = backend(f"http://localhost:{plain.getHost().port}/v1")
    for _ in range(5):
        assert (await within(agent.run(prompt(), ListSink()))).text == "hi"
    assert servers.seen.count("open") == 1
    await within(agent.stop())
    await until(lambda: servers.seen[-1] == "lost")


class Keeper:
    """A receiver that keeps the body."""

    def __init__(self) -> None:
        self.body = b""

    def head(self, status: int, header: HeaderLookup) -> None: ...

    def data(self, chunk: bytes) -> None:
        self.body += chunk

    def is_complete(self) -> bool:
        return False


class Doubling(Protocol):
    """Sends two answers for each request; the first one just fills what the client reads at once, so that the second one waits in the kernel."""

    answers = 0

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        Doubling.answers += 1
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 65000\r\n\r\n"
        head = head[:-4] + b"\r\nX: " + b"x" * (65_536 - 65_000 - len(head) - 5) + b"\r\n\r\n"
        self.transport.write(head + b"%d" % (Doubling.answers % 10) * 65_000 + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")


@pytest_twisted.ensureDeferred
async def test_a_request_in_line_does_not_get_what_the_one_before_left_in_the_kernel() -> None:
    factory = Factory.forProtocol(Doubling)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]  # the reactor module
    url = f"http://127.0.0.1:{port.getHost().port}"
    http = HttpClient(reactor, SystemClock(reactor), base_url=url, max_inflight=1, idle_timeout_seconds=5, response_cap_bytes=1 << 20)
    keepers = [Keeper() for _ in range(4)]
    for posted in [http.post("/", {}, b"{}", keeper) for keeper in keepers]:
        await within(posted)
    assert [keeper.body[:2] for keeper in keepers] == [b"11", b"22", b"33", b"44"]
    await within(http.stop())
    await port.stopListening()
