"""One HTTP/1.1 connection: it reads requests under caps and deadlines, in order. Ring: web (edge). Source: design §3; RFC 9112; advisories.md §3.2.

    phase     reads            deadline                  ends in
    HEAD      a request head   header (idle when empty)  BODY, BUSY, CLOSING
    BODY      its body         body                      BUSY, CLOSING
    BUSY      ahead, bounded   none: the resource's      HEAD, CLOSING, TAKEN
    CLOSING   and discards     linger, then abort *      (lost)
    TAKEN     for a protocol   none                      (lost)

    * put off while the client goes on taking its last answer

A request exists only once it has arrived completely: what is refused while being read never reaches `process()`, and nothing after it is
parsed. There is at most one timer per connection; it looks at `_deadline` when it fires, so that a request that arrives at once costs none.

Private API of Twisted (each pinned by tests/web/test_site_pins.py): HTTPChannel._handlingRequest, _waitingForTransport, _networkProducer,
_optimisticEagerReadSize, _respondToBadRequestAndDisconnect, _protocolUpgradeForWebsockets, and `requests` as the queue of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Protocol, cast

from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IReactorTime, ISSLTransport, ITCPTransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import IResource

from clawgate.web.at_once import waiting_bytes
from clawgate.web.http_wire import CRLF, END_OF_HEAD, ChunkedBody, Head, Unreadable, check_partial, malformed, parse_head
from clawgate.web.limits import Limits
from clawgate.web.together import Together

_log = Logger()
LINGER_SECONDS = 1.0
"""How long a refused client's bytes are drained, so that it reads the refusal instead of a reset."""
LINGER_BYTES = 64 * 1024 * 1024
"""How many of them."""
LEAST_TAKEN_BYTES = 64 * 1024
"""How much of its last answer a client has to take in each `abortTimeout`, or it is dropped: so much that a large answer reaches a slow client whole."""
BURST = 32
"""Pipelined requests answered before other connections get their turn."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Phase(Enum):
    """What a connection is doing; see the table at the top."""

    HEAD = "head"
    BODY = "body"
    BUSY = "busy"
    CLOSING = "closing"
    TAKEN = "taken"


class ReadRequest(Protocol):
    """What the channel hands over: a `twisted.web.http.Request` that can be filled at once."""

    def fill(self, headers: dict[bytes, list[bytes]], body: bytes) -> None:
        """Takes the headers and the body."""

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Begins to process."""

    def connectionLost(self, reason: Failure) -> None:
        """The client has gone."""


class ChannelSite(Protocol):
    """What a channel needs from its site."""

    limits: Limits
    reactor: IReactorTime
    is_draining: bool
    resource: IResource
    together: Together

    def date_header(self) -> bytes:
        """The Date of an answer."""

    def opened(self, channel: GatewayChannel) -> None:
        """A connection was made."""

    def closed(self, channel: GatewayChannel) -> None:
        """A connection is gone."""

    def cap_of(self, path: bytes) -> int:
        """The body cap of a raw path."""

    def begin_large(self, channel: GatewayChannel, headers: dict[bytes, list[bytes]]) -> bool:
        """Whether a body beyond the ordinary cap may be read now."""

    def end_large(self, channel: GatewayChannel) -> None:
        """It has been read, or will not be."""

    def refusal_headers(self) -> Iterable[tuple[bytes, bytes]]:
        """Headers of an answer that the resource does not word."""

    def refusal_of(self, status: int) -> bytes:
        """A whole answer that ends the connection."""

    def count(self, event: str) -> None:
        """Something was refused."""


