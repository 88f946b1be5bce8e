"""A dead credential is dead: at every door, in every form, also for what was under way. Source: design §4.8–4.10, §6; GHSA-xmxx-7p24-h892; RFC 6750 §2."""

from __future__ import annotations

import re
from typing import Any

import pytest

from clawgate.domain.caller import Scope
from clawgate.domain.settings.model import NodesSettings, Settings, TerminalSettings
from clawgate.testing.agents import Hang, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Pending
from clawgate.testing.pty import ScriptedPtys
from clawgate.testing.sockets import SocketClient
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.router import Door, Route
from clawgate.web.sockets import SocketAnswer
from clawgate.web.streams import EventStream, StreamAnswer
from tests.web.gate import unlimited
from tests.web.test_mounted import Foreign

ROUTES = MemoryGateway(start=False).gateway.router.routes
PLAIN = [route for route in ROUTES if isinstance(route.auth, Scope) and not route.is_socket]
SOCKETS = [route for route in ROUTES if route.is_socket]
CLOSED = [route for route in ROUTES if route.auth not in (Door.PUBLIC, Door.SIGNED)]
WRITES = [route for route in PLAIN if route.method in ("POST", "PUT", "PATCH")]
ASYNC = {"Prefer": "respond-async"}


def path_of(route: Route) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"no-such-\1", route.path.replace("<item_id>", "0123456789abcdef"))


def house(*answers: Any, **sections: Any) -> MemoryGateway:  # Any: of a scripted agent; sections of the settings
    """A gateway without limits, every socket open, whose agent hangs unless told otherwise."""
    settings = Settings(gateway=unlimited(), nodes=NodesSettings(enabled=True), terminal=TerminalSettings(enabled=True), **sections)
    return MemoryGateway(settings, agent=ScriptedAgent(answers or (Hang(),)), edges={"ptys": ScriptedPtys()})


def revoke(gate: MemoryGateway) -> None:
    """The device that was paired last is revoked."""
    device = gate.client.get("/api/devices", peer="operator").json["devices"][0]["id"]
    assert gate.client.request("DELETE", f"/api/devices/{device}", peer="operator").status == 200


def status(gate: MemoryGateway, route: Route, token: str | None = None, **options: Any) -> int:  # Any: as `GateClient.request`
    """What a route says; a socket is asked with a handshake."""
    path = path_of(route) + options.pop("query", "")
    if route.is_socket:
        return SocketClient(gate, path, token=token or "", **options).status
    return gate.client.request(route.method, path, token=token, **options).status


# --- every route, every credential -----------------------------------------------------------------------------------------------------------


def test_each_scope_opens_its_own_routes_and_no_others() -> None:
    gate = house()
    tokens = {scope: gate.pair(scopes=[scope]) for scope in Scope}
    wrong = [
        (route.endpoint, str(scope)) for route in CLOSED for scope in Scope if scope is not route.auth and status(gate, route, tokens[scope]) != 403
    ]
    assert wrong == [(route.endpoint, "admin") for route in CLOSED if route.auth is Door.LOCAL]


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, "?token={token}"),
        ({}, "?access_token={token}"),
        ({}, "?ticket={token}"),
        ({}, "?api_key={token}"),
        ({"X-API-Key": "{token}"}, ""),
        ({"X-Auth-Token": "{token}"}, ""),
        ({"Cookie": "token={token}; session={token}; Authorization=Bearer {token}"}, ""),
        ({"Sec-WebSocket-Protocol": "bearer.{token}"}, ""),
        ({"Proxy-Authorization": "Bearer {token}"}, ""),
        ({"Authorization": "Token {token}"}, ""),
        ({"Authorization": "Bearer {token}x"}, ""),
        ({"Authorization": "Bearer {token}, Bearer {token}"}, ""),
        ({"X-Original-URL": "/health", "X-Rewrite-URL": "/health", "X-Forwarded-Uri": "/health"}, ""),
        ({"X-HTTP-Method-Override": "OPTIONS", "X-Method-Override": "HEAD", "X-HTTP-Method": "OPTIONS"}, "?_method=OPTIONS"),
    ],
    ids=str,
)
def test_token_opens_a_plain_route_in_one_place_only(headers: dict[str, str], query: str) -> None:
    gate = house()
    token = gate.pair()
    named = {name: value.replace("{token}", token) for name, value in headers.items()}
    asked = query.replace("{token}", token)
    opened = [route.endpoint for route in PLAIN if status(gate, route, headers=named, query=asked) != 401]
    assert opened == []


