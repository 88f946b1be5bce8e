from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from upstream_net import End, Net, Scripted, Upstream, answer, chunk, client, stream_head

from clawgate.agents.http import HttpClient, checked_url
from clawgate.agents.http_connection import Connection
from clawgate.agents.http_exchange import LINGER_SECONDS, Exchange, HeaderLookup
from clawgate.agents.http_wire import HEAD_CAP_BYTES
from clawgate.domain.errors import AgentAuth, AgentOverloaded, AgentProtocol, AgentTimeout, AgentUnavailable, Invalid
from clawgate.testing.case import TestCase
from clawgate.testing.clock import ManualClock


class Keeper:
    """A receiver that keeps everything."""

    def __init__(self, end: bytes = b"never") -> None:
        self.status = 0
        self.body = b""
        self.end = end
        self.kind: str | None = None

    def head(self, status: int, header: HeaderLookup) -> None:
        self.status, self.kind = status, header("Content-Type")

    def data(self, chunk: bytes) -> None:
        self.body += chunk

    def is_complete(self) -> bool:
        return self.body.endswith(self.end)


class Angry(Keeper):
    """A receiver that refuses in its head or in its data."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def head(self, status: int, header: HeaderLookup) -> None:
        if self.where == "head":
            raise AgentAuth("no")

    def data(self, chunk: bytes) -> None:
        if self.where == "data":
            raise AgentAuth("no")


class Narrow(FileDescriptor):
    """A socket that takes so many bytes of a write at once, an error instead for -1, and queues the rest."""

    connected = True

    def __init__(self, room: int) -> None:
        super().__init__(Clock())
        self.room = room
        self.at_once: list[bytes] = []
        self.queued: list[bytes] = []

    def writeSomeData(self, data: bytes) -> int | Exception:
        if self.room < 0:
            return ConnectionLost()
        self.at_once.append(data[: self.room])
        return len(self.at_once[-1])

    def write(self, data: bytes) -> None:
        self.queued.append(data)


class Nobody:
    """An owner that wants to know nothing."""

    def monotonic(self) -> float:
        return 0.0

    def watch(self, deadline: float) -> None:
        pass

    def ended(self, exchange: Exchange, reason: Exception | Failure | None, kept: Connection | None) -> None:
        pass

    def gone(self, connection: Connection) -> None:
        pass

    def closed_early(self) -> None:
        pass


@pytest.mark.parametrize(
    ("room", "at_once", "queued"),
    [(9, [b"abc", b"def"], []), (2, [b"ab"], [b"c", b"def"]), (0, [b""], [b"abc", b"def"]), (-1, [], [b"abc", b"def"])],
)
def test_what_a_socket_does_not_take_at_once_is_queued_and_nothing_overtakes_it(room: int, at_once: list[bytes], queued: list[bytes]) -> None:
    connection, narrow = Connection(Nobody()), Narrow(room)
    connection.makeConnection(narrow)
    for request in (b"abc", b"def"):
        connection.send(Exchange(request, Keeper(), cap_bytes=9, idle_seconds=9, cancel=lambda _: None))
    assert (narrow.at_once, narrow.queued) == (at_once, queued)


class Http(TestCase):
    def setUp(self) -> None:
        self.clock = ManualClock()
        self.upstream = Upstream()
        self.client = client(self.upstream.net, self.clock)

    def post(self, receiver: Keeper | None = None, body: bytes = b"{}", path: str = "/x") -> Deferred[None]:
        posted = self.client.post(path, {"Content-Type": "application/json"}, body, receiver or Keeper())
        self.upstream.net.pump()
        return posted

    def says(self, *pieces: bytes) -> None:
        self.upstream.last.say(*pieces)
        self.upstream.net.pump()

    def lets_pass(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.upstream.net.pump()

    def refused(self, posted: Deferred[None], kind: type[Exception]) -> Exception:
        error = self.failureResultOf(posted, kind).value
        assert isinstance(error, kind)
        return error

    def assert_quiet(self) -> None:
        """No connection is left and no timer is set."""
        assert self.upstream.net.open == []
        assert self.clock.pending == 0


class ToARealSite(Http):
    """Against twisted.web's own server."""

    def serve(self, render: Callable[[Request], object]) -> Net:
        class Leaf(Resource):
            isLeaf = True

            def render_POST(self, request: Request) -> object:
                return render(request)

        site = Site(Leaf(), reactor=self.clock.reactor)
        site.startFactory()
        self.addCleanup(site.stopFactory)
        return Net(lambda: site.buildProtocol(None))

    def test_the_request_arrives_whole_and_the_answer_comes_back(self) -> None:
        seen: list[object] = []

        def render(request: Request) -> bytes:
            assert request.content is not None
            seen.append((request.uri, request.getHeader("host"), request.getHeader("x-key"), request.content.read()))
            request.setHeader(b"content-type", b"text/plain")
            return b"fine"

        net = self.serve(render)
        keeper = Keeper()
        posted = client(net, self.clock).post("/chat?a=b", {"X-Key": "k"}, b"hello", keeper)
        net.pump()
        self.successResultOf(posted)
        assert seen == [(b"/v1/chat?a=b", "upstream.test:8080", "k", b"hello")]
        assert (keeper.status, keeper.kind, keeper.body) == (200, "text/plain", b"fine")

    def test_one_connection_serves_one_request_after_the_other(self) -> None:
        net = self.serve(lambda request: b"fine")
        http = client(net, self.clock)
        for _ in range(5):
            posted = http.post("/x", {}, b"", Keeper())
            net.pump()
            self.successResultOf(posted)
        assert len(net.ends) == 1
        self.clock.advance(51)
        net.pump()
        assert net.open == []

    def test_a_line_break_in_a_header_does_not_make_a_header(self) -> None:
        for headers in ({"X-Key": "a\r\nX-Evil: b"}, {"X-Key": "a\nX-Evil: b"}, {"X-Key: a\r\nX-Evil": "b"}, {"X-Key": "a\0"}, {"X Key": "a"}):
            net = self.serve(lambda request: b"")
            posted = client(net, self.clock).post("/x", headers, b"", Keeper())
            net.pump()
            self.refused(posted, AgentProtocol)
            assert net.ends == []

    def test_cancelling_while_the_body_comes_closes_the_connection(self) -> None:
        ended: list[object] = []

        def render(request: Request) -> int:
            request.notifyFinish().addErrback(ended.append)
            request.write(b"first")
            return NOT_DONE_YET

        net = self.serve(render)
        keeper = Keeper()
        posted = client(net, self.clock).post("/x", {}, b"", keeper)
        net.pump()
        assert keeper.body == b"first"
        posted.cancel()
        self.failureResultOf(posted, CancelledError)
        net.pump()
        assert net.ends[0][0].was_aborted
        assert len(ended) == 1


