"""Who sends a request, and whether a route lets it in. Ring: edge (web). Source: design §4.7–4.9; zeroclaw.md A1.6, A3 (/webhook)."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

import msgspec
from twisted.internet.address import UNIXAddress
from twisted.web.server import Request

from clawgate.domain.caller import (
    ALL_SCOPES,
    LOCAL,
    OPERATOR,
    Caller,
    Network,
    Peer,
    Scope,
    client_key,
    could_be_ours,
    is_in,
    is_loopback,
    parse_address,
)
from clawgate.domain.errors import Forbidden, NoHandshake, Unauthenticated
from clawgate.domain.tokens import bearer
from clawgate.services.access import Access
from clawgate.services.guard import Guard
from clawgate.services.tickets import Tickets
from clawgate.web.call import Call
from clawgate.web.dialects.root_wire import LOCAL_ONLY
from clawgate.web.request import raw_headers
from clawgate.web.router import Door, Route

_STRANGE_HOST = "Pairing is off, and this name is not the gateway's: name it in gateway.allowed_hosts, or turn pairing on"
_MOST_HOST_CHARS = 72
"""Of a name or address with its port, for it to be one of this machine."""
_FORWARDING = frozenset(
    (
        b"X-Forwarded-For",
        b"X-Real-Ip",
        b"Forwarded",
        b"Via",
        b"X-Forwarded-Host",
        b"X-Forwarded-Proto",
        b"Cf-Connecting-Ip",
        b"True-Client-Ip",
        b"Tailscale-User-Login",
    )
)


class Peers(msgspec.Struct):
    """Tells peers apart.

    Attributes:
        trusted: proxies whose forwarding headers are believed; empty = none.
        has_tunnel: a tunnel is configured, so a loopback peer may be anybody.
    """

    trusted: tuple[Network, ...]
    has_tunnel: bool

    def of(self, request: Request) -> Peer:
        """The peer of a request."""
        address = request.getClientAddress()
        if isinstance(address, UNIXAddress):
            return Peer("operator", is_local=True, is_operator=True)
        host = getattr(address, "host", "") or ""
        direct, is_loopback_host = _judged(host)
        if _FORWARDING.isdisjoint(raw_headers(request)):
            return Peer(direct, is_local=is_loopback_host and not self.has_tunnel and _is_meant_for_here(request))
        return Peer(client_key(host, _joined(request, b"X-Forwarded-For"), _joined(request, b"X-Real-Ip"), trusted=self.trusted))

    def is_trusted(self, host: str) -> bool:
        """Whether a socket peer is a proxy that many clients come through."""
        address = parse_address(host) if self.trusted else None
        return address is not None and is_in(address, self.trusted)


def _is_meant_for_here(request: Request) -> bool:
    """Whether a loopback request was meant for this machine: not a page of elsewhere in a browser here, nor a name that was bent to 127.0.0.1.

    A foreign page can neither choose `Host` nor hide `Origin` and `Sec-Fetch-Site` (DNS rebinding, CSRF).
    """
    site = _joined(request, b"Sec-Fetch-Site")
    return _is_of_here(_joined(request, b"Host") or "") and _is_of_this_origin(request) and site in (None, "none", "same-origin")


def _is_of_here(host: str) -> bool:
    return len(host) <= _MOST_HOST_CHARS and _names_here(host)


@lru_cache(maxsize=256)
def _names_here(host: str) -> bool:
    name, _, port = host.rpartition(":")
    name = name if port.isdigit() else host
    return name.lower() == "localhost" or _judged(name.removeprefix("[").removesuffix("]"))[1]


def _is_of_this_origin(request: Request) -> bool:
    """Whether no page sent it, or one of its own host. Strange bytes in the header are an origin too.

    What came in the clear may be of an https page: a proxy may end TLS. What came by TLS is of no http page, which anybody on the way could have written.
    """
    origin = _joined(request, b"Origin")
    if origin is None:
        return True
    host = _joined(request, b"Host")
    scheme, _, name = origin.partition("://")
    return bool(host) and name == host and (scheme == "https" or (scheme == "http" and not request.isSecure()))


@lru_cache(maxsize=4096)
def _judged(host: str) -> tuple[str, bool]:
    """The client key of a socket's address by itself, and whether it is loopback; addresses repeat, and parsing them is not cheap."""
    return client_key(host, None, None, trusted=()), is_loopback(host)


