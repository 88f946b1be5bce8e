"""WebSockets on the gateway's port (design §3, §4.6; construct-realtime.md §0.1–0.3; libraries.md §1)."""

from __future__ import annotations

import tracemalloc

import pytest
from twisted.web.server import Request
from twisted.web.test.requesthelper import DummyChannel

from clawgate.domain.caller import ALL_SCOPES, Caller, Scope
from clawgate.ports.sockets import GOING_AWAY, REVOKED, SLOW, Socket
from clawgate.testing.clock import ManualClock
from clawgate.testing.gateway import MemoryGateway
from clawgate.testing.sockets import SocketClient
from clawgate.web.call import Call
from clawgate.web.open_sockets import OpenSockets
from clawgate.web.sockets import MOST_MESSAGE_BYTES, SocketAnswer

PATH = "/ws/echo"


class Echo:
    """Says what it is told, and keeps what happens to it."""

    def __init__(self) -> None:
        self.socket: Socket | None = None
        self.codes: list[int] = []

    def opened(self, socket: Socket) -> None:
        self.socket = socket
        socket.send("hello")

    def text(self, text: str) -> None:
        assert self.socket is not None
        if text == "break":
            raise RuntimeError("secret")
        if text == "flood":
            while self.socket.send("x" * 100_000):
                pass
            return
        self.socket.send(text)

    def data(self, data: bytes) -> None:
        assert self.socket is not None
        self.socket.send_bytes(data)

    def closed(self, code: int) -> None:
        self.codes.append(code)


class House:
    def __init__(self) -> None:
        self.gate = MemoryGateway()
        self.echoes: list[Echo] = []
        self.gate.gateway.router.add("GET", PATH, self.open, auth=Scope.CHAT, is_socket=True, summary="Echo")
        self.token = self.gate.pair()

    async def open(self, call: Call) -> SocketAnswer:
        self.echoes.append(Echo())
        return SocketAnswer(self.echoes[-1], call.caller, ("construct.v1", "zeroclaw.v1"))

    def connect(self, **options: object) -> SocketClient:
        return SocketClient(self.gate, PATH, **({"token": self.token} | options))  # type: ignore[arg-type]  # as SocketClient takes them


def test_messages_go_both_ways_whole() -> None:
    house = House()
    client = house.connect()
    client.send("one")
    client.send(b"two")
    client.send("ü" * 70_000)
    assert (client.status, client.received) == (101, ["hello", "one", b"two", "ü" * 70_000])


@pytest.mark.parametrize(
    "options",
    [
        {"token": "", "subprotocols": ["construct.v1", "bearer.TOKEN"]},
        {"token": "", "query": "?token=TOKEN"},
        {"token": "", "query": "?token=wrong", "subprotocols": ["bearer.TOKEN"]},
    ],
)
def test_the_token_may_stand_in_three_places(options: dict[str, object]) -> None:
    house = House()
    path = PATH + str(options.get("query", "")).replace("TOKEN", house.token)
    names = [str(name).replace("TOKEN", house.token) for name in options.get("subprotocols", ())]  # type: ignore[attr-defined]  # a list
    assert SocketClient(house.gate, path, subprotocols=names).status == 101


def test_the_first_token_that_is_there_counts_and_a_wrong_one_is_not_made_up_for() -> None:
    house = House()
    assert SocketClient(house.gate, f"{PATH}?token={house.token}", token="wrong").status == 401
    assert SocketClient(house.gate, PATH).status == 401


def test_the_understood_subprotocol_is_chosen_and_the_token_never_echoed() -> None:
    house = House()
    assert house.connect(subprotocols=["bearer.x", "zeroclaw.v1", "construct.v1"]).subprotocol == "construct.v1"
    assert house.connect(subprotocols=["other.v1"]).subprotocol is None
    assert house.connect().subprotocol is None


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://gate.internal", 101),
        ("http://gate.internal", 101),
        ("https://evil.example", 403),
        ("null", 403),
        ("https://\xff.example", 403),
        ("https://gate.internal, https://evil.example", 403),
    ],
)
def test_a_page_of_elsewhere_is_refused(origin: str, status: int) -> None:
    assert House().connect(headers={"Origin": origin}).status == status


@pytest.mark.parametrize(("host", "origin"), [("", "null"), ("", "https://"), ("gate.internal", "https://")])
def test_no_host_is_nobodys_origin(host: str, origin: str) -> None:
    house = House()
    head = f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nAuthorization: Bearer {house.token}\r\nUpgrade: websocket\r\n"
    head += "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    assert house.gate.client.send(head.encode()).response.status == 403


def test_a_plain_request_is_told_to_upgrade() -> None:
    house = House()
    assert house.gate.client.get(PATH, token=house.token).status == 426


def test_a_message_beyond_the_bound_is_1009() -> None:
    client = House().connect()
    client.send("x" * (MOST_MESSAGE_BYTES + 1))
    assert client.close_code == 1009


@pytest.mark.parametrize(("data", "code"), [(b"\x81\x05hello", 1002), (b"\x81\x82\x00\x00\x00\x00\xff\xfe", 1007), (b"\xff" * 40, 1002)])
def test_garbage_ends_the_connection_with_its_code(data: bytes, code: int) -> None:
    house = House()
    client = house.connect()
    client.raw(data)
    assert (client.close_code, house.echoes[0].codes) == (code, [code])


