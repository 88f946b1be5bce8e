"""POSTs to subscribers: real requests through Twisted's agent in memory; where they may lead, and what comes of them."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IReactorPluggableNameResolver, IResolutionReceiver
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from clawgate.domain.subscriptions import Answered, Unreached
from clawgate.ports.subscriptions import Outgoing
from clawgate.system.poster import MOST_BODIES, HttpPoster
from clawgate.testing.clock import ManualClock


@implementer(IHostResolution)
class _Resolution:
    name = "hooks.example"

    def cancel(self) -> None:
        """It is over already."""


@implementer(IHostnameResolver)
class Names:
    """Answers each look-up with the next list of addresses."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), 0

    def resolveHostName(
        self, resolutionReceiver: IResolutionReceiver, hostName: str, portNumber: int = 0, *_: object, **__: object
    ) -> IHostResolution:
        addresses = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        resolution = _Resolution()
        resolutionReceiver.resolutionBegan(resolution)
        for address in addresses:
            resolutionReceiver.addressResolved(IPv4Address("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution


@implementer(IReactorPluggableNameResolver)
class Reactor(MemoryReactorClock):
    """Connects in memory."""

    def __init__(self, names: Names, clock: ManualClock) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped upstream
        self.nameResolver = names
        self.callLater = clock.reactor.callLater  # type: ignore[method-assign]  # one time for both

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        raise NotImplementedError


class Scene:
    """One POST under way."""

    def __init__(self, *names: list[str], allow_private: bool = False, url: str = "http://hooks.example/in?x=1") -> None:
        self.clock = ManualClock()
        self.names = Names(*names)
        self.reactor = Reactor(self.names, self.clock)
        outgoing = Outgoing(url=url, headers={"webhook-id": "msg_1"}, body=b"{}", timeout_seconds=20, allow_private=allow_private)
        self.found: list[object] = []
        self.waiting = HttpPoster(self.reactor, self.clock).post(outgoing)
        self.waiting.addBoth(self.found.append)
        self.clock.advance(1)
        self.transport = StringTransport()
        self.protocol: Any = None  # the HTTP client's own, once it is connected

    @property
    def connected_to(self) -> list[str]:
        return [client[0] for client in self.reactor.tcpClients]

    def connect(self) -> None:
        factory = self.reactor.tcpClients[0][2]
        self.protocol = factory.buildProtocol(None)
        self.transport.abortConnection = self.transport.loseConnection  # type: ignore[method-assign]  # StringTransport's is not counted as closing
        self.protocol.makeConnection(self.transport)
        self.clock.advance(0)

    def answer(self, text: bytes) -> None:
        self.protocol.dataReceived(text)
        self.clock.advance(0)


def test_the_request_is_written_and_the_status_comes_back() -> None:
    scene = Scene(["93.184.216.34"])
    scene.connect()
    head, _, body = scene.transport.value().partition(b"\r\n\r\n")
    assert head.startswith(b"POST /in?x=1 HTTP/1.1\r\n")
    assert b"\r\nwebhook-id: msg_1" in head or b"\r\nWebhook-Id: msg_1" in head
    assert body == b"{}"
    scene.answer(b"HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n")
    assert scene.found == [Answered(202)]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    scene = Scene(["93.184.216.34"])
    scene.connect()
    scene.answer(b"HTTP/1.1 %d x\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n" % status)
    assert scene.found == [Answered(status)]
    assert scene.connected_to == ["93.184.216.34"]


def test_retry_after_comes_back_and_no_more_than_a_day() -> None:
    for text, seconds in ((b"7", 7.0), (b"999999", 86_400.0), (b"soon", None)):
        scene = Scene(["93.184.216.34"])
        scene.connect()
        scene.answer(b"HTTP/1.1 503 x\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n" % text)
        assert scene.found == [Answered(503, seconds)]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0", "100.64.0.1"])
def test_a_name_that_leads_inside_is_not_connected_to(address: str) -> None:
    scene = Scene([address])
    assert (scene.found, scene.connected_to) == ([Unreached("address_refused")], [])


def test_of_several_addresses_only_those_outside_are_tried() -> None:
    scene = Scene(["192.168.0.1", "93.184.216.34"])
    assert scene.connected_to == ["93.184.216.34"]


def test_a_name_that_changes_after_the_check_does_not_matter() -> None:
    scene = Scene(["93.184.216.34"], ["127.0.0.1"])
    assert (scene.names.asked, scene.connected_to) == (1, ["93.184.216.34"])


def test_an_address_inside_is_connected_to_when_that_is_allowed() -> None:
    assert Scene(["127.0.0.1"], allow_private=True).connected_to == ["127.0.0.1"]


def test_a_receiver_that_says_nothing_is_waited_for_so_long_and_its_connection_closed() -> None:
    scene = Scene(["93.184.216.34"])
    scene.connect()
    scene.clock.advance(18)
    assert scene.found == []
    scene.clock.advance(1.5)
    assert scene.found == [Unreached("timeout")]
    assert scene.transport.disconnecting


def test_whoever_waits_may_cancel() -> None:
    scene = Scene(["93.184.216.34"])
    scene.connect()
    scene.waiting.cancel()
    (failure,) = scene.found
    assert isinstance(failure, Failure)
    assert failure.check(CancelledError)
    assert scene.transport.disconnecting


def test_a_status_counts_however_long_the_body_takes() -> None:
    scene = Scene(["93.184.216.34"])
    scene.connect()
    scene.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx")
    assert (scene.found, bool(scene.transport.disconnecting)) == ([Answered(200)], False)
    scene.clock.advance(1.1)
    assert scene.transport.disconnecting


def test_what_breaks_off_or_is_not_reached_is_told_in_a_word() -> None:
    scene = Scene(["93.184.216.34"])
    scene.connect()
    scene.protocol.connectionLost(Failure(ConnectionDone()))
    assert scene.found == [Unreached("broken_off")]
    scene = Scene([])
    assert scene.found == [Unreached("name_not_found")]
    scene = Scene(["93.184.216.34"])
    scene.reactor.tcpClients[0][2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))  # type: ignore[arg-type]  # it looks at no connector
    scene.clock.advance(1)
    assert scene.found == [Unreached("not_connected")]


def test_a_head_without_end_is_broken_off() -> None:
    scene = Scene(["93.184.216.34"])
    scene.connect()
    scene.answer(b"HTTP/1.1 200 OK\r\n")
    for _ in range(80):
        scene.answer(b"X-Line: " + b"x" * 1_000 + b"\r\n")
    assert scene.transport.disconnecting


@pytest.mark.parametrize("status", [b"000", b"-200", b"99", b"600", b"9" * 30])
def test_a_status_that_http_does_not_have_is_no_answer(status: bytes) -> None:
    scene = Scene(["93.184.216.34"])
    scene.connect()
    scene.answer(b"HTTP/1.1 %s x\r\nContent-Length: 0\r\n\r\n" % status)
    assert scene.found == [Unreached("broken_off")]


def test_receivers_that_hold_their_answers_hold_only_so_many_connections() -> None:
    clock = ManualClock()
    reactor = Reactor(Names(["93.184.216.34"]), clock)
    poster, found = HttpPoster(reactor, clock), list[object]()
    outgoing = Outgoing(url="http://hooks.example/in", headers={}, body=b"{}", timeout_seconds=20, allow_private=False)
    for _ in range(MOST_BODIES + 1):
        poster.post(outgoing).addBoth(found.append)
    clock.advance(1)
    transports = [StringTransport() for _ in reactor.tcpClients]
    for (*_, factory, _, _), transport in zip(reactor.tcpClients, transports, strict=True):
        protocol: Any = factory.buildProtocol(None)  # type: ignore[arg-type]  # it looks at no address
        transport.abortConnection = transport.loseConnection  # type: ignore[method-assign]  # as in `Scene`
        protocol.makeConnection(transport)
        clock.advance(0)
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx")
    assert found == [Answered(200)] * (MOST_BODIES + 1)
    assert [bool(transport.disconnecting) for transport in transports] == [True] + [False] * MOST_BODIES
