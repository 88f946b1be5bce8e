"""The mountable resource: from a parsed request to an answer. Ring: edge (web). Source: design §3, §4.4; reference/codebases.md §5 T3, T10, T12.

    path checked → route found → draining? → body too large? → handshake and origin, if it is a socket → limiter → credential → handler → answer

One render path for every route: Klein keeps the table and runs the endpoint, its own render is never used. Handlers run to their end when a client leaves
(what they write must not be half done), unless their route says that they leave with it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from clawgate.domain.caller import OPEN, Caller
from clawgate.domain.errors import BadRequest, GatewayError, TooLarge, Unauthenticated
from clawgate.domain.tokens import bearer
from clawgate.ports.audit import Recorder
from clawgate.ports.clock import Clock
from clawgate.ports.events import Meter
from clawgate.services.audit import NOT_RECORDED
from clawgate.services.eager import Waiting, eagerly
from clawgate.web.answers import Answer, empty_answer, json_answer, open_head, retry_after, send
from clawgate.web.auth import Doorkeeper, Peers, check_handshake
from clawgate.web.call import Call
from clawgate.web.dialects import root_wire
from clawgate.web.open_sockets import OpenSockets
from clawgate.web.paths import check_path
from clawgate.web.recorded import carried_out
from clawgate.web.refusals import RefusalLog
from clawgate.web.router import AnyAnswer, Match, NoRoute, Route, Router
from clawgate.web.sockets import SocketAnswer
from clawgate.web.streams import EVENT_STREAM, OpenStreams, StreamAnswer

_log = Logger()
_NOBODY = Caller("anonymous", frozenset(), "")
DRAINING = json_answer(503, {"error": "The gateway is stopping. Please retry."}, (b"Retry-After", b"5"))
NOT_FOUND = json_answer(404, {"error": "Not found"})


@implementer(IResource)
class GatewayResource(msgspec.Struct, eq=False, dict=True):
    """The whole gateway as one `IResource`, at the root of our site or anywhere in somebody else's.

    Attributes:
        boot: prefix of request ids, so that ids of two runs differ.
        prefix: `gateway.path_prefix`, b"" for none.
    """

    router: Router
    doorkeeper: Doorkeeper
    peers: Peers
    clock: Clock
    meter: Meter
    boot: str
    timeout_seconds: float
    max_body_bytes: int
    prefix: bytes = b""
    audit: Recorder = NOT_RECORDED
    draining: bool = False
    _served: int = 0
    _in_flight: set[_Exchange] = set()
    server: Site | None = None
    """Set by `putChild` of the resource that we are mounted below."""
    isLeaf: bool = True
    renders_raw_path: bool = True
    """Our site calls `render` directly, without splitting the path."""

    def __post_init__(self) -> None:
        self.streams = OpenStreams(self.clock)
        self.refusals = RefusalLog(self.clock)
        self.sockets = OpenSockets(self.clock, lambda count: self.meter.gauge("sockets_open", count))

    def getChildWithDefault(self, name: bytes, request: Request) -> GatewayResource:
        """Twisted's traversal ends here."""
        return self

    def putChild(self, path: bytes, child: object) -> None:
        """Refused: routes are added to the router.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("register routes with Router.add")

    @property
    def in_flight(self) -> int:
        """Requests whose handler has not answered yet."""
        return len(self._in_flight)

    def end_of(self, principal: str) -> None:
        """Ends everything that a credential has under way: it is dead. Who waits gets 401, and is done with as one who left."""
        for exchange in tuple(self._in_flight):
            exchange.revoked(principal)
        self.streams.end_of(principal)
        self.sockets.end_of(principal)

    def body_cap(self, path: bytes) -> int | None:
        """The body cap of a path, for the site while it reads; None = the site's own."""
        try:
            found = self.router.match("POST", path.removeprefix(self.prefix))
        except GatewayError:
            return None
        return found.route.cap(found.values) or None if isinstance(found, Match) else None

    def known_sender(self, headers: dict[bytes, list[bytes]]) -> str:
        """A request's bearer if it was let in before, or nobody needs one; else "". Free of I/O, and no credential by itself."""
        presented = bearer(headers.get(b"Authorization", [b""])[0].decode("latin-1"), lower_too=True)
        return presented or OPEN if self.doorkeeper.access.remembers(presented) else ""

    def next_request_id(self) -> bytes:
        """An id that no other request of this or another run has."""
        self._served += 1
        return f"{self.boot}-{self._served:x}".encode()

    def render(self, request: Request) -> int:
        """Answers, now or later."""
        exchange = _Exchange(self, request, self.next_request_id())
        try:
            found = self._find(request)
            route, values = found.route, found.values
            if self.draining:
                raise _Answered(DRAINING)
            body = request.content.read() if request.content is not None else b""
            if len(body) > (route.cap(values) or self.max_body_bytes):
                raise TooLarge("Request body too large")
        except _Answered as done:
            exchange.answer(done.answer)
        except GatewayError as problem:
            exchange.answer(refused(problem, root_wire.refusal))
        else:
            call = Call(request, self.peers.of(request), _NOBODY, body, values, exchange.request_id, self._base(request))
            exchange.begin(route, call)
        return NOT_DONE_YET

    def _base(self, request: Request) -> str:
        depth = _mounted(request)
        mount = b"/".join(request.path.split(b"/")[: 1 + depth]) if depth else b""
        return (mount + self.prefix).decode("latin-1")

    def _find(self, request: Request) -> Match:
        path = _raw_path(request)
        if self.prefix:
            path = self._below_prefix(request, path)
        try:
            found = self.router.match(request.method.decode("ascii"), path)
        except UnicodeDecodeError:
            raise BadRequest("Invalid path") from None
        if isinstance(found, NoRoute):
            raise _Answered(_no_route(found))
        return found

    def _below_prefix(self, request: Request, path: bytes) -> bytes:
        if path == self.prefix + b"/":
            raise _Answered(empty_answer(308, (b"Location", self._base(request).encode())))
        if path != self.prefix and not path.startswith(self.prefix + b"/"):
            check_path(path)
            raise _Answered(NOT_FOUND)
        return path[len(self.prefix) :] or b"/"


