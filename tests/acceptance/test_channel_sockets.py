"""What a broken connection to a platform proves, over real sockets: TLS that fails sends nothing, a hang-up after the request is uncertain."""

from __future__ import annotations

import datetime
import socket
from collections.abc import Callable, Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pytest_twisted import ensureDeferred
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol

from clawgate.channels.kinds import build_channels
from clawgate.domain.errors import SendUnavailable, SendUncertain
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import ChannelsSettings, LinqChannel, Settings
from clawgate.ports.channels import Channel
from clawgate.system.clock import SystemClock

pytestmark = pytest.mark.acceptance
DEADLINE_SECONDS = 10


class HangUp(Protocol):
    """Takes the request and leaves."""

    received = b""

    def dataReceived(self, data: bytes) -> None:
        type(self).received += data
        if b"\r\n\r\n" in self.received:
            assert self.transport is not None
            self.transport.loseConnection()


class Polite(Protocol):
    """Answers every request over one connection."""

    connections = 0

    def connectionMade(self) -> None:
        type(self).connections += 1

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        if data.endswith(b"}"):
            self.transport.write(b'HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n{"message":{"id":"m-1"}} ')


def linq(base: str) -> Channel:
    settings = ChannelsSettings(linq=LinqChannel(api_token=Secret("t"), from_phone="+1", api_base=base))
    return build_channels(Settings(channels_config=settings), reactor, SystemClock(reactor))["linq"]  # type: ignore[arg-type]  # the reactor is one


@pytest.fixture
def listen() -> Iterator[Callable[[type[Protocol], ssl.CertificateOptions | None], int]]:
    ports: list[IListeningPort] = []

    def start(protocol: type[Protocol], context: ssl.CertificateOptions | None) -> int:
        factory = Factory.forProtocol(protocol)
        if context is None:
            ports.append(reactor.listenTCP(0, factory, interface="127.0.0.1"))  # type: ignore[attr-defined]  # the module is the reactor
        else:
            ports.append(reactor.listenSSL(0, factory, context, interface="127.0.0.1"))  # type: ignore[attr-defined]  # as above
        return int(ports[-1].getHost().port)

    yield start
    for port in ports:
        port.stopListening()


def self_signed() -> ssl.CertificateOptions:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    pem += key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return ssl.PrivateCertificate.loadPEM(pem).options()


async def refusal(channel: Channel, kind: type[Exception]) -> None:
    sent = channel.send("chat", "Hi", "key")
    sent.addTimeout(DEADLINE_SECONDS, reactor)  # type: ignore[arg-type]  # the module is the reactor
    with pytest.raises(kind):
        await sent
    await channel.stop()


Listen = Callable[[type[Protocol], ssl.CertificateOptions | None], int]


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # Twisted's own way of making a context
@ensureDeferred
async def test_certificate_nobody_vouches_for_means_nothing_was_sent(listen: Listen) -> None:
    HangUp.received = b""
    port = listen(HangUp, self_signed())
    await refusal(linq(f"https://localhost:{port}"), SendUnavailable)
    assert HangUp.received == b""


@ensureDeferred
async def test_plain_server_behind_an_https_url_means_nothing_was_sent(listen: Listen) -> None:
    port = listen(type("Plain", (Protocol,), {"dataReceived": lambda self, data: self.transport.write(b"HTTP/1.1 400 Bad\r\n\r\n")}), None)
    await refusal(linq(f"https://localhost:{port}"), SendUnavailable)


@ensureDeferred
async def test_closed_port_means_nothing_was_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await refusal(linq(f"http://127.0.0.1:{port}"), SendUnavailable)


@ensureDeferred
async def test_hang_up_after_the_request_is_uncertain(listen: Listen) -> None:
    HangUp.received = b""
    await refusal(linq(f"http://127.0.0.1:{listen(HangUp, None)}"), SendUncertain)
    assert HangUp.received.startswith(b"POST /chats/chat/messages HTTP/1.1\r\n")


@ensureDeferred
async def test_connection_is_kept_between_sends_and_closed_by_stop(listen: Listen) -> None:
    Polite.connections = 0
    channel = linq(f"http://127.0.0.1:{listen(Polite, None)}")
    for _ in range(2):
        sent: Deferred[str] = channel.send("chat", "Hi", "key")
        assert await sent.addTimeout(DEADLINE_SECONDS, reactor) == "m-1"  # type: ignore[arg-type]  # the module is the reactor
    assert Polite.connections == 1
    await channel.stop()
