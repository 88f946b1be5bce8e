"""A WebSocket over TLS, with client certificates, through real sockets."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.threads import blockingCallFromThread, deferToThread
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from clawgate.domain.caller import Scope
from clawgate.ports.sockets import Socket
from clawgate.services.health import Health
from clawgate.testing.gateway import MemoryGateway
from clawgate.web.call import Call
from clawgate.web.front import FrontSite
from clawgate.web.limits import Limits
from clawgate.web.listen import PublicListener
from clawgate.web.sockets import SocketAnswer
from clawgate.web.tls import ClientAuth, LiveTls, TlsFiles
from tests.certificates import Authority

pytestmark = pytest.mark.acceptance
_SECONDS = 20.0
_LARGE = 500_000


class Echo:
    """Says what it is told."""

    def opened(self, socket: Socket) -> None:
        self.socket = socket

    def text(self, text: str) -> None:
        self.socket.send(text)

    def data(self, data: bytes) -> None:
        self.socket.send_bytes(data)

    def closed(self, code: int) -> None:
        """Nothing is kept."""


async def echo(call: Call) -> SocketAnswer:
    return SocketAnswer(Echo(), call.caller)


@pytest_twisted.async_yield_fixture  # type: ignore[misc]  # untyped upstream
async def served(tmp_path: Path) -> AsyncIterator[tuple[str, str, Authority, LiveTls]]:
    from twisted.internet import reactor

    authority, gate = Authority(tmp_path, "ours"), MemoryGateway()
    gate.gateway.router.add("GET", "/ws/echo", echo, auth=Scope.CHAT, is_socket=True, summary="Echo")
    cert, key = authority.issue("server")
    live = LiveTls(TlsFiles(str(cert), str(key), ClientAuth(str(authority.path))), Health(gate.clock, 1))
    site = FrontSite(gate.gateway.web, Limits(), is_secure=True, reactor=reactor)
    site.noisy = False
    listener = PublicListener(site, reactor, "127.0.0.1", 0, 50, certificate=live)
    await listener.start()
    yield listener.url.replace("https://127.0.0.1", "wss://localhost"), gate.pair(), authority, live
    await listener.stop()


def trusting(authority: Authority, identity: tuple[Path, Path] | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.path))
    if identity is not None:
        context.load_cert_chain(*map(str, identity))
    return context


def opened(url: str, token: str, context: ssl.SSLContext) -> ClientConnection:
    headers = {"Authorization": f"Bearer {token}"}
    return connect(f"{url}/ws/echo", ssl=context, additional_headers=headers, open_timeout=_SECONDS, max_size=None)


def converse(url: str, token: str, context: ssl.SSLContext, meanwhile: Callable[[], bool]) -> list[int | None]:
    """Talks before and after `meanwhile`, and on a second connection; the codes with which both ended."""
    with opened(url, token, context) as socket:
        for message in ("hello", b"bytes", "x" * _LARGE):
            socket.send(message)
            assert socket.recv(_SECONDS) == message
        assert meanwhile()
        socket.send("after")
        assert socket.recv(_SECONDS) == "after"
        with opened(url, token, context) as second:
            second.send("new")
            assert second.recv(_SECONDS) == "new"
    return [socket.close_code, second.close_code]


@pytest_twisted.ensureDeferred
async def test_a_websocket_over_tls_lives_through_a_reload(served: tuple[str, str, Authority, LiveTls]) -> None:
    from twisted.internet import reactor

    url, token, authority, live = served
    authority.issue("server")

    def reload() -> bool:
        return bool(blockingCallFromThread(reactor, live.reload))

    assert await deferToThread(converse, url, token, trusting(authority, authority.issue("client")), reload) == [1000, 1000]


@pytest_twisted.ensureDeferred
async def test_a_client_without_a_certificate_gets_no_socket(served: tuple[str, str, Authority, LiveTls]) -> None:
    url, token, authority, _ = served

    with pytest.raises((ssl.SSLError, OSError, WebSocketException)):
        await deferToThread(converse, url, token, trusting(authority, None), lambda: True)