def test_bytes_that_come_with_the_handshake_are_read() -> None:
    house = House()
    head = f"GET {PATH} HTTP/1.1\r\nHost: gate.internal\r\nAuthorization: Bearer {house.token}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    pending = house.gate.client.send(head.encode() + b"\x81\x82\x00\x00\x00\x00hi")
    assert pending.raw.endswith(b"\x81\x05hello\x81\x02hi")


@pytest.mark.parametrize("says_goodbye", [True, False])
def test_nothing_is_waited_for_once_the_connection_is_gone(says_goodbye: bool) -> None:
    house = House()
    timers = len(house.gate.clock.reactor.getDelayedCalls())
    client = house.connect()
    assert len(house.gate.clock.reactor.getDelayedCalls()) == timers + 1
    if says_goodbye:
        client.close()
    client.leave()
    assert len(house.gate.clock.reactor.getDelayedCalls()) == timers


def test_a_revoked_token_ends_its_sockets_and_no_others() -> None:
    house = House()
    mine, theirs = house.connect(), house.connect(token=house.gate.pair())
    device = house.gate.client.get("/api/devices", peer="operator").json["devices"][-1]["id"]
    house.gate.client.request("DELETE", f"/api/devices/{device}", peer="operator")
    mine.pump()
    theirs.send("still here")
    assert (mine.close_code, theirs.received[-1]) == (REVOKED, "still here")
    assert house.echoes[0].codes == [REVOKED]


def test_an_expired_token_ends_its_sockets() -> None:
    house = House()
    client = house.connect(token=house.gate.pair(ttl_secs=5))
    house.gate.clock.advance(6)
    client.pump()
    assert client.close_code == REVOKED


def test_a_quiet_client_is_pinged_and_kept() -> None:
    house = House()
    client = house.connect()
    for _ in range(70):
        house.gate.clock.advance(1)
        client.pump()
    assert (client.pings >= 3, client.close_code) == (True, None)


def test_a_dead_client_is_let_go() -> None:
    house = House()
    client = house.connect(answers_pings=False)
    for _ in range(32):
        house.gate.clock.advance(1)
        client.pump()
    assert (len(house.gate.gateway.web.sockets), house.echoes[0].codes, client.close_code) == (0, [1006], 1006)


def test_a_client_that_does_not_keep_up_is_closed_with_its_code() -> None:
    house = House()
    client = house.connect()
    client.stall()
    client.send("flood")
    assert house.echoes[0].codes == [SLOW]
    assert len(house.gate.gateway.web.sockets) == 0


@pytest.mark.parametrize(
    ("first", "then", "waiting_bytes"),
    [(b"\x01\x80\0\0\0\0", b"\x00\x82\0\0\0\0ab", 100_000), (b"", b"\x89\x80\0\0\0\0", 100_000), (b"\x01\x80\0\0\0\0", b"\x00\x80\0\0\0\0", 0)],
    ids=["fragments of two bytes", "pongs that nobody takes", "fragments of nothing"],
)
def test_small_pieces_weigh_what_they_hold(first: bytes, then: bytes, waiting_bytes: int) -> None:
    client = House().connect()
    client.stall()
    client.raw(first)
    tracemalloc.start()
    for _ in range(50):
        client.raw(then * 1_000)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2 * waiting_bytes + 100_000
    assert client.close_code is None


def test_a_handler_that_breaks_ends_its_connection_only() -> None:
    house = House()
    one, two = house.connect(), house.connect()
    one.send("break")
    two.send("fine")
    assert (one.close_code, two.received[-1]) == (1011, "fine")


def test_both_goodbyes_are_told_once() -> None:
    house = House()
    client, gone = house.connect(), house.connect()
    client.close(1000)
    gone.leave()
    assert [echo.codes for echo in house.echoes] == [[1000], [1006]]
    assert len(house.gate.gateway.web.sockets) == 0


def test_stopping_the_gateway_says_so() -> None:
    house = House()
    client = house.connect()
    house.gate.stop()
    client.pump()
    assert client.close_code == GOING_AWAY


def test_one_credential_has_so_many_sockets_and_another_still_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawgate.web.open_sockets.MOST_OF_ONE", 2)
    house = House()
    first, _ = house.connect(), house.connect()
    other = house.gate.pair()
    assert [house.connect().status, house.connect(token=other).status] == [503, 101]
    first.leave()
    assert [house.connect().status, house.connect().status] == [101, 503]


def test_a_connection_that_cannot_be_taken_over_is_not_counted() -> None:
    counts: list[int] = []
    sockets = OpenSockets(ManualClock(), counts.append)
    request = Request(DummyChannel(), False)  # of another Twisted: its channel has none of the names that are needed
    request.method, request.uri = b"GET", b"/"
    with pytest.raises(AttributeError):
        sockets.begin(request, SocketAnswer(Echo(), Caller("ann", ALL_SCOPES, "c")))
    assert (counts, len(sockets)) == ([1, 0], 0)
