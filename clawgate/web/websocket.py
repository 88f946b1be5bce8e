"""One WebSocket, from its handshake to its end. Ring: edge (web). Implements `ports.sockets`. Source: design §3, §4.6, §4.16; RFC 6455; libraries.md §1.

    handshake → messages ⇄ handler → goodbye

The protocol is `websockets`' sans-I/O `ServerProtocol`; it bounds messages while it reads them (1009). A client is pinged every 20 s and has 10 s to answer.
What waits to be sent to it has a bound; beyond it, the client is closed with 1013.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from websockets.exceptions import ConnectionClosed, InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from zope.interface import implementer

from clawgate.ports.clock import Clock
from clawgate.ports.sockets import REVOKED, SLOW
from clawgate.web.sockets import MOST_MESSAGE_BYTES, SocketAnswer

_log = Logger()
MOST_WAITING_BYTES = 4 * 1024 * 1024
PING_SECONDS, PONG_SECONDS, CLOSE_SECONDS = 20.0, 10.0, 5.0
NO_GOODBYE = 1006
Chooser = Callable[[ServerProtocol, Sequence[Subprotocol]], Subprotocol | None]


@implementer(IPushProducer)
class WebSocket(Protocol):
    """One connection after its handshake."""

    transport: Any  # TCP or TLS: no interface names both writing and producers

    def __init__(
        self,
        answer: SocketAnswer,
        clock: Clock,
        gone: Callable[[WebSocket], object],
        choose: Chooser | None = None,
        holds: Callable[[int], object] = lambda change: None,
    ) -> None:
        """`choose` picks a sub-protocol, None = of those that the answer names; `holds` is told by how many bytes more, or fewer, wait for the client."""
        self._holds, self._counted, self._handed = holds, 0, 0
        self.caller, self._handler, self._clock, self._gone = answer.caller, answer.handler, clock, gone
        self.subprotocol = ""
        self._wire = ServerProtocol(select_subprotocol=choose or _chooser(answer.subprotocols), max_size=MOST_MESSAGE_BYTES)
        self._pieces = bytearray()  # one buffer, here and below: a list of small pieces weighs many times their bytes
        self._is_text = True
        self._waiting = bytearray()
        self._is_paused = self._is_over = self._is_awaiting_pong = False
        self._timer: IDelayedCall | None = None
        self._expiry: IDelayedCall | None = None
        self._flow: Callable[[bool], None] = lambda is_slow: None

    # -- the handshake

    def shake(self, request: Request) -> None:
        """Judges the handshake; a bad one is answered by the protocol's own refusal when the connection is taken over."""
        head = [b"%s %s HTTP/1.1\r\n" % (request.method, request.uri)]
        head += [b"%s: %s\r\n" % (name, value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values]
        self._wire.receive_data(b"".join((*head, b"\r\n")))
        self._answer_handshake()

    def _answer_handshake(self) -> None:
        """Answers the handshake once it has arrived; the protocol has been shown nothing behind it."""
        for event in self._wire.events_received():
            if isinstance(event, Handshake):
                self._wire.send_response(self._wire.accept(event))
                self.subprotocol = str(self._wire.subprotocol or "")

    def take(self, request: Request) -> None:
        """Takes the connection over, on our own site or on somebody else's."""
        if hasattr(request, "take_over"):
            request.take_over(self)
        else:
            _take_from(request.channel, self)

    def connectionMade(self) -> None:
        """Sends the answer to the handshake, and tells the handler."""
        self.transport.registerProducer(self, True)
        self._flush()
        if self._wire.state is not State.OPEN:
            self._over(NO_GOODBYE)
            return
        if self.caller.expires_ms:
            left = (self.caller.expires_ms - self._clock.wall_ms()) / 1000
            self._expiry = self._clock.call_later(max(left, 0.0), self.revoke, "credential expired")
        self._set_timer(PING_SECONDS, self._ping)
        self._guarded(lambda: self._handler.opened(self))

    # -- in

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the client's."""
        self._wire.receive_data(data)
        self._read()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone: nothing is waited for any more. A timer that aborts it again would be an error over TLS."""
        self._over(self._code)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _read(self) -> None:
        for event in self._wire.events_received():
            if isinstance(event, Frame) and not self._is_over:
                self._frame(event)
        self._flush()
        if self._wire.close_expected():
            self._set_timer(CLOSE_SECONDS, self._abort)
        if self._wire.state in (State.CLOSING, State.CLOSED):
            self._over(self._code)

    @property
    def _code(self) -> int:
        """The goodbye's code: the client's, else ours."""
        said = self._wire.close_rcvd or self._wire.close_sent
        return NO_GOODBYE if said is None else int(said.code)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PONG:
            self._is_awaiting_pong = False
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._is_text, self._pieces = frame.opcode is Opcode.TEXT, bytearray()
        self._pieces += frame.data
        if frame.fin:
            whole, self._pieces = bytes(self._pieces), bytearray()
            self._message(whole)

    def _message(self, whole: bytes) -> None:
        if not self._is_text:
            self._guarded(lambda: self._handler.data(whole))
            return
        try:
            text = whole.decode("utf-8")
        except UnicodeDecodeError:
            self.close(1007, "not UTF-8")
        else:
            self._guarded(lambda: self._handler.text(text))

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:
            _log.failure("who handles a socket broke")
            self.close(1011, "internal error")

    # -- out

    def send(self, text: str) -> bool:
        """`ports.sockets.Socket.send`."""
        return self._send(lambda: self._wire.send_text(text.encode("utf-8", "replace")))

    def send_bytes(self, data: bytes) -> bool:
        """`ports.sockets.Socket.send_bytes`."""
        return self._send(lambda: self._wire.send_binary(data))

    def watch_flow(self, flow: Callable[[bool], None]) -> None:
        """`ports.sockets.Socket.watch_flow`."""
        self._flow = flow
        if self._is_paused:
            flow(True)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """`ports.sockets.Socket.close`."""
        if self._wire.state is State.OPEN:
            self._wire.send_close(code, reason)
            self._flush()
            self._set_timer(CLOSE_SECONDS, self._abort)
            self._over(code)

    def revoke(self, reason: str) -> None:
        """Ends it, its credential is dead. What a slow client has not taken is not for it any more, and a goodbye would wait behind that."""
        if self._is_paused and not self._is_over:
            self._waiting = bytearray()
            self._abort()
        else:
            self.close(REVOKED, reason)

    def _send(self, write: Callable[[], None]) -> bool:
        if self._is_over or self._wire.state is not State.OPEN:
            return False
        try:
            write()
        except (ConnectionClosed, InvalidState):
            return False
        self._flush()
        return not self._is_over

    def _flush(self) -> None:
        for piece in self._wire.data_to_send():
            if not piece:
                self._end()
            elif self._is_paused:
                self._waiting += piece
            else:
                self._hand(piece)
        self._account()
        if len(self._waiting) > MOST_WAITING_BYTES and not self._is_over:
            _log.info("a socket of {principal} is closed, its client does not keep up", principal=self.caller.principal)
            self._waiting = bytearray()
            self._wire.send_close(SLOW, "too slow")
            for piece in self._wire.data_to_send():
                self.transport.write(piece)
            self._set_timer(CLOSE_SECONDS, self._abort)
            self._over(SLOW)

    def _hand(self, piece: bytes) -> None:
        self.transport.write(piece)
        self._handed = len(piece) if self._is_paused else 0  # the one that was too much is with the connection, whole

    @property
    def held_bytes(self) -> int:
        """What waits for the client, here and with the connection."""
        return 0 if self._is_over else self._handed + len(self._waiting)

    def cut(self) -> None:
        """Ends the connection at once and frees what waits: a goodbye would wait behind it."""
        _log.info("a socket of {principal} is cut, too much waits for slow clients", principal=self.caller.principal)
        self._waiting = bytearray()
        self._abort()

    def _account(self) -> None:
        change, self._counted = self.held_bytes - self._counted, self.held_bytes
        if change:
            self._holds(change)

    def pauseProducing(self) -> None:
        """The connection takes nothing more for now."""
        self._is_paused = True
        if not self._is_over:
            self._guarded(lambda: self._flow(True))

    def resumeProducing(self) -> None:
        """The connection takes more."""
        self._is_paused = False
        waiting, self._waiting = self._waiting, bytearray()
        self._handed = 0
        if waiting:
            self._hand(bytes(waiting))
        self._account()
        if not self._is_paused and not self._is_over:  # writing may have paused it again
            self._guarded(lambda: self._flow(False))

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` says so too."""

    # -- time and the end

    def _ping(self) -> None:
        if self._is_awaiting_pong:
            self._abort()
            return
        self._is_awaiting_pong = True
        self._wire.send_ping(b"")
        self._flush()
        self._set_timer(PONG_SECONDS, self._look_for_pong)

    def _look_for_pong(self) -> None:
        if self._is_awaiting_pong:
            self._abort()
        else:
            self._set_timer(PING_SECONDS - PONG_SECONDS, self._ping)

    def _set_timer(self, seconds: float, action: Callable[[], None]) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._clock.call_later(seconds, action)

    def _end(self) -> None:
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _abort(self) -> None:
        self.transport.abortConnection()
        self._over(NO_GOODBYE)

    def _over(self, code: int) -> None:
        """Tells the handler and the registry, once."""
        if self._is_over:
            return
        self._is_over = True
        if self._expiry is not None and self._expiry.active():
            self._expiry.cancel()
        if self._timer is not None and self._timer.active() and self._wire.state is State.CLOSED:
            self._timer.cancel()
        self._account()
        self._gone(self)
        self._guarded(lambda: self._handler.closed(code))


def _take_from(channel: Any, successor: Protocol) -> None:  # HTTPChannel, in whose private names this stands
    """Takes a connection over from the channel of somebody else's site.

    Twisted's own upgrade hands over what is still to be read, and nothing else: the channel stays the transport's producer, keeps what came behind the
    handshake, and holds the request for as long as the socket is open. Pinned by tests/web/test_site_pins.py.
    """
    early, channel._dataBuffer = b"".join(channel._dataBuffer), []
    channel._networkProducer.unregisterProducer()
    channel.requests.clear()
    channel.rawDataReceived = successor.dataReceived
    channel._protocolUpgradeForWebsockets(successor)
    if early:
        successor.dataReceived(early)
    channel._networkProducer.resumeProducing()


def _chooser(understood: tuple[str, ...]) -> Chooser:
    def choose(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return next((Subprotocol(name) for name in understood if name in offered), None)

    return choose
