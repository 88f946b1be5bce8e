"""One conversation with an MCP server, over whatever carries its messages. Ring: system; implements `ports.mcp.McpConnection`.

Source: MCP 2025-11-25, MCP 2026-07-28.

    new --connect--> agreed --(list, call, ping)--> agreed --carrier lost, no answer to a ping, close--> ended
                       |  ^
                       +--+ the server forgot the session (404): initialize anew, then repeat what it refused

A server that refuses `initialize` is asked by `server/discover`: it may be of the stateless kind. Every request has a deadline; one that passes it, or
whose asker leaves, is cancelled at the server. A server with nothing to do is pinged once a minute; one of the stateless kind is asked for its tools
instead, which tells whether they changed, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec
from twisted.internet.defer import CancelledError, Deferred, DeferredLock, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain import jsonrpc
from clawgate.domain.errors import BadRequest, GatewayError, ToolUncertain, Unavailable
from clawgate.domain.jsonrpc import Message, Notification, Problem, Request, Success
from clawgate.domain.mcp import MOST_TOOLS, McpTool
from clawgate.domain.redaction import Redactor
from clawgate.domain.tools import ToolResult
from clawgate.ports.clock import Clock
from clawgate.services.deadlines import Expired, within
from clawgate.system import mcp_wire as wire
from clawgate.system.mcp_wire import Agreed, Refused

_log = Logger()
SETUP_SECONDS, PING_SECONDS, BEAT_SECONDS, CALL_SECONDS = 30.0, 30.0, 60.0, 120.0
MAX_REQUEST_BYTES = 1 << 20
_NO_SESSIONS = frozenset({jsonrpc.METHOD_NOT_FOUND, wire.UNSUPPORTED_VERSION, wire.HEADER_MISMATCH})


class SessionGone(Unavailable):
    """The server does not know the session; what was sent in it was not done."""


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """One message on its way out.

    Attributes:
        id: of a request, else None.
        name: the tool that a request is about, or "".
        seconds: how long anybody waits for it.
    """

    message: bytes
    id: int | None = None
    method: str = ""
    name: str = ""
    seconds: float = SETUP_SECONDS


class Listener(Protocol):
    """Who a carrier reports to."""

    def received(self, message: Message) -> None:
        """The server said something."""

    def undelivered(self, number: int, error: GatewayError) -> None:
        """No answer to this request can come any more: Unavailable when it was not sent, ToolUncertain when it may have been."""

    def lost(self, error: GatewayError) -> None:
        """Nothing can be sent any more."""


class Carrier(Protocol):
    """Carries messages to one server and back."""

    def open(self, listener: Listener) -> None:
        """Starts or reaches it. Raises Unavailable."""

    def send(self, outgoing: Outgoing) -> None:
        """Sends a message. Raises Unavailable when that is known to be impossible."""

    def abandon(self, number: int) -> None:
        """Nobody waits for the answer to this request any more."""

    def agreed(self, agreed: Agreed | None) -> None:
        """What both sides agreed on; None: nothing any more, a new agreement follows."""

    def close(self) -> Deferred[None]:
        """Ends it; never fails."""


class Session:
    """One conversation.

    Args:
        name: of the server, for messages and logs.
        redact: knows the server's secrets; a refusal may repeat them, and `/health` tells why a server does not work.
    """

    def __init__(self, name: str, carrier: Carrier, clock: Clock, call_seconds: float = CALL_SECONDS, redact: Redactor | None = None) -> None:
        self._redact = redact or Redactor()
        self._name, self._carrier, self._clock, self._call_seconds = name, carrier, clock, call_seconds
        self._waiting: dict[int, Deferred[bytes]] = {}
        self._last_number = 0
        self._agreed: Agreed | None = None
        self._era = 0
        self._renewing = DeferredLock()
        self._is_checking = False
        self._beat: IDelayedCall | None = None
        self._error: GatewayError | None = None
        self._is_changed = False
        self._watch: Deferred[None] | None = None

    # --- McpConnection

    def connect(self) -> Deferred[None]:
        """Opens the carrier and agrees with the server."""
        return Deferred.fromCoroutine(self._connect())

    def list_tools(self) -> Deferred[tuple[McpTool, ...]]:
        """All pages of the list."""
        return Deferred.fromCoroutine(self._list())

    def call(self, name: str, arguments: Mapping[str, object]) -> Deferred[ToolResult]:
        """Calls a tool; what the server refuses is a result that says so."""
        return Deferred.fromCoroutine(self._call(name, arguments))

    def changed(self) -> Deferred[None]:
        """Fires once the list may have changed, errbacks once the conversation has ended. One watcher at a time."""
        if self._error is not None:
            return fail(self._error)
        if self._is_changed:
            self._is_changed = False
            return succeed(None)
        self._watch = Deferred(self._unwatch)
        return self._watch

    def close(self) -> Deferred[None]:
        """Ends the conversation; what is still waited for is uncertain."""
        self._end(Unavailable(f"MCP server '{self._name}' was stopped"))
        return self._carrier.close()

    # --- Listener

    def received(self, message: Message) -> None:
        """An answer, a question or news."""
        if isinstance(message, Request):
            self._asked(message)
        elif isinstance(message, Notification):
            if message.method == wire.LIST_CHANGED:
                self._mark_changed()
        else:
            self._answered(message)

    def undelivered(self, number: int, error: GatewayError) -> None:
        """A request's answer will not come; whether the server is there at all is looked at once more."""
        answer = self._waiting.pop(number, None)
        if answer is not None:
            answer.errback(error)
            if self._agreed is not None and not isinstance(error, SessionGone):
                self._check_now()

    def lost(self, error: GatewayError) -> None:
        """The carrier is gone."""
        self._end(error)

    # --- the conversation

    async def _connect(self) -> None:
        try:
            self._carrier.open(self)
            self._agreed = await self._agree()
        except (BadRequest, Refused, ToolUncertain) as problem:
            raise self._unavailable(problem) from None
        self._rearm()

    async def _agree(self) -> Agreed:
        try:
            result = await self._once(wire.INITIALIZE, wire.initialize_params(), SETUP_SECONDS)
        except Refused as problem:
            if problem.code not in _NO_SESSIONS:
                raise
            return await self._discover()
        agreed = wire.initialized(result)
        self._carrier.agreed(agreed)
        self._send(Notification(wire.INITIALIZED))
        return agreed

    async def _discover(self) -> Agreed:
        # The carrier has to know before the first request of that kind: its headers differ.
        self._agreed = Agreed(wire.STATELESS_VERSION, has_tools=False, is_stateless=True)
        self._carrier.agreed(self._agreed)
        return wire.discovered(await self._once(wire.DISCOVER, b"", SETUP_SECONDS))

    async def _list(self) -> tuple[McpTool, ...]:
        self._is_changed = False
        try:
            return await self._pages() if self._agreed is not None and self._agreed.has_tools else ()
        except (BadRequest, Refused, ToolUncertain) as problem:
            raise self._unavailable(problem) from None

    async def _pages(self) -> tuple[McpTool, ...]:
        tools: list[McpTool] = []
        cursor: str | None = None
        unfit = 0
        for _ in range(wire.MAX_PAGES):
            found, misfits, cursor = wire.page(await self._ask(wire.LIST, wire.list_params(cursor), SETUP_SECONDS))
            tools += found
            unfit += misfits
            if cursor is None or len(tools) > MOST_TOOLS:
                break
        if unfit or cursor is not None or len(tools) > MOST_TOOLS:
            _log.warn("MCP server {name} has tools that do not fit and are left out ({unfit} by their size)", name=self._name, unfit=unfit)
        return tuple(tools[:MOST_TOOLS])

    async def _call(self, name: str, arguments: Mapping[str, object]) -> ToolResult:
        if self._error is not None or self._agreed is None:
            raise Unavailable(f"MCP server '{self._name}' is not connected")
        try:
            params = wire.call_params(name, arguments)
        except (ValueError, OverflowError, RecursionError, TypeError):
            return ToolResult("the arguments cannot be written as JSON", ok=False)
        if len(params) > MAX_REQUEST_BYTES:
            return ToolResult(f"the arguments are longer than {MAX_REQUEST_BYTES} bytes", ok=False)
        try:
            return wire.called(await self._ask(wire.CALL, params, self._call_seconds, name))
        except Refused as problem:
            return ToolResult(f"{problem} (error {problem.code})", ok=False)
        except BadRequest as problem:
            raise ToolUncertain(f"MCP server '{self._name}': {problem}") from None

    async def _ask(self, method: str, params: bytes, seconds: float, name: str = "") -> bytes:
        """The result of a request. Raises Refused, Unavailable (not sent) or ToolUncertain."""
        era = self._era
        try:
            return await self._once(method, params, seconds, name)
        except SessionGone:
            await self._renewed(era)
            return await self._once(method, params, seconds, name)

    async def _renewed(self, era: int) -> None:
        """A new session, unless another request that was refused has begun one already."""
        await self._renewing.acquire()
        try:
            if self._era == era:
                await self._renew()
        finally:
            self._renewing.release()

    async def _renew(self) -> None:
        _log.info("MCP server {name} has forgotten the session; beginning anew", name=self._name)
        self._carrier.agreed(None)
        try:
            self._agreed = await self._agree()
        except (BadRequest, Refused, ToolUncertain) as problem:
            raise self._unavailable(problem) from None
        self._era += 1
        self._mark_changed()

    async def _once(self, method: str, params: bytes, seconds: float, name: str = "") -> bytes:
        if self._error is not None:
            raise self._unavailable(self._error)
        self._last_number = number = self._last_number + 1
        answer = self._waiting[number] = Deferred()
        try:
            self._send(Request(number, method, params), number, seconds, name)
            return await within(answer, seconds, self._clock)
        except Expired:
            self._cancel(number, method, "no answer in time")
            raise ToolUncertain(f"MCP server '{self._name}' did not answer within {seconds:g} s") from None
        except CancelledError:
            self._cancel(number, method, "nobody waits for it any more")
            raise
        finally:
            self._waiting.pop(number, None)

    def _send(self, message: Message, number: int | None = None, seconds: float = SETUP_SECONDS, name: str = "") -> None:
        method = message.method if isinstance(message, Request | Notification) else ""
        if isinstance(message, Request) and self._agreed is not None and self._agreed.is_stateless:
            message = Request(message.id, message.method, wire.with_meta(message.params))
        self._carrier.send(Outgoing(message=jsonrpc.encode(message), id=number, method=method, name=name, seconds=seconds))

    def _send_if_possible(self, message: Message) -> None:
        try:
            self._send(message)
        except Unavailable as problem:
            _log.debug("MCP server {name} was not told: {problem}", name=self._name, problem=str(problem))

    def _cancel(self, number: int, method: str, reason: str) -> None:
        self._waiting.pop(number, None)
        self._carrier.abandon(number)
        if self._error is None and method not in (wire.INITIALIZE, wire.DISCOVER):
            self._send_if_possible(Notification(wire.CANCELLED, wire.cancelled_params(number, reason)))

    def _asked(self, request: Request) -> None:
        if request.method == wire.PING:
            self._send_if_possible(Success(request.id, b"{}"))
        else:
            self._send_if_possible(Problem(request.id, jsonrpc.METHOD_NOT_FOUND, "this client offers nothing to servers"))

    def _answered(self, message: Success | Problem) -> None:
        answer = self._waiting.pop(message.id, None) if isinstance(message.id, int) else None
        if answer is None:
            _log.debug("MCP server {name} answered what nobody asked, or too late", name=self._name)
        elif isinstance(message, Success):
            answer.callback(message.result)
        else:
            answer.errback(Refused(message.code, self._redact.text(message.message)))

    # --- its life

    def _rearm(self) -> None:
        self._beat = self._clock.call_later(BEAT_SECONDS, self._check_now) if self._error is None else None

    def _check_now(self) -> None:
        if self._is_checking or self._error is not None:
            return
        self._is_checking = True
        if self._beat is not None and self._beat.active():
            self._beat.cancel()
        Deferred.fromCoroutine(self._check()).addBoth(self._checked)

    def _checked(self, result: object) -> None:
        self._is_checking = False
        if isinstance(result, Failure):
            _log.failure("looking after an MCP server broke", failure=result)
        self._rearm()

    async def _check(self) -> None:
        """A server that works on something is not asked: it may be of the kind that does one thing at a time."""
        if self._waiting:
            return
        if self._agreed is not None and self._agreed.is_stateless:
            self._mark_changed()
            return
        try:
            await self._ask(wire.PING, b"", PING_SECONDS)
        except Refused:
            pass  # it lives
        except GatewayError as problem:
            self._end(problem)

    def _mark_changed(self) -> None:
        self._is_changed = True
        if self._watch is not None:
            watch, self._watch, self._is_changed = self._watch, None, False
            watch.callback(None)

    def _unwatch(self, _: Deferred[None]) -> None:
        self._watch = None

    def _end(self, error: GatewayError) -> None:
        if self._error is not None:
            return
        self._error = self._unavailable(error)
        if self._beat is not None and self._beat.active():
            self._beat.cancel()
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            answer.errback(ToolUncertain(f"{self._error}", detail=error.detail))
        if self._watch is not None:
            watch, self._watch = self._watch, None
            watch.errback(self._error)

    def _unavailable(self, problem: GatewayError) -> Unavailable:
        """The problem as one that names the server."""
        subject, text = f"MCP server '{self._name}'", str(problem)
        if isinstance(problem, Unavailable) and text.startswith(subject):
            return problem
        if isinstance(problem, Refused):
            text = f"{text} (error {problem.code})"
        return Unavailable(text if text.startswith(subject) else f"{subject}: {text}", detail=problem.detail)
