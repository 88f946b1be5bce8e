"""POSTs to subscribers. Ring: system edge; implements `ports.subscriptions.Poster`. Source: Standard Webhooks spec; design §3 (HTTP client, SSRF).

A connection for each request, to an address that was checked (`http_guard`). One deadline over everything. Only the status counts: of the body a little is
read, so that a receiver which is still writing is not cut off at once. No proxy of the environment is used: it would connect where nobody checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet import error as net
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain.egress import is_far
from clawgate.domain.subscriptions import MOST_RETRY_AFTER_SECONDS, Answered, Unreached
from clawgate.domain.times import retry_after
from clawgate.ports.clock import Clock
from clawgate.ports.subscriptions import Outgoing
from clawgate.services.deadlines import Expired, within
from clawgate.system.http_guard import Checkpoint, Content, guarded_agent

_log = Logger()
CONNECT_SECONDS = 10.0
BODY_SECONDS, _BODY_BYTES = 1.0, 16 * 1024
MOST_BODIES = 32
"""Answers whose body may still be on its way after their status has counted."""
_STATUSES = range(100, 600)
REFUSED, TIMEOUT, NOT_FOUND, NOT_CONNECTED, TLS, BROKEN = "address_refused", "timeout", "name_not_found", "not_connected", "tls_failed", "broken_off"


class HttpPoster(msgspec.Struct, eq=False):
    """Sends each request on a connection of its own."""

    reactor: Any  # Any: IReactorTime, IReactorTCP and a name resolver at once
    clock: Clock
    _bodies: dict[_Rest, None] = {}

    def post(self, outgoing: Outgoing) -> Deferred[Answered | Unreached]:
        """`ports.subscriptions.Poster.post`."""
        return Deferred.fromCoroutine(self._post(outgoing))

    async def _post(self, outgoing: Outgoing) -> Answered | Unreached:
        checkpoint = Checkpoint(_anywhere if outgoing.allow_private else is_far)
        deadline = self.clock.monotonic() + outgoing.timeout_seconds
        try:
            return await within(Deferred.fromCoroutine(self._exchange(outgoing, checkpoint)), outgoing.timeout_seconds, self.clock)
        except CancelledError:
            raise
        except Expired:
            return Unreached(TIMEOUT)
        except Exception as problem:
            _log.debug("a delivery failed: {problem}", problem=repr(problem)[:500])
            if _is_cancelled(problem):  # Twisted wraps it once the request is written
                if self.clock.monotonic() < deadline:
                    raise CancelledError from problem
                return Unreached(TIMEOUT)
            return Unreached(REFUSED if checkpoint.has_refused else _word(problem))

    async def _exchange(self, outgoing: Outgoing, checkpoint: Checkpoint) -> Answered | Unreached:
        from twisted.web.http_headers import Headers  # as in `http_guard`: imported at the first request

        agent = guarded_agent(self.reactor, CONNECT_SECONDS, checkpoint)
        headers = Headers({name: [value] for name, value in outgoing.headers.items()})
        response = await agent.request(b"POST", outgoing.url.encode("ascii"), headers, Content(outgoing.body))
        wait = response.headers.getRawHeaders("retry-after", [None])[0]
        self._let_end(response)
        if response.code not in _STATUSES:
            return Unreached(BROKEN)
        return Answered(response.code, retry_after(wait, self.clock.wall_ms() / 1000, MOST_RETRY_AFTER_SECONDS))

    def _let_end(self, response: Any) -> None:  # Any: IResponse
        """Reads a little of the body; where too many are on their way, the oldest is cut off."""
        rest = _Rest(self.clock, lambda: self._bodies.pop(rest, None))
        self._bodies[rest] = None
        response.deliverBody(rest)
        if len(self._bodies) > MOST_BODIES:
            next(iter(self._bodies)).close()


class NoPoster:
    """Reaches nobody; for gateways that were given no way out."""

    def post(self, outgoing: Outgoing) -> Deferred[Answered | Unreached]:
        """See `Poster.post`."""
        return succeed(Unreached(NOT_CONNECTED))


def _anywhere(address: str) -> bool:
    return True


class _Rest(Protocol):
    """A body that does not matter: a little of it is read, for a moment."""

    def __init__(self, clock: Clock, over: Callable[[], object]) -> None:
        self._left, self._over = _BODY_BYTES, over
        self._timer = clock.call_later(BODY_SECONDS, self.close)

    def dataReceived(self, data: bytes) -> None:
        """A piece of it."""
        self._left -= len(data)
        if self._left <= 0:
            self.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """That was all."""
        self._over()
        if self._timer.active():
            self._timer.cancel()

    def close(self) -> None:
        """Enough."""
        self._over()
        if self.transport is not None:
            self.transport.loseConnection()


def _is_cancelled(problem: Exception) -> bool:
    return any(isinstance(failure.value, CancelledError) for failure in getattr(problem, "reasons", ()))


def _word(problem: Exception) -> str:
    """What went wrong, in one word."""
    if isinstance(problem, net.DNSLookupError):
        return NOT_FOUND
    reasons = [problem, *(failure.value for failure in getattr(problem, "reasons", ()))]
    if any(type(reason).__module__.partition(".")[0] in {"OpenSSL", "service_identity"} for reason in reasons):
        return TLS
    return NOT_CONNECTED if isinstance(problem, net.ConnectError | net.ConnectBindError) else BROKEN
