"""Spoilt HTTP against a real daemon: whatever comes, it answers in HTTP or closes, once for each request, and goes on.

Cuts and mutations of the parser alone are in tests/web/test_site_hostile.py; here routes, credentials and bodies are behind it, on real sockets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from random import Random

import pytest

from tests.acceptance.daemon import Daemon
from tests.acceptance.fuzzing import SECONDS, SEED, Watch, fuzzed, report, rounds
from tests.acceptance.raw_wire import Heard, exchange, pieces, spoilt

pytestmark = pytest.mark.acceptance
AT_ONCE = 40
_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) [ -~]+")
_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t -~]*")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with closing(fuzzed(tmp_path_factory.mktemp("http"))) as daemon:
        yield daemon


def requests(daemon: Daemon) -> list[bytes]:
    """Good ones, each a different way of asking."""
    host = b"Host: 127.0.0.1\r\n"
    token = b"Authorization: Bearer " + daemon.token.encode() + b"\r\n"
    json, end = b"Content-Type: application/json\r\n", b"Connection: close\r\n\r\n"

    def post(path: bytes, body: bytes, more: bytes = b"") -> bytes:
        return b"POST %b HTTP/1.1\r\n" % path + host + token + json + more + b"Content-Length: %d\r\n" % len(body) + end + body

    def chunked(path: bytes, *parts: bytes) -> bytes:
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))
        return b"POST %b HTTP/1.1\r\n" % path + host + token + json + b"Transfer-Encoding: chunked\r\n" + end + body

    get = b"GET /tasks?limit=3&status=TODO HTTP/1.1\r\n" + host + token
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x--\r\n'
    return [
        get + end,
        get + b"Accept-Encoding: gzip\r\n" + end,
        b"GET /tasks HTTP/1.0\r\n" + host + token + b"Connection: keep-alive\r\n\r\n",
        b"GET /api/v1/memory/tea%20pot?q=a&q=b HTTP/1.1\r\n" + host + token + end,
        b"GET /ws/chat HTTP/1.1\r\n" + host + token + b"Upgrade: websocket\r\n" + end,
        b"DELETE /api/canvas/board HTTP/1.1\r\n" + host + token + end,
        post(b"/webhook", b'{"message":"hi"}'),
        post(b"/webhook", b'{"message":"hi"}', b"Expect: 100-continue\r\nX-Idempotency-Key: k\r\nPrefer: respond-async\r\n"),
        chunked(b"/webhook", b'{"mess', b'age":"hi"}'),
        chunked(b"/hooks/ci", b'{"a":1}'),
        post(b"/tasks", b'{"title":"t","metadata":{"a":[1,2.5,null,true]}}'),
        post(b"/api/v1/memory", b'{"key":"k","content":"\\u00e9\\ud83d\\ude00"}'),
        post(b"/api/pair", b'{"code":"123456","device_name":"x"}'),
        post(b"/api/v1/kb/documents", form).replace(b"application/json", b"multipart/form-data; boundary=x"),
        post(b"/whatsapp", b'{"entry":[]}', b"X-Hub-Signature-256: sha256=00\r\n"),
        get + b"\r\n" + get + end,
        post(b"/webhook", b'{"message":"hi"}').replace(b"Connection: close\r\n", b"") + b"garbage\r\n\r\n" + get + end,
    ]


def replies(heard: Heard) -> list[int]:
    """Statuses of the answers; fails on what is not HTTP. The last may be cut short only if we left first."""
    found, rest = [], heard.data
    while rest:
        head, mark, rest = rest.partition(b"\r\n\r\n")
        assert mark or not heard.is_closed, head
        if not mark:
            break
        first, *lines = head.split(b"\r\n")
        status = _STATUS_LINE.fullmatch(first)
        assert status, first
        assert all(_HEADER.fullmatch(line) for line in lines), lines
        code = int(status[1])
        if code == 100:
            assert not lines
            continue
        headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
        assert len(headers) == len(lines), lines
        assert code < 500 or code == 503, head
        found.append(code)
        if code == 101:
            break
        rest = _after_body(headers, rest, heard)
        assert not rest or headers.get(b"connection") != b"close", heard.data
    return found


def _after_body(headers: dict[bytes, bytes], rest: bytes, heard: Heard) -> bytes:
    if headers.get(b"transfer-encoding") == b"chunked":
        while True:
            size, mark, rest = rest.partition(b"\r\n")
            assert mark or not heard.is_closed
            if not mark or not int(size, 16):
                return rest[2:]
            rest = rest[int(size, 16) + 2 :]
    length = int(headers[b"content-length"])
    if rest.startswith(b"HTTP/1.1 ") or not rest:
        return rest  # of HEAD
    assert len(rest) >= length or not heard.is_closed, heard.data
    return rest[length:]


def check(sent: bytes, heard: Heard) -> list[int]:
    """The statuses. There are no more answers than there can be requests in what was sent, and one refusal of what is none."""
    try:
        found = replies(heard)
        assert len(found) <= sent.count(b"HTTP/1") + 1
        return found
    except Exception as problem:
        problem.add_note(f"seed {SEED}\nsent {sent!r}\nheard {heard!r}")
        raise


def test_spoilt_requests_are_answered_in_http_or_not_at_all(daemon: Daemon) -> None:
    random, good, port = Random(SEED), requests(daemon), int(daemon.url.rpartition(":")[2])
    watch, statuses = Watch(daemon), dict[int, int]()
    for _ in rounds(12):
        sent = [spoilt(random, random.choice(good)) for _ in range(AT_ONCE)]
        for data, heard in zip(sent, exchange(port, [pieces(random, data) for data in sent], 10, watch.answers), strict=True):
            for status in check(data, heard):
                statuses[status] = statuses.get(status, 0) + 1
    watch.check()
    report("http", sum(statuses.values()), statuses)
    assert {200, 400} < set(statuses)


def test_good_requests_are_answered_once_each(daemon: Daemon) -> None:
    good, port = requests(daemon), int(daemon.url.rpartition(":")[2])
    for data, heard in zip(good, exchange(port, [[data] for data in good], 5), strict=True):
        assert len(check(data, heard)) == (2 if b"\r\n\r\nGET" in data else 1), (data, heard)


@pytest.mark.skipif(bool(SECONDS), reason="the same in every run")
def test_a_request_that_breaks_off_anywhere_leaves_nothing_behind(daemon: Daemon) -> None:
    watch, port = Watch(daemon), int(daemon.url.rpartition(":")[2])
    for data in requests(daemon)[6:9]:
        starts = [data[:end] for end in range(0, len(data), 2)]
        for first in range(0, len(starts), 100):
            for sent, heard in zip(
                starts[first : first + 100], exchange(port, [[sent] for sent in starts[first : first + 100]], 10, watch.answers), strict=True
            ):
                assert check(sent, heard) in ([], [200]), (sent, heard)
    watch.check()