class GatewayChannel(http.HTTPChannel):
    """A connection.

    Attributes:
        client_key: under which its site counts it; "" when it is not counted per client.
        served: complete requests so far.
        is_secure: whether it is TLS.
    """

    site: ChannelSite
    requestFactory: Callable[[GatewayChannel], ReadRequest]  # type: ignore[assignment]  # upstream wants its own class
    callLater: Callable[..., IDelayedCall]
    client_key = ""
    served = 0
    is_secure = False
    persistent = True
    _phase = Phase.HEAD
    _unread = b""
    _scanned = 0
    _begun = False
    _blank_line_seen = False
    _head: Head | None = None
    _body: bytearray
    _chunks: ChunkedBody | None = None
    _is_large = False
    _drained = _untaken = 0
    _pumping = False
    _turn: IDelayedCall | None = None
    _reading_held = False
    _deadline = 0.0
    _timer: IDelayedCall | None = None
    _timer_at = 0.0
    _successor: IProtocol | None = None
    _host: IAddress | None = None
    _peer: IAddress | None = None

    # -- life

    def connectionMade(self) -> None:
        """Starts the deadline of the first head."""
        super().connectionMade()  # type: ignore[no-untyped-call]  # untyped upstream
        self._seconds = self.site.reactor.seconds
        self.is_secure = self.isSecure()  # type: ignore[no-untyped-call]  # untyped upstream
        self.site.opened(self)
        self._set_deadline(self.site.limits.header_timeout_seconds)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted's own signature has no type here
        """Ends the request in progress, if any."""
        phase, self._phase = self._phase, Phase.CLOSING
        if phase is Phase.BODY or (phase is Phase.HEAD and self._begun):
            _log.info("a request was left unfinished by {client}", client=self._client)
        self._deadline = 0.0
        for call in (self._timer, self._turn):
            if call is not None and call.active():
                call.cancel()
        self._timer = self._turn = None
        self.site.closed(self)
        if phase is Phase.TAKEN and self._successor is not None:
            self._successor.connectionLost(reason)
        else:
            super().connectionLost(reason)  # type: ignore[no-untyped-call]  # untyped upstream

    def loseConnection(self) -> None:
        """Closes after what has been written; aborts when the client takes too little of it in `abortTimeout` seconds."""
        if self._phase is not Phase.TAKEN:
            self._become_closing(float(self.abortTimeout))
            self._untaken = waiting_bytes(self.transport)
        super().loseConnection()  # type: ignore[no-untyped-call]  # untyped upstream

    @property
    def _client(self) -> str:
        return getattr(self.getPeer(), "host", "") or "local"

    def getPeer(self) -> IAddress:
        """The other end; asked of the socket once."""
        if self._peer is None:
            self._peer = super().getPeer()  # type: ignore[no-untyped-call]  # untyped upstream
        return self._peer

    def getHost(self) -> IAddress:
        """This end; asked of the socket once."""
        if self._host is None:
            self._host = super().getHost()  # type: ignore[no-untyped-call]  # untyped upstream
        return self._host

    # -- reading

    def dataReceived(self, data: bytes) -> None:
        """Takes bytes in any portions."""
        phase = self._phase
        if phase is Phase.CLOSING:
            self._discard(len(data))
        elif phase is Phase.TAKEN and self._successor is not None:
            self._successor.dataReceived(data)
        else:
            self._unread = self._unread + data if self._unread else data
            self._pump()
            if len(self._unread) > self._optimisticEagerReadSize and self._must_wait():
                self._hold_reading()

    def _must_wait(self) -> bool:
        return self._phase is Phase.BUSY or self._waitingForTransport or self._turn is not None

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        limit = self.served + BURST
        try:
            while self._unread and not self._must_wait():
                if self._phase is Phase.HEAD:
                    if self.served >= limit:
                        self._turn = self.callLater(0, self._next_turn)
                    elif not self._read_head():
                        break
                elif self._phase is not Phase.BODY or not self._read_body():
                    break
        except Unreadable as refused:
            self._refuse(refused.status, refused.event)
        finally:
            self._pumping = False

    def _next_turn(self) -> None:
        self._turn = None
        self._release_reading()
        self._pump()

    def _read_head(self) -> bool:
        limits, unread = self.site.limits, self._unread
        if unread.startswith(b"\r") and not self._blank_line_seen:
            return self._skip_blank_line()
        end = unread.find(END_OF_HEAD, self._scanned)
        if end < 0:
            self._await_rest_of_head(unread)
            return False
        head = parse_head(unread[:end], max_bytes=limits.max_header_bytes, max_headers=limits.max_headers)
        self._unread = unread[end + 4 :]
        self._scanned = 0
        self._begin_body(head)
        return True

    def _skip_blank_line(self) -> bool:
        # One empty line before a request is forgiven (RFC 9112 §2.2): old clients send it after a POST.
        if not self._unread.startswith(CRLF):
            if len(self._unread) > 1:
                raise malformed()
            return False
        self._unread = self._unread[2:]
        self._blank_line_seen = True
        return True

    def _await_rest_of_head(self, unread: bytes) -> None:
        limits = self.site.limits
        check_partial(unread, max_bytes=limits.max_header_bytes, max_headers=limits.max_headers)
        self._scanned = max(0, len(unread) - 3)
        if not self._begun:
            self._begun = True
            self._set_deadline(limits.header_timeout_seconds)

    def _begin_body(self, head: Head) -> None:
        length = head.length
        if length == 0:
            self._deliver(head, b"")
            return
        cap_bytes = self.site.cap_of(head.target.partition(b"?")[0])
        if length is not None and length > cap_bytes:
            raise Unreadable(413, "body_too_large")
        if length is not None and len(self._unread) >= length:
            body, self._unread = self._unread[:length], self._unread[length:]
            self._deliver(head, body)
            return
        if min(cap_bytes, length or cap_bytes) > self.site.limits.max_body_bytes:
            if not self.site.begin_large(self, head.headers):
                raise Unreadable(503, "large_bodies")
            self._is_large = True
        self._await_body(head, cap_bytes)

    def _await_body(self, head: Head, cap_bytes: int) -> None:
        limits = self.site.limits
        self._phase, self._head = Phase.BODY, head
        if head.length is None:
            self._chunks = ChunkedBody(cap_bytes, max_trailer_bytes=limits.max_header_bytes, max_trailers=limits.max_headers)
        else:
            self._body = bytearray()
        self._set_deadline(limits.body_timeout_seconds)
        if head.expects_continue and not self._unread:
            self._transport().write(CONTINUE)

    def _read_body(self) -> bool:
        head = self._head
        if head is None:
            return False
        unread, self._unread = self._unread, b""
        if self._chunks is not None:
            if not self._chunks.feed(unread):
                return False
            body, self._unread = bytes(self._chunks.body), self._chunks.rest
        else:
            missing = (head.length or 0) - len(self._body)
            if len(unread) < missing:
                self._body += unread
                return False
            body, self._unread = b"".join((self._body, unread[:missing])), unread[missing:]
            self._body = bytearray()
        self._head = self._chunks = None
        self._deliver(head, body)
        return True

    def _deliver(self, head: Head, body: bytes) -> None:
        self._phase, self._handlingRequest = Phase.BUSY, True
        self._deadline = 0.0
        self._begun = self._blank_line_seen = False
        if self._is_large:
            self._large_is_over()
        self.persistent = head.keep_alive
        self.served += 1
        request = self.requestFactory(self)
        self.requests.append(request)
        request.fill(head.headers, body)
        request.requestReceived(head.method, head.target, head.version)

    def _large_is_over(self) -> None:
        self._is_large = False
        self.site.end_large(self)

    def requestDone(self, request: ReadRequest) -> None:
        """The answer is written: the next request may be read, or the connection closed."""
        if not self.requests or self.requests[0] is not request:
            raise TypeError("answers leave in the order of their requests")
        del self.requests[0]
        self._handlingRequest = False
        if self._phase is not Phase.BUSY:
            return
        if not self.persistent or self.site.is_draining:
            self.loseConnection()
            return
        self._phase = Phase.HEAD
        self._set_deadline(self.site.limits.idle_timeout_seconds)
        self._release_reading()
        if self._unread:
            self._pump()

    # -- refusing

    def _refuse(self, status: int, event: str) -> None:
        self.site.count(event)
        _log.info("refused while reading: {status} {event} {client}", status=status, event=event, client=self._client)
        answer = self.site.refusal_of(status)
        self._become_closing(LINGER_SECONDS)
        transport = self._transport()
        transport.write(answer)
        self._networkProducer.unregisterProducer()  # type: ignore[attr-defined]  # upstream annotates less than it provides
        if half_close(transport):
            self._networkProducer.resumeProducing()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self._refuse(400, "malformed")

    def _become_closing(self, seconds: float) -> None:
        self._phase = Phase.CLOSING
        self._unread = b""
        self._head = self._chunks = None
        self._large_is_over()
        self.persistent = False
        self._set_deadline(seconds)

    def _discard(self, count: int) -> None:
        self._drained += count
        if self._drained > LINGER_BYTES:
            self.forceAbortClient()

    def forceAbortClient(self) -> None:
        """Drops the connection without waiting for anything."""
        self._deadline = 0.0
        self._transport().abortConnection()

    # -- deadlines

    def _set_deadline(self, seconds: float) -> None:
        self._deadline = deadline = self._seconds() + seconds
        if self._timer is None:
            self._timer, self._timer_at = self.callLater(seconds, self._look), deadline
        elif deadline < self._timer_at:
            self._timer.reset(seconds)
            self._timer_at = deadline

    def _look(self) -> None:
        self._timer = None
        if not self._deadline:
            return
        remaining = self._deadline - self._seconds()
        if remaining > 0:
            self._set_deadline(remaining)
        else:
            self._expired()

    def _expired(self) -> None:
        if self._phase is Phase.BODY:
            self._refuse(408, "body_timeout")
        elif self._phase is Phase.CLOSING:
            self._close_or_wait()
        elif self._begun:
            self._refuse(408, "header_timeout")
        else:
            if not self.served:
                self.site.count("header_timeout")
            self.loseConnection()

    def _close_or_wait(self) -> None:
        before, self._untaken = self._untaken, waiting_bytes(self.transport)
        if before and before - self._untaken >= min(before, LEAST_TAKEN_BYTES):
            self._set_deadline(float(self.abortTimeout))
        else:
            self.forceAbortClient()

    # -- back pressure

    def _hold_reading(self) -> None:
        if not self._reading_held:
            self._reading_held = True
            self._networkProducer.pauseProducing()

    def _release_reading(self) -> None:
        if self._reading_held and not self._waitingForTransport:
            self._reading_held = False
            self._networkProducer.resumeProducing()

    def pauseProducing(self) -> None:
        """The client takes no more answers for now: read no more requests, and slow the answer down."""
        super().pauseProducing()  # type: ignore[no-untyped-call]  # untyped upstream
        if not self._handlingRequest:
            self._reading_held = True

    def resumeProducing(self) -> None:
        """The client takes answers again."""
        super().resumeProducing()  # type: ignore[no-untyped-call]  # untyped upstream
        if not self._handlingRequest:
            self._reading_held = False
            self._pump()

    # -- becoming something else

    def take_over(self, successor: IProtocol) -> None:
        """Hands the connection to another protocol, for good: a WebSocket after its handshake.

        The site goes on counting the connection; every byte that arrived after the request, and all that follow, are the successor's, and so are
        its deadlines. Call it while the request is being processed, before anything was answered (see `GatewayRequest.take_over`).

        Raises:
            RuntimeError: no request is being processed.
        """
        if self._phase is not Phase.BUSY:
            raise RuntimeError("only a connection whose request is being processed can be taken over")
        self._phase, self._successor = Phase.TAKEN, successor
        self._deadline, self._handlingRequest = 0.0, False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.requests.clear()
        early, self._unread = self._unread, b""
        self._networkProducer.unregisterProducer()  # type: ignore[attr-defined]  # upstream annotates less than it provides
        self._waitingForTransport = False
        self._release_reading()
        successor.makeConnection(self._transport())
        if early:
            successor.dataReceived(early)

    def _protocolUpgradeForWebsockets(self, protocol: IProtocol) -> None:
        self.take_over(protocol)

    def _transport(self) -> ITCPTransport:
        transport = self.transport
        if transport is None:
            raise RuntimeError("the connection is not made")
        return cast(ITCPTransport, transport)


def half_close(transport: ITCPTransport) -> bool:
    """Says that nothing more will be written, and goes on reading; False where reading ends with it.

    TLS has no half close of its own: its `loseConnection` sends the close alert and waits for the client's, while the raw socket's half close would
    cut the alert off.
    """
    close_writing = getattr(transport, "loseWriteConnection", None)
    if close_writing is None or ISSLTransport.providedBy(transport):
        transport.loseConnection()
        return False
    close_writing()
    return True