class Bodies(Http):
    def test_pieces_are_handed_on_as_they_come(self) -> None:
        keeper = Keeper()
        posted = self.post(keeper)
        self.says(stream_head(), chunk(b"one"))
        assert keeper.body == b"one"
        self.assertNoResult(posted)
        self.says(chunk(b"two"), b"0\r\n\r\n")
        self.successResultOf(posted)
        assert keeper.body == b"onetwo"

    def test_a_body_in_the_same_segment_as_its_head_is_whole(self) -> None:
        keeper = Keeper()
        posted = self.post(keeper)
        self.says(answer(b"all"))
        self.successResultOf(posted)
        assert keeper.body == b"all"

    def test_an_empty_body_ends_at_once(self) -> None:
        posted = self.post()
        self.says(answer(b"", status="204 No Content"))
        self.successResultOf(posted)

    def test_a_body_that_ends_with_its_connection_is_left_to_its_receiver(self) -> None:
        keeper = Keeper()
        posted = self.post(keeper)
        self.says(b"HTTP/1.0 200 OK\r\n\r\nall of it")
        self.upstream.last.hang_up()
        self.upstream.net.pump()
        self.successResultOf(posted)
        assert keeper.body == b"all of it"
        self.assert_quiet()

    def test_a_receiver_that_has_all_does_not_wait_for_a_server_that_stays(self) -> None:
        posted = self.post(Keeper(end=b"[DONE]"))
        self.says(stream_head(), chunk(b"[DONE]"))
        self.assertNoResult(posted)
        self.lets_pass(LINGER_SECONDS / 2)
        self.says(chunk(b" [DONE]"))  # trailing on does not buy more time
        self.lets_pass(LINGER_SECONDS / 2)
        self.successResultOf(posted)
        self.assert_quiet()

    def test_a_receiver_that_has_all_does_not_mind_a_cut(self) -> None:
        posted = self.post(Keeper(end=b"[DONE]"))
        self.says(stream_head(), chunk(b"[DONE]"))
        self.upstream.last.hang_up()
        self.upstream.net.pump()
        self.successResultOf(posted)

    def test_what_the_receiver_raises_is_the_outcome(self) -> None:
        for where in ("head", "data"):
            posted = self.post(Angry(where))
            self.says(stream_head(), chunk(b"x"))
            self.refused(posted, AgentAuth)
            self.assert_quiet()


