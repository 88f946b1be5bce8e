"""An MCP server behind a URL: streamable HTTP. Ring: system. Source: MCP 2025-11-25 (transports), MCP 2026-07-28; rantaiclaw.md §15; design §3 (HTTP client).

    POST one message      200 JSON: the answer / 200 event stream: news, then the answer / 202: taken
                          404 within a session: the server has forgotten it, and has done nothing
                          other 4xx: refused, nothing was done     5xx, broken off: nobody knows
    GET                   an event stream of news (sessions only; 405: the server has none)
    DELETE                the end of a session

Each request has a connection of its own: one that the server closes just as a call is written would make the call uncertain. No redirect is followed.
Those of the stateless kind know no GET, no DELETE and no notifications (a closed stream cancels); their headers repeat the method and the tool's name.
A stream that ends before its answer is not resumed (`Last-Event-ID`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet import error as net
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain import jsonrpc
from clawgate.domain.errors import AgentProtocol, GatewayError, ToolUncertain, Unavailable
from clawgate.domain.jsonrpc import Message, Problem, Success
from clawgate.domain.settings.model import McpServer
from clawgate.domain.sse import SseParser
from clawgate.ports.clock import Clock
from clawgate.services.deadlines import Expired, within
from clawgate.system import mcp_wire as wire
from clawgate.system.http_guard import Content, drop, guarded_agent
from clawgate.system.mcp_session import Listener, Outgoing, SessionGone
from clawgate.system.mcp_wire import Agreed

_log = Logger()
MESSAGE_CAP_BYTES, ANSWER_CAP_BYTES = 4 << 20, 16 << 20
MAX_EXCHANGES = 32
GRACE_SECONDS = 5.0
"""Whoever waits gives up first, and tells the server so."""
CONNECT_SECONDS, NEWS_IDLE_SECONDS, NEWS_AGAIN_SECONDS, GOODBYE_SECONDS = 10.0, 600.0, 5.0, 1.0
_URL = re.compile(r"https?://[!-~]+\Z")
_SESSION_ID = re.compile(r"[!-~]{1,1024}\Z")
_STREAM, _JSON = "text/event-stream", "application/json"
_OK, _REDIRECT, _CLIENT_ERROR, _SERVER_ERROR, _NOT_FOUND = 200, 300, 400, 500, 404
_NOT_CONNECTED = (net.ConnectError, net.DNSLookupError, net.ConnectBindError)


class HttpCarrier(msgspec.Struct, eq=False):
    """A `Carrier` over POSTs to one URL.

    Attributes:
        agent: sends; None = one of its own.
    """

    name: str
    server: McpServer
    reactor: Any  # Any: IReactorTime, IReactorTCP and a name resolver at once
    clock: Clock
    agent: Any = None  # Any: IAgent
    _listener: Listener | None = None
    _agreed: Agreed | None = None
    _session: str = ""
    _running: set[Deferred[None]] = set()
    _requests: dict[int, Deferred[None]] = {}
    _news: Deferred[None] | None = None
    _is_closed: bool = False

    def open(self, listener: Listener) -> None:
        """Nothing is sent yet. Raises Unavailable when the URL is none."""
        if not _URL.match(self.server.url):
            raise self._unavailable("the URL is not http://… or https://…")
        self._listener = listener
        if self.agent is None:
            self.agent = guarded_agent(self.reactor, CONNECT_SECONDS)

    def send(self, outgoing: Outgoing) -> None:
        """POSTs a message. Raises Unavailable when too many are under way."""
        if self._is_closed:
            raise self._unavailable("is not connected")
        if len(self._running) >= MAX_EXCHANGES:
            raise self._unavailable("is asked too much at once")
        if outgoing.id is None and self._agreed is not None and self._agreed.is_stateless:
            return
        running = Deferred.fromCoroutine(self._post(outgoing))
        if not running.called:
            self._running.add(running)
            if outgoing.id is not None:
                self._requests[outgoing.id] = running
        running.addBoth(self._done, running, outgoing.id)

    def abandon(self, number: int) -> None:
        """Ends the request's connection."""
        running = self._requests.pop(number, None)
        if running is not None:
            running.cancel()

    def agreed(self, agreed: Agreed | None) -> None:
        """From now on requests carry the version; a session gets its stream of news."""
        self._agreed = agreed
        if agreed is None or agreed.is_stateless:
            self._session = ""
        if self._news is not None:
            self._news.cancel()
            self._news = None

    def close(self) -> Deferred[None]:
        """Breaks off what is under way and says goodbye to the session, a moment at most."""
        if self._is_closed:
            return succeed(None)
        self._is_closed = True
        for running in tuple(self._running):
            running.cancel()
        if self._news is not None:
            self._news.cancel()
        return Deferred.fromCoroutine(self._goodbye())

    # --- requests

    async def _post(self, outgoing: Outgoing) -> None:
        try:
            await within(Deferred.fromCoroutine(self._exchange(outgoing)), outgoing.seconds + GRACE_SECONDS, self.clock)
            self._fail(outgoing, ToolUncertain(f"MCP server '{self.name}' ended its answer without a result"))
        except CancelledError:
            raise
        except Expired:
            self._fail(outgoing, ToolUncertain(f"MCP server '{self.name}' did not answer in time"))
        except (Unavailable, ToolUncertain) as problem:
            self._fail(outgoing, problem)
        except Exception as problem:
            self._fail(outgoing, self._judged(problem))

    async def _exchange(self, outgoing: Outgoing) -> None:
        had_session = bool(self._session)
        response = await self.agent.request(b"POST", self.server.url.encode(), self._headers(outgoing), Content(outgoing.message))
        if response.code == _NOT_FOUND and had_session:
            drop(response)
            raise SessionGone(f"MCP server '{self.name}' has forgotten the session")
        kind = _first(response, "content-type").partition(";")[0].strip().lower()
        if _OK <= response.code < _REDIRECT and outgoing.method == wire.INITIALIZE:
            self._begin_session(_first(response, "mcp-session-id"))
        if response.code == _OK and kind == _STREAM:
            await self._stream(response, outgoing.id, outgoing.seconds + GRACE_SECONDS)
            return
        body = await _Collected(self.clock, MESSAGE_CAP_BYTES, outgoing.seconds + GRACE_SECONDS).of(response)
        self._whole(outgoing, response.code, kind, body)
        if outgoing.method == wire.INITIALIZED and self._news is None and not self._is_closed:
            self._news = Deferred.fromCoroutine(self._listen())
            self._news.addErrback(self._news_ended)

    def _whole(self, outgoing: Outgoing, status: int, kind: str, body: bytes) -> None:
        """An answer that is no stream. A refusal may carry JSON-RPC's reason."""
        message = _message(body) if kind == _JSON else None
        if isinstance(message, Problem) and message.id is None and outgoing.id is not None:
            message = Problem(outgoing.id, message.code, message.message, message.data)
        if message is not None and (status < _REDIRECT or (isinstance(message, Problem) and message.id == outgoing.id)):
            self._hear(message)
        elif status >= _REDIRECT:
            raise self._refusal(status)

    def _refusal(self, status: int) -> GatewayError:
        if status >= _SERVER_ERROR:
            return ToolUncertain(f"MCP server '{self.name}' answered with status {status}")
        if status >= _CLIENT_ERROR:
            return self._unavailable(f"refuses with status {status}")
        return self._unavailable(f"redirects (status {status}), which is not followed")

    async def _stream(self, response: Any, number: int | None, idle_seconds: float) -> None:  # Any: IResponse
        """Events until the answer to `number`, or the end."""
        parser = SseParser(line_cap_bytes=MESSAGE_CAP_BYTES, event_cap_bytes=MESSAGE_CAP_BYTES)

        def take(data: bytes) -> bool:
            is_answered = False
            for event in parser.feed(data):
                message = _message(event.data.encode())
                if message is not None:
                    self._hear(message)
                    is_answered = is_answered or (isinstance(message, Success | Problem) and number is not None and message.id == number)
            return is_answered

        await _Fed(self.clock, take, ANSWER_CAP_BYTES if number is not None else 0, idle_seconds).of(response)

    def _begin_session(self, session: str) -> None:
        self._session = session if _SESSION_ID.match(session) else ""

    def _headers(self, outgoing: Outgoing | None) -> Any:  # Any: Headers
        from twisted.web.http_headers import Headers

        headers = Headers({name: [value.reveal().strip()] for name, value in self.server.headers.items()})
        headers.setRawHeaders("accept", [f"{_JSON}, {_STREAM}" if outgoing is not None else _STREAM])
        if outgoing is not None:
            headers.setRawHeaders("content-type", [_JSON])
        if self._agreed is not None:
            headers.setRawHeaders("mcp-protocol-version", [self._agreed.version])
            if self._agreed.is_stateless and outgoing is not None:
                headers.setRawHeaders("mcp-method", [outgoing.method])
                if outgoing.name:
                    headers.setRawHeaders("mcp-name", [wire.header_value(outgoing.name)])
        if self._session:
            headers.setRawHeaders("mcp-session-id", [self._session])
        return headers

    def _hear(self, message: Message) -> None:
        if self._listener is not None and not self._is_closed:
            self._listener.received(message)

    def _fail(self, outgoing: Outgoing, problem: GatewayError) -> None:
        if outgoing.id is not None and self._listener is not None:
            self._listener.undelivered(outgoing.id, problem)
        elif outgoing.id is None and not isinstance(problem, ToolUncertain):
            _log.debug("MCP server {name} was not told {method}: {problem}", name=self.name, method=outgoing.method, problem=str(problem))

    def _done(self, result: object, running: Deferred[None], number: int | None) -> None:
        self._running.discard(running)
        if number is not None:
            self._requests.pop(number, None)
        if isinstance(result, Failure) and not result.check(CancelledError):
            _log.failure("MCP over HTTP broke", failure=result)

    # --- news

    async def _listen(self) -> None:
        while await self._news_once():
            await self.clock.sleep(NEWS_AGAIN_SECONDS)

    async def _news_once(self) -> bool:
        """One stream of news. Returns whether to ask for another: not when the server has none."""
        try:
            asked = self.agent.request(b"GET", self.server.url.encode(), self._headers(None), None)
            response = await within(asked, NEWS_IDLE_SECONDS, self.clock)
            if response.code != _OK or not _first(response, "content-type").lower().startswith(_STREAM):
                drop(response)
                return False
            await self._stream(response, None, NEWS_IDLE_SECONDS)
        except CancelledError:
            raise
        except Exception as problem:
            _log.debug("MCP server {name}: no news ({problem})", name=self.name, problem=type(problem).__name__)
        return True

    def _news_ended(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("listening to an MCP server broke", failure=failure)

    # --- the end

    async def _goodbye(self) -> None:
        if not self._session:
            return
        headers, self._session = self._headers(None), ""
        try:
            response = await within(self.agent.request(b"DELETE", self.server.url.encode(), headers, None), GOODBYE_SECONDS, self.clock)
            drop(response)
        except Exception as problem:
            _log.debug("MCP server {name} was not told goodbye ({problem})", name=self.name, problem=type(problem).__name__)

    def _unavailable(self, text: str, detail: str = "") -> Unavailable:
        return Unavailable(f"MCP server '{self.name}' {text}", detail=detail)

    def _judged(self, problem: Exception) -> GatewayError:
        """Twisted's error of a request: was anything sent?"""
        detail = f"{problem!r} {getattr(problem, 'reasons', '')}"[:500]
        if isinstance(problem, AgentProtocol):
            return ToolUncertain(f"MCP server '{self.name}': {problem}", detail=problem.detail)
        if isinstance(problem, _NOT_CONNECTED) or type(problem).__name__ == "SchemeNotSupported":
            return self._unavailable("cannot be reached", detail)
        reasons = [failure.value for failure in getattr(problem, "reasons", ())]
        if reasons and all(_is_distrust(reason) for reason in reasons):  # found in the handshake, before the first byte of a request
            return self._unavailable("has a certificate that is not trusted for its name", detail)
        return ToolUncertain(f"MCP server '{self.name}' broke off", detail=detail)


def _is_distrust(reason: BaseException) -> bool:
    return type(reason).__module__.startswith("service_identity") or "certificate verify failed" in str(reason)


def _message(data: bytes) -> Message | None:
    try:
        return jsonrpc.decode(data)
    except jsonrpc.Malformed:
        return None


def _first(response: Any, name: str) -> str:  # Any: IResponse
    values = response.headers.getRawHeaders(name)
    return str(values[0]) if values else ""


class _Fed(TwistedProtocol):
    """A body that is handed on piece by piece.

    Args:
        take: returns True when it needs no more.
        cap_bytes: most there may be; 0 = no end.
        idle_seconds: longest silence.
    """

    def __init__(self, clock: Clock, take: Callable[[bytes], bool], cap_bytes: int, idle_seconds: float) -> None:
        self._clock, self._take, self._cap, self._idle_seconds = clock, take, cap_bytes, idle_seconds
        self._read_bytes = 0
        self._ended: Deferred[None] = Deferred(lambda _: self._close())
        self._timer: IDelayedCall | None = None

    async def of(self, response: Any) -> None:  # Any: IResponse
        """Reads a response's body. Raises AgentProtocol over a cap or after too long a silence."""
        self._timer = self._clock.call_later(self._idle_seconds, self._silent)
        response.deliverBody(self)
        try:
            await self._ended
        finally:
            if self._timer.active():
                self._timer.cancel()

    def dataReceived(self, data: bytes) -> None:
        """The next piece."""
        if self._ended.called:
            return
        if self._timer is not None:
            self._timer.reset(self._idle_seconds)
        self._read_bytes += len(data)
        try:
            if self._cap and self._read_bytes > self._cap:
                raise AgentProtocol("the answer is over its cap", detail=f"more than {self._cap} bytes")
            is_enough = self._take(data)
        except Exception:
            self._end(Failure())
            return
        if is_enough:
            self._end(None)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted's default argument is never used
        """The end, whole or not: whoever took the pieces knows which."""
        if not self._ended.called:
            self._ended.callback(None)

    def _silent(self) -> None:
        self._end(Failure(AgentProtocol("nothing came for too long", detail=f"{self._idle_seconds:g} s")))

    def _end(self, failure: Failure | None) -> None:
        self._close()
        if not self._ended.called:
            self._ended.callback(None) if failure is None else self._ended.errback(failure)

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


class _Collected:
    """A body as a whole."""

    def __init__(self, clock: Clock, cap_bytes: int, idle_seconds: float) -> None:
        self._parts: list[bytes] = []
        self._fed = _Fed(clock, self._take, cap_bytes, idle_seconds)

    async def of(self, response: Any) -> bytes:  # Any: IResponse
        """All of it. Raises as `_Fed.of`."""
        await self._fed.of(response)
        return b"".join(self._parts)

    def _take(self, data: bytes) -> bool:
        self._parts.append(data)
        return False
