"""One connection to a vendor's server, and one request at a time on it. Ring: agents. Source: design §3 (HTTP client).

    idle --send--> busy --answer whole, kept--> idle          busy, idle --anything else--> aborted

Closing never waits: it is always an abort (a polite close of TLS waits for a peer that may not answer). What comes while nothing was asked ends the connection:
it could only be taken for the answer to the next request. So does an answer that comes before its request has left: a server that has not read the rest of it
may take that for a request.

Private API of Twisted (pinned by tests/agents/test_http_sockets.py): tcp.Connection.dataBuffer and _tempDataBuffer, TLSMemoryBIOProtocol._appSendBuffer.
"""

from __future__ import annotations

import socket
from typing import Any, Protocol

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import ISystemHandle, ITCPTransport
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure

from clawgate.agents.http_exchange import Exchange
from clawgate.domain.errors import AgentUnavailable

EARLY_SECONDS = 1.0
"""A server that closes a kept connection this soon after an answer does not really keep connections."""


class Owner(Protocol):
    """Who the connections belong to: `HttpClient`."""

    def monotonic(self) -> float:
        """Seconds."""

    def watch(self, deadline: float) -> None:
        """There is something to look at then, or before."""

    def ended(self, exchange: Exchange, reason: Exception | Failure | None, kept: Connection | None) -> None:
        """An answer has ended; its connection may carry another request."""

    def gone(self, connection: Connection) -> None:
        """It is of no use any more. May be said twice."""

    def closed_early(self) -> None:
        """A connection was closed right after an answer, unannounced."""


class Connection(TwistedProtocol):
    """One connection.

    Attributes:
        idle_until: while it is kept, when it is closed.
    """

    def __init__(self, owner: Owner) -> None:
        self.idle_until = 0.0
        self._owner = owner
        self._exchange: Exchange | None = None
        self._last_byte: float | None = None
        self._is_unheard = self._is_aborted = False
        self._socket: Any = None  # Any: a socket; what is no connection of the system has none
        self._tls: Any = None  # Any: OpenSSL's connection, whose import only those pay for who have one
        self._tcp: FileDescriptor | None = None  # the transport, without TLS and with nothing queued

    def connectionMade(self) -> None:
        """Small requests are not held back."""
        tcp: Any = getattr(self.transport, "transport", self.transport)  # Any: an ITransport; that of TLS wraps one
        if ITCPTransport.providedBy(tcp):
            tcp.setTcpNoDelay(True)
        if ISystemHandle.providedBy(tcp):
            self._socket = tcp.getHandle()
        if tcp is not self.transport and ISystemHandle.providedBy(self.transport):
            self._tls = self.transport.getHandle()
        if tcp is self.transport and isinstance(tcp, FileDescriptor):
            self._tcp = tcp

    def is_quiet(self) -> bool:
        """Whether nothing waits to be read: a close, or bytes nobody asked for. Who is not quiet soon says so itself."""
        if self._tls is not None and not _is_quiet_within(self._tls):
            return False
        if self._socket is None:
            return True
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def send(self, exchange: Exchange) -> None:
        """Sends a request, all at once."""
        self._exchange, self._is_unheard = exchange, True
        exchange.way = self
        rest = exchange.request
        if self._tcp is not None:  # now, not in the reactor's next round: a fifth of the time to an answer
            sent = self._tcp.writeSomeData(rest)
            rest = rest[sent:] if isinstance(sent, int) else rest  # what fails, fails again below
        if rest:
            self._tcp = None
            self.transport.write(rest)  # type: ignore[union-attr]  # it is connected

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the answer, or bytes nobody asked for."""
        if self._is_aborted:
            return
        exchange = self._exchange
        if exchange is None:
            self.cancel()
            return
        self._last_byte = now = self._owner.monotonic()
        self._is_unheard = False
        try:
            is_over = exchange.feed(data, now)
            reason = None
        except Exception:
            is_over, reason = True, Failure()
        if exchange.is_over:
            return  # cancelled by what its receiver did
        if is_over:
            self._end(exchange, reason)
        else:
            self._owner.watch(exchange.deadline)

    def _end(self, exchange: Exchange, reason: Failure | None) -> None:
        self._exchange = None
        keeps = reason is None and exchange.keeps and (self._tcp is not None or not _has_unsent(self.transport))
        if not keeps:
            self.cancel()
        self._owner.ended(exchange, reason, self if keeps else None)

    def cancel(self) -> None:
        """Aborts; nobody is told."""
        self._is_aborted, self._exchange = True, None
        self._owner.gone(self)
        self.transport.abortConnection()  # type: ignore[union-attr]  # every TCP and TLS transport has it

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted's default argument is never used
        """The end, whoever wanted it."""
        exchange, self._exchange = self._exchange, None
        self._socket = self._tls = self._tcp = None
        self._owner.gone(self)
        is_unused = exchange is None or self._is_unheard
        if is_unused and not self._is_aborted and self._last_byte is not None and self._owner.monotonic() - self._last_byte < EARLY_SECONDS:
            self._owner.closed_early()
        if exchange is not None:
            self._owner.ended(exchange, None if exchange.is_whole() else _lost(reason), None)


def _is_quiet_within(tls: Any) -> bool:  # Any: as above
    """Whether it has deciphered nothing that is still to be handed on: records that came with an answer's last, which its socket shows no more."""
    from OpenSSL.SSL import Error, WantReadError

    try:
        tls.recv(1, socket.MSG_PEEK)
    except WantReadError:
        return True
    except Error:  # its end among them
        return False
    return False


def _has_unsent(transport: Any) -> bool:  # Any: TCP, or TLS around it: no interface names their queues
    """Whether something written is still queued here."""
    tcp = getattr(transport, "transport", transport)
    queues = (getattr(tcp, "dataBuffer", b""), getattr(tcp, "_tempDataBuffer", ()), getattr(transport, "_appSendBuffer", ()))
    return any(queues)


def _lost(reason: Failure) -> AgentUnavailable:
    # TLS that fails ends here, too, with OpenSSL's or service_identity's own error.
    return AgentUnavailable("the provider closed the connection before its answer was whole", detail=repr(reason.value)[:500])