def _mounted(request: Request) -> int:
    """How many segments of the path lead to our mount point."""
    return sum(1 for segment in request.prepath if segment) if request.prepath else 0


def _raw_path(request: Request) -> bytes:
    """The path below our mount point, still percent-encoded."""
    depth = _mounted(request)
    return b"/" + b"/".join(request.path.split(b"/")[1 + depth :]) if depth else request.path


def _no_route(found: NoRoute) -> Answer:
    if not found.allowed:
        return NOT_FOUND
    return json_answer(405, {"error": "Method not allowed"}, (b"Allow", ",".join(found.allowed).encode()))


def refused(problem: GatewayError, dialect: Callable[[GatewayError], root_wire.Refusal]) -> Answer:
    """The answer to an error, in a route's dialect."""
    status, body, seconds = dialect(problem)
    return json_answer(status, body, *((retry_after(seconds),) if seconds else ()))


class _Answered(Exception):
    """An answer found before a handler was chosen."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class _Exchange(msgspec.Struct, eq=False):
    """One request until it is answered or its client is gone."""

    resource: GatewayResource
    request: Request
    request_id: bytes
    _route: Route | None = None
    _answered: bool = False
    _timer: IDelayedCall | None = None
    _end_of_credential: IDelayedCall | None = None
    _call: Call | None = None
    _handling: Waiting[AnyAnswer] | None = None

    def begin(self, route: Route, call: Call) -> None:
        """Runs the guards and the handler."""
        self._route, self._call = route, call
        try:
            found = eagerly(self._work(route, call), self._landed)
            if isinstance(found, Waiting):
                self._wait(route, found)
                return
            self._stop_timers()
            self.answer(found)
        except GatewayError as problem:
            self._stop_timers()
            self._refused(problem)
        except Exception:
            self._stop_timers()
            self._failed(Failure())

    def _wait(self, route: Route, work: Waiting[AnyAnswer]) -> None:
        self._handling = work
        self.resource._in_flight.add(self)
        self.request.notifyFinish().addErrback(self._client_left)
        if route.timed:
            self._timer = self.resource.clock.call_later(self.resource.timeout_seconds, self._expired)

    async def _work(self, route: Route, call: Call) -> AnyAnswer:
        if route.is_socket:
            check_handshake(call)
        call.caller = await self.resource.doorkeeper.admit(route, call)
        if call.caller.expires_ms:
            left = (call.caller.expires_ms - self.resource.clock.wall_ms()) / 1000
            self._end_of_credential = self.resource.clock.call_later(max(left, 0.0), self.revoked, call.caller.principal)
        if route.is_command(call.caller):
            return await carried_out(self.resource.audit, self.resource.router, route, call)
        return await self.resource.router.execute(route, self.request, call)

    def answer(self, answer: AnyAnswer, why: str = "") -> None:
        """Sends the one answer, or begins it; later ones are dropped. `why` is for the log only. Raises Overloaded for a socket too many."""
        if self._answered:
            if why:
                _log.info("{id} after its answer: {why}", id=self.request_id.decode(), why=why)
            return
        if isinstance(answer, SocketAnswer):
            self.resource.sockets.begin(self.request, answer)
            self._answered = True
            self.resource.meter.count("http_requests_total", "101")
            return
        if isinstance(answer, StreamAnswer) and self.request.method == b"HEAD":
            answer = Answer(answer.status, b"", EVENT_STREAM)
        self._answered = True
        self.resource.meter.count("http_requests_total", str(answer.status))
        if answer.status >= 400:
            peer = self.resource.peers.of(self.request) if self._call is None else self._call.peer
            self.resource.refusals.note(self.request, self.request_id, answer.status, peer.client, why)
        if isinstance(answer, StreamAnswer):
            open_head(self.request, answer.status, EVENT_STREAM, self.request_id, secure=self.request.isSecure())
            self.resource.streams.begin(self.request, answer)
            return
        try:
            send(self.request, answer, self.request_id, secure=self.request.isSecure())
        except Exception:
            self._answered = bool(self.request.startedWriting)  # else nothing was sent: who gives up still has to say so
            raise

    def _landed(self, outcome: AnyAnswer | Failure) -> None:
        self._handling = None
        self.resource._in_flight.discard(self)
        self._stop_timers()
        if not isinstance(outcome, Failure):
            try:
                self.answer(outcome)
                return
            except Exception:
                outcome = Failure()
        self._failed(outcome)

    def _stop_timers(self) -> None:
        for timer in (self._timer, self._end_of_credential):
            if timer is not None and timer.active():
                timer.cancel()

    def _refused(self, problem: GatewayError) -> None:
        dialect = self._route.dialect if self._route is not None else root_wire.refusal
        self.answer(refused(problem, dialect), f"{problem}: {problem.detail}" if problem.detail else "")

    def _failed(self, failure: Failure) -> None:
        if isinstance(failure.value, GatewayError):
            self._refused(failure.value)
        elif not failure.check(CancelledError):
            _log.failure("{id} the handler broke", failure, id=self.request_id.decode())
            self.answer(json_answer(500, {"error": "Internal error"}))

    def revoked(self, principal: str) -> None:
        """A credential is dead, revoked or at its end; if it is this one's, nothing that its handler finds is told."""
        route, call = self._route, self._call
        if route is None or call is None or call.caller.principal != principal or call.values.get(route.ends_device) == principal:
            return
        self.answer(refused(Unauthenticated("revoked"), route.dialect), "revoked meanwhile")
        if route.leaves_with_client and self._handling is not None:
            self._handling.cancel()

    def _expired(self) -> None:
        self.answer(empty_answer(408))

    def _client_left(self, _: Failure) -> None:
        self._answered = True
        if self._route is not None and self._route.leaves_with_client and self._handling is not None:
            self._handling.cancel()
