"""The only door to Klein. Ring: edge (web). Source: design §2, §3; reference/codebases.md §5 T1, T2; hermes CVE-2026-7112.

`Router.add` needs to be told who may come in: `auth` has no default. Each route becomes a rule of Klein's table under the endpoint "METHOD path", so
two handlers of one name can never answer for each other (T1). Matching happens on the raw path: routes without converters by one dictionary look-up,
the others by the werkzeug map that Klein keeps, whose answers for recent paths are remembered. A path that is neither a route's own nor remembered is
checked first (`paths.check_path`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import unquote

import msgspec
from klein import Klein
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, Rule

from clawgate.domain.caller import OPERATOR, Caller, Scope
from clawgate.domain.errors import GatewayError
from clawgate.web.answers import Answer
from clawgate.web.call import Call
from clawgate.web.dialects import root_wire
from clawgate.web.paths import check_path
from clawgate.web.sockets import SocketAnswer
from clawgate.web.streams import StreamAnswer

AnyAnswer = Answer | StreamAnswer | SocketAnswer
_MOST_REMEMBERED, _REMEMBERED_BYTES = 64, 128
"""Paths with converters whose route is remembered, the oldest given up first, and the longest of them: clients choose them."""
_NO_VALUES: Mapping[str, Any] = MappingProxyType({})  # Any: as in Match
Handler = Callable[[Call], Awaitable[AnyAnswer]]
Dialect = Callable[[GatewayError], root_wire.Refusal]


class Door(Enum):
    """Ways in besides a bearer with a scope."""

    PUBLIC = "public"
    """Anybody."""
    SIGNED = "signed"
    """The handler checks a signature, a code or a shared secret before it looks at the body."""
    LOCAL = "local"
    """A loopback peer with nothing forwarded and no tunnel, the control socket, or a bearer with `admin`."""


Auth = Door | Scope


class Recorded(Enum):
    """Whether requests of a route stand in the audit log as commands (web/recorded.py)."""

    BY_DOOR = "by door"
    """If it changes something, and is for administrators and this machine; others, if they come through the control socket and need `write`."""
    ALWAYS = "always"
    """Also if it only looks, at a secret; or whoever may: it changes what the agent does by itself, or acts on somebody's machine."""
    IN_ANY_CASE = "in any case"
    """By its door; and it is carried out even if that cannot be recorded: it takes something away."""
    ELSEWHERE = "elsewhere"
    """Never: what it does is recorded where it is done, or is no command."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One route and everything that is decided before its handler runs.

    Attributes:
        limiter: the window that counts it, "" = unlimited.
        cap_bytes: body cap, 0 = the site's.
        cap_of: the cap where it depends on the path's values, 0 = the site's.
        timed: the resource answers 408 when the head of the answer takes too long; False for handlers that keep the time themselves.
        leaves_with_client: the handler is cancelled when the client goes; others run to their end (trap T3).
        is_open_here: a peer on this machine (`Door.LOCAL`) needs no token; everybody else needs `auth`.
        is_socket: a WebSocket: without a handshake it is 426, from a foreign origin 403; the token may stand in a sub-protocol or in `?token=` too.
        ends_device: the path's value that names a device whose token it ends, "" = none; whoever ends the own one is told so all the same.
        takes_ticket: `?ticket=` of `services.tickets` stands for a bearer, once.
        recorded: whether it is a command that the audit log has.
    """

    method: str
    path: str
    handler: Handler
    auth: Auth
    dialect: Dialect
    limiter: str = ""
    cap_bytes: int = 0
    cap_of: Callable[[Mapping[str, Any]], int] | None = None  # Any: values of werkzeug's converters
    timed: bool = True
    leaves_with_client: bool = False
    is_open_here: bool = False
    is_socket: bool = False
    takes_ticket: bool = False
    ends_device: str = ""
    recorded: Recorded = Recorded.BY_DOOR
    summary: str = ""

    @property
    def endpoint(self) -> str:
        """Klein's key."""
        return f"{self.method} {self.path}"

    def is_command(self, caller: Caller) -> bool:
        """Whether a request of this caller stands in the audit log as a command."""
        if self.recorded is Recorded.ALWAYS:
            return True
        if self.method == "GET" or self.recorded is Recorded.ELSEWHERE:
            return False
        return self.auth is Scope.ADMIN or self.auth is Door.LOCAL or (self.auth is Scope.WRITE and caller.principal == OPERATOR)

    def cap(self, values: Mapping[str, Any]) -> int:  # Any: as above
        """The body cap of a path with these values, 0 = the site's."""
        return self.cap_of(values) if self.cap_of is not None else self.cap_bytes


