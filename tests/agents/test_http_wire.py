"""Requests as bytes and answers from bytes, however they are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clawgate.agents.http_wire import HEAD_CAP_BYTES, TRAILER_CAP_BYTES, AnswerParser, parse_head, request_bytes
from clawgate.domain.errors import AgentProtocol, AgentUnavailable

STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def fed(*pieces: bytes) -> tuple[AnswerParser, bytes]:
    """A parser that was fed these until there was a problem, and the body it gave."""
    parser, body = AnswerParser(), b""
    for piece in pieces:
        if parser.problem is None:
            body += parser.feed(piece)
    return parser, body


def outcome(*pieces: bytes) -> tuple[object, ...]:
    parser, body = fed(*pieces)
    return parser.head, body, parser.is_over, parser.problem is None, parser.keeps, parser.ends_with_connection


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


# --- answers --------------------------------------------------------------------------------------------------------------------------------


def counted(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""]).encode("latin-1") + body


def chunked(*pieces: bytes, trailer: bytes = b"") -> bytes:
    return STREAM + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailer + b"\r\n"


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (counted(b"all"), b"all"),
        (counted(b""), b""),
        (chunked(b"one", b"two"), b"onetwo"),
        (chunked(), b""),
        (chunked(b"\r\n0\r\n\r\n"), b"\r\n0\r\n\r\n"),
        (chunked(b"x", trailer=b"X-Sum: 1\r\nX-More: 2\r\n"), b"x"),
        (STREAM + b"0003;a=b\r\nabc\r\n000;last\r\n\r\n", b"abc"),
        (STREAM + b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + counted(b"all"), b"all"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 200 \r\nContent-Length:1\r\n\r\nx", b"x"),
    ],
)
def test_an_answer_is_the_same_however_it_is_cut_and_not_over_before_its_end(answer: bytes, body: bytes) -> None:
    parser, got = fed(answer)
    assert (got, parser.is_over, parser.problem, parser.keeps) == (body, True, None, True)
    assert outcome(*bytewise(answer)) == outcome(answer)
    for at in range(len(answer)):
        cut, got = fed(answer[:at])
        assert not cut.is_over and cut.problem is None and body.startswith(got)
        assert outcome(answer[:at], answer[at:]) == outcome(answer)


@pytest.mark.parametrize("answer", [counted(b"all"), chunked(b"all"), chunked(b"x", trailer=b"X: 1\r\n"), b"HTTP/1.1 204 No Content\r\n\r\n"])
def test_what_follows_an_answer_is_not_its_body_and_ends_the_connection(answer: bytes) -> None:
    parser, body = fed(answer + counted(b"for somebody else"))
    assert parser.is_over and not parser.keeps and b"somebody" not in body
    assert outcome(*bytewise(answer + b"x")) == outcome(answer + b"x")


def test_a_body_without_length_ends_with_its_connection() -> None:
    parser, body = fed(b"HTTP/1.0 200 OK\r\n\r\nall", b" of it")
    assert (body, parser.is_over, parser.ends_with_connection, parser.keeps) == (b"all of it", False, True, False)


@pytest.mark.parametrize("close", ["Connection: close", "connection: Keep-Alive, CLOSE", "Connection: keep-alive\r\nConnection: close"])
def test_an_announced_close_is_seen(close: str) -> None:
    assert not fed(counted(b"x", close))[0].keeps
    assert fed(counted(b"x", "Connection: keep-alive"))[0].keeps
    assert not fed(counted(b"x").replace(b"HTTP/1.1", b"HTTP/1.0"))[0].keeps


def test_headers_are_found_in_any_case_and_the_first_one_counts() -> None:
    head = parse_head(b"HTTP/1.1 429 Slow\r\nRETRY-after: \t7 \r\nRetry-After: 8\r\nX-Empty:\r\nX-Text: \xfc\r\n")
    assert head.status == 429
    assert [head.header(name) for name in ("retry-after", "Retry-After", "x-empty", "X-TEXT", "x-none")] == ["7", "7", "", "\xfc", None]


HEADS = [
    *("HTTP/2 200 OK", "HTTP/1.2 200 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 099 OK", "HTTP/1.1 abc OK", "HTTP/1.1  200 OK", "http/1.1 200 OK", "200 OK"),
    *("HTTP/1.1 200 O\x00K", "HTTP/1.1 200 O\rK", " HTTP/1.1 200 OK", "\r\nHTTP/1.1 200 OK", "HTTP/1.1 -200 OK", "HTTP/1.1 \xb2\xb2\xb2 OK"),
    *("HTTP/1.1 101 Switching Protocols", "HTTP/1.1 200 OK\nX: 1"),
]
FIELDS = [
    *("no colon", "X : 1", ": 1", "X: 1\r\n 2", "X: 1\r\n\t2", " X: 1", "X: \x00", "X: a\rb", "X: a\nY: b", "X: \x7f", "X\xe4: 1", "X: 1\n"),
    *("Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5, 5", "Content-Length: +5"),
    *("Content-Length: -1", "Content-Length: 0x5", "Content-Length:", "Content-Length: 1e1", "Content-Length: 5 5", "Content-Length: \xb2"),
    *(f"Content-Length: {'9' * 19}", "Content-Length: 5.0", "Content-Length: 1_0", "content-length: 5\r\nCONTENT-LENGTH: 5"),
    *("Transfer-Encoding: chunked\r\nContent-Length: 5", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
    *("Transfer-Encoding: gzip", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    *("Transfer-Encoding: xchunked", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: identity", "Transfer-Encoding:"),
    *("Transfer-Encoding: chunked;q=1", "Transfer-Encoding: \x0bchunked"),
]


@pytest.mark.parametrize("raw", [*(f"{line}\r\n\r\n" for line in HEADS), *(f"HTTP/1.1 200 OK\r\n{field}\r\n\r\n" for field in FIELDS)])
def test_an_unclear_head_is_refused_however_it_is_cut(raw: str) -> None:
    answer = raw.encode("latin-1") + b"hello"
    parser, body = fed(answer)
    assert isinstance(parser.problem, AgentProtocol)
    assert (parser.head, body, parser.is_over) == (None, b"", False)
    assert outcome(*bytewise(answer)) == outcome(answer)


def test_chunks_in_the_old_version_are_refused() -> None:
    assert fed(STREAM.replace(b"/1.1", b"/1.0"))[0].problem is not None


CHUNKS = [
    *(
        b"zz\r\nabc\r\n",
        b"-3\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b" 3\r\nabc\r\n",
        b"3 \r\nabc\r\n",
        b"3\nabc\n",
        b"3\rabc",
        b"\r\nabc",
    ),
    *(b"3_0\r\nabc\r\n", b"f" * 17 + b"\r\n", b"0" * 17 + b"\r\n\r\n", b"3;" + b"x" * 257 + b"\r\n", b"3;\x00\r\nabc\r\n", b"3;a\nb\r\nabc\r\n"),
    *(
        b"3\r\nabcd\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabc\r0\r\n\r\n",
        b"3\r\nabc\r\n\r\n",
        b"3\r\nabc\r\nHTTP/1.1 200 OK\r\n",
    ),
    *(b"0\r\nno colon\r\n\r\n", b"0\r\nX: \x00\r\n\r\n", b"0\r\n X: 1\r\n\r\n", b"0\r\nX: a\rb\r\n\r\n", b"0\r\nX: a\nb\r\n\r\n"),
    b"0\r\n" + b"X: 1\r\n" * (TRAILER_CAP_BYTES // 6 + 1) + b"\r\n",
]


@pytest.mark.parametrize("chunks", CHUNKS)
def test_a_malformed_chunk_is_refused_after_what_came_before_it_however_it_is_cut(chunks: bytes) -> None:
    parser, body = fed(STREAM + b"4\r\ngood\r\n" + chunks)
    assert isinstance(parser.problem, AgentProtocol)
    assert body.startswith(b"good") and body[4:] in (b"", b"abc") and not parser.is_over
    assert outcome(*bytewise(STREAM + b"4\r\ngood\r\n" + chunks)) == outcome(STREAM + b"4\r\ngood\r\n" + chunks)


def test_a_huge_chunk_is_handed_out_as_it_comes() -> None:
    parser, body = fed(STREAM + b"ffffffffffffffff\r\nabc", b"def")
    assert (body, parser.is_over, parser.problem) == (b"abcdef", False, None)


@pytest.mark.parametrize("filler", [b"X: 12345678901\r\n", b"X" * 16])
def test_an_endless_head_ends_at_its_cap(filler: bytes) -> None:
    start = b"HTTP/1.1 200 OK\r\n"
    parser = AnswerParser()
    parser.feed(start)
    fits = (HEAD_CAP_BYTES - len(start)) // len(filler)
    for _ in range(fits):
        parser.feed(filler)
    assert parser.problem is None
    parser.feed(filler)
    assert isinstance(parser.problem, AgentUnavailable)
    assert isinstance(fed(start + filler * (fits + 1) + b"\r\n\r\n")[0].problem, AgentUnavailable)


@pytest.mark.parametrize("size", [1, 25, 1 << 20])
def test_endless_interim_answers_end_at_the_cap(size: int) -> None:
    endless = b"HTTP/1.1 100 Continue\r\n\r\n" * (HEAD_CAP_BYTES // 25 + 1)
    parser, _ = fed(*(endless[at : at + size] for at in range(0, len(endless), size)))
    assert isinstance(parser.problem, AgentUnavailable)


def test_endless_trailers_end_at_their_cap() -> None:
    parser, _ = fed(STREAM + b"0\r\n", *(b"X: 123456789\r\n" for _ in range(TRAILER_CAP_BYTES // 14 + 1)))
    assert isinstance(parser.problem, AgentProtocol)


TOKENS = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 No\r\n", b"HTTP/1.0 200 OK\r\n", b"Content-Length: 3\r\n"),
        *(
            b"Transfer-Encoding: chunked\r\n",
            b"Connection: close\r\n",
            b"X: y\r\n",
            b"\r\n",
            b"3\r\n",
            b"3;e\r\n",
            b"abc",
            b"abc\r\n",
            b"0\r\n",
            b"0\r\n\r\n",
        ),
        *(b"\r", b"\n", b"\x00", b":", b" ", b"f", b"HTTP/1."),
    ]
)
ANSWERS = st.lists(TOKENS | st.binary(max_size=6), max_size=12).map(b"".join) | st.lists(TOKENS, max_size=10).map(
    lambda parts: STREAM + b"".join(parts)
)


@given(ANSWERS, st.lists(st.integers(0, 200), max_size=8))
@example(STREAM + b"3\r\nabc\r\n0\r\n\r\nx", [0])
def test_any_answer_is_the_same_however_it_is_cut(answer: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]
    pieces = [answer[start:end] for start, end in pairwise(edges) if end > start]
    whole = outcome(answer)
    assert outcome(*pieces) == whole
    assert outcome(*bytewise(answer)) == whole
    assert len(whole[1]) <= len(answer)  # type: ignore[arg-type]  # the body


# --- requests -------------------------------------------------------------------------------------------------------------------------------


def test_a_request_is_its_lines_and_its_body() -> None:
    assert request_bytes("POST / HTTP/1.1\r\nHost: h\r\n", {"X-A": "1", "X-B": "\u00e4"}, b"{}") == (
        b"POST / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-B: \xc3\xa4\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert request_bytes("GET / HTTP/1.1\r\n", {}, None) == b"GET / HTTP/1.1\r\n\r\n"
    assert request_bytes("POST / HTTP/1.1\r\n", {}, b"").endswith(b"\r\nContent-Length: 0\r\n\r\n")


def test_a_refused_header_does_not_tell_its_value() -> None:
    with pytest.raises(AgentProtocol) as caught:
        request_bytes("POST / HTTP/1.1\r\n", {"Authorization": "Bearer sk-canary\n"}, b"")
    assert "Authorization" in caught.value.detail and "canary" not in caught.value.detail + str(caught.value)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=4), st.binary(max_size=20))
@example({"X": "a\r\nY: b"}, b"")
@example({"X: a\r\nY": "b"}, b"")
def test_any_headers_are_one_line_each_or_refused(headers: dict[str, str], body: bytes) -> None:
    try:
        request = request_bytes("POST / HTTP/1.1\r\n", headers, body)
    except AgentProtocol:
        return
    lines = request[: len(request) - len(body)].split(b"\r\n")
    assert [line.partition(b":")[0].decode() for line in lines[1:-3]] == [name.partition(":")[0] for name in headers]
    assert (lines[-3], lines[-2:]) == (b"Content-Length: %d" % len(body), [b"", b""])
