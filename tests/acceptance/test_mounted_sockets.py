"""Every socket and stream below a prefix, over TLS, and in somebody else's site that serves other pages too; real sockets, a whole gateway in this process.

Source: design §2 (mountable), §4.16, §4.17; construct-realtime.md §0.2, §4, §5, §7, §10, §12.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from clawgate import Gateway, Settings
from clawgate.domain.settings.model import GatewaySettings, NodesSettings, TerminalSettings
from clawgate.web.front import FrontSite
from clawgate.web.limits import Limits
from tests.certificates import Authority

pytestmark = pytest.mark.acceptance
_SECONDS = 20.0


class Where(msgspec.Struct, frozen=True):
    """How the gateway is served.

    Attributes:
        mount: segments of the path in somebody else's site; none = our own site.
        prefix: `gateway.path_prefix`.
    """

    mount: tuple[str, ...] = ()
    prefix: str = ""
    is_secure: bool = False

    def __str__(self) -> str:
        return f"{'tls' if self.is_secure else 'plain'}-{'/'.join(self.mount) or 'own'}{self.prefix.replace('/', '+')}"


PLACES = (
    Where(prefix="/gw"),
    Where(prefix="/gw", is_secure=True),
    Where(mount=("agents",)),
    Where(mount=("our", "agents"), prefix="/gw", is_secure=True),
)


class Home(Resource):
    """What somebody else's site was there for."""

    def render_GET(self, request: Request) -> bytes:
        return b"our page"


class Served(msgspec.Struct):
    """A gateway that is served; the methods are for other threads than the reactor's."""

    port: int
    base: str
    token: str
    context: ssl.SSLContext | None

    def open(self, path: str, *names: str) -> ClientConnection:
        return connect(
            f"{'ws' if self.context is None else 'wss'}://localhost:{self.port}{self.base}{path}",
            subprotocols=[Subprotocol(name) for name in (*names, f"bearer.{self.token}")],
            ssl=self.context,
            open_timeout=_SECONDS,
            close_timeout=_SECONDS,
            proxy=None,
        )

    def connect(self) -> socket.socket:
        plain = socket.create_connection(("localhost", self.port), timeout=_SECONDS)
        return plain if self.context is None else self.context.wrap_socket(plain, server_hostname="localhost")

    def call(self, method: str, path: str, body: object = None) -> Any:  # JSON
        with self.answer(method, path, body) as answer:
            assert answer.status in (200, 201), (answer.status, answer.read())
            return json.loads(answer.read())

    def answer(self, method: str, path: str, body: object = None) -> http.client.HTTPResponse:
        return self.at(method, self.base + path, body)

    def at(self, method: str, path: str, body: object = None) -> http.client.HTTPResponse:
        """From the root of the site on."""
        if self.context is None:
            connection = http.client.HTTPConnection("localhost", self.port, timeout=_SECONDS)
        else:
            connection = http.client.HTTPSConnection("localhost", self.port, timeout=_SECONDS, context=self.context)
        sent = b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Connection": "close", "Content-Type": "application/json"}
        connection.request(method, path, sent, headers)
        return connection.getresponse()


def said(client: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(client.recv(_SECONDS)))


def site_of(where: Where, gateway: Gateway, reactor: Any) -> Site:
    """Ours, or a plain one of Twisted's that has a page of its own on `/`."""
    if not where.mount:
        return FrontSite(gateway.web, Limits(), is_secure=where.is_secure, reactor=reactor)
    root = at = Resource()
    root.putChild(b"", Home())
    root.putChild(b"about", Home())
    for segment in where.mount[:-1]:
        at.putChild(segment.encode(), deeper := Resource())
        at = deeper
    at.putChild(where.mount[-1].encode(), gateway.resource)
    return Site(root)


@pytest_twisted.async_yield_fixture(scope="module", params=PLACES, ids=str)  # type: ignore[misc]  # untyped upstream
async def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    from twisted.internet import reactor

    own: Any = reactor
    where, home = request.param, tmp_path_factory.mktemp("served")
    settings = Settings(
        state_dir=str(home / "state"),
        gateway=GatewaySettings(path_prefix=where.prefix),
        nodes=NodesSettings(enabled=True),
        terminal=TerminalSettings(enabled=True, shell="/bin/sh"),
        default_provider="offline",
    )
    codes: list[str] = []
    gateway = Gateway.build(settings, own, announce=codes.append)
    service: Any = gateway.service
    started = service.started
    service.startService()
    await started
    site, context = site_of(where, gateway, own), None
    site.noisy = False
    if where.is_secure:
        authority = Authority(home, "ours")
        cert, key = authority.issue("server")
        listening = own.listenSSL(0, site, DefaultOpenSSLContextFactory(str(key), str(cert)), interface="127.0.0.1")
        context = ssl.create_default_context(cafile=str(authority.path))
    else:
        listening = own.listenTCP(0, site, interface="127.0.0.1")
    base = "".join(f"/{segment}" for segment in where.mount) + where.prefix
    made = Served(listening.getHost().port, base, "", context)
    paired = await deferToThread(made.call, "POST", "/api/pair", {"code": codes[-1]})
    made.token = paired["token"]
    yield made
    await maybeDeferred(listening.stopListening)
    await service.stopService()


