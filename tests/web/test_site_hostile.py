"""What the wire refuses, whichever way the bytes are cut. Source: advisories.md §3.2, RFC 9112."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel, globalLogPublisher

from tests.web.wire import CHUNKED, GET, LIMITS, POST, Bench, byte_by_byte, whole

H = b"Host: g\r\n"
MALFORMED: dict[str, bytes] = {
    "http 0.9": b"GET /\r\n",
    "http 2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http 2.0 version": b"GET / HTTP/2.0\r\n" + H + b"\r\n",
    "http 1.2 version": b"GET / HTTP/1.2\r\n" + H + b"\r\n",
    "lower-case version": b"GET / http/1.1\r\n" + H + b"\r\n",
    "absolute form": b"GET http://g/ HTTP/1.1\r\n" + H + b"\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n",
    "connect": b"CONNECT g:443 HTTP/1.1\r\n" + H + b"\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\n" + H + b"\r\n",
    "tab": b"GET\t/ HTTP/1.1\r\n" + H + b"\r\n",
    "space in target": b"GET /a b HTTP/1.1\r\n" + H + b"\r\n",
    "non-ascii target": b"GET /\xc3\xa9 HTTP/1.1\r\n" + H + b"\r\n",
    "nul in target": b"GET /\x00 HTTP/1.1\r\n" + H + b"\r\n",
    "del in target": b"GET /\x7f HTTP/1.1\r\n" + H + b"\r\n",
    "method no token": b"G(T / HTTP/1.1\r\n" + H + b"\r\n",
    "empty method": b" / HTTP/1.1\r\n" + H + b"\r\n",
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "two blank lines first": b"\r\n\r\n" + GET,
    "no host": b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n",
    "no headers": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "html in host": b"GET / HTTP/1.1\r\nHost: <script>\r\n\r\n",
    "folded line": b"GET / HTTP/1.1\r\n" + H + b"X-A: 1\r\n 2\r\n\r\n",
    "folded first line": b"GET / HTTP/1.1\r\n X: 1\r\n" + H + b"\r\n",
    "space before colon": b"GET / HTTP/1.1\r\n" + H + b"Content-Length : 0\r\n\r\n",
    "empty name": b"GET / HTTP/1.1\r\n" + H + b": x\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\n" + H + b"Accept\r\n\r\n",
    "bare cr": b"GET / HTTP/1.1\r\n" + H + b"X-A: 1\rX-B: 2\r\n\r\n",
    "bare cr at line end": b"GET / HTTP/1.1\r\n" + H + b"X-A: 1\r\r\n\r\n",
    "bare lf": b"GET / HTTP/1.1\n" + b"Host: g\n\n",
    "bare lf in a header": b"GET / HTTP/1.1\r\n" + H + b"X-A: 1\nX-B: 2\r\n\r\n",
    "nul in a value": b"GET / HTTP/1.1\r\n" + H + b"X-A: a\x00b\r\n\r\n",
    "escape in a value": b"GET / HTTP/1.1\r\n" + H + b"X-A: a\x1bb\r\n\r\n",
    "cl and te": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te and cl": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "two equal lengths": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab",
    "list of lengths": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 2, 2\r\n\r\nab",
    "signed length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: +5\r\n\r\nabcde",
    "negative length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: -5\r\n\r\nabcde",
    "hex length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 0x5\r\n\r\nabcde",
    "empty length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length:\r\n\r\n",
    "underscored length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1_0\r\n\r\n0123456789",
    "gzip, chunked": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: identity\r\n\r\n",
    "xchunked": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunked in http 1.0": b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "0x chunk size": CHUNKED + b"0x5\r\nabcde\r\n0\r\n\r\n",
    "signed chunk size": CHUNKED + b"+5\r\nabcde\r\n0\r\n\r\n",
    "space in chunk size": CHUNKED + b"5 \r\nabcde\r\n0\r\n\r\n",
    "chunk extension": CHUNKED + b"5;a=b\r\nabcde\r\n0\r\n\r\n",
    "empty chunk size": CHUNKED + b"\r\nabcde\r\n0\r\n\r\n",
    "17 digit chunk size": CHUNKED + b"00000000000000005\r\nabcde\r\n0\r\n\r\n",
    "lf after chunk size": CHUNKED + b"5\nabcde\r\n0\r\n\r\n",
    "chunk longer than its size": CHUNKED + b"5\r\nabcdef\r\n0\r\n\r\n",
    "lf after chunk": CHUNKED + b"5\r\nabcde\n0\r\n\r\n",
    "lf after last chunk": CHUNKED + b"0\r\n\n",
    "trailer no colon": CHUNKED + b"0\r\nabc\r\n\r\n",
    "trailer with a control": CHUNKED + b"0\r\nX-A: \x00\r\n\r\n",
    "folded trailer": CHUNKED + b"0\r\nX-A: a\r\n b\r\n\r\n",
}
cuts = pytest.mark.parametrize("deliver", [whole, byte_by_byte], ids=["whole", "byte-by-byte"])
Deliver = Callable[[bytes], list[bytes]]


@cuts
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_bytes_are_a_400_and_nothing_after_them_is_read(name: str, deliver: Deliver) -> None:
    bench = Bench()
    bench.send(MALFORMED[name] + GET, deliver)
    assert bench.statuses == [400]
    assert msgspec.json.decode(bench.replies[0].body) == {"error": "Malformed HTTP request"}
    assert bench.replies[0].headers[b"connection"] == b"close"
    assert bench.wire.half_closed
    assert bench.resource.seen == []
    assert bench.events == ["malformed"]


PROMPT = {
    "http 0.9": b"GET /\r\n",
    "lf instead of crlf": b"GET / HTTP/1.1\nHost: g\n\n",
    "lf in a header": b"GET / HTTP/1.1\r\nHost: g\n",
    "tls hello": b"\x16\x03",
    "lf after chunk size": CHUNKED + b"5\n",
    "lf in a trailer": CHUNKED + b"0\r\nX-A: a\n",
    "second blank line": b"\r\n\r\n",
    "cr and no lf": b"\rG",
}


@cuts
@pytest.mark.parametrize("name", PROMPT)
def test_what_cannot_become_good_is_refused_without_waiting(name: str, deliver: Deliver) -> None:
    bench = Bench()
    bench.send(PROMPT[name], deliver)
    assert bench.statuses == [400]


OVER = {
    "long target": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + H + b"\r\n", 414),
    "endless target": (b"GET /" + b"a" * 20_000, 414),
    "long header": (b"GET / HTTP/1.1\r\n" + H + b"X-A: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    "endless header": (b"GET / HTTP/1.1\r\n" + H + b"X-A: " + b"a" * 20_000, 431),
    "101 headers": (b"GET / HTTP/1.1\r\n" + H + b"X-A: 1\r\n" * 100 + b"\r\n", 431),
    "many headers, no end": (b"GET / HTTP/1.1\r\n" + H + b"X-A: 1\r\n" * 200, 431),
    "many trailers": (CHUNKED + b"0\r\n" + b"X-A: 1\r\n" * 101 + b"\r\n", 431),
    "long trailer": (CHUNKED + b"0\r\nX-A: " + b"a" * 20_000, 431),
    "declared body": (b"POST /b HTTP/1.1\r\n" + H + b"Content-Length: 1001\r\n\r\n", 413),
    "expected body": (b"POST /b HTTP/1.1\r\n" + H + b"Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n", 413),
    "unthinkable body": (b"POST /b HTTP/1.1\r\n" + H + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 413),
    "one chunk": (CHUNKED + b"3e9\r\n", 413),
    "many chunks": (CHUNKED + b"64\r\n" + b"a" * 100 + b"\r\n64\r\n" + (b"b" * 100 + b"\r\n64\r\n") * 10, 413),
    "huge chunk": (CHUNKED + b"ffffffffffffffff\r\n", 413),
}


@cuts
@pytest.mark.parametrize("name", OVER)
def test_too_much_is_refused_while_it_arrives(name: str, deliver: Deliver) -> None:
    data, status = OVER[name]
    bench = Bench()
    bench.send(data + GET, deliver)
    assert bench.statuses == [status]
    assert bench.wire.half_closed
    assert bench.resource.seen == []


@cuts
def test_limits_themselves_are_allowed(deliver: Deliver) -> None:
    bench = Bench()
    bench.send(b"POST / HTTP/1.1\r\n" + H + b"X-A: 1\r\n" * 98 + b"Content-Length: 1000\r\n\r\n" + b"b" * 1000, deliver)
    bench.send(CHUNKED + b"3E8\r\n" + b"c" * 1000 + b"\r\n0\r\nX-Sum: 1\r\n\r\n", deliver)
    start = b"GET / HTTP/1.1\r\n" + H + b"X-A: "
    bench.send(start + b"a" * (16_384 - len(start) - 4) + b"\r\n\r\n", deliver)
    assert bench.statuses == [200, 200, 200]
    assert [body for _, _, body in bench.resource.seen] == [b"b" * 1000, b"c" * 1000, b""]


@pytest.mark.parametrize("good", [POST, GET, CHUNKED + b"5\r\nabcde\r\n1\r\nf\r\n0\r\nX-T: 1\r\n\r\n"], ids=["post", "get", "chunked"])
def test_no_part_of_a_request_is_answered(good: bytes) -> None:
    for end in range(len(good)):
        bench = Bench()
        bench.send(good[:end])
        assert bench.wire.value() == b"" and not bench.wire.is_closing
        bench.send(good[end:])
        assert bench.statuses == [200]
        bench.lose()
        assert bench.clock.getDelayedCalls() == []


def test_losing_the_connection_anywhere_in_a_request_leaves_nothing_behind() -> None:
    for end in range(len(POST)):
        bench = Bench()
        bench.send(POST[:end])
        bench.lose()
        assert (bench.resource.seen, bench.site.connections) == ([], 0)
        assert bench.clock.getDelayedCalls() == []


mutations = st.lists(
    st.tuples(st.sampled_from(["delete", "insert", "replace", "double"]), st.integers(0, 200), st.binary(min_size=1, max_size=3)),
    min_size=1,
    max_size=4,
)


def mutated(data: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    for kind, place, piece in changes:
        at = place % (len(data) + 1)
        kept = {"delete": b"", "insert": piece + data[at : at + 1], "replace": piece, "double": data[at : at + 1] * 2}[kind]
        data = data[:at] + kept + data[at + 1 :]
    return data


@given(st.sampled_from([POST, GET, CHUNKED + b"5\r\nabcde\r\n0\r\n\r\n"]), mutations)
@settings(max_examples=400, deadline=None)
def test_mutated_requests_end_in_one_answer_each_and_the_same_however_cut(good: bytes, changes: list[tuple[str, int, bytes]]) -> None:
    problems = []
    globalLogPublisher.addObserver(observer := lambda event: problems.append(event) if event["log_level"] >= LogLevel.error else None)
    outcomes = []
    try:
        for deliver in (whole, byte_by_byte):
            bench = Bench()
            bench.send(mutated(good, changes), deliver)
            bench.clock.advance(LIMITS.body_timeout_seconds + 60)
            assert len(bench.statuses) <= len(bench.resource.seen) + 1
            assert bench.statuses.count(200) == len(bench.resource.seen)
            outcomes.append((bench.statuses, bench.resource.seen))
            bench.lose()
    finally:
        globalLogPublisher.removeObserver(observer)
    assert problems == []
    assert outcomes[0] == outcomes[1]