@pytest.mark.parametrize("way", ["header", "query", "subprotocol", "cookie", "ticket"])
@pytest.mark.parametrize("route", SOCKETS, ids=lambda route: route.endpoint)
def test_dead_token_opens_no_socket_by_any_of_its_doors(route: Route, way: str) -> None:
    gate = house()
    token = gate.pair()

    def knock() -> int:
        path = path_of(route)
        if way == "header":
            return SocketClient(gate, path, token=token).status
        if way == "subprotocol":
            return SocketClient(gate, path, subprotocols=["construct.v1", f"bearer.{token}"]).status
        if way == "cookie":
            return SocketClient(gate, path, headers={"Cookie": f"token={token}"}).status
        return SocketClient(gate, f"{path}?{'token' if way == 'query' else 'ticket'}={token}").status

    before = knock()
    revoke(gate)
    assert (before, knock()) == (401 if way in ("cookie", "ticket") else 101, 401)


def test_rotation_kills_the_token_at_every_route_and_gives_no_more_than_it_had() -> None:
    gate = house()
    keeper, old = gate.pair(scopes=["read", "admin"]), gate.pair(scopes=["read", "chat", "write"])
    device = gate.client.get("/api/devices", token=old).json["devices"][0]["id"]
    rotated = gate.client.post(f"/api/devices/{device}/token/rotate", token=keeper)
    assert rotated.status == 200
    new = gate.client.post("/api/pair", {"code": rotated.json["pairing_code"]}).json["token"]
    assert [route.endpoint for route in CLOSED if status(gate, route, old) != 401] == []
    narrow = [route for route in CLOSED if route.auth is not Scope.READ]
    assert [route.endpoint for route in narrow if status(gate, route, new) != 403] == []


def test_other_spellings_of_a_path_have_the_same_lock() -> None:
    gate = house()
    loose = []
    for route in PLAIN:
        path = path_of(route)
        encoded = f"/%{ord(path[1]):02x}{path[2:]}"
        spelt = {encoded: (401,), path + "/": (401, 404, 405), path.upper(): (401, 404, 405), path + "?x=1": (401,), path + ";x=1": (401, 404, 405)}
        loose += [(route.method, other) for other, may in spelt.items() if gate.client.request(route.method, other).status not in may]
        if route.method == "GET" and gate.client.request("HEAD", path).status != 401:
            loose.append(("HEAD", path))
    assert loose == []


def test_dead_ticket_and_code_open_nothing() -> None:
    gate = house()
    token = gate.pair()
    tickets = [str(gate.client.post("/api/events/ticket", token=token).json["ticket"]) for _ in range(3)]
    assert gate.client.begin("GET", f"/api/events?ticket={tickets[0]}").raw.startswith(b"HTTP/1.1 200")
    assert gate.client.get(f"/api/events?ticket={tickets[0]}").status == 401
    gate.clock.advance(31)
    assert gate.client.get(f"/api/events?ticket={tickets[1]}").status == 401
    fresh = str(gate.client.post("/api/events/ticket", token=token).json["ticket"])
    code = gate.client.post("/api/pairing/initiate", token=token).json["pairing_code"]
    revoke(gate)
    assert gate.client.get(f"/api/events?ticket={fresh}").status == 401
    assert gate.client.post("/api/pair", {"code": code}).status in (400, 401, 403)


# --- what is under way ----------------------------------------------------------------------------------------------------------------------


