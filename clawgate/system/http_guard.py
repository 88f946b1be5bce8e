"""The connection under requests to URLs of others: heads are bounded, closing never waits, and a name leads only where it may. Ring: system.

Source: design §3 (HTTP client, SSRF). Twisted's parser bounds a header line and not their number; its polite close of TLS waits for a peer that may never
answer.

A name is looked up once, its addresses are checked, and one of these very addresses is connected to: what the name says a moment later does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol
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


class Checkpoint(msgspec.Struct, eq=False):
    """Lets a request connect only to addresses that it may.

    Attributes:
        may_connect: asked with each address that a name leads to, or that stands in the URL.
        has_refused: whether an address was kept back.
    """

    may_connect: Callable[[str], bool]
    has_refused: bool = False

    def passes(self, address: IAddress) -> bool:
        """Whether this address may be connected to."""
        is_allowed = self.may_connect(str(getattr(address, "host", "")))
        self.has_refused |= not is_allowed
        return is_allowed


@implementer(IResolutionReceiver)
class _Checked:
    """Passes on the addresses that may be connected to."""

    def __init__(self, receiver: IResolutionReceiver, checkpoint: Checkpoint) -> None:
        self._receiver, self._checkpoint = receiver, checkpoint

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """The look-up begins."""
        self._receiver.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: IAddress) -> None:
        """One address."""
        if self._checkpoint.passes(address):
            self._receiver.addressResolved(address)

    def resolutionComplete(self) -> None:
        """That was all."""
        self._receiver.resolutionComplete()


@implementer(IHostnameResolver)
class _CheckedResolver:
    """The reactor's resolver behind a checkpoint."""

    def __init__(self, resolver: IHostnameResolver, checkpoint: Checkpoint) -> None:
        self._resolver, self._checkpoint = resolver, checkpoint

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Looks a name up, or reads an address."""
        checked = _Checked(resolutionReceiver, self._checkpoint)
        return self._resolver.resolveHostName(checked, hostName, portNumber, addressTypes, transportSemantics)


@implementer(IReactorPluggableNameResolver)
class _CheckedReactor:
    """The reactor, but for its resolver."""

    def __init__(self, reactor: Any, checkpoint: Checkpoint) -> None:  # Any: as of `_Endpoints`
        self._reactor = reactor
        self.nameResolver = _CheckedResolver(reactor.nameResolver, checkpoint)

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Nobody puts another one in."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:  # Any: whatever the reactor has
        return getattr(self._reactor, name)


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


def guarded_agent(reactor: Any, connect_seconds: float, checkpoint: Checkpoint | None = None) -> Any:  # Any: the reactor's interfaces; IAgent
    """An agent with a connection of its own for each request, all guarded.

    Args:
        checkpoint: where its connections may lead; None = anywhere, for URLs that lead where the operator wants (a server on this machine).
    """
    # Half a second of imports (OpenSSL, cryptography): nobody without such a server pays for it.
    from twisted.web.client import Agent, HTTPConnectionPool

    way = reactor if checkpoint is None else _CheckedReactor(reactor, checkpoint)
    return Agent.usingEndpointFactory(reactor, _Endpoints(way, connect_seconds), HTTPConnectionPool(reactor, persistent=False))


class Content:
    """A request's body (`IBodyProducer`), written at once."""

    def __init__(self, content: bytes) -> None:
        self._content, self.length = content, len(content)

    def startProducing(self, consumer: Any) -> Deferred[None]:  # Any: IConsumer
        """Writes it."""
        consumer.write(self._content)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It has been written already."""

    resumeProducing = stopProducing = pauseProducing


def drop(response: Any) -> None:  # Any: IResponse
    """Closes the connection of an answer whose body nobody wants."""
    response.deliverBody(_Ignored())


class _Ignored(Protocol):
    def connectionMade(self) -> None:
        """Enough."""
        if self.transport is not None:
            self.transport.loseConnection()