class Match(msgspec.Struct, frozen=True):
    """A found route with the values of its path's converters, which nobody can change: every request of the path has the same."""

    route: Route
    values: Mapping[str, Any]  # werkzeug converters make str, int or uuid


class NoRoute(msgspec.Struct, frozen=True):
    """Nothing there; `allowed` lists the methods of a known path, sorted, and is empty for an unknown one."""

    allowed: tuple[str, ...]


class _MatchedRule(Rule):
    """A rule that is only ever matched. Werkzeug also compiles code that builds its URLs: four fifths of the time that a table of routes takes to make.

    Private API of werkzeug (pinned by tests/web/test_site_pins.py): Rule._compile_builder.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return _builds_nothing


def _builds_nothing(*_: object, **__: object) -> tuple[str, str]:
    raise NotImplementedError("routes are matched, not built")


class Router:
    """All routes of one gateway, on one Klein (T2)."""

    def __init__(self) -> None:
        self.klein: Any = Klein()  # klein ships no types for its app
        self.klein.url_map.merge_slashes = False
        self.klein.url_map.strict_slashes = True
        self._adapter: MapAdapter = self.klein.url_map.bind("gateway.invalid")
        self._plain: dict[bytes, dict[str, Match]] = {}
        self._recent: dict[tuple[str, bytes], Match] = {}
        self._routes: dict[str, Route] = {}

    @property
    def routes(self) -> tuple[Route, ...]:
        """Every route, in the order of registration."""
        return tuple(self._routes.values())

    def add(
        self,
        method: str,
        path: str,
        handler: Handler,
        *,
        auth: Auth,
        limiter: str = "",
        dialect: Dialect = root_wire.refusal,
        **more: Any,  # Route's own optional fields, checked by Route
    ) -> None:
        """Registers a route.

        Raises:
            ValueError: the method and path are taken.
        """
        route = Route(method=method, path=path, handler=handler, auth=auth, limiter=limiter, dialect=dialect, **more)
        if route.endpoint in self._routes:
            raise ValueError(f"{route.endpoint} is registered twice")
        self._routes[route.endpoint] = route
        self._recent.clear()

        def endpoint(app: object, request: IRequest, call: Call) -> Awaitable[AnyAnswer]:
            return route.handler(call)

        # Into Klein's own tables, as its decorator does, but without what that wraps around a handler: our answers are rendered by `resource`.
        self.klein.endpoints[route.endpoint] = endpoint
        self.klein.url_map.add(_MatchedRule(path, methods=[method], endpoint=route.endpoint))
        if "<" not in path:
            self._plain.setdefault(path.encode(), {})[method] = Match(route, _NO_VALUES)

    def execute(self, route: Route, request: IRequest, call: Call) -> Awaitable[AnyAnswer]:
        """Runs the route's handler through Klein's endpoint."""
        result: Awaitable[AnyAnswer] = self.klein.execute_endpoint(route.endpoint, request, call)
        return result

    def match(self, method: str, path: bytes) -> Match | NoRoute:
        """The route of a raw path. HEAD finds what GET finds.

        Raises:
            BadRequest: no route may have this path.
        """
        wanted = "GET" if method == "HEAD" else method
        methods = self._plain.get(path)
        if methods is not None:
            return methods.get(wanted) or NoRoute(_allow(methods))
        recent = self._recent.get((wanted, path))
        if recent is not None:
            return recent
        check_path(path)
        found = self._match_converters(wanted, path.decode("utf-8"))
        if isinstance(found, Match) and len(path) <= _REMEMBERED_BYTES:
            self._remember((wanted, path), found)
        return found

    def _match_converters(self, method: str, path: str) -> Match | NoRoute:
        try:
            endpoint, values = self._adapter.match(_unquoted(path), method=method)
        except HTTPException:
            return NoRoute(_allow(self._adapter.allowed_methods(_unquoted(path))))
        return Match(self._routes[endpoint], MappingProxyType(values))

    def _remember(self, key: tuple[str, bytes], found: Match) -> None:
        if len(self._recent) >= _MOST_REMEMBERED:
            del self._recent[next(iter(self._recent))]
        self._recent[key] = found


def _allow(methods: Any) -> tuple[str, ...]:  # any iterable of method names
    known = set(methods) - {"OPTIONS"}
    return tuple(sorted(known | ({"HEAD"} if "GET" in known else set())))


def _unquoted(path: str) -> str:
    return unquote(path, errors="strict") if "%" in path else path


class Surface(Protocol):
    """Some routes and their handlers."""

    def register(self, router: Router) -> None:
        """Adds them."""