def test_token_that_dies_while_the_body_comes_opens_nothing() -> None:
    gate, opened = house(), []
    for route in WRITES:
        token = gate.pair()
        lines = f"Host: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        pending = gate.client.send(f"{route.method} {path_of(route)} HTTP/1.1\r\n{lines}\r\n".encode() + b"{")
        revoke(gate)
        pending.feed(b"}")
        gate.pump()
        if pending.response.status != 401:
            opened.append(route.endpoint)
    assert opened == []


def waiting(gate: MemoryGateway, path: str, token: str, **headers: str) -> Pending:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return gate.client.begin("POST", path, {"message": "hi"}, token=token, headers=named)


@pytest.mark.parametrize("path", ["/webhook", "/api/v1/agent/chat"])
def test_whoever_waits_is_told_401_and_the_unpromised_turn_ends(path: str) -> None:
    gate = house(Hang(), "for somebody else")
    other = gate.pair()
    token = gate.pair()
    pending = waiting(gate, path, token)
    assert not pending.is_answered
    revoke(gate)
    gate.pump()
    (item,) = gate.client.get("/api/inbox", peer="operator").json["items"]
    assert (pending.response.status, item["state"]) == (401, "dropped")
    assert waiting(gate, path, other).response.status == 200


@pytest.mark.parametrize("path", ["/webhook", "/api/v1/agent/chat"])
def test_whoever_waits_when_the_token_ends_by_itself_is_told_401_at_that_moment(path: str) -> None:
    gate = house(Hang(), "for somebody else")
    other, token = gate.pair(), gate.pair(ttl_secs=10)
    pending = waiting(gate, path, token)
    gate.clock.advance(9.9)
    gate.pump()
    assert not pending.is_answered
    gate.clock.advance(0.2)
    gate.pump()
    (item,) = gate.client.get("/api/inbox", peer="operator").json["items"]
    assert (pending.response.status, item["state"]) == (401, "dropped")
    assert waiting(gate, path, other).response.status == 200


def test_token_with_an_end_leaves_no_timer_behind() -> None:
    def timers(**body: object) -> int:
        gate = house("the answer")
        token = gate.pair(**body)
        assert gate.client.get("/api/devices", token=token).status == 200
        assert waiting(gate, "/webhook", token).response.status == 200
        return gate.clock.pending

    assert timers(ttl_secs=10_000) == timers()


def test_promised_turn_of_a_dead_device_runs_and_only_an_administrator_reads_it() -> None:
    gate = house("the answer")
    assert isinstance(gate.agent, ScriptedAgent)
    gate.agent.is_held = True
    other, token = gate.pair(scopes=["chat"]), gate.pair(scopes=["chat"])
    promised = gate.client.post("/webhook", {"message": "hi"}, token=token, headers=ASYNC).json["id"]
    keyed = waiting(gate, "/webhook", token, X_Idempotency_Key="k")
    revoke(gate)
    assert keyed.response.status == 401
    gate.agent.is_held = False
    gate.agent.release()
    gate.clock.advance(1)
    items = gate.client.get("/api/inbox", peer="operator").json["items"]
    assert [(item["state"], item["response"]) for item in items] == [("done", "the answer")] * 2
    path = f"/api/inbox/{promised}"
    assert [gate.client.get(path, token=each).status for each in (token, other, gate.pair())] == [401, 404, 200]
    assert b"the answer" not in keyed.raw


def test_request_that_ends_its_own_token_is_told_so() -> None:
    gate = house()
    token = gate.pair()
    device = gate.client.get("/api/devices", token=token).json["devices"][0]["id"]
    gate.store.hold_writes()
    pending = gate.client.begin("DELETE", f"/api/devices/{device}", token=token)
    assert not pending.is_answered
    gate.store.release_writes()
    gate.pump()
    assert pending.response.status == 200


def test_code_of_a_rotation_whose_caller_died_meanwhile_is_told_to_nobody() -> None:
    gate = house()
    gate.pair()
    victim = gate.client.get("/api/devices", peer="operator").json["devices"][0]["id"]
    thief = gate.pair()
    own = gate.client.get("/api/devices", peer="operator").json["devices"][0]["id"]
    gate.store.hold_writes()
    ends = gate.client.begin("DELETE", f"/api/devices/{own}", peer="operator")
    rotates = gate.client.begin("POST", f"/api/devices/{victim}/token/rotate", token=thief)
    gate.store.release_writes()
    gate.pump()
    assert (ends.response.status, rotates.response.status, b"pairing_code" in rotates.raw) == (200, 401, False)


def test_request_behind_the_end_of_its_token_on_one_connection_is_refused() -> None:
    gate = house()
    token = gate.pair()
    device = gate.client.get("/api/devices", token=token).json["devices"][0]["id"]
    lines = f"Host: x\r\nAuthorization: Bearer {token}\r\n"
    listing = f"GET /api/devices HTTP/1.1\r\n{lines}\r\n"
    pending = gate.client.send(f"{listing}DELETE /api/devices/{device} HTTP/1.1\r\n{lines}\r\n{listing}".encode())
    pending.feed(listing.encode())
    gate.pump()
    assert re.findall(rb"HTTP/1\.1 (\d+)", pending.raw) == [b"200", b"200", b"401", b"401"]


class Late:
    """Routes whose handlers have to think first, and who answers then."""

    def __init__(self) -> None:
        self.gate = house()
        self.codes: list[int] = []
        router = self.gate.gateway.router
        router.add("GET", "/late", self.plain, auth=Scope.READ, summary="Late")
        router.add("GET", "/late/stream", self.stream, auth=Scope.READ, summary="Late")
        router.add("GET", "/late/socket", self.socket, auth=Scope.READ, is_socket=True, summary="Late")

    async def _think(self) -> None:
        await self.gate.clock.sleep(5)

    async def plain(self, call: Call) -> Answer:
        await self._think()
        return json_answer(200, {"secret": 1})

    async def stream(self, call: Call) -> StreamAnswer:
        await self._think()

        async def run(stream: EventStream) -> None:
            stream.data({"secret": 1})
            await self.gate.clock.sleep(100)

        return StreamAnswer(run, call.caller)

    async def socket(self, call: Call) -> SocketAnswer:
        await self._think()
        return SocketAnswer(self, call.caller, ())

    def opened(self, socket: Any) -> None:  # Any: ports.sockets.Socket
        socket.send("secret")

    def text(self, text: str) -> None:
        """Nothing."""

    def data(self, data: bytes) -> None:
        """Nothing."""

    def closed(self, code: int) -> None:
        self.codes.append(code)


@pytest.mark.parametrize("path", ["/late", "/late/stream", "/late/socket"])
def test_answer_that_comes_after_the_end_of_the_token_is_not_told(path: str) -> None:
    late = Late()
    token = late.gate.pair()
    shake = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{shake if path.endswith('socket') else ''}\r\n"
    pending = late.gate.client.send(head.encode())
    late.gate.clock.advance(2)
    revoke(late.gate)
    late.gate.clock.advance(10)
    assert (pending.response.status, b"secret" in pending.raw, late.codes) == (401, False, [])


# --- what is open --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", SOCKETS, ids=lambda route: route.endpoint)
def test_open_socket_ends_with_its_token(route: Route) -> None:
    gate = house()
    kept = SocketClient(gate, path_of(route).replace("no-such-node", "n1"), token=gate.pair())
    ended = SocketClient(gate, path_of(route), token=gate.pair())
    revoke(gate)
    ended.pump()
    kept.pump()
    assert (kept.status, kept.close_code, ended.status, ended.close_code) == (101, None, 101, 4401)


@pytest.mark.parametrize("path", ["/api/events", "/api/daemon/logs"])
def test_open_stream_ends_with_its_token_and_hears_nothing_more(path: str) -> None:
    gate = house("ok")
    kept = gate.client.begin("GET", path, token=gate.pair())
    ended = gate.client.begin("GET", path, token=gate.pair())
    revoke(gate)
    gate.pump()
    before = ended.raw
    gate.gateway.events.publish("later", {})
    gate.clock.advance(20)
    assert (ended.raw, ended.raw[-5:], kept.raw.endswith(b"0\r\n\r\n")) == (before, b"0\r\n\r\n", False)


def test_what_a_slow_stream_has_not_taken_is_not_given_to_a_dead_token() -> None:
    gate = house("ok")
    slow = gate.client.begin("GET", "/api/events", token=gate.pair())
    slow.pause()
    gate.gateway.events.publish("secret", {"word": "hidden"})
    gate.clock.advance(1)
    revoke(gate)
    gate.pump()
    assert (b"hidden" in slow.raw, slow.is_over) == (False, True)


def test_what_a_slow_socket_has_not_taken_is_not_given_to_a_dead_token() -> None:
    late = Late()

    async def open_(call: Call) -> SocketAnswer:
        return SocketAnswer(teller, call.caller, ())

    teller = Teller()
    late.gate.gateway.router.add("GET", "/told", open_, auth=Scope.READ, is_socket=True, summary="Tells")
    client = SocketClient(late.gate, "/told", token=late.gate.pair())
    client.stall()
    teller.socket.send("hidden")
    revoke(late.gate)
    client.pump()
    assert (client.received, teller.codes, teller.socket.send("more")) == ([], [1006], False)


class Teller:
    """Keeps its socket."""

    socket: Any  # ports.sockets.Socket

    def __init__(self) -> None:
        self.codes: list[int] = []

    def opened(self, socket: Any) -> None:  # Any: as above
        self.socket = socket

    def text(self, text: str) -> None:
        """Nothing."""

    def data(self, data: bytes) -> None:
        """Nothing."""

    def closed(self, code: int) -> None:
        self.codes.append(code)


def test_message_behind_the_end_of_the_token_is_not_read() -> None:
    gate = house("never")
    client = SocketClient(gate, "/ws/chat", token=gate.pair(), subprotocols=["construct.v1"])
    revoke(gate)
    client.send({"type": "message", "content": "too late"})
    assert gate.client.get("/api/inbox", peer="operator").json["items"] == []


# --- mounted --------------------------------------------------------------------------------------------------------------------------------


def test_dead_token_is_dead_in_somebody_elses_process_too() -> None:
    gate = house()
    foreign, token = Foreign(gate), gate.pair()
    assert foreign.send("GET", "/our/agents/api/devices", Authorization=f"Bearer {token}").status == 200
    protocol, transport = foreign.connected()
    body = b'{"message":"hi"}'
    lines = f"Host: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    protocol.dataReceived(f"POST /our/agents/webhook HTTP/1.1\r\n{lines}\r\n".encode() + body)
    gate.pump()
    revoke(gate)
    gate.pump()
    assert transport.value().startswith(b"HTTP/1.1 401")
    assert [foreign.send(route.method, "/our/agents" + path_of(route), Authorization=f"Bearer {token}").status for route in PLAIN] == [401] * len(
        PLAIN
    )
