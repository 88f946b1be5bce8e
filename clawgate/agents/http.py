"""The hot path to a vendor: one POST, its answer handed on piece by piece. Ring: agents. Source: design §3 (HTTP client), §5.

Twisted's `Agent` without treq: one warm pool to one host, a parsed URL and an endpoint made once, a bounded line in front of it. A POST is never repeated
here: a connection that dies before the answer is `AgentUnavailable`, and who may repeat it is decided where the turn is journalled. No redirect is followed.

Every wait ends: the head of the answer and every gap in its body have `idle_timeout_seconds`; heads and bodies have caps. Ending early always aborts the
connection (a polite close of TLS waits for a peer that may not answer).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger

from clawgate.agents.http_exchange import Exchange, Receiver
from clawgate.agents.http_guard import Guard, GuardedEndpoint, OneEndpoint
from clawgate.agents.slots import Slots
from clawgate.domain.errors import AgentProtocol, AgentUnavailable, Invalid
from clawgate.ports.clock import Clock

_log = Logger()

_CACHED_SECONDS = 50
_PATH = re.compile(r"[!-~]*\Z")


class HttpClient:
    """POSTs to one server, and asks it.

    Args:
        reactor: connects and keeps the pool's timers.
        base_url: `http` or `https`; paths are appended to its path.
        max_inflight: requests at once, and connections kept; 16 times as many may wait in line.
        response_cap_bytes: largest body.
        endpoint: where to connect instead of the URL's host.
        keeps_connections: whether connections are used again. Given up by itself for a server that closes them right after its answers.

    Attributes:
        live: open connections.

    Raises:
        Invalid: the URL cannot be used.
    """

    def __init__(
        self,
        reactor: Any,  # Any: IReactorTime and IReactorTCP (and a name resolver) at once
        clock: Clock,
        *,
        base_url: str,
        max_inflight: int,
        idle_timeout_seconds: float,
        response_cap_bytes: int,
        connect_timeout_seconds: float = 10,
        endpoint: IStreamClientEndpoint | None = None,
        keeps_connections: bool = True,
    ) -> None:
        self._reactor, self._clock = reactor, clock
        self._base = checked_url(base_url)
        self._max_inflight = max_inflight
        self._idle_seconds, self._connect_seconds = idle_timeout_seconds, connect_timeout_seconds
        self._cap_bytes = response_cap_bytes
        self._endpoint, self._keeps_connections = endpoint, keeps_connections
        self._slots = Slots(max_inflight, 16 * max_inflight)
        self.live: set[Guard] = set()
        self._agent: Any = None  # Any: twisted.web.client.Agent, imported on first use
        self._pool: Any = None  # Any: its HTTPConnectionPool
        self._host = b""
        self._is_stopped = False

    def post(self, path: str, headers: Mapping[str, str], body: bytes, receiver: Receiver) -> Deferred[None]:
        """Sends `body` and feeds the answer to `receiver`; fires when it has ended. Cancelling aborts the connection at once.

        Args:
            path: appended to the base URL, query included.

        Raises (errback):
            AgentUnavailable: no connection, or it was lost. AgentTimeout: no byte for too long. AgentProtocol: not HTTP, over a cap, or a redirect.
            AgentOverloaded: the line is full. Whatever the receiver raised.
        """
        return Deferred.fromCoroutine(self._ask(b"POST", path, headers, body, receiver))

    def get(self, path: str, headers: Mapping[str, str], receiver: Receiver) -> Deferred[None]:
        """Asks for `path` and feeds the answer to `receiver`; otherwise as `post`."""
        return Deferred.fromCoroutine(self._ask(b"GET", path, headers, None, receiver))

    async def _ask(self, method: bytes, path: str, headers: Mapping[str, str], body: bytes | None, receiver: Receiver) -> None:
        if not _PATH.match(path):
            raise AgentProtocol("the request path is not a URL", detail=repr(path[:200]))
        await self._slots.acquire()
        try:
            if self._is_stopped:
                raise AgentUnavailable("the provider's client is stopped")
            exchange = Exchange(self._clock, receiver, self._idle_seconds, self._cap_bytes)
            await exchange.run(self._request(method, (self._base + path).encode("ascii"), headers, body))
        finally:
            self._slots.release()

    def stop(self) -> Deferred[None]:
        """Aborts every connection. Idempotent."""
        self._is_stopped = True
        closed: Deferred[None] = self._pool.closeCachedConnections() if self._pool is not None else succeed(None)
        for guard in tuple(self.live):
            guard.loseConnection()
        return closed

    def monotonic(self) -> float:
        """Seconds, for the guards."""
        return self._clock.monotonic()

    def closed_early(self) -> None:
        """The server does not keep connections, whatever it says: a later request would race with its close, so each gets its own."""
        if self._pool.persistent:
            self._pool.persistent = False
            self._pool.closeCachedConnections().addErrback(lambda failure: _log.failure("closing kept connections", failure=failure))
            _log.info("{url} closes kept connections; each request now gets its own", url=self._base)

    def _request(self, method: bytes, url: bytes, headers: Mapping[str, str], body: bytes | None) -> Deferred[Any]:
        from twisted.web.http_headers import Headers

        if self._agent is None:
            self._build()
        raw = Headers({name: [value] for name, value in headers.items()})
        raw.setRawHeaders(b"Host", [self._host])
        # Any: Agent.request gives IResponse
        answer: Deferred[Any] = self._agent.request(method, url, raw, None if body is None else _Body(body))
        return answer

    def _build(self) -> None:
        # Half a second of imports (OpenSSL, cryptography): nobody who only runs offline pays for it.
        from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool

        uri = URI.fromBytes(self._base.encode("ascii"))
        self._host = uri.netloc
        self._pool = pool = HTTPConnectionPool(self._reactor, persistent=self._keeps_connections)
        pool.maxPersistentPerHost = self._max_inflight
        pool.cachedConnectionTimeout = _CACHED_SECONDS
        pool.retryAutomatically = False
        inner = self._endpoint or _endpoint(self._reactor, uri, self._connect_seconds, BrowserLikePolicyForHTTPS)
        self._agent = Agent.usingEndpointFactory(self._reactor, OneEndpoint(GuardedEndpoint(inner, self)), pool)


def checked_url(url: str) -> str:
    """The URL without a trailing slash.

    Raises:
        Invalid: it is not `http(s)://host[:port][/path]`, or carries credentials, a query, a fragment or a control character.
    """
    pattern = r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?(/[!-~]*)?\Z"
    if not re.match(pattern, url) or "?" in url or "#" in url:
        raise Invalid("default_provider", f"{url!r} is not a URL of a provider", "Write http://HOST[:PORT]/PATH or https://HOST/PATH")
    return url.rstrip("/")


def _endpoint(reactor: Any, uri: Any, timeout_seconds: float, policy: Any) -> IStreamClientEndpoint:  # Any: Twisted's own are untyped here
    from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS

    tcp: IStreamClientEndpoint = HostnameEndpoint(reactor, uri.host, uri.port, timeout=timeout_seconds)
    return wrapClientTLS(policy().creatorForNetloc(uri.host, uri.port), tcp) if uri.scheme == b"https" else tcp


class _Body:
    """The request's body, written at once."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: Any) -> Deferred[None]:  # Any: IConsumer
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Nothing is left to pause."""

    resumeProducing = stopProducing = pauseProducing
