"""The agents' HTTP client and servers that are wrong on purpose: answers nobody asked for, lengths that lie, drips; and what a request leaves behind."""

from __future__ import annotations

import gc

import pytest
from twisted.internet.defer import CancelledError, Deferred
from upstream_net import Scripted, Upstream, answer, chunk, client, stream_head

from clawgate.agents.http_exchange import HeaderLookup
from clawgate.agents.http_wire import HEAD_CAP_BYTES
from clawgate.domain.errors import AgentProtocol, AgentTimeout, AgentUnavailable
from clawgate.testing.case import TestCase
from clawgate.testing.clock import ManualClock


class Keeper:
    """A receiver that keeps everything, and is never complete before the end."""

    def __init__(self) -> None:
        self.status, self.body = 0, b""
        self.fields: dict[str, str | None] = {}

    def head(self, status: int, header: HeaderLookup) -> None:
        self.status = status
        self.fields = {name: header(name) for name in ("Content-Encoding", "Location", "X-Empty")}

    def data(self, chunk: bytes) -> None:
        self.body += chunk

    def is_complete(self) -> bool:
        return False


class Canceller(Keeper):
    """Cancels its own request with the first bytes, as a turn does whose client has gone."""

    posted: Deferred[None]

    def data(self, chunk: bytes) -> None:
        super().data(chunk)
        self.posted.cancel()


