"""The connection under a vendor's HTTP: bounded heads, and closing that never waits. Ring: agents. Source: design §3 (HTTP client)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

HEAD_CAP_BYTES = 64 * 1024


class Guard(ProtocolWrapper):
    """Between a connection and Twisted's HTTP parser: counts bytes of heads, which the parser does not bound, and turns every close into an abort."""

    _head_bytes = -1  # -1: not in a head

    def write(self, data: bytes) -> None:
        """A request begins."""
        self._head_bytes = 0
        ProtocolWrapper.write(self, data)

    def writeSequence(self, data: Any) -> None:  # Any: Iterable[bytes], untyped upstream
        """A request begins."""
        self._head_bytes = 0
        ProtocolWrapper.writeSequence(self, data)

    def pauseProducing(self) -> None:
        """The parser has read a head, or its reader is slow."""
        # The parser pauses its transport exactly when a head is over (pinned by a test).
        self._head_bytes = -1
        self.transport.pauseProducing()  # type: ignore[union-attr]  # a connected transport is a producer

    def dataReceived(self, data: bytes) -> None:
        """Bytes for the parser."""
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
        self.factory.live.add(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted's default argument is never used
        """Leaves them."""
        self.factory.live.discard(self)
        ProtocolWrapper.connectionLost(self, reason)


class _GuardFactory(WrappingFactory[Guard]):
    protocol = Guard
    noisy = False

    def __init__(self, inner: Any, live: set[Guard]) -> None:  # Any: IProtocolFactory
        super().__init__(inner)  # type: ignore[no-untyped-call]  # untyped upstream
        self.live = live


@implementer(IStreamClientEndpoint)
class GuardedEndpoint:
    """Connects through guards, which stand in `live` while they are connected."""

    def __init__(self, inner: IStreamClientEndpoint, live: set[Guard]) -> None:
        self._inner, self._live = inner, live

    def connect(self, protocolFactory: Any) -> Deferred[Any]:  # Any: IProtocolFactory, IProtocol
        """Fires with the protocol inside the guard."""
        connected: Deferred[Any] = self._inner.connect(_GuardFactory(protocolFactory, self._live))
        return connected.addCallback(lambda guard: guard.wrappedProtocol)


class OneEndpoint:
    """`IAgentEndpointFactory` with one answer; it saves making an endpoint per request."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: object) -> IStreamClientEndpoint:
        """The one."""
        return self._endpoint