class Hostile(Http):
    def test_no_connection_is_unavailable(self) -> None:
        self.upstream.net.server = None
        self.refused(self.post(), AgentUnavailable)
        self.assert_quiet()

    def test_a_connection_that_never_opens_times_out(self) -> None:
        self.upstream.net.hangs = True
        posted = self.post()
        self.lets_pass(29)
        self.assertNoResult(posted)
        self.lets_pass(1)
        self.refused(posted, AgentTimeout)
        self.assert_quiet()

    def test_a_close_before_the_head_is_unavailable_and_the_post_is_not_repeated(self) -> None:
        posted = self.post()
        self.upstream.last.hang_up()
        self.upstream.net.pump()
        self.refused(posted, AgentUnavailable)
        assert self.upstream.requests == 1
        self.assert_quiet()

    def test_a_post_on_a_warm_connection_that_dies_is_not_repeated(self) -> None:
        posted = self.post()
        self.says(answer(b"ok"))
        self.successResultOf(posted)
        self.upstream.last.on_request = Scripted.hang_up
        self.refused(self.post(), AgentUnavailable)
        assert (self.upstream.requests, len(self.upstream.servers)) == (2, 1)

    def test_a_connection_that_closed_while_idle_is_not_used_again(self) -> None:
        posted = self.post()
        self.says(answer(b"ok"))
        self.successResultOf(posted)
        self.lets_pass(5)
        self.upstream.last.hang_up()
        self.upstream.net.pump()
        posted = self.post()
        self.says(answer(b"ok"))
        self.successResultOf(posted)
        assert len(self.upstream.servers) == 2

    def test_a_body_shorter_than_its_length_is_unavailable(self) -> None:
        posted = self.post()
        self.says(answer(b"0123456789")[:-4])
        self.upstream.last.hang_up()
        self.upstream.net.pump()
        self.refused(posted, AgentUnavailable)
        self.assert_quiet()

    def test_a_chunked_body_without_its_end_is_unavailable(self) -> None:
        posted = self.post()
        self.says(stream_head(), chunk(b"abc"))
        self.upstream.last.hang_up()
        self.upstream.net.pump()
        self.refused(posted, AgentUnavailable)
        self.assert_quiet()

    def test_garbage_is_a_protocol_error(self) -> None:
        for garbage in (
            b"SSH-2.0-OpenSSH_9\r\n\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            stream_head() + b"zz\r\nhello",
        ):
            posted = self.post()
            self.says(garbage)
            self.refused(posted, AgentProtocol)
            self.assert_quiet()

    def test_an_endless_head_is_cut_off(self) -> None:
        posted = self.post()
        self.says(b"HTTP/1.1 200 OK\r\n")
        for _ in range(HEAD_CAP_BYTES // 1000 + 2):
            self.says(b"X-Filler: " + b"x" * 988 + b"\r\n")
        self.refused(posted, AgentUnavailable)
        self.assert_quiet()

    def test_endless_interim_answers_are_cut_off(self) -> None:
        posted = self.post()
        for _ in range(HEAD_CAP_BYTES // 25 + 2):
            self.says(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.refused(posted, AgentUnavailable)
        self.assert_quiet()

    def test_a_long_body_is_not_counted_as_a_head(self) -> None:
        # Pins that Twisted's parser pauses its transport when a head is over: that is how the guard knows.
        keeper = Keeper()
        posted = self.post(keeper)
        self.says(stream_head())
        for _ in range(3):
            self.says(chunk(b"x" * HEAD_CAP_BYTES))
        self.says(b"0\r\n\r\n")
        self.successResultOf(posted)
        assert len(keeper.body) == 3 * HEAD_CAP_BYTES

    def test_a_body_over_its_cap_is_cut_off(self) -> None:
        posted = self.post()
        self.says(stream_head())
        for _ in range(17):
            self.says(chunk(b"x" * 65_536))
        self.refused(posted, AgentProtocol)
        self.assert_quiet()

    def test_a_head_that_trickles_times_out(self) -> None:
        posted = self.post()
        for byte in b"HTTP/1.1 200 OK\r\nX: 12345678":
            self.says(bytes([byte]))
            self.lets_pass(1)
        self.assertNoResult(posted)
        self.lets_pass(2)
        self.refused(posted, AgentTimeout)
        self.assert_quiet()

    def test_a_gap_in_the_body_times_out_and_bytes_put_it_off(self) -> None:
        posted = self.post()
        self.says(stream_head())
        for _ in range(4):
            self.lets_pass(29)
            self.says(chunk(b"x"))
        self.assertNoResult(posted)
        self.lets_pass(29.5)
        self.assertNoResult(posted)
        self.lets_pass(1)
        self.refused(posted, AgentTimeout)
        self.assert_quiet()
        assert self.upstream.last.is_lost


class Keeping(Http):
    """A server may say that it keeps connections and close them right after its answers, as llama.cpp does after a stream."""

    def answered(self) -> None:
        posted = self.post()
        self.says(answer(b"ok"))
        self.successResultOf(posted)

    def test_a_connection_closed_right_after_its_answer_is_the_last_that_is_kept(self) -> None:
        self.answered()
        self.upstream.last.hang_up()
        self.upstream.net.pump()
        self.answered()
        assert b"Connection: close" in self.upstream.last.last_head
        self.answered()
        assert len(self.upstream.servers) == 3

    def test_a_request_that_raced_with_the_close_is_the_only_one(self) -> None:
        self.answered()
        self.upstream.last.hang_up()
        self.refused(self.post(), AgentUnavailable)
        self.answered()
        self.answered()
        assert len(self.upstream.servers) == 3

    def test_a_close_after_some_idling_changes_nothing(self) -> None:
        self.answered()
        self.lets_pass(5)
        self.upstream.last.hang_up()
        self.upstream.net.pump()
        self.answered()
        self.answered()
        assert len(self.upstream.servers) == 2

    def test_an_announced_close_changes_nothing(self) -> None:
        posted = self.post()
        self.says(answer(b"ok", headers=("Connection: close",)))
        self.successResultOf(posted)
        self.answered()
        self.answered()
        assert len(self.upstream.servers) == 2

    def test_a_close_inside_an_answer_changes_nothing(self) -> None:
        posted = self.post()
        self.says(stream_head(), chunk(b"x"))
        self.upstream.last.hang_up()
        self.upstream.net.pump()
        self.refused(posted, AgentUnavailable)
        self.answered()
        self.answered()
        assert len(self.upstream.servers) == 2


class Cancelling(Http):
    def test_before_the_connection_opens(self) -> None:
        self.upstream.net.hangs = True
        posted = self.post()
        posted.cancel()
        self.refused(posted, CancelledError)
        self.assert_quiet()

    def test_before_the_head(self) -> None:
        posted = self.post()
        posted.cancel()
        self.refused(posted, CancelledError)
        self.upstream.net.pump()
        self.assert_quiet()
        assert self.upstream.last.is_lost

    def test_inside_the_body(self) -> None:
        posted = self.post()
        self.says(stream_head(), chunk(b"x"))
        posted.cancel()
        self.refused(posted, CancelledError)
        self.upstream.net.pump()
        self.assert_quiet()
        assert self.upstream.last.is_lost

    def test_in_the_line(self) -> None:
        self.client = client(self.upstream.net, self.clock, max_inflight=1)
        first, second, third = self.post(), self.post(), self.post()
        second.cancel()
        self.refused(second, CancelledError)
        self.says(answer(b""))
        self.successResultOf(first)
        self.says(answer(b""))
        self.successResultOf(third)
        assert self.upstream.requests == 2


class TheLine(Http):
    def test_no_more_than_the_limit_are_out_and_the_line_is_served_in_order(self) -> None:
        self.client = client(self.upstream.net, self.clock, max_inflight=2)
        posts = [self.post(body=b"%d" % number) for number in range(6)]
        assert self.upstream.requests == 2
        order = []
        for _ in range(3):
            for server in self.upstream.servers:
                order.append(server.last_body)
                server.say(answer(b""))
            self.upstream.net.pump()
        for posted in posts:
            self.successResultOf(posted)
        assert order == [b"0", b"1", b"2", b"3", b"4", b"5"]
        assert len(self.upstream.servers) == 2

    def test_a_full_line_refuses(self) -> None:
        self.client = client(self.upstream.net, self.clock, max_inflight=1)
        posts = [self.post() for _ in range(17)]
        self.refused(self.post(), AgentOverloaded)
        for posted in posts:
            self.assertNoResult(posted)
        self.client.stop()
        self.upstream.net.pump()
        for posted in posts:
            self.refused(posted, AgentUnavailable)

    def test_a_failure_gives_its_place_to_the_next(self) -> None:
        self.client = client(self.upstream.net, self.clock, max_inflight=1)
        first, second = self.post(), self.post()
        self.upstream.last.hang_up()
        self.upstream.net.pump()
        self.refused(first, AgentUnavailable)
        self.says(answer(b""))
        self.successResultOf(second)

    def test_stopping_ends_what_runs_and_what_waits_and_what_is_warm(self) -> None:
        self.client = client(self.upstream.net, self.clock, max_inflight=2)
        warm = self.post()
        running = self.post()
        self.upstream.servers[0].say(answer(b""))
        self.upstream.net.pump()
        self.successResultOf(warm)
        stopped = self.client.stop()
        self.upstream.net.pump()
        self.successResultOf(stopped)
        self.refused(running, AgentUnavailable)
        self.refused(self.post(), AgentUnavailable)
        self.assert_quiet()
        self.successResultOf(self.client.stop())


def test_an_end_counts_what_it_was_given() -> None:
    end = End(Net(None))
    end.other = End(end.net)
    end.writeSequence([b"a", b"b"])
    assert list(end.other.arrived) == [b"ab"]


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "ftp://a/",
            "http://",
            "http:///x",
            "http://a b/",
            "http://a/\r\nX: y",
            "http://u:p@a/",
            "http://a/?k=v",
            "http://a/#f",
            "http://a:123456/",
        ),
        *("file:///etc/passwd", "http://ex\u00e4mple/", "http://a/\u00e4", "javascript:x"),
    ],
)
def test_a_url_that_cannot_be_used_is_invalid(url: str) -> None:
    with pytest.raises(Invalid, match="not a URL"):
        checked_url(url)


@pytest.mark.parametrize("url", ["http://localhost:11434/v1", "https://api.openai.com/v1", "http://[::1]:80", "http://10.0.0.1/a/b"])
def test_a_usable_url_loses_only_its_last_slash(url: str) -> None:
    assert checked_url(url + "/") == url


@pytest.mark.parametrize("path", ["/a b", "/a\r\nHost: x", "/\u00e4", "/a#b", "/a\n"])
def test_a_path_that_is_none_is_refused_before_anything_is_sent(path: str) -> None:
    clock, upstream = ManualClock(), Upstream()
    http: HttpClient = client(upstream.net, clock)
    errors: list[object] = []
    http.post(path, {}, b"", Keeper()).addErrback(lambda failure: errors.append(failure.type))
    assert errors == [AgentProtocol]
    assert upstream.net.ends == []
