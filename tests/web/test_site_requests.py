"""What a resource sees of a request, and what a client sees of an answer."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from clawgate.web.request import GatewayRequest
from clawgate.web.site import MOST_LARGE, MOST_LARGE_KNOWN, MOST_LARGE_OF_ONE
from tests.web.wire import CHUNKED, GET, LIMITS, POST, Bench, byte_by_byte, replies


def render_with(function: Any) -> Any:  # Any: a resource around a function of a request
    class Once(Resource):
        isLeaf = True
        renders_raw_path = True

        def render(self, request: Any) -> Any:  # Any: Resource.render is untyped upstream
            return function(request)

    return Once()


def held(data: bytes) -> tuple[Bench, GatewayRequest]:
    bench = Bench()
    bench.resource.holds = True
    bench.send(data)
    return bench, bench.resource.held[0]


def test_request_has_raw_path_and_query_headers_and_body() -> None:
    _, request = held(POST)
    assert (request.method, request.path, request.query_string) == (b"POST", b"/webhook", b"x=1&y=%20")
    assert request.getHeader(b"content-TYPE") == b"application/json"
    assert request.requestHeaders.getRawHeaders("host") == ["gate.example:3000"]
    assert request.clientproto == b"HTTP/1.1"
    assert (request.prepath, request.postpath) == ([], [])


def test_path_is_not_decoded_and_query_is_only_on_demand() -> None:
    _, request = held(b"GET /a%2fb//../c?q=a%20b&q=&&r&s=1;t=+%2b HTTP/1.1\r\nHost: g\r\n\r\n")
    assert request.path == b"/a%2fb//../c"
    assert request.args == {b"q": [b"a b", b""], b"r": [b""], b"s": [b"1;t= +"]}


def test_a_form_is_not_parsed() -> None:
    _, request = held(b"POST /?a=1 HTTP/1.1\r\nHost: g\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\nb=2")
    assert request.args == {b"a": [b"1"]}


def test_cookies_are_parsed() -> None:
    _, request = held(b"GET / HTTP/1.1\r\nHost: g\r\nCookie: a=1; b=2\r\n\r\n")
    assert (request.getCookie(b"a"), request.getCookie(b"b")) == (b"1", b"2")


def test_repeated_headers_keep_their_order() -> None:
    _, request = held(b"GET / HTTP/1.1\r\nHost: g\r\nX-Forwarded-For: 1\r\nx-forwarded-for: \t2 \r\n\r\n")
    assert request.requestHeaders.getRawHeaders(b"X-Forwarded-For") == [b"1", b"2"]


def test_answer_names_clawgate_and_a_date_and_no_version() -> None:
    bench = Bench()
    bench.send(GET)
    head = bench.wire.value().partition(b"\r\n\r\n")[0]
    assert head.count(b"Server: clawgate\r\n") == 1 and b"Twisted" not in head
    assert bench.replies[0].headers[b"date"].endswith(b" GMT")
    assert b"connection" not in bench.replies[0].headers


def test_date_is_made_once_a_second() -> None:
    bench = Bench()
    first = bench.site.date_header()
    bench.clock.advance(0.5)
    assert bench.site.date_header() is first
    bench.clock.advance(0.6)
    assert bench.site.date_header() is not first


def test_written_answer_without_a_length_is_chunked() -> None:
    bench, request = held(GET)
    request.setHeader(b"Content-Type", b"text/plain")
    request.write(b"one")
    request.write(b"")
    request.write(b"two")
    request.finish()
    assert b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n" in bench.wire.value()
    assert bench.replies[0].body == b"onetwo"


def test_head_and_first_piece_leave_in_one_write() -> None:
    bench, request = held(GET)
    pieces: list[bytes] = []
    bench.wire.write = pieces.append  # type: ignore[method-assign]  # to see the portions
    request.setHeader(b"Content-Length", b"5")
    request.write(b"hello")
    assert len(pieces) == 1 and pieces[0].endswith(b"\r\n\r\nhello")


def test_head_only_answers_have_no_body() -> None:
    bench, request = held(b"HEAD / HTTP/1.1\r\nHost: g\r\n\r\n")
    request.answer(((b"Content-Type", b"text/plain"),), b"hello")
    assert b"Content-Length: 5\r\n" in bench.wire.value() and bench.wire.value().endswith(b"\r\n\r\n")
    bench, request = held(GET)
    request.setResponseCode(204)
    request.write(b"hello")
    request.finish()
    assert bench.wire.value().endswith(b"\r\n\r\n") and b"Transfer-Encoding" not in bench.wire.value()


def test_header_value_with_a_line_break_is_never_sent() -> None:
    bench, request = held(GET)
    with pytest.raises(ValueError, match="X-A"):
        request.answer(((b"X-A", b"1\r\nSet-Cookie: a=b"),), b"")
    request.responseHeaders.addRawHeader(b"X-A", b"1\r\nSet-Cookie: a=b")
    request.setResponseCode(200, b"OK\r\nX-B: 2")
    request.answer((), b"")
    assert b"\r\nSet-Cookie" not in bench.wire.value() and b"\r\nX-B" not in bench.wire.value()


def test_http_1_0_is_answered_and_closed() -> None:
    bench = Bench()
    bench.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + GET)
    assert bench.statuses == [200]
    assert bench.replies[0].headers[b"connection"] == b"close"
    assert bench.wire.disconnecting


@pytest.mark.parametrize("value", [b"close", b"Close", b"te, close", b"close,te"])
def test_connection_close_is_obeyed_wherever_it_stands(value: bytes) -> None:
    bench = Bench()
    bench.send(b"GET / HTTP/1.1\r\nHost: g\r\nConnection: " + value + b"\r\n\r\n" + GET)
    assert bench.statuses == [200]
    assert bench.wire.disconnecting


def test_resource_may_ask_for_the_connection_to_close() -> None:
    bench, request = held(GET + GET)
    request.setHeader(b"Connection", b"close")
    request.answer((), b"bye")
    assert bench.replies[0].headers[b"connection"] == b"close"
    assert bench.wire.disconnecting and len(bench.resource.seen) == 1


def test_continue_is_said_once_and_only_for_an_acceptable_body() -> None:
    bench = Bench()
    head = b"POST /b HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    bench.send(head)
    assert bench.wire.value() == b"HTTP/1.1 100 Continue\r\n\r\n"
    bench.wire.clear()
    bench.send(b"hello" + head + b"hello")
    assert bench.statuses == [200, 200]


def test_continue_is_not_said_to_a_client_that_already_sends() -> None:
    bench = Bench()
    bench.send(b"POST /b HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhe")
    assert bench.wire.value() == b""
    bench.send(b"llo")
    assert bench.statuses == [200]


def test_cookies_are_sent() -> None:
    bench, request = held(GET)
    request.addCookie(b"session", b"1", httpOnly=True)
    request.answer((), b"")
    assert bench.replies[0].headers[b"set-cookie"] == b"session=1; HttpOnly"


def test_one_blank_line_before_a_request_is_forgiven() -> None:
    bench = Bench()
    bench.send(POST + b"\r\n" + GET)
    bench.send(b"\r")
    bench.send(b"\n" + GET)
    assert bench.statuses == [200, 200, 200]


def test_short_request_after_a_long_one_in_pieces_is_found() -> None:
    bench = Bench()
    bench.send(POST, byte_by_byte)
    bench.send(GET)
    assert bench.statuses == [200, 200]


def test_body_cap_is_the_routes_own() -> None:
    bench = Bench(cap_for={b"/big": 2000, b"/small": 10}.get)
    bench.send(b"POST /big?x HTTP/1.1\r\nHost: g\r\nContent-Length: 2000\r\n\r\n" + b"a" * 2000)
    bench.send(b"POST /small HTTP/1.1\r\nHost: g\r\nContent-Length: 11\r\n\r\n")
    assert bench.statuses == [200, 413]
    assert bench.events == ["body_too_large"]


BIG = b"POST /big HTTP/1.1\r\nHost: g\r\nContent-Length: 5000\r\n\r\n"
KNOWN = b"POST /big HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer known\r\nContent-Length: 5000\r\n\r\n"


def test_strangers_share_few_places_for_large_bodies() -> None:
    bench = Bench(cap_for={b"/big": 1_000_000}.get, known_sender=lambda headers: headers.get(b"Authorization", [b""])[0].decode())
    connections = [bench.connect("192.0.2.1") for _ in range(MOST_LARGE + 1)]
    for channel, _ in connections:
        channel.dataReceived(BIG)
    assert [reply.status for _, wire in connections for reply in replies(wire.value())] == [503]
    assert bench.events == ["large_bodies"]
    known, wire = bench.connect("192.0.2.1")
    for piece in (KNOWN, b"a" * 5000):
        known.dataReceived(piece)
    assert [reply.status for reply in replies(wire.value())] == [200]


def begun(bench: Bench, sender: str, count: int) -> list[int]:
    """Begins `count` large bodies; the statuses of those that were answered before they were read."""
    request = KNOWN.replace(b"Bearer known", sender.encode())
    connections = [bench.connect("192.0.2.1") for _ in range(count)]
    for channel, _ in connections:
        channel.dataReceived(request)
    return [reply.status for _, wire in connections for reply in replies(wire.value())]


def test_a_known_sender_has_few_places_for_large_bodies_too_and_so_have_all_of_them() -> None:
    bench = Bench(cap_for={b"/big": 1_000_000}.get, known_sender=lambda headers: headers.get(b"Authorization", [b""])[0].decode())
    assert begun(bench, "ann", MOST_LARGE_OF_ONE + 1) == [503]
    others = [begun(bench, f"other{number}", 1) for number in range(MOST_LARGE_KNOWN - MOST_LARGE_OF_ONE)]
    assert others == [[]] * len(others)
    assert begun(bench, "late", 1) == [503]
    stranger, wire = bench.connect("192.0.2.1")
    for piece in (BIG, b"a" * 5000):
        stranger.dataReceived(piece)
    assert [reply.status for reply in replies(wire.value())] == [200]


def test_a_small_body_waits_for_no_place_where_a_large_one_may_come() -> None:
    bench = Bench(cap_for={b"/big": 1_000_000}.get)
    assert begun(bench, "", MOST_LARGE + 1) == [503]
    channel, wire = bench.connect("192.0.2.1")
    for piece in (BIG.replace(b"5000", b"10"), b"a" * 10):
        channel.dataReceived(piece)
    assert [reply.status for reply in replies(wire.value())] == [200]


@pytest.mark.parametrize("ending", ["read", "gone", "late"])
def test_a_place_for_a_large_body_is_given_back(ending: str) -> None:
    bench = Bench(cap_for={b"/big": 1_000_000}.get)
    for channel, _ in [bench.connect("192.0.2.1") for _ in range(MOST_LARGE)]:
        channel.dataReceived(BIG)
        if ending == "read":
            channel.dataReceived(b"a" * 5000)
        elif ending == "gone":
            channel.connectionLost(Failure(ConnectionDone()))
    if ending == "late":
        bench.clock.advance(LIMITS.body_timeout_seconds + 1)
    channel, wire = bench.connect("192.0.2.1")
    for piece in (BIG, b"a" * 5000):
        channel.dataReceived(piece)
    assert [reply.status for reply in replies(wire.value())] == [200]


def test_content_never_becomes_a_file() -> None:
    bench = Bench(LIMITS, cap_for=lambda _: 1_000_000)
    bench.resource.holds = True
    bench.send(CHUNKED + b"30d40\r\n" + b"a" * 200_000 + b"\r\n0\r\n\r\n")
    assert type(bench.resource.held[0].content).__name__ == "BytesIO"


# -- order


def test_pipelined_answers_keep_their_order_when_the_first_is_slow() -> None:
    bench = Bench()
    bench.resource.holds = True
    bench.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: g\r\n\r\n" % n for n in range(3)))
    assert len(bench.resource.held) == 1
    for number in range(3):
        bench.resource.held[number].answer((), b"answer %d" % number)
    assert [reply.body for reply in bench.replies] == [b"answer 0", b"answer 1", b"answer 2"]


def test_pipelined_requests_keep_their_own_credentials() -> None:
    bench = Bench()
    bench.resource.holds = True
    bench.send(b"GET /1 HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer a\r\n\r\nGET /2 HTTP/1.1\r\nHost: g\r\n\r\n")
    bench.resource.held[0].answer((), b"")
    first, second = bench.resource.held
    assert (first.getHeader(b"authorization"), second.getHeader(b"authorization")) == (b"Bearer a", None)


def test_bytes_ahead_of_a_slow_answer_are_bounded() -> None:
    bench = Bench()
    bench.resource.holds = True
    bench.send(GET)
    for _ in range(20):
        bench.send(b"x" * 1024)
    assert bench.wire.producerState == "paused"
    bench.resource.held[0].answer((), b"")
    assert bench.wire.producerState == "producing"
    assert bench.statuses == [200, 414]


def test_reading_goes_on_after_it_was_held() -> None:
    bench = Bench(cap_for=lambda _: 100_000)
    bench.resource.holds = True
    bench.send(GET)
    bench.send(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 40000\r\n\r\n" + b"a" * 20_000)
    assert bench.wire.producerState == "paused"
    bench.resource.held[0].answer((), b"")
    assert bench.wire.producerState == "producing"
    bench.send(b"a" * 20_000)
    assert [len(body) for _, _, body in bench.resource.seen] == [0, 40_000]


def test_a_burst_yields_to_other_connections() -> None:
    bench = Bench()
    bench.send(GET * 100)
    assert len(bench.resource.seen) == 32
    bench.send(GET)
    for _ in range(3):
        bench.clock.advance(0)
    assert len(bench.resource.seen) == 101 and bench.statuses == [200] * 101


def test_client_that_reads_no_answers_gets_no_more() -> None:
    bench = Bench()
    bench.channel.pauseProducing()
    bench.send(GET)
    assert bench.resource.seen == []
    bench.channel.resumeProducing()
    assert bench.statuses == [200]


def test_answers_after_the_client_has_gone_go_nowhere() -> None:
    bench, request = held(GET)
    reasons: list[Failure] = []
    request.notifyFinish().addErrback(reasons.append)
    bench.lose()
    request.write(b"late")
    assert len(reasons) == 1 and bench.wire.value() == b""


def test_finished_out_of_order_is_refused() -> None:
    bench, request = held(GET)
    with pytest.raises(TypeError):
        bench.channel.requestDone(GatewayRequest(bench.channel))
    request.answer((), b"")
    assert bench.statuses == [200]


# -- failures


def broken(request: GatewayRequest) -> int:
    raise LookupError("the handler broke")


def test_broken_resource_is_a_500_in_json_and_is_logged() -> None:
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    try:
        bench = Bench(resource=render_with(broken))
        bench.send(GET)
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert bench.replies[0].status == 500 and bench.replies[0].body == b'{"error":"Internal server error"}'
    assert [event["log_failure"].type for event in events if "log_failure" in event] == [LookupError]


def test_resource_that_breaks_within_its_answer_cuts_the_connection() -> None:
    def half(request: GatewayRequest) -> int:
        request.write(b"half")
        raise LookupError("the handler broke")

    bench = Bench(resource=render_with(half))
    bench.send(GET)
    assert bench.wire.aborted


# -- mounts


class Found(Resource):
    isLeaf = True

    def render_GET(self, request: GatewayRequest) -> bytes:
        return b"found"


def test_foreign_resources_are_found_by_traversal() -> None:
    root = Resource()
    root.putChild(b"a b", branch := Resource())
    branch.putChild(b"c", Found())
    bench = Bench(resource=root)
    bench.send(b"GET /a%20b/c HTTP/1.1\r\nHost: g\r\n\r\nHEAD /a%20b/c HTTP/1.1\r\nHost: g\r\n\r\n")
    head, _, body = bench.wire.value().partition(b"\r\n\r\n")
    assert body.startswith(b"found") and b"Server: clawgate" in head and b"Twisted" not in bench.wire.value()
    assert body.endswith(b"\r\n\r\n")


# -- peers


def test_unix_peer_is_not_counted_per_client() -> None:
    channel = Bench().build(UNIXAddress(None))
    assert channel.client_key == ""


# -- becoming something else


class Echo(Protocol):
    def __init__(self) -> None:
        self.got, self.lost = b"", 0

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Any = None) -> None:  # Any: as upstream
        self.lost += 1


def test_taken_over_connection_belongs_to_its_successor() -> None:
    echo = Echo()

    def upgrade(request: GatewayRequest) -> int:
        request.take_over(echo)
        return NOT_DONE_YET

    bench = Bench(resource=render_with(upgrade))
    bench.send(GET + b"early")
    bench.send(b" late")
    assert echo.transport is bench.wire and echo.got == b"early late"
    assert bench.site.connections == 1
    bench.clock.advance(1000)
    assert not bench.wire.is_closing and bench.wire.value() == b""
    bench.lose()
    assert (echo.lost, bench.site.connections) == (1, 0)


def test_answered_request_cannot_be_taken_over() -> None:
    bench, request = held(GET)
    request.write(b"begun")
    with pytest.raises(RuntimeError):
        request.take_over(Echo())
    assert bench.wire.value() != b""


def test_addresses_are_asked_for_once() -> None:
    bench, request = held(GET)
    assert bench.channel.getPeer() is bench.channel.getPeer() is request.getClientAddress()
    assert isinstance(bench.channel.getHost(), IPv4Address)
