"""One request to a vendor and its answer: waits, caps and errors. Ring: agents. Source: design §3 (HTTP client)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure

from clawgate.domain.errors import AgentError, AgentProtocol, AgentTimeout, AgentUnavailable
from clawgate.ports.clock import Clock

LINGER_SECONDS = 1.0
"""How long a body may trail on once its receiver has all it needs."""

HeaderLookup = Callable[[str], str | None]


class Receiver(Protocol):
    """Takes one answer. May raise an `AgentError` anywhere: the connection is aborted and the error is the outcome."""

    def head(self, status: int, header: HeaderLookup) -> None:
        """The answer begins; header names in any case."""

    def data(self, chunk: bytes) -> None:
        """The next bytes of the body."""

    def is_complete(self) -> bool:
        """Whether nothing that may still come matters."""


class Exchange(TwistedProtocol):
    """One request's wait: for its head, then as the protocol of its body.

    Args:
        idle_seconds: for the head, and for every gap in the body.
        cap_bytes: largest body.
    """

    def __init__(self, clock: Clock, receiver: Receiver, idle_seconds: float, cap_bytes: int) -> None:
        self._clock, self._receiver = clock, receiver
        self._idle_seconds, self._room = idle_seconds, cap_bytes
        self._last_byte = clock.monotonic()
        self._timer: IDelayedCall | None = clock.call_later(idle_seconds, self._expired)
        self._asked: Deferred[Any] | None = None  # Any: IResponse
        self._ended: Deferred[None] = Deferred(lambda _: self._abort())
        self._is_over = self._is_late = self._is_lingering = False

    async def run(self, asked: Deferred[Any]) -> None:  # Any: IResponse
        """Waits for what the agent was asked; returns when the body has ended. Errors as `HttpClient.post` says."""
        self._asked = asked
        try:
            response = await asked
            self._asked = None
            self._last_byte = self._clock.monotonic()
            self._begin(response)
            await self._ended
        except AgentError:
            raise
        except Exception as error:
            raise self._translated(error) from None
        finally:
            self._stop_timer()
            self._is_over = True

    def _begin(self, response: Any) -> None:  # Any: IResponse
        try:
            self._receiver.head(response.code, _lookup(response.headers))
        except Exception:
            self._is_over = True
            response.deliverBody(self)  # the only way to its connection
            self._abort()
            raise
        response.deliverBody(self)

    def dataReceived(self, data: bytes) -> None:
        """The next bytes of the body."""
        if self._is_over:
            return
        self._last_byte = self._clock.monotonic()
        self._room -= len(data)
        try:
            if self._room < 0:
                raise AgentProtocol("the provider's answer is over its cap")
            self._receiver.data(data)
        except Exception:
            self._end(Failure())
            return
        if self._timer is not None and not self._is_lingering and self._receiver.is_complete():
            self._is_lingering = True
            self._timer.reset(LINGER_SECONDS)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted's default argument is never used
        """The body ended, or its connection did."""
        from twisted.web.client import ResponseDone
        from twisted.web.http import PotentialDataLoss

        # A body that ends with the connection may be whole: only its receiver can tell.
        is_whole = reason.check(ResponseDone, PotentialDataLoss) is not None or self._receiver.is_complete()
        self._end(None if is_whole else reason)

    def _end(self, reason: Failure | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        if reason is not None:
            self._abort()
            self._ended.errback(reason)
        else:
            self._ended.callback(None)

    def _abort(self) -> None:
        self._is_over = True
        if self.transport is not None:
            self.transport.loseConnection()

    def _expired(self) -> None:
        self._timer = None
        if self._asked is not None:
            self._is_late = True
            self._asked.cancel()
        elif self._receiver.is_complete():
            self._abort()
            self._ended.callback(None)
        elif (left := self._last_byte + self._idle_seconds - self._clock.monotonic()) > 0:
            self._timer = self._clock.call_later(left, self._expired)
        else:
            self._end(Failure(AgentTimeout("the provider sent nothing for too long", detail=f"{self._idle_seconds:g} s inside the answer")))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _translated(self, error: Exception) -> Exception:
        if self._is_late:
            return AgentTimeout("the provider did not begin to answer in time", detail=f"{self._idle_seconds:g} s")
        return translated(error)


def translated(error: Exception) -> Exception:
    """Twisted's error of a request as the house's. What is none of Twisted's comes back as it is."""
    from twisted.internet import error as net
    from twisted.web import client

    if isinstance(error, client.RequestTransmissionFailed | client.RequestGenerationFailed | client.ResponseFailed):
        reasons = [failure.value for failure in error.reasons]
        if any(isinstance(reason, CancelledError) for reason in reasons):
            return CancelledError()
        if all(_is_lost(reason) for reason in reasons):
            return AgentUnavailable("the provider closed the connection before its answer was whole", detail=repr(reasons)[:500])
        return AgentProtocol("the provider's answer is not HTTP", detail=repr(reasons)[:500])
    if isinstance(error, net.ConnectError | net.DNSLookupError | net.ConnectionLost | net.ConnectionDone | net.ConnectBindError):
        return AgentUnavailable("the provider cannot be reached", detail=repr(error)[:500])
    if _is_lost(error):
        return AgentUnavailable("the provider cannot be reached", detail=repr(error)[:500])
    return error


def _is_lost(error: BaseException) -> bool:
    from twisted.internet import error as net
    from twisted.web import http

    # _DataLoss has no public name; it says that a body ended before its length. TLS that fails comes as OpenSSL's or service_identity's own error.
    lost = (net.ConnectionLost, net.ConnectionDone, net.ConnectionAborted, http._DataLoss, OSError)
    return isinstance(error, lost) or type(error).__module__.partition(".")[0] in {"OpenSSL", "service_identity"}


def _lookup(headers: Any) -> HeaderLookup:  # Any: twisted.web.http_headers.Headers
    def first(name: str) -> str | None:
        values = headers.getRawHeaders(name)
        return str(values[0]) if values else None

    return first
