"""The site: who may connect, how long they may take, and how they are sent home. Ring: web (edge). Source: design §3, §7; libraries.md §2.

It speaks HTTP/1.1 only. HTTP/2 would bypass every cap of the channel, so ALPN offers `http/1.1` alone and the channel is used without Twisted's
protocol switch, whether or not the h2 package is installed; a proxy in front may speak h2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import cast

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.resource import IResource

from clawgate.domain.caller import bucket, parse_address
from clawgate.web.channel import LINGER_SECONDS, GatewayChannel, half_close
from clawgate.web.http_wire import refusal_bytes
from clawgate.web.limits import Limits
from clawgate.web.request import GatewayRequest
from clawgate.web.together import Together

MOST_LARGE = 2
"""Bodies beyond the ordinary cap that are read at once for senders nobody knows yet."""
MOST_LARGE_OF_ONE, MOST_LARGE_KNOWN = 4, 16
"""And for one sender that is known; for all of those together. Each body is in memory while it is read."""
MOST_TURNED_AWAY = 64
"""Connections over a cap that are told so at one time; further ones are closed unsaid, or saying so would be the attack."""

CapFor = Callable[[bytes], int | None]


class GatewaySite(server.Site):
    """Twisted's site with bounds.

    Attributes:
        connections: how many are open.
        is_draining: answers end their connections.
    """

    protocol = GatewayChannel  # type: ignore[assignment]  # upstream types it as its own switching proxy
    requestFactory = GatewayRequest

    def __init__(
        self,
        root_resource: IResource,
        limits: Limits,
        *,
        reactor: IReactorTime,
        cap_for: CapFor | None = None,
        on_event: Callable[[str], object] | None = None,
        on_connections: Callable[[int], object] | None = None,
        is_uncapped: Callable[[str], bool] | None = None,
        known_sender: Callable[[dict[bytes, list[bytes]]], str] = lambda _: "",
        parsePOSTFormSubmission: bool = False,
    ) -> None:
        """Holds the parts; nothing happens before a connection.

        Args:
            root_resource: rendered with the raw path if it has `renders_raw_path = True`, else found by traversal as usual.
            limits: may be replaced while running; new connections and requests see the new ones.
            reactor: for deadlines.
            cap_for: raw path without query → body cap in bytes, None = the default.
            on_event: counts refusals by reason: "connections", "connections_per_client", "header_timeout", "body_timeout",
                "body_too_large", "large_bodies", "headers_too_large", "target_too_long", "malformed".
            on_connections: told the number of open connections whenever it changes.
            known_sender: headers of a request → who its sender is, "" = nobody knows yet; strangers do not take the places for large bodies of others.
            is_uncapped: peer's host → whether it is exempt from the cap per client: a proxy speaks for many.
            parsePOSTFormSubmission: kept for Twisted's signature; forms are never parsed here.
        """
        super().__init__(root_resource, reactor=reactor, timeout=None, parsePOSTFormSubmission=parsePOSTFormSubmission)  # type: ignore[no-untyped-call]  # untyped upstream
        self.limits = limits
        self.together = Together(reactor)
        self.is_draining = False
        self._cap_for = cap_for
        self._on_event, self._on_connections, self._is_uncapped = on_event, on_connections, is_uncapped
        self._known_sender = known_sender
        self._channels: set[GatewayChannel] = set()
        self._large: dict[GatewayChannel, str] = {}
        self._per_client: Counter[str] = Counter()
        self._turned_away = 0
        self._date, self._date_until = b"", -1.0

    # -- connections

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:  # type: ignore[override]  # upstream names its own proxy
        """A channel, or what says that there are too many."""
        key = self._client_key(addr)
        over = self._cap_reached(key)
        if over is not None:
            self.count(over)
            return TurnedAway(self) if self._turned_away < MOST_TURNED_AWAY else None
        channel: GatewayChannel = super().buildProtocol(addr)  # type: ignore[no-untyped-call]  # untyped upstream
        channel.client_key = key
        return channel

    def _client_key(self, addr: IAddress | None) -> str:
        host = getattr(addr, "host", None)
        if not host or (self._is_uncapped is not None and self._is_uncapped(host)):
            return ""
        address = parse_address(host)
        return bucket(address) if address is not None else ""

    def _cap_reached(self, key: str) -> str | None:
        limits = self.limits
        if limits.max_connections and len(self._channels) >= limits.max_connections:
            return "connections"
        if key and limits.max_connections_per_client and self._per_client[key] >= limits.max_connections_per_client:
            return "connections_per_client"
        return None

    def opened(self, channel: GatewayChannel) -> None:
        """Counts a connection in."""
        self._channels.add(channel)
        if channel.client_key:
            self._per_client[channel.client_key] += 1
        self._report_connections()

    def closed(self, channel: GatewayChannel) -> None:
        """Counts a connection out."""
        self._channels.discard(channel)
        self.end_large(channel)
        key = channel.client_key
        if key:
            self._per_client[key] -= 1
            if not self._per_client[key]:
                del self._per_client[key]
        self._report_connections()

    def _report_connections(self) -> None:
        if self._on_connections is not None:
            self._on_connections(len(self._channels))

    @property
    def connections(self) -> int:
        """How many connections are open, those of WebSockets included."""
        return len(self._channels)

    def turned_away(self, change: int) -> None:
        """Counts the connections that are being told that there are too many."""
        self._turned_away += change

    # -- requests

    def cap_of(self, path: bytes) -> int:
        """The body cap of a raw path, in bytes."""
        cap = self._cap_for(path) if self._cap_for is not None else None
        return self.limits.max_body_bytes if cap is None else cap

    def begin_large(self, channel: GatewayChannel, headers: dict[bytes, list[bytes]]) -> bool:
        """Whether a body beyond the ordinary cap may be read now: credentials are checked after reading, so strangers share `MOST_LARGE` places."""
        sender = self._known_sender(headers)
        senders = list(self._large.values())
        if senders.count(sender) >= (MOST_LARGE_OF_ONE if sender else MOST_LARGE):
            return False
        if sender and len(senders) - senders.count("") >= MOST_LARGE_KNOWN:
            return False
        self._large[channel] = sender
        return True

    def end_large(self, channel: GatewayChannel) -> None:
        """It has been read, or will not be."""
        self._large.pop(channel, None)

    def refusal_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """What answers carry that the resource does not word; none here."""
        return ()

    def refusal_of(self, status: int) -> bytes:
        """A whole answer that ends its connection."""
        return refusal_bytes(status, self.refusal_headers(), date=self.date_header())

    def count(self, event: str) -> None:
        """Tells who counts that something was refused."""
        if self._on_event is not None:
            self._on_event(event)

    def date_header(self) -> bytes:
        """The Date of answers sent in this second."""
        now = self.reactor.seconds()
        if not self._date_until - 1 <= now < self._date_until:
            self._date, self._date_until = http.datetimeToString(), now + 1
        return self._date

    # -- stopping

    def drain(self) -> None:
        """Ends each connection with its next answer; requests that still arrive are answered by the resource.

        Idle connections stay open for that: a client that is told 503 knows that nothing was accepted, one that is cut off does not.
        """
        self.is_draining = True

    # -- what the stock site does and we do not

    def log(self, request: http.Request) -> None:
        """No access log here: the resource reports each request as an event."""

    def startFactory(self) -> None:
        """No log file, and no timer that keeps its date."""

    def stopFactory(self) -> None:
        """Nothing was started."""

    def acceptableProtocols(self) -> list[bytes]:
        """What ALPN offers."""
        return [b"http/1.1"]


class TurnedAway(Protocol):
    """Tells a client over a connection cap that it is one too many, and drains it for a moment so that it can read this."""

    def __init__(self, site: GatewaySite) -> None:
        self._site = site
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Answers before anything is asked."""
        self._site.turned_away(+1)
        transport = cast(ITCPTransport, self.transport)
        transport.write(self._site.refusal_of(http.SERVICE_UNAVAILABLE))
        half_close(transport)
        self._timer = self._site.reactor.callLater(LINGER_SECONDS, transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        """Nothing is read."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone."""
        self._site.turned_away(-1)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
