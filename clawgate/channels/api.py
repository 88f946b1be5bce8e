"""Calls to a platform's HTTP API. Ring: channels (edge). Source: design §3 (HTTP client), §1 (sends).

One call, one answer: no redirects, no repeats, a warm pool per channel. What a failed call proves is decided here, because only here is known how far
it came: before the request was written nothing was sent (`SendUnavailable`), afterwards nobody knows (`SendUncertain`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError, UnknownHostError
from twisted.internet.interfaces import IConsumer, IReactorTCP
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import RequestNotSent  # web.client imports it, too, and does not export it
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from clawgate.channels.answer_wire import MAX_RETRY_AFTER_SECONDS, Answer, problem
from clawgate.domain.errors import Invalid, SendUnavailable, SendUncertain
from clawgate.domain.redaction import Redactor
from clawgate.domain.secret import Secret
from clawgate.domain.times import retry_after
from clawgate.ports.clock import Clock

CONNECT_TIMEOUT_SECONDS = 10.0
TOTAL_TIMEOUT_SECONDS = 30.0
MAX_ANSWER_BYTES = 65_536
# Below the keep-alive of the platforms: a POST on a connection that they have just closed would end as uncertain.
_IDLE_SECONDS = 10
_POOL_SIZE = 4
_NOT_CONNECTED = (ConnectError, DNSLookupError, UnknownHostError, ConnectingCancelledError, RequestNotSent)
_BEFORE_DATA = ("certificate verify failed", "wrong version number", "handshake failure", "protocol version", "unrecognized name", "http request")
"""Words of OpenSSL's errors that can only happen while the handshake is under way; a request is written after it."""


def checked_base(setting: str, url: str) -> str:
    """An API's base URL without its last slash.

    Raises:
        Invalid: no http or https URL with a host.
    """
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
    except ValueError:
        is_good = False
    if not is_good or not url.isascii() or not url.isprintable():
        raise Invalid(setting, "is no http or https URL", "Write a base URL such as https://host/path")
    return url.rstrip("/")