def in_thread(work: Callable[[], None]) -> Deferred[None]:
    """What a client does, beside the reactor."""
    return deferToThread(work)


@pytest_twisted.ensureDeferred
async def test_a_chat_is_held_wherever_the_gateway_is(served: Served) -> None:
    def talk() -> None:
        with served.open("/ws/chat?session_id=notes", "construct.v1") as client:
            assert client.subprotocol == "construct.v1"
            client.send('{"type":"connect"}')
            client.send('{"type":"message","content":"/echo hello"}')
            frames = [said(client)]
            while frames[-1]["type"] != "done":
                frames.append(said(client))
        assert "hello" in frames[-1]["full_response"]
        assert client.close_code == 1000

    await in_thread(talk)


@pytest_twisted.ensureDeferred
async def test_what_comes_right_behind_the_handshake_is_read(served: Served) -> None:
    def rush() -> None:
        request = ClientProtocol(parse_uri(f"ws://localhost:{served.port}{served.base}/ws/chat")).connect()
        request.headers["Authorization"] = f"Bearer {served.token}"
        with served.connect() as client:
            client.sendall(request.serialize() + Frame(Opcode.TEXT, b'{"type":"connect"}').serialize(mask=True))
            received = b""
            while b'"type":"connected"' not in received:
                piece = client.recv(65_536)
                assert piece, received
                received += piece
        assert received.startswith(b"HTTP/1.1 101 ")

    await in_thread(rush)


@pytest_twisted.ensureDeferred
async def test_a_canvas_is_watched_wherever_the_gateway_is(served: Served) -> None:
    def watch() -> None:
        with served.open("/ws/canvas/board", "construct.v1") as client:
            assert said(client) == {"type": "connected", "canvas_id": "board"}
            made = served.call("POST", "/api/canvas/board", {"content": "ü" * 100_000})
            assert said(client) == {"type": "frame", "canvas_id": "board", "frame": made["frame"]}

    await in_thread(watch)


@pytest_twisted.ensureDeferred
async def test_a_node_is_called_wherever_the_gateway_is(served: Served) -> None:
    def serve() -> None:
        with served.open("/ws/nodes", "construct.nodes.v1") as client, ThreadPoolExecutor(1) as others:
            client.send(json.dumps({"type": "register", "node_id": "kitchen", "capabilities": [{"name": "say", "description": "Says it"}]}))
            assert said(client)["type"] == "registered"
            call = others.submit(served.call, "POST", "/api/nodes/kitchen/invoke", {"capability": "say"})
            asked = said(client)
            client.send(json.dumps({"type": "result", "call_id": asked["call_id"], "success": True, "output": "said"}))
            assert call.result(_SECONDS)["output"] == "said"

    await in_thread(serve)


@pytest_twisted.ensureDeferred
async def test_a_terminal_runs_wherever_the_gateway_is(served: Served) -> None:
    def drive() -> None:
        with served.open("/ws/terminal") as client:
            client.send("echo $((6 * 7))!\n")
            screen, end = "", time.monotonic() + _SECONDS
            while "42!" not in screen:
                assert time.monotonic() < end, screen
                screen += str(client.recv(_SECONDS))

    await in_thread(drive)


@pytest_twisted.ensureDeferred
async def test_events_are_told_wherever_the_gateway_is(served: Served) -> None:
    def listen() -> None:
        ticket = served.call("POST", "/api/events/ticket")["ticket"]
        with served.answer("GET", f"/api/events?ticket={ticket}") as stream:
            assert (stream.status, stream.headers["Content-Type"]) == (200, "text/event-stream")
            served.call("POST", "/tasks", {"title": "tea"})
            told = (json.loads(line[6:])["type"] for line in stream if line.startswith(b"data: "))
            assert "task_created" in told  # after the end of the terminal before this test, perhaps; the stream's deadline ends the search

    await in_thread(listen)


@pytest_twisted.ensureDeferred
async def test_the_other_pages_of_the_site_stay_as_they_are(served: Served) -> None:
    def look() -> None:
        status = 404 if served.base == "/gw" else 200
        for path in ("/", "/about"):
            with served.at("GET", path) as page:
                assert page.status == status

    await in_thread(look)
