"""Deadlines, caps on connections, and stopping."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.web.server import NOT_DONE_YET, Site

from clawgate.web.at_once import waiting_bytes
from clawgate.web.channel import LINGER_BYTES, GatewayChannel
from clawgate.web.limits import Limits
from clawgate.web.site import MOST_TURNED_AWAY, TurnedAway
from tests.web.wire import GET, LIMITS, POST, Bench, Recorder, Wire, replies

# -- deadlines


def test_silent_connection_is_closed_without_a_word() -> None:
    bench = Bench()
    bench.clock.advance(10)
    assert bench.wire.disconnecting and bench.wire.value() == b""
    assert bench.events == ["header_timeout"]


def test_a_byte_a_second_does_not_keep_a_head_open() -> None:
    bench = Bench()
    for byte in range(11):
        bench.send(POST[byte : byte + 1])
        bench.clock.advance(1)
    assert bench.statuses == [408] and bench.wire.half_closed
    assert bench.events == ["header_timeout"] and bench.resource.seen == []


def test_a_byte_a_second_does_not_keep_a_body_open() -> None:
    bench = Bench()
    bench.send(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\n")
    for _ in range(31):
        bench.send(b"x")
        bench.clock.advance(1)
    assert bench.statuses == [408] and bench.events == ["body_timeout"]


def test_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    bench = Bench()
    bench.send(GET)
    bench.clock.advance(59)
    bench.resource.holds = True
    bench.send(GET)
    bench.clock.advance(1000)
    assert not bench.wire.is_closing
    bench.resource.held[0].answer((), b"")
    bench.clock.advance(59)
    assert not bench.wire.is_closing
    bench.clock.advance(1)
    assert bench.wire.disconnecting and bench.statuses == [200, 200] and bench.events == []


def test_second_head_has_its_own_deadline() -> None:
    bench = Bench()
    bench.send(GET)
    bench.clock.advance(50)
    bench.send(b"GET")
    bench.clock.advance(9.5)
    assert not bench.wire.is_closing
    bench.clock.advance(0.5)
    assert bench.statuses == [200, 408]


def test_there_is_never_more_than_one_timer_and_a_quick_request_adds_none() -> None:
    bench = Bench()
    (timer,) = bench.clock.getDelayedCalls()
    for _ in range(5):
        bench.send(GET + POST)
        assert bench.clock.getDelayedCalls() == [timer]
    bench.send(POST[:10])
    assert len(bench.clock.getDelayedCalls()) == 1


def test_client_that_never_takes_the_close_is_aborted() -> None:
    bench = Bench()
    bench.send(b"GET / HTTP/1.0\r\n\r\n")
    assert bench.wire.disconnecting and not bench.wire.aborted
    bench.clock.advance(15)
    assert bench.wire.aborted


class Large(Recorder):
    """Answers with so many bytes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def render(self, request: Any) -> int:  # Any: Resource.render is untyped upstream
        request.answer((), b"x" * self.size)
        return NOT_DONE_YET


class Pair(tcp.Server):
    """One end of a pair of sockets."""

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 1)

    getPeer = getHost

    def setTcpNoDelay(self, enabled: bool) -> None:
        """There are no delays."""


class SlowClient:
    """One that takes its answer when it is told to, on a connection of Twisted's own."""

    def __init__(self, size: int) -> None:
        self.bench = Bench(resource=Large(size))
        ours, self._socket = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)  # what the kernel keeps is little beside what has to be taken
        for end in (ours, self._socket):
            end.setblocking(False)
        channel = self.bench.build(IPv4Address("TCP", "192.0.2.2", 4000))
        self.transport = Pair(ours, channel, ("127.0.0.1", 1), None, 1, MemoryReactorClock())  # type: ignore[arg-type]  # no port: nobody asks
        channel.makeConnection(self.transport)
        self.taken = 0

    def ask(self, head: bytes) -> None:
        self._socket.send(head)
        self.transport.doRead()
        self._fill()

    def take(self, most: int) -> None:
        """Takes so much, and what the kernel then has room for follows it."""
        end = self.taken + most
        while self.taken < end:
            try:
                self.taken += len(self._socket.recv(min(65_536, end - self.taken)))
            except BlockingIOError:
                if self.is_dropped or self.transport.doWrite() is not None:
                    return
        self._fill()

    def _fill(self) -> None:
        """Hands the kernel as much as it has room for."""
        before = -1
        while before != waiting_bytes(self.transport):
            before = waiting_bytes(self.transport)
            self.transport.doWrite()

    @property
    def is_dropped(self) -> bool:
        return self.transport._aborting

    def close(self) -> None:
        self.transport.socket.close()
        self._socket.close()