class Api(msgspec.Struct, eq=False):
    """JSON over HTTP with a bearer token.

    Attributes:
        title: the channel's name as users know it.
        agent: None = an Agent of its own with a warm pool, made at the first call.
        redact: knows the token; a channel with more secrets tells it.
    """

    reactor: IReactorTCP
    clock: Clock
    title: str
    base: str
    token: Secret
    agent: IAgent | None = None
    redact: Redactor = msgspec.field(default_factory=Redactor)
    _pool: HTTPConnectionPool | None = None

    def __post_init__(self) -> None:
        self.redact.register(self.token)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None, *, is_bearer: bool = True) -> Answer:
        """The platform's answer to one POST, whatever its status.

        Args:
            path: encoded, beginning with a slash, perhaps with a query; appended to the base.
            body: JSON, or nothing.
            headers: more of them, ASCII.
            is_bearer: whether the token goes along.

        Raises:
            SendUnavailable: no connection came about, so nothing was sent.
            SendUncertain: the request may have been sent and no status came back, or not within 30 seconds.
        """
        deadline = self.clock.monotonic() + TOTAL_TIMEOUT_SECONDS
        request = self._request(path, body, headers or {}, is_bearer)
        timer = self.clock.call_later(TOTAL_TIMEOUT_SECONDS, request.cancel)
        try:
            response = await request
        except CancelledError:
            if timer.active():
                raise
            raise SendUncertain(f"{self.title} did not answer in time") from None
        except Exception as problem:
            raise self._judged(problem) from problem
        finally:
            if timer.active():
                timer.cancel()
        return await self._answer(response, deadline - self.clock.monotonic())

    def check(self, answer: Answer, *, is_transient: Callable[[bytes], bool] = lambda body: False) -> None:
        """Raises the `SendError` that an answer stands for, unless the part was taken; arguments as of `answer_wire.problem`."""
        error = problem(self.title, answer, self.redact, is_transient=is_transient)
        if error is not None:
            raise error

    def _request(self, path: str, body: bytes, more: Mapping[str, str], is_bearer: bool) -> Deferred[IResponse]:
        from treq.client import HTTPClient  # imported at the first call: nobody pays for it who sends nothing

        headers = Headers({b"Content-Type": [b"application/json"]})
        if is_bearer:
            headers.addRawHeader(b"Authorization", b"Bearer " + self.token.reveal().strip().encode("utf-8", "replace"))
        for name, value in more.items():
            headers.addRawHeader(name.encode("ascii"), value.encode("ascii"))
        client = HTTPClient(self._agent(), data_to_body_producer=_Content)
        request: Deferred[Any] = client.request(  # Any: treq's response is an IResponse that does not say so
            "POST",
            self.base + path,
            headers=headers,
            data=body,
            allow_redirects=False,
            unbuffered=True,
            reactor=self.reactor,  # type: ignore[arg-type]  # treq names a private protocol; every reactor is one
        )
        return request

    def _agent(self) -> IAgent:
        if self.agent is None:
            self._pool = HTTPConnectionPool(self.reactor, persistent=True)
            self._pool.maxPersistentPerHost, self._pool.cachedConnectionTimeout = _POOL_SIZE, _IDLE_SECONDS
            self._pool.retryAutomatically = False
            self.agent = Agent(self.reactor, connectTimeout=CONNECT_TIMEOUT_SECONDS, pool=self._pool)
        return self.agent

    async def _answer(self, response: IResponse, seconds: float) -> Answer:
        """The status stands, even if the body breaks off: whether a message was taken does not depend on its receipt."""
        wait = response.headers.getRawHeaders("retry-after", [None])[0]
        body = _Body(Deferred(), MAX_ANSWER_BYTES)
        response.deliverBody(body)
        timer = self.clock.call_later(max(seconds, 0.0), body.end)
        try:
            content = await body.whole
        finally:
            body.end()
            if timer.active():
                timer.cancel()
        return Answer(response.code, retry_after(wait, self.clock.wall_ms() / 1000, MAX_RETRY_AFTER_SECONDS), content)

    def _judged(self, problem: Exception) -> SendUnavailable | SendUncertain:
        detail = type(problem).__name__
        if isinstance(problem, _NOT_CONNECTED) or any(_before_data(reason) for reason in getattr(problem, "reasons", ())):
            return SendUnavailable(f"{self.title} cannot be reached", detail=detail)
        return SendUncertain(f"{self.title} closed the connection without an answer", detail=detail)

    def stop(self) -> Deferred[None]:
        """Closes idle connections; calls under way end with their own deadline."""
        pool, self._pool = self._pool, None
        if pool is None:
            return succeed(None)
        self.agent = None
        closed: Deferred[Any] = pool.closeCachedConnections()  # Any: fires with a list nobody looks at
        return closed.addCallback(lambda _: None)


def _before_data(reason: Failure) -> bool:
    """Whether a connection broke before the request's first byte could leave: the TLS handshake failed."""
    kind = type(reason.value)
    if kind.__module__.startswith("service_identity"):
        return True
    text = str(reason.value).lower()
    return kind.__module__.startswith("OpenSSL") and any(words in text for words in _BEFORE_DATA)


@implementer(IBodyProducer)
class _Content:
    """A request's body, written at once; treq's own producer would go through the global reactor's cooperator."""

    def __init__(self, content: bytes) -> None:
        self._content, self.length = content, len(content)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._content)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It has been written already."""

    def resumeProducing(self) -> None:
        """It has been written already."""

    def stopProducing(self) -> None:
        """It has been written already."""


class _Body(Protocol):
    """Collects a body up to a cap; what is longer is cut off and its connection closed."""

    def __init__(self, whole: Deferred[bytes], cap_bytes: int) -> None:
        self.whole, self._cap_bytes, self._content = whole, cap_bytes, bytearray()

    def dataReceived(self, data: bytes) -> None:
        """A piece of the body, decompressed."""
        self._content += data[: self._cap_bytes - len(self._content)]
        if len(self._content) >= self._cap_bytes:
            self.end()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body's end, whole or not."""
        self._fire()

    def end(self) -> None:
        """Enough, or too late."""
        if not self.whole.called and self.transport is not None:
            abort = getattr(self.transport, "abortConnection", self.transport.loseConnection)
            abort()
        self._fire()

    def _fire(self) -> None:
        if not self.whole.called:
            self.whole.callback(bytes(self._content))