class Hostile(TestCase):
    def setUp(self) -> None:
        self.clock = ManualClock()
        self.upstream = Upstream()
        self.client = client(self.upstream.net, self.clock)

    def post(self, receiver: Keeper | None = None) -> Deferred[None]:
        posted = self.client.post("/x", {}, b"{}", receiver or Keeper())
        self.upstream.net.pump()
        return posted

    def says(self, *pieces: bytes) -> None:
        self.upstream.last.say(*pieces)
        self.upstream.net.pump()

    def answered(self, *pieces: bytes) -> Keeper:
        keeper = Keeper()
        posted = self.post(keeper)
        self.says(*pieces)
        self.successResultOf(posted)
        return keeper

    def refused(self, posted: Deferred[None], kind: type[Exception]) -> None:
        self.failureResultOf(posted, kind)
        self.upstream.net.pump()
        assert self.upstream.net.open == []
        assert self.clock.pending == 0

    # --- answers nobody asked for

    def test_an_answer_nobody_asked_for_is_never_the_next_request_s(self) -> None:
        for pieces in (
            (answer(b"mine") + answer(b"evil"),),
            (answer(b"mine"), answer(b"evil")),
            (answer(b"mine") + b"HT", b"TP/1.1 200 OK\r\n\r\nevil"),
        ):
            assert self.answered(*pieces).body == b"mine"
            assert self.upstream.net.open == []
            assert self.answered(answer(b"next")).body == b"next"
            self.client.stop()
            self.setUp()

    def test_a_body_longer_than_its_length_is_cut_there_and_ends_the_connection(self) -> None:
        assert self.answered(answer(b"12345").replace(b"Length: 5", b"Length: 3")).body == b"123"
        assert self.upstream.net.open == []

    def test_bytes_after_the_last_chunk_end_the_connection(self) -> None:
        assert self.answered(stream_head() + chunk(b"mine") + b"0\r\n\r\n" + answer(b"evil")).body == b"mine"
        assert self.upstream.net.open == []

    def test_an_answer_before_the_request_is_not_taken(self) -> None:
        self.client = client(self.upstream.net, self.clock, max_inflight=1)
        first, keeper = self.post(), Keeper()
        waiting = self.client.post("/x", {}, b"{}", keeper)
        self.says(answer(b"") + answer(b"evil"))
        self.successResultOf(first)
        assert len(self.upstream.servers) == 2
        self.says(answer(b"mine"))
        self.successResultOf(waiting)
        assert keeper.body == b"mine"

    # --- answers of odd kinds

    def test_interim_answers_are_passed_over(self) -> None:
        keeper = self.answered(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer(b"mine"))
        assert (keeper.status, keeper.body) == (200, b"mine")
        assert len(self.upstream.net.open) == 1

    def test_a_redirect_is_an_answer_and_not_followed(self) -> None:
        keeper = self.answered(answer(b"", status="307 Temporary Redirect", headers=("Location: http://elsewhere/",)))
        assert (keeper.status, keeper.fields["Location"]) == (307, "http://elsewhere/")
        assert self.upstream.requests == 1

    def test_a_compressed_body_is_handed_on_as_it_is(self) -> None:
        keeper = self.answered(answer(b"\x1f\x8b", headers=("Content-Encoding: gzip",)))
        assert (keeper.fields["Content-Encoding"], keeper.body) == ("gzip", b"\x1f\x8b")

    def test_a_change_of_protocol_is_refused(self) -> None:
        posted = self.post()
        self.says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
        self.refused(posted, AgentProtocol)

    def test_two_lengths_or_a_length_and_chunks_are_refused(self) -> None:
        for field in (b"Content-Length: 5\r\nContent-Length: 6", b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"Content-Length: -5"):
            posted = self.post()
            self.says(b"HTTP/1.1 200 OK\r\n" + field + b"\r\n\r\nhello")
            self.refused(posted, AgentProtocol)

    def test_a_huge_chunk_ends_at_the_cap(self) -> None:
        posted = self.post()
        self.says(stream_head(), b"fffffffffffffff\r\n")
        self.assertNoResult(posted)
        self.says(b"x" * (1 << 20))
        self.assertNoResult(posted)
        self.says(b"x")
        self.refused(posted, AgentProtocol)

    def test_no_server_keeps_a_request_by_dripping(self) -> None:
        for start, drop in ((b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n"), (b"HTTP/1.1 200", b"x")):
            posted = self.post()
            self.says(start)
            for _ in range(30):
                self.says(drop)
                self.clock.advance(1)
            self.refused(posted, AgentTimeout)

    def test_chunks_without_data_buy_no_time_beyond_a_gap(self) -> None:
        posted = self.post()
        self.says(stream_head(), chunk(b"x"), b"0\r\n")
        self.clock.advance(29)
        self.says(b"X: 1\r\n" * 10)
        self.clock.advance(29)
        self.assertNoResult(posted)
        self.clock.advance(1)
        self.refused(posted, AgentTimeout)

    def test_an_endless_head_is_cut_off_in_one_segment_too(self) -> None:
        posted = self.post()
        self.says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * HEAD_CAP_BYTES)
        self.refused(posted, AgentUnavailable)

    # --- what is left behind

    def test_a_receiver_that_cancels_its_own_request_leaves_nothing(self) -> None:
        canceller = Canceller()
        canceller.posted = posted = self.post(canceller)
        self.says(stream_head() + chunk(b"x"))
        self.failureResultOf(posted, CancelledError)
        self.upstream.net.pump()
        assert self.upstream.net.open == []
        assert self.clock.pending == 0

    def test_a_full_line_is_refused_at_a_stop_without_running_out_of_stack(self) -> None:
        self.client = client(self.upstream.net, self.clock, max_inflight=64)
        posts = [self.post() for _ in range(64)] + [self.client.post("/x", {}, b"", Keeper()) for _ in range(16 * 64)]
        self.client.stop()
        for posted in posts:
            self.failureResultOf(posted, AgentUnavailable)
        self.upstream.net.pump()
        assert self.upstream.net.open == []
        assert self.clock.pending == 0

    def test_an_endpoint_that_fails_at_once_is_unavailable(self) -> None:
        class Broken:
            def connect(self, factory: object) -> Deferred[object]:
                raise ValueError("no such name")

        self.client = client(self.upstream.net, self.clock, endpoint=Broken())
        self.refused(self.post(), AgentUnavailable)

    def test_one_timer_watches_all_requests_and_what_is_kept(self) -> None:
        self.client = client(self.upstream.net, self.clock)
        posts = []
        for _ in range(3):
            posts.append(self.post())
            self.clock.advance(1)
        assert self.clock.pending == 1
        for server in self.upstream.servers[:2]:
            server.say(answer(b""))
        self.upstream.net.pump()
        self.clock.advance(26.5)
        self.assertNoResult(posts[2])
        self.clock.advance(3)
        self.failureResultOf(posts[2], AgentTimeout)
        self.upstream.net.pump()
        assert len(self.upstream.net.open) == 2
        self.clock.advance(24)
        self.upstream.net.pump()
        assert self.upstream.net.open == []
        assert self.clock.pending == 0

    def test_the_connection_used_last_is_used_first(self) -> None:
        first, second = self.post(), self.post()
        for server in self.upstream.servers:
            server.say(answer(b""))
            self.upstream.net.pump()
        for posted in (first, second):
            self.successResultOf(posted)
        self.post()
        assert [server.requests for server in self.upstream.servers] == [1, 2]

    def test_a_request_leaves_no_reference_cycle(self) -> None:
        self.upstream.on_request = lambda server: server.say(stream_head() + chunk(b"x") + b"0\r\n\r\n")
        self.successResultOf(self.post())
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                self.successResultOf(self.post())
            assert gc.collect() == 0
        finally:
            gc.enable()


@pytest.mark.parametrize("pieces", [(answer(b"ok"),), (stream_head(), chunk(b"ok"), b"0\r\n\r\n"), (b"HTTP/1.0 200 OK\r\n\r\nok",)])
def test_an_answer_is_the_same_byte_by_byte(pieces: tuple[bytes, ...]) -> None:
    clock = ManualClock()
    got = []
    for cut in (lambda data: [data], lambda data: [data[at : at + 1] for at in range(len(data))]):

        def say(server: Scripted) -> None:
            server.say(*cut(b"".join(pieces)))  # noqa: B023 - used within the round
            if pieces[0].startswith(b"HTTP/1.0"):
                server.hang_up()

        upstream, keeper = Upstream(say), Keeper()
        posted = client(upstream.net, clock).post("/x", {}, b"{}", keeper)
        upstream.net.pump()
        assert posted.called
        got.append((keeper.status, keeper.body, len(upstream.net.open)))
    assert got[0] == got[1] == (200, b"ok", 0 if pieces[0].startswith(b"HTTP/1.0") else 1)