def _joined(request: Request, name: bytes) -> str | None:
    """All lines of a header, named canonically, as one: a proxy that adds a line of its own instead of extending the client's still has the last word."""
    values = raw_headers(request).get(name)
    return b",".join(values).decode("latin-1") if values else None


def check_handshake(call: Call) -> None:
    """Lets only WebSocket handshakes of this origin through. A program without `Origin` is no page.

    Raises:
        NoHandshake: it is a plain request. Forbidden: a page of elsewhere.
    """
    upgrade = {part.strip().lower() for part in (call.header("upgrade") or "").split(",")}
    connection = {part.strip().lower() for part in (call.header("connection") or "").split(",")}
    if "websocket" not in upgrade or "upgrade" not in connection or not call.header("sec-websocket-key"):
        raise NoHandshake("this is a WebSocket; send an Upgrade")
    if not _is_of_this_origin(call.request):
        raise Forbidden("Origin not allowed")


def socket_token(call: Call) -> str | None:
    """The token of a handshake: header, `bearer.` sub-protocol, query; the first that is not empty counts (construct-realtime.md §0.2)."""
    header = bearer(call.header("authorization"))
    offered = (part.strip() for part in (call.header("sec-websocket-protocol") or "").split(","))
    named = next((part.removeprefix("bearer.") for part in offered if part.startswith("bearer.")), "")
    return header or named or call.query("token") or None


def require(caller: Caller, scope: Scope) -> None:
    """Raises Forbidden, naming the scope, when the caller lacks it."""
    if not caller.may(scope):
        raise Forbidden(f"Forbidden — this token lacks the scope `{scope}`", scope=scope)


class Doorkeeper(msgspec.Struct):
    """Decides whether a route's handler runs, and for whom.

    Attributes:
        expected_hosts: public names of the gateway; `*` = any.
    """

    access: Access
    guard: Guard
    tickets: Tickets
    expected_hosts: Collection[str]

    async def admit(self, route: Route, call: Call) -> Caller:
        """The caller for a route.

        Raises:
            RateLimited, Unauthenticated, Forbidden, StoreUnavailable: the handler does not run.
        """
        if route.limiter:
            self.guard.admit(route.limiter, call.peer)
        if call.peer.is_operator:
            return Caller(OPERATOR, ALL_SCOPES, call.peer.client)
        match route.auth:
            case Door.PUBLIC | Door.SIGNED:
                return Caller("anonymous", frozenset(), call.peer.client)
            case Door.LOCAL | Scope() if call.peer.is_local and (route.auth is Door.LOCAL or route.is_open_here):
                return Caller(LOCAL, ALL_SCOPES, call.peer.client)
            case Door.LOCAL:
                if call.header("authorization") is None:
                    raise Forbidden(LOCAL_ONLY)
                caller = await self._bearer(route, call, Scope.ADMIN)
                if not self.access.require_pairing:
                    raise Forbidden(LOCAL_ONLY)
                return caller
            case scope:
                return await self._bearer(route, call, scope)

    async def _bearer(self, route: Route, call: Call, scope: Scope) -> Caller:
        if not self.access.require_pairing:
            self._check_page(call)
        caller = await self._identified(route, call)
        if caller is None:
            self.guard.refused(call.peer, route.path, counts=route.limiter == "webhook")
            raise Unauthenticated("bearer")
        require(caller, scope)
        return caller

    def _check_page(self, call: Call) -> None:
        """Lets no page of elsewhere in: without pairing, everybody's browser is as good as its owner."""
        if not could_be_ours(_joined(call.request, b"Host") or "", self.expected_hosts):
            raise Forbidden(_STRANGE_HOST)
        if not _is_of_this_origin(call.request):
            raise Forbidden("Origin not allowed")

    async def _identified(self, route: Route, call: Call) -> Caller | None:
        ticket = call.query("ticket") if route.takes_ticket and call.header("authorization") is None else None
        if ticket is not None:
            return self.tickets.redeem(ticket, call.peer.client)
        token = socket_token(call) if route.is_socket else bearer(call.header("authorization"), lower_too=route.path.startswith("/api/v1/"))
        return await self.access.identify(token, call.peer.client)