SIZE = 4 << 20


def slow_client(size: int = SIZE) -> closing[SlowClient]:
    return closing(SlowClient(size))


def takes_all_of_it_slowly(client: SlowClient) -> None:
    while client.taken < SIZE:
        client.bench.clock.advance(14)
        client.take(400_000)
        assert not client.is_dropped


@pytest.mark.parametrize("last", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n"])
def test_a_slow_client_is_waited_for_while_it_takes_its_last_answer(last: bytes) -> None:
    with slow_client() as client:
        client.ask(last)
        takes_all_of_it_slowly(client)
        client.bench.clock.advance(14)
        client.take(10_000)
        assert client.taken > SIZE


def test_a_slow_client_is_waited_for_when_it_has_been_idle_too_long_for_another_request() -> None:
    with slow_client() as client:
        client.ask(GET)
        takes_all_of_it_slowly(client)


def test_a_client_that_only_nibbles_at_its_last_answer_is_dropped() -> None:
    with slow_client() as client:
        client.ask(b"GET / HTTP/1.0\r\n\r\n")
        client.take(1_000_000)
        client.bench.clock.advance(15)
        client.take(10_000)
        client.bench.clock.advance(14)
        assert not client.is_dropped
        client.bench.clock.advance(1)
        assert client.is_dropped


# -- refused


def test_refused_client_is_drained_for_a_second_then_dropped() -> None:
    bench = Bench()
    bench.send(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 30000000\r\n\r\n")
    bench.send(b"x" * 100_000 + GET)
    bench.clock.advance(0.9)
    assert bench.wire.half_closed and not bench.wire.aborted
    bench.clock.advance(0.2)
    assert bench.wire.aborted and bench.statuses == [413]


def test_refused_client_is_drained_of_so_many_bytes_only() -> None:
    bench = Bench()
    bench.send(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 300000000\r\n\r\n")
    megabyte = b"x" * 1_048_576
    for _ in range(LINGER_BYTES // len(megabyte)):
        bench.send(megabyte)
    assert not bench.wire.aborted
    bench.send(b"x")
    assert bench.wire.aborted


# -- caps


def address(host: str) -> IPv4Address | IPv6Address:
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, 1)


def test_connections_of_one_client_are_capped_and_others_are_served() -> None:
    bench = Bench(Limits(max_connections_per_client=2))
    _, _ = bench.connect("192.0.2.1")
    assert isinstance(bench.build(address("192.0.2.1")), TurnedAway)
    assert isinstance(bench.build(address("::ffff:192.0.2.1")), TurnedAway)
    assert isinstance(bench.build(address("192.0.2.2")), GatewayChannel)
    assert bench.events == ["connections_per_client"] * 2
    bench.lose()
    assert isinstance(bench.build(address("192.0.2.1")), GatewayChannel)


def test_ipv6_clients_are_counted_by_their_64() -> None:
    bench = Bench(Limits(max_connections_per_client=1), host="2001:db8::1")
    assert isinstance(bench.build(address("2001:db8::2")), TurnedAway)
    assert isinstance(bench.build(address("2001:db8:0:1::1")), GatewayChannel)


def test_unix_peers_and_exempt_proxies_are_not_capped_per_client() -> None:
    bench = Bench(Limits(max_connections_per_client=1), host="127.0.0.1", is_uncapped=lambda host: host == "127.0.0.1")
    bench.connect("127.0.0.1")
    for peer in (address("127.0.0.1"), UNIXAddress(None)):
        assert isinstance(bench.build(peer), GatewayChannel)


def test_connections_in_all_are_capped_and_the_rest_is_told() -> None:
    gauge: list[int] = []
    bench = Bench(Limits(max_connections=1), on_connections=gauge.append)
    turned = bench.build(address("192.0.2.9"))
    wire = Wire()
    turned.makeConnection(wire)
    turned.dataReceived(GET)
    (reply,) = replies(wire.value())
    assert reply.status == 503 and reply.headers[b"retry-after"] == b"1" and wire.half_closed
    assert bench.events == ["connections"] and bench.site.connections == 1
    bench.clock.advance(1)
    assert wire.aborted
    bench.lose()
    assert gauge == [1, 0]


def test_turning_away_is_itself_bounded() -> None:
    bench = Bench(Limits(max_connections=1))
    turned = [bench.build(address("192.0.2.9")) for _ in range(1)]
    turned[0].makeConnection(Wire())
    for _ in range(MOST_TURNED_AWAY - 1):
        bench.build(address("192.0.2.9")).makeConnection(Wire())
    assert bench.build(address("192.0.2.9")) is None
    turned[0].connectionLost()
    assert isinstance(bench.build(address("192.0.2.9")), TurnedAway)


# -- stopping


def test_drain_ends_each_connection_with_its_next_answer() -> None:
    bench = Bench()
    bench.send(GET)
    fresh, fresh_wire = bench.connect("192.0.2.2")
    busy, busy_wire = bench.connect("192.0.2.3")
    bench.resource.holds = True
    busy.dataReceived(GET)
    bench.site.drain()
    assert not any(wire.disconnecting or wire.is_closing for wire in (bench.wire, busy_wire, fresh_wire))
    bench.resource.held[0].answer((), b"")
    assert replies(busy_wire.value())[0].headers[b"connection"] == b"close" and busy_wire.disconnecting
    for channel, wire in ((bench.channel, bench.wire), (fresh, fresh_wire)):
        channel.dataReceived(GET)
        bench.resource.held[-1].answer((), b"")
        assert replies(wire.value())[-1].headers[b"connection"] == b"close" and wire.disconnecting


# -- the site itself


def test_only_http_1_1_is_offered_and_spoken() -> None:
    bench = Bench()
    assert isinstance(bench.site, Site)
    assert bench.site.acceptableProtocols() == [b"http/1.1"]
    assert type(bench.build(address("192.0.2.1"))) is GatewayChannel


def test_the_factory_keeps_no_timer_of_its_own() -> None:
    bench = Bench()
    bench.lose()
    assert bench.clock.getDelayedCalls() == []
    bench.site.stopFactory()


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_client"])
def test_zero_is_unlimited(limit: str) -> None:
    bench = Bench(Limits(**{limit: 0}))
    for _ in range(20):
        bench.connect("192.0.2.1")
    assert bench.site.connections == 21 and bench.events == []


def test_new_limits_hold_from_the_next_request() -> None:
    bench = Bench(LIMITS)
    bench.site.limits = Limits(max_body_bytes=4)
    bench.send(POST)
    assert bench.statuses == [413]


# -- the log


def lines_while(act: Callable[[], object]) -> list[str | None]:
    """What `act` has logged."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        act()
    finally:
        globalLogPublisher.removeObserver(events.append)
    return [formatEvent(event) for event in events if event["log_level"] >= LogLevel.info]


def test_request_refused_while_it_is_read_is_one_line_without_its_words() -> None:
    secret = b"GET /?token=zc_canary HTTP/9.9\r\nAuthorization: Bearer zc_canary\r\n\r\n"
    assert lines_while(lambda: Bench().send(secret)) == ["refused while reading: 400 malformed 192.0.2.1"]


def test_half_a_request_is_one_line_and_an_idle_connection_none() -> None:
    def leave_after(data: bytes) -> None:
        bench = Bench()
        bench.send(data)
        bench.lose()

    assert lines_while(lambda: leave_after(POST[:20])) == ["a request was left unfinished by 192.0.2.1"]
    assert lines_while(lambda: leave_after(POST[:-1])) == ["a request was left unfinished by 192.0.2.1"]
    assert lines_while(lambda: leave_after(POST)) == lines_while(lambda: leave_after(b"")) == []
