"""The hot path to a vendor: one POST, its answer handed on piece by piece. Ring: agents. Source: design §3 (HTTP client), §5.

A client of our own: warm connections to one host, the one used last first, and a bounded line in front of them. A POST is never repeated here: a connection
that dies before the answer is `AgentUnavailable`, and who may repeat it is decided where the turn is journalled. No redirect is followed.

Every wait ends: the head of the answer and every gap in its body have `idle_timeout_seconds`; heads and bodies have caps. One timer watches all deadlines.

Before, this was Twisted's `Agent`, which parses the URL of each request, reads heads line by line and goes through a dozen Deferreds: a POST over a warm
connection took it about three times the processor time, and twice the time.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.agents.http_connection import Connection
from clawgate.agents.http_endpoint import checked_url, endpoint_of, target_of
from clawgate.agents.http_exchange import Exchange, Receiver
from clawgate.agents.http_wire import request_bytes
from clawgate.domain.errors import AgentOverloaded, AgentProtocol, AgentUnavailable
from clawgate.ports.clock import Clock

_log = Logger()

_KEPT_SECONDS = 50
_NEARLY_SECONDS = 0.001
"""The reactor's clock and ours may differ by so much."""
_PATH = re.compile(r"/[!-\"$-~]*")


class HttpClient:
    """POSTs to one server, and asks it.

    Args:
        reactor: connects.
        base_url: `http` or `https`; paths are appended to its path.
        max_inflight: requests at once, and connections kept; 16 times as many may wait in line.
        response_cap_bytes: largest body.
        endpoint: where to connect instead of the URL's host.
        keeps_connections: whether connections are used again. Given up by itself for a server that closes them right after its answers.

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
        self._prefix, self._host = target_of(self._base)
        self._max_inflight = max_inflight
        self._idle_seconds, self._connect_seconds = idle_timeout_seconds, connect_timeout_seconds
        self._cap_bytes = response_cap_bytes
        self._endpoint, self._keeps_connections = endpoint, keeps_connections
        self._factory = _Connections(self)
        self._line: deque[Exchange] = deque()
        self._running: set[Exchange] = set()
        self._idle: list[Connection] = []  # the one used last at the end
        self._timer: IDelayedCall | None = None
        self._timer_at = 0.0
        self._is_stopped = False

    # --- requests

    def post(self, path: str, headers: Mapping[str, str], body: bytes, receiver: Receiver) -> Deferred[None]:
        """Sends `body` and feeds the answer to `receiver`; fires when it has ended. Cancelling aborts the connection at once.

        Args:
            path: appended to the base URL, query included.

        Raises (errback):
            AgentUnavailable: no connection, it was lost, or a head without end. AgentTimeout: no byte for too long. AgentProtocol: not HTTP, a body
            over its cap, or a path or header that cannot be sent. AgentOverloaded: the line is full. Whatever the receiver raised.
        """
        return self._ask("POST", path, headers, body, receiver)

    def get(self, path: str, headers: Mapping[str, str], receiver: Receiver) -> Deferred[None]:
        """Asks for `path` and feeds the answer to `receiver`; otherwise as `post`."""
        return self._ask("GET", path, headers, None, receiver)

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, receiver: Receiver) -> Deferred[None]:
        if self._is_stopped:
            return fail(_stopped())
        if len(self._line) >= 16 * self._max_inflight:
            return fail(AgentOverloaded("too many requests are waiting for the provider", detail=f"{len(self._line)} in line"))
        target = self._prefix + path
        if not _PATH.fullmatch(target):
            return fail(AgentProtocol("the request path is not a URL", detail=repr(path[:200])))
        close = "" if self._keeps_connections else "Connection: close\r\n"
        try:
            request = request_bytes(f"{method} {target} HTTP/1.1\r\nHost: {self._host}\r\n{close}", headers, body)
        except AgentProtocol as problem:
            return fail(problem)
        exchange = Exchange(request, receiver, cap_bytes=self._cap_bytes, idle_seconds=self._idle_seconds, cancel=self._cancelled)
        if len(self._running) < self._max_inflight:
            self._start(exchange)
        else:
            self._line.append(exchange)
        return exchange.ended

    def _start(self, exchange: Exchange) -> None:
        exchange.start(self.monotonic())
        self._running.add(exchange)
        self.watch(exchange.deadline)
        for connection in reversed(self._idle):
            if connection.is_quiet():  # the others stay, or nobody would end those that never say why
                self._idle.remove(connection)
                connection.send(exchange)
                return
        exchange.way = maybeDeferred(self._connect)
        exchange.way.addCallbacks(_connected, self._not_connected, callbackArgs=(exchange,), errbackArgs=(exchange,))

    def _connect(self) -> Deferred[Any]:  # Any: a Connection, which an endpoint calls an IProtocol
        if self._endpoint is None:
            self._endpoint = endpoint_of(self._reactor, self._base, self._connect_seconds)
        return self._endpoint.connect(self._factory)

    def _not_connected(self, failure: Failure, exchange: Exchange) -> None:
        self.ended(exchange, AgentUnavailable("the provider cannot be reached", detail=repr(failure.value)[:500]), None)

    def ended(self, exchange: Exchange, reason: Exception | Failure | None, kept: Connection | None) -> None:
        """`http_connection.Owner.ended`."""
        if exchange.is_over:
            return
        if kept is not None:
            self._keep(kept)
        self._leave(exchange)
        if reason is None:
            exchange.ended.callback(None)
        else:
            exchange.ended.errback(reason)

    def _leave(self, exchange: Exchange) -> None:
        """Gives the exchange's place to the first in line."""
        exchange.is_over = True
        self._running.discard(exchange)
        while self._line and len(self._running) < self._max_inflight:
            self._start(self._line.popleft())
        self._rest()

    def _cancelled(self, exchange: Exchange) -> None:
        if exchange.is_over:
            return
        if exchange in self._running:
            self._abandon(exchange)
        else:
            exchange.is_over = True
            self._line.remove(exchange)

    def _abandon(self, exchange: Exchange) -> None:
        exchange.is_over = True
        exchange.way.cancel()
        self._leave(exchange)

    def stop(self) -> Deferred[None]:
        """Aborts every connection. Idempotent."""
        self._is_stopped = True
        waiting, self._line = self._line, deque()
        for exchange in (*waiting, *self._running):
            if not exchange.is_over:
                exchange.is_over = True
                if exchange.way is not None:
                    exchange.way.cancel()
                exchange.ended.errback(_stopped())
        self._running.clear()
        self._close_idle()
        return succeed(None)

    # --- connections

    def _keep(self, connection: Connection) -> None:
        if not self._keeps_connections or self._is_stopped:
            connection.cancel()
            return
        if len(self._idle) >= self._max_inflight:
            self._idle[0].cancel()
        connection.idle_until = self.monotonic() + _KEPT_SECONDS
        self._idle.append(connection)
        self.watch(connection.idle_until)

    def gone(self, connection: Connection) -> None:
        """`http_connection.Owner.gone`."""
        if connection in self._idle:
            self._idle.remove(connection)
            self._rest()

    def closed_early(self) -> None:
        """The server does not keep connections, whatever it says: a later request would race with its close, so each gets its own."""
        if self._keeps_connections:
            self._keeps_connections = False
            self._close_idle()
            _log.info("{url} closes kept connections; each request now gets its own", url=self._base)

    def _close_idle(self) -> None:
        for connection in tuple(self._idle):
            connection.cancel()
        self._rest()

    # --- deadlines

    def monotonic(self) -> float:
        """`http_connection.Owner.monotonic`."""
        return self._clock.monotonic()

    def watch(self, deadline: float) -> None:
        """`http_connection.Owner.watch`. A timer that is due earlier is left alone: what it finds then is looked at again."""
        if self._timer is None:
            self._timer_at = deadline
            self._timer = self._clock.call_later(deadline - self.monotonic(), self._look)
        elif deadline < self._timer_at:
            self._timer_at = deadline
            self._timer.reset(max(0.0, deadline - self.monotonic()))

    def _look(self) -> None:
        self._timer = None
        now = self.monotonic() + _NEARLY_SECONDS
        for exchange in [each for each in self._running if each.deadline <= now]:
            if not exchange.is_over:
                self._expire(exchange)
        while self._idle and self._idle[0].idle_until <= now:
            self._idle[0].cancel()
        deadlines = [each.deadline for each in self._running] + [each.idle_until for each in self._idle[:1]]
        if deadlines:
            self.watch(min(deadlines))

    def _expire(self, exchange: Exchange) -> None:
        reason = exchange.expired()
        self._abandon(exchange)
        if reason is None:
            exchange.ended.callback(None)
        else:
            exchange.ended.errback(reason)

    def _rest(self) -> None:
        if self._timer is not None and not self._running and not self._idle:
            self._timer.cancel()
            self._timer = None


class _Connections(Factory):
    noisy = False

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        """One more."""
        return Connection(self._client)


def _connected(connection: Connection, exchange: Exchange) -> None:
    if exchange.is_over:
        connection.cancel()
    else:
        connection.send(exchange)


def _stopped() -> AgentUnavailable:
    return AgentUnavailable("the provider's client is stopped")
