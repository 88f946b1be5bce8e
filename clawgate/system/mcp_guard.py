"""The connection under MCP over HTTP: heads are bounded, and closing never waits. Ring: system. Source: design §3 (HTTP client).

Twisted's parser bounds a header line and not their number; its polite close of TLS waits for a peer that may never answer.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

HEAD_CAP_BYTES = 64 * 1024


class _Guard(ProtocolWrapper):
    """Counts the bytes of a head, and turns a close into an abort."""

    _head_bytes: int | None = 0  # None: the head is over

    def pauseProducing(self) -> None:
        """The parser has read a head: it pauses its transport exactly then."""
        self._head_bytes = None
        self.transport.pauseProducing()  # type: ignore[union-attr]  # a connected transport is a producer

    def dataReceived(self, data: bytes) -> None:
        """Bytes for the parser."""
        ProtocolWrapper.dataReceived(self, data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_CAP_BYTES:
                self.loseConnection()

    def loseConnection(self) -> None:
        """Aborts."""
        self.disconnecting = 1
        self.transport.abortConnection()  # type: ignore[union-attr]  # every TCP and TLS transport has it


class _Guards(WrappingFactory[_Guard]):
    protocol = _Guard
    noisy = False


@implementer(IStreamClientEndpoint)
class GuardedEndpoint:
    """Connects through guards."""

    def __init__(self, inner: IStreamClientEndpoint) -> None:
        self._inner = inner

    def connect(self, protocolFactory: Any) -> Deferred[Any]:  # Any: IProtocolFactory, IProtocol
        """Fires with the protocol inside the guard."""
        connected: Deferred[Any] = self._inner.connect(_Guards(protocolFactory))  # type: ignore[no-untyped-call]  # untyped upstream
        return connected.addCallback(lambda guard: guard.wrappedProtocol)


class _Endpoints:
    """`IAgentEndpointFactory` over TCP, or TLS that is checked as browsers do."""

    def __init__(self, reactor: Any, connect_seconds: float) -> None:  # Any: IReactorTCP, IReactorTime and a name resolver at once
        self._reactor, self._connect_seconds = reactor, connect_seconds

    def endpointForURI(self, uri: Any) -> IStreamClientEndpoint:  # Any: twisted.web.client.URI
        """A guarded way to the URI's host."""
        from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
        from twisted.web.client import BrowserLikePolicyForHTTPS

        tcp: IStreamClientEndpoint = HostnameEndpoint(self._reactor, uri.host, uri.port, timeout=self._connect_seconds)
        if uri.scheme != b"https":
            return GuardedEndpoint(tcp)
        return GuardedEndpoint(wrapClientTLS(BrowserLikePolicyForHTTPS().creatorForNetloc(uri.host, uri.port), tcp))


def guarded_agent(reactor: Any, connect_seconds: float) -> Any:  # Any: the reactor's interfaces; IAgent
    """An agent with a connection of its own for each request, all guarded."""
    # Half a second of imports (OpenSSL, cryptography): nobody without such a server pays for it.
    from twisted.web.client import Agent, HTTPConnectionPool

    return Agent.usingEndpointFactory(reactor, _Endpoints(reactor, connect_seconds), HTTPConnectionPool(reactor, persistent=False))
