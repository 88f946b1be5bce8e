"""What waits for clients that take nothing has a bound for all of them together (design §6: bounded everything)."""

from __future__ import annotations

import pytest

from clawgate.domain.caller import Scope
from clawgate.ports.sockets import Socket
from clawgate.testing.gateway import MemoryGateway
from clawgate.testing.sockets import SocketClient
from clawgate.web import open_sockets
from clawgate.web.call import Call
from clawgate.web.sockets import SocketAnswer

PATH = "/ws/crowd"


class Listener:
    """Is sent things."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.socket: Socket | None = None

    def opened(self, socket: Socket) -> None:
        self.socket = socket

    def text(self, text: str) -> None:
        """Nothing."""

    def data(self, data: bytes) -> None:
        """Nothing."""

    def closed(self, code: int) -> None:
        self.codes.append(code)

    def told(self, size: int) -> bool:
        assert self.socket is not None
        return self.socket.send("x" * size)


class Crowd:
    """Three clients of one gateway."""

    def __init__(self) -> None:
        self.gate = MemoryGateway()
        self.listeners: list[Listener] = []
        self.gate.gateway.router.add("GET", PATH, self.open, auth=Scope.CHAT, is_socket=True, summary="Listen")
        token = self.gate.pair()
        self.clients = [SocketClient(self.gate, PATH, token=token) for _ in range(3)]

    async def open(self, call: Call) -> SocketAnswer:
        self.listeners.append(Listener())
        return SocketAnswer(self.listeners[-1], call.caller, ())


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Crowd:
    monkeypatch.setattr(open_sockets, "MOST_HELD_BYTES", 10_000)
    return Crowd()


def test_of_slow_clients_that_hold_too_much_together_the_one_that_holds_most_is_cut(crowd: Crowd) -> None:
    for client in crowd.clients[:2]:
        client.stall()
    small, large, quick = crowd.listeners
    assert (large.told(7_000), small.told(2_000), quick.told(50_000)) == (True, True, True)
    assert small.told(2_000)
    assert (small.codes, large.codes, quick.codes) == ([], [1006], [])
    assert len(crowd.gate.gateway.web.sockets) == 2


def test_what_a_client_has_taken_or_left_behind_counts_no_more(crowd: Crowd) -> None:
    first, second, third = crowd.listeners
    for client, listener in zip(crowd.clients, crowd.listeners, strict=True):
        client.stall()
        assert listener.told(3_000)
    crowd.clients[0].resume()
    assert second.told(3_000)
    crowd.clients[1].leave()
    assert third.told(6_000)
    assert (first.codes, second.codes, third.codes) == ([], [1006], [])
    assert [len(message) for message in crowd.clients[0].received] == [3_000]
