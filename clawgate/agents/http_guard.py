"""The connection under a vendor's HTTP: bounded heads, and closing that never waits. Ring: agents. Source: design §3 (HTTP client)."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

HEAD_CAP_BYTES = 64 * 1024
EARLY_SECONDS = 1.0
"""A server that closes a kept connection this soon after an answer does not really keep connections."""


class Guard(ProtocolWrapper):
    """Between a connection and Twisted's HTTP parser.

    It counts bytes of heads, which the parser does not bound, turns every close into an abort, and notices a server that says it keeps the connection and
    closes it right after its answer (llama.cpp after a stream): the next request on it would race with the close and fail.
    """

    _head_bytes = -1  # -1: not in a head
    _last_byte: float | None = None
    _is_unheard = False

    def write(self, data: bytes) -> None:
        """A request begins."""
        self._head_bytes, self._is_unheard = 0, True
        ProtocolWrapper.write(self, data)

    def writeSequence(self, data: Any) -> None:  # Any: Iterable[bytes], untyped upstream
        """A request begins."""
        self._head_bytes, self._is_unheard = 0, True
        ProtocolWrapper.writeSequence(self, data)

    def pauseProducing(self) -> None:
        """The parser has read a head, or its reader is slow."""
        # The parser pauses its transport exactly when a head is over (pinned by a test).
        self._head_bytes = -1
        self.transport.pauseProducing()  # type: ignore[union-attr]  # a connected transport is a producer

    def dataReceived(self, data: bytes) -> None:
        """Bytes for the parser."""
        self._last_byte, self._is_unheard = self.factory.house.monotonic(), False
        ProtocolWrapper.dataReceived(self, data)
        if self._head_bytes >= 0:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_CAP_BYTES:
                self.loseConnection()

    def loseConnection(self) -> None:
        """Aborts."""
        self.disconnecting = 1
        self.transport.abortConnection()  # type: ignore[union-attr]  # every TCP and TLS transport has it

    def connectionMade(self) -> None:
        """Joins the living."""
        self.factory.house.live.add(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted's default argument is never used
        """Leaves them."""
        house = self.factory.house
        house.live.discard(self)
        is_unused = self._is_unheard or self.wrappedProtocol.state == "QUIESCENT"  # type: ignore[attr-defined]  # an HTTP11ClientProtocol
        if is_unused and not self.disconnecting and self._last_byte is not None and house.monotonic() - self._last_byte < EARLY_SECONDS:
            house.closed_early()
        ProtocolWrapper.connectionLost(self, reason)


class House(Protocol):
    """Who the guards work for.

    Attributes:
        live: where they stand while they are connected.
    """

    live: set[Guard]

    def monotonic(self) -> float:
        """Seconds."""

    def closed_early(self) -> None:
        """A connection was closed right after an answer, unannounced."""


class _GuardFactory(WrappingFactory[Guard]):
    protocol = Guard
    noisy = False

    def __init__(self, inner: Any, house: House) -> None:  # Any: IProtocolFactory
        super().__init__(inner)  # type: ignore[no-untyped-call]  # untyped upstream
        self.house = house


@implementer(IStreamClientEndpoint)
class GuardedEndpoint:
    """Connects through guards."""

    def __init__(self, inner: IStreamClientEndpoint, house: House) -> None:
        self._inner, self._house = inner, house

    def connect(self, protocolFactory: Any) -> Deferred[Any]:  # Any: IProtocolFactory, IProtocol
        """Fires with the protocol inside the guard."""
        connected: Deferred[Any] = self._inner.connect(_GuardFactory(protocolFactory, self._house))
        return connected.addCallback(lambda guard: guard.wrappedProtocol)


class OneEndpoint:
    """`IAgentEndpointFactory` with one answer; it saves making an endpoint per request."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: object) -> IStreamClientEndpoint:
        """The one."""
        return self._endpoint
