"""Answers that are sent together at the end of a round (reference/libraries.md §13)."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from twisted.internet import tcp
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport

from clawgate.web.together import MOST_BYTES, Together

Pair = tuple[tcp.Server, socket.socket]


@pytest.fixture
def reactor() -> MemoryReactorClock:
    return MemoryReactorClock()  # type: ignore[no-untyped-call]  # untyped upstream


@pytest.fixture
def pairs(reactor: MemoryReactorClock) -> Iterator[list[Pair]]:
    made = []
    for _ in range(3):
        ours, theirs = socket.socketpair()
        protocol = Protocol()
        server = tcp.Server(ours, protocol, ("127.0.0.1", 1), None, 1, reactor)  # type: ignore[arg-type]  # no port: nothing here asks for one
        protocol.makeConnection(server)
        for end in (ours, theirs):
            end.setblocking(False)
        made.append((server, theirs))
    yield made
    for server, theirs in made:
        server.socket.close()
        theirs.close()


def got(theirs: socket.socket) -> bytes:
    try:
        return theirs.recv(1 << 20)
    except BlockingIOError:
        return b""


def test_answers_leave_at_the_end_of_the_round_without_a_word_to_the_kernel(reactor: MemoryReactorClock, pairs: list[Pair]) -> None:
    together = Together(reactor)
    for number, (server, _) in enumerate(pairs):
        together.write(server, b"answer %d" % number)
    assert [got(theirs) for _, theirs in pairs] == [b"", b"", b""]
    reactor.advance(0)
    assert [got(theirs) for _, theirs in pairs] == [b"answer 0", b"answer 1", b"answer 2"]
    assert list(reactor.writers) == []


def test_one_round_is_one_call(reactor: MemoryReactorClock, pairs: list[Pair]) -> None:
    together = Together(reactor)
    for server, _ in pairs:
        together.write(server, b"x")
    assert len(reactor.getDelayedCalls()) == 1
    reactor.advance(0)
    assert reactor.getDelayedCalls() == []


def test_what_is_written_meanwhile_comes_after_it(reactor: MemoryReactorClock, pairs: list[Pair]) -> None:
    together, (server, theirs) = Together(reactor), pairs[0]
    together.write(server, b"first ")
    server.write(b"second ")
    together.write(server, b"third")
    reactor.advance(0)
    server.doWrite()
    assert got(theirs) == b"first second third"


def test_a_connection_that_is_closed_after_it_gets_it_first(reactor: MemoryReactorClock, pairs: list[Pair]) -> None:
    together, (server, theirs) = Together(reactor), pairs[0]
    together.write(server, b"last words")
    server.loseConnection()
    reactor.advance(0)
    assert got(theirs) == b"last words"
    assert list(reactor.writers) == [server]  # the reactor closes it


def test_what_the_socket_does_not_take_is_the_reactors(reactor: MemoryReactorClock, pairs: list[Pair]) -> None:
    together, (server, theirs) = Together(reactor), pairs[0]
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    body = bytes(range(256)) * (MOST_BYTES // 256)
    together.write(server, body)
    reactor.advance(0)
    assert list(reactor.writers) == [server]
    arrived = b""
    for _ in range(1000):
        arrived += got(theirs)
        if len(arrived) == len(body):
            break
        server.doWrite()
    assert arrived == body


def test_a_large_answer_is_the_reactors_from_the_start(reactor: MemoryReactorClock, pairs: list[Pair]) -> None:
    together, (server, _) = Together(reactor), pairs[0]
    together.write(server, b"x" * (MOST_BYTES + 1))
    assert (list(reactor.writers), reactor.getDelayedCalls()) == ([server], [])


def test_a_client_that_is_gone_is_the_reactors_to_find_and_takes_nobody_along(reactor: MemoryReactorClock, pairs: list[Pair]) -> None:
    together, (gone, theirs), (there, other) = Together(reactor), pairs[0], pairs[1]
    theirs.close()
    together.write(gone, b"nobody reads this")
    together.write(there, b"this is read")
    reactor.advance(0)
    assert got(other) == b"this is read"
    assert list(reactor.writers) == [gone]


def test_a_transport_that_breaks_takes_nobody_along(
    reactor: MemoryReactorClock, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    together, (broken, _), (there, other) = Together(reactor), pairs[0], pairs[1]
    lost: list[str] = []

    def breaks(data: bytes) -> int:
        raise RuntimeError("the transport broke")

    monkeypatch.setattr(broken, "writeSomeData", breaks)
    monkeypatch.setattr(broken, "abortConnection", lambda: lost.append("aborted"))
    together.write(broken, b"x")
    together.write(there, b"this is read")
    reactor.advance(0)
    assert (lost, got(other)) == (["aborted"], b"this is read")


def test_any_other_transport_is_written_to_as_ever(reactor: MemoryReactorClock) -> None:
    transport = StringTransport()
    Together(reactor).write(transport, b"as ever")
    assert (transport.value(), reactor.getDelayedCalls()) == (b"as ever", [])


def test_a_connection_lost_before_the_end_of_the_round_is_nobodys(
    reactor: MemoryReactorClock, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    together, (lost, _) = Together(reactor), pairs[0]
    together.write(lost, b"nobody reads this")
    monkeypatch.setattr(lost, "connected", 0)
    monkeypatch.setattr(lost, "doWrite", lambda: pytest.fail("written to a lost connection"))
    reactor.advance(0)
    assert list(reactor.writers) == []
