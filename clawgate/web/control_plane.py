"""The control plane of OpenClaw Enterprise: WebSockets on a port of their own. Ring: edge (web). Source: openclaw-enterprise.md §4, §10; design §4.18.

    any path, no credential → 101 → is the address trusted? (else 1008) → one reply to each message, which carries its own token

Nothing is said before the first message, and a refused one closes nothing: clients rely on both. Connections, messages and tries have bounds: 1 MiB a message,
64 connections of trusted addresses and as many of others, 60 refused messages a minute from one address.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from clawgate.domain import control
from clawgate.domain.caller import Caller, Network, is_in, parse_address
from clawgate.domain.control import Message
from clawgate.domain.ratelimit import SlidingWindow
from clawgate.ports.clock import Clock
from clawgate.ports.events import ComponentHealth
from clawgate.ports.sockets import GOING_AWAY, Socket
from clawgate.services.control_plane import ControlPlane
from clawgate.web.listen import bindable
from clawgate.web.sockets import SocketAnswer
from clawgate.web.websocket import WebSocket

_log = Logger()
COMPONENT = "control plane"
HANDSHAKE_SECONDS = 10.0
MOST_CONNECTIONS = 64
MOST_REFUSED_PER_MINUTE = 60
MOST_UNDER_WAY = 16
POLICY = 1008
_HEAD_END = b"\r\n\r\n"


class Conversation:
    """What is done with one connection; a `SocketHandler`."""

    def __init__(self, plane: ControlPlane, clock: Clock, refused: SlidingWindow, *, is_trusted: bool) -> None:
        self._plane, self._clock, self._refused, self._is_trusted = plane, clock, refused, is_trusted
        self._socket: Socket | None = None
        self._under_way: set[Deferred[None]] = set()

    def opened(self, socket: Socket) -> None:
        """Turns away whom nobody trusts; says nothing to the others."""
        if self._is_trusted:
            self._socket = socket
            return
        _log.warn("connection from untrusted IP [{client}] rejected; add it to TRUSTED_CLIENT_IPS to allow access", client=socket.caller.client)
        socket.close(POLICY, control.NOT_PERMITTED)

    def text(self, text: str) -> None:
        """One message."""
        if self._socket is None:
            return
        message = control.read(text)
        refusal = None if message is None else self._plane.tokens.refusal(message.token)
        if message is None:
            self._refuse(self._socket, control.unreadable())
        elif refusal is not None:
            self._refuse(self._socket, control.unauthorised(message, refusal))
        elif len(self._under_way) >= MOST_UNDER_WAY:
            self._socket.send(control.failed(message, control.command_failed("too many commands at once")))
        else:
            self._carry_out(self._socket, message)

    def data(self, data: bytes) -> None:
        """As `text`."""
        self.text(data.decode("utf-8", "replace"))

    def closed(self, code: int) -> None:
        """Commands under way run to their end; nobody hears of them."""
        self._socket = None

    def _refuse(self, socket: Socket, reply: str) -> None:
        if self._refused.allow(socket.caller.client, self._clock.monotonic()):
            socket.send(reply)
            return
        _log.warn("too many refused messages from {client}", client=socket.caller.client)
        socket.close(POLICY, "too many refused messages")

    def _carry_out(self, socket: Socket, message: Message) -> None:
        carrying: Deferred[None] = Deferred.fromCoroutine(self._answered(socket, message))
        if not carrying.called:
            self._under_way.add(carrying)
        carrying.addErrback(lambda failure: _log.failure("a command was not answered", failure))
        carrying.addCallback(lambda _: self._under_way.discard(carrying))

    async def _answered(self, socket: Socket, message: Message) -> None:
        socket.send(await self._plane.answer(message))


class BareSocket(WebSocket):
    """A WebSocket that reads its handshake itself: there is no site before it."""

    _tail = b""

    def connectionMade(self) -> None:
        """Waits for the handshake, not for ever."""
        self._set_timer(HANDSHAKE_SECONDS, self._abort)

    def dataReceived(self, data: bytes) -> None:
        """The handshake, and what follows it: that is not shown to the protocol before it has answered, or a ping would be answered first."""
        if self._wire.state is not State.CONNECTING:
            super().dataReceived(data)
            return
        known = len(self._tail)
        end = (self._tail + data).find(_HEAD_END)
        size = len(data) if end < 0 else end + len(_HEAD_END) - known
        self._tail = (self._tail + data)[1 - len(_HEAD_END) :]
        self._wire.receive_data(data[:size])
        self._answer_handshake()
        if self._wire.state is State.CONNECTING and self._wire.handshake_exc is None:
            return
        super().connectionMade()
        if size < len(data):
            super().dataReceived(data[size:])

    @property
    def is_mute(self) -> bool:
        """Whether its handshake is still to come."""
        return self._wire.state is State.CONNECTING

    def give_way(self) -> None:
        """Ends it at once."""
        self._abort()


def _first(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return offered[0] if offered else None


class ControlPlaneListener(Factory):
    """The port, and who is connected.

    Attributes:
        trusted: whose messages are read.
    """

    noisy = False

    def __init__(
        self,
        plane: ControlPlane,
        clock: Clock,
        health: ComponentHealth,
        reactor: Any,  # IReactorTCP
        host: str,
        port: int,
        trusted: tuple[Network, ...],
    ) -> None:
        self.plane, self.clock, self.health, self.reactor = plane, clock, health, reactor
        self.host, self.port, self.trusted = host, port, trusted
        self._open: dict[BareSocket, bool] = {}
        self._refused = SlidingWindow(MOST_REFUSED_PER_MINUTE, 1000)
        self._listening: IListeningPort | None = None

    async def start(self) -> None:
        """Shows the token and listens. A taken port is told to log and health and ends nothing else."""
        try:
            self._listening = self.reactor.listenTCP(self.port, self, 16, bindable(self.host))
        except CannotListenError as problem:
            told = f"cannot listen on {self.host}:{self.port}: {problem.socketError}"
            self.health.failed(COMPONENT, told)
            _log.error("the control plane is not served: {told}; set control.port", told=told)
            return
        self.health.ok(COMPONENT)
        self.plane.tokens.current()
        _log.info("control plane WebSocket listening on {url}", url=self.url)

    async def stop(self) -> None:
        """Listens no more and says goodbye."""
        self.plane.stop()
        if self._listening is not None:
            listening, self._listening = self._listening, None
            await maybeDeferred(listening.stopListening)
        for socket in tuple(self._open):
            socket.close(GOING_AWAY, "the gateway is stopping")

    @property
    def url(self) -> str:
        """Where it answers, with the real port; "" = it does not."""
        if self._listening is None:
            return ""
        address: Any = self._listening.getHost()  # IPv4Address or IPv6Address, by their interface neither
        return f"ws://{f'[{self.host}]' if ':' in self.host else self.host}:{address.port}"

    def buildProtocol(self, addr: IAddress | None) -> WebSocket | None:
        """A connection; None turns it away: too many are open, of those that are trusted or of the others, and the oldest mute one gives way."""
        peer = parse_address(str(getattr(addr, "host", "")))
        is_trusted = peer is not None and is_in(peer, self.trusted)
        alike = [socket for socket, each in self._open.items() if each is is_trusted]
        if len(alike) >= MOST_CONNECTIONS:
            mute = next((socket for socket in alike if socket.is_mute), None)
            if mute is None:
                return None
            mute.give_way()
        conversation = Conversation(self.plane, self.clock, self._refused, is_trusted=is_trusted)
        answer = SocketAnswer(conversation, Caller("control", frozenset(), str(peer)))
        socket: BareSocket = BareSocket(answer, self.clock, lambda _: self._open.pop(socket, None), _first)
        self._open[socket] = is_trusted
        return socket
