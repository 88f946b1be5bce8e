"""`/ws/nodes` and `/api/nodes…` (construct-realtime.md §5; zeroclaw.md B7)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from clawgate.domain.caller import Scope
from clawgate.domain.nodes import MOST_CALLS
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import AutonomySettings, GatewaySettings, NodesSettings, Settings
from clawgate.domain.turn import ToolCall
from clawgate.ports.sockets import REVOKED
from clawgate.testing.agents import Pieces, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Pending, Response
from clawgate.testing.sockets import SocketClient
from tests.web.gate import device_of, without_scope

CAPABILITIES: list[dict[str, object]] = [
    {"name": "system.notify", "description": "Says something", "parameters": {"type": "object", "properties": {"text": {"type": "string"}}}},
    {"name": "camera.snap", "description": "Takes a picture"},
]


class House:
    def __init__(self, nodes: NodesSettings | None = None, *, pairing: bool = True) -> None:
        settings = Settings(
            nodes=nodes or NodesSettings(enabled=True), gateway=GatewaySettings(require_pairing=pairing), autonomy=AutonomySettings(level="full")
        )
        self.agent = ScriptedAgent()
        self.gate = MemoryGateway(settings, agent=self.agent)
        self.token = self.gate.pair() if pairing else ""
        self.events: list[tuple[str, Mapping[str, object]]] = []
        self.gate.gateway.events.watch(lambda event: self.events.append((event.kind, event.data)))

    def connect(self, **options: object) -> SocketClient:
        return SocketClient(self.gate, "/ws/nodes", **({"token": self.token} | options))  # type: ignore[arg-type]  # as SocketClient takes them

    def node(self, node_id: str = "kitchen", **options: object) -> SocketClient:
        client = self.connect(**options)
        client.send({"type": "register", "node_id": node_id, "capabilities": CAPABILITIES})
        return client

    def listed(self) -> list[str]:
        return [node["node_id"] for node in self.gate.client.get("/api/nodes", token=self.token).json["nodes"]]

    def invoke(self, body: Mapping[str, object], node_id: str = "kitchen", token: str = "") -> Pending:
        return self.gate.client.begin("POST", f"/api/nodes/{node_id}/invoke", body, token=token or self.token)

    def refused(self, body: Mapping[str, object], node_id: str = "kitchen", token: str = "") -> tuple[int, object]:
        answer = self.invoke(body, node_id, token).response
        return answer.status, answer.json


def invocation(client: SocketClient) -> dict[str, object]:
    client.pump()
    asked: dict[str, object] = client.json[-1]
    assert asked["type"] == "invoke"
    return asked


def answer(client: SocketClient, **more: object) -> None:
    client.send({"type": "result", "call_id": invocation(client)["call_id"], "success": True, "output": "done", **more})


# --- who may connect


def test_nodes_are_off_unless_switched_on() -> None:
    house = House(NodesSettings())
    client = house.connect()
    assert (client.status, client.body) == (404, b'{"error":"Nodes are switched off; set [nodes] enabled = true in config.toml"}')
    assert house.gate.client.get("/api/nodes", token=house.token).json == {"nodes": [], "count": 0}
    assert house.refused({"capability": "a"}) == (404, {"error": "Node not found: kitchen"})


def test_a_device_that_may_write_is_let_in_as_a_node() -> None:
    house = House()
    assert [house.connect(token=token).status for token in (house.token, "", "wrong")] == [101, 401, 401]
    assert house.connect(token=without_scope(house.gate, Scope.WRITE)).status == 403
    assert house.connect(token="").body == '{"error":"Unauthorized — provide Authorization header or ?token= query param"}'.encode()


@pytest.mark.parametrize("token", ["node-secret", " node-secret "])
def test_a_node_token_replaces_the_devices(token: str) -> None:
    house = House(NodesSettings(enabled=True, auth_token=Secret(token)))
    assert [house.connect(token=presented).status for presented in ("node-secret", house.token, "node-secre", "")] == [101, 401, 401, 401]
    assert SocketClient(house.gate, "/ws/nodes?token=node-secret").status == 101
    assert SocketClient(house.gate, "/ws/nodes", subprotocols=["bearer.node-secret"]).status == 101
    assert house.connect(token="").body == '{"error":"Unauthorized — provide a valid node auth token"}'.encode()


@pytest.mark.parametrize("token", ["", "  "])
def test_a_blank_node_token_lets_nobody_in(token: str) -> None:
    house = House(NodesSettings(enabled=True, auth_token=Secret(token)))
    assert [house.connect(token=presented).status for presented in ("", token, house.token)] == [503] * 3


def test_without_pairing_and_node_token_nobody_is_let_in() -> None:
    assert House(pairing=False).connect().status == 503
    assert House(NodesSettings(enabled=True, auth_token=Secret("s")), pairing=False).connect(token="s").status == 101


def test_guessing_the_node_token_locks_the_client_out() -> None:
    house = House(NodesSettings(enabled=True, auth_token=Secret("s")))
    statuses = [house.connect(token="wrong").status for _ in range(30)]
    assert (statuses[0], statuses[-1]) == (401, 429)


@pytest.mark.parametrize("name", ["construct.nodes.v1", "zeroclaw.nodes.v1"])
def test_both_subprotocols_are_understood(name: str) -> None:
    assert House().connect(subprotocols=["x", name]).subprotocol == name


# --- registering


def test_a_registration_is_acknowledged_listed_and_told() -> None:
    house = House()
    client = house.node()
    assert client.json == [{"type": "registered", "node_id": "kitchen", "capabilities_count": 2}]
    shown = [{"name": "system.notify", "description": "Says something"}, {"name": "camera.snap", "description": "Takes a picture"}]
    listed = house.gate.client.get("/api/nodes", token=house.token).json
    assert listed == {"nodes": [{"node_id": "kitchen", "capabilities": shown, "capability_count": 2}], "count": 1}
    client.leave()
    assert house.listed() == []
    assert house.events == [("node_connected", {"node_id": "kitchen", "capabilities": 2}), ("node_disconnected", {"node_id": "kitchen"})]


def test_a_node_that_registers_again_and_again_is_told_of_once() -> None:
    house = House()
    client = house.node()
    for _ in range(20):
        client.send({"type": "register", "node_id": "kitchen", "capabilities": CAPABILITIES[:1]})
    assert [message["capabilities_count"] for message in client.json] == [2, *[1] * 20]
    assert house.events == [("node_connected", {"node_id": "kitchen", "capabilities": 2})]
    again = house.node()
    assert (again.json[-1]["type"], len(house.events)) == ("registered", 2)


def test_a_node_beyond_the_limit_is_told_and_not_taken() -> None:
    house = House(NodesSettings(enabled=True, max_nodes=1))
    first, second = house.node("a"), house.node("b")
    assert (second.json, house.listed()) == ([{"type": "error", "message": "at most 1 nodes may be connected"}], ["a"])
    first.send({"type": "register", "node_id": "a", "capabilities": []})
    assert first.json[-1] == {"type": "registered", "node_id": "a", "capabilities_count": 0}


@pytest.mark.parametrize("message", ['{"type":"register","node_id":"","capabilities":[]}', '{"type":"register"}'])
def test_a_registration_that_cannot_be_is_told(message: str) -> None:
    house = House()
    client = house.connect()
    client.send(message)
    assert ([said["type"] for said in client.json], house.listed()) == (["error"], [])


@pytest.mark.parametrize("message", ["nonsense", "{}", '{"type":"hello"}', '{"type":"result","call_id":"x","success":true,"output":""}', b"\x00"])
def test_what_means_nothing_is_ignored(message: str | bytes) -> None:
    client = House().node()
    client.send(message)
    assert (len(client.json), client.close_code) == (1, None)


def test_an_old_socket_that_closes_leaves_the_newer_registration() -> None:
    house = House()
    old, new = house.node(), house.node()
    old.leave()
    assert house.listed() == ["kitchen"]
    pending = house.invoke({"capability": "system.notify"})
    answer(new)
    assert pending.response.json["output"] == "done"
    new.leave()
    assert house.listed() == []


def test_every_node_of_a_socket_goes_with_it() -> None:
    house = House()
    client = house.node("a")
    client.send({"type": "register", "node_id": "b", "capabilities": []})
    assert house.listed() == ["a", "b"]
    client.leave()
    assert house.listed() == []


def test_a_node_of_another_device_is_not_replaced() -> None:
    house = House()
    house.node()
    thief = house.node(token=house.gate.pair())
    assert thief.json == [{"type": "error", "message": "node_id 'kitchen' is in use"}]


def test_a_revoked_device_takes_its_nodes_along() -> None:
    house = House()
    client = house.node()
    house.gate.client.request("DELETE", f"/api/devices/{device_of(house.gate, house.token)}", peer="operator")
    client.pump()
    assert (client.close_code, house.gate.client.get("/api/nodes", peer="operator").json["count"]) == (REVOKED, 0)


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_a_silent_node_is_let_go_by_the_pings(answered: int) -> None:
    house = House()
    client = house.node()
    for _ in range(20 * answered):
        house.gate.clock.advance(1)
        client.pump()
    assert client.pings == answered
    client.fall_silent()
    for _ in range(29):
        house.gate.clock.advance(1)
        client.pump()
    assert house.listed() == ["kitchen"]
    house.gate.clock.advance(1)
    assert house.listed() == []


def test_a_call_to_a_node_that_fell_silent_fails_when_the_node_is_let_go() -> None:
    house = House()
    client = house.node()
    client.fall_silent()
    house.gate.clock.advance(25)
    pending = house.invoke({"capability": "system.notify"})
    house.gate.clock.advance(4.9)
    assert not pending.is_answered
    house.gate.clock.advance(5.1)
    assert (pending.response.status, pending.response.json) == (500, {"error": "Node dropped the response channel"})
    assert house.refused({"capability": "system.notify"}) == (404, {"error": "Node not found: kitchen"})


def test_a_turn_whose_tool_was_on_a_node_that_fell_silent_stops_for_a_person() -> None:
    """Whether the node did it is not known: nobody calls it a second time by himself."""
    house = House()
    client = house.node()
    name = next(name for name in house.gate.gateway.toolbox.tools() if "system_notify" in name)
    house.agent.answers = [Pieces(("",), (ToolCall("c1", name, "{}"),)), "done"]
    told = house.gate.client.post("/webhook", {"message": "hi"}, token=house.token, headers={"Prefer": "respond-async"}).json
    assert invocation(client)["capability"] == "system.notify"
    client.fall_silent()
    for _ in range(30):
        house.gate.clock.advance(1)
        house.gate.pump()
    assert house.gate.client.get(told["status_url"], token=house.token).json["status"] == "uncertain"


# --- calling


def test_a_call_goes_to_the_node_and_its_result_back() -> None:
    house = House()
    client = house.node()
    pending = house.invoke({"capability": "system.notify", "args": {"text": "hi", "n": [1, None]}})
    asked = invocation(client)
    assert (asked["capability"], asked["args"]) == ("system.notify", {"text": "hi", "n": [1, None]})
    answer(client)
    assert (pending.response.status, pending.response.json) == (200, {"call_id": asked["call_id"], "success": True, "output": "done", "error": None})


def test_a_failed_result_is_a_200() -> None:
    house = House()
    client = house.node()
    pending = house.invoke({"capability": "system.notify"})
    assert invocation(client)["args"] == {}
    answer(client, success=False, output="", error="no screen")
    response = pending.response
    assert (response.status, response.json["success"], response.json["error"]) == (200, False, "no screen")


@pytest.mark.parametrize("body", [{}, {"capability": ""}, {"capability": 1}, {"capability": None}, {"capability": ["a"]}])
def test_a_call_names_its_capability(body: dict[str, object]) -> None:
    house = House()
    house.node()
    assert house.refused(body) == (400, {"error": "capability is required"})


def test_a_call_to_nobody_is_a_404() -> None:
    assert House().refused({"capability": "camera.snap"}) == (404, {"error": "Node not found: kitchen"})


def test_a_node_that_goes_drops_its_calls() -> None:
    house = House()
    client = house.node()
    pending = house.invoke({"capability": "system.notify"})
    client.leave()
    assert (pending.response.status, pending.response.json) == (500, {"error": "Node dropped the response channel"})


def test_a_node_that_does_not_answer_is_a_504_after_thirty_seconds() -> None:
    house = House()
    client = house.node()
    pending = house.invoke({"capability": "system.notify"})
    asked = invocation(client)
    for _ in range(30):
        assert not pending.is_answered
        house.gate.clock.advance(1)
        client.pump()
    assert (pending.response.status, pending.response.json) == (504, {"error": "Node invocation timed out (30s)"})
    client.send({"type": "result", "call_id": asked["call_id"], "success": True, "output": "late"})
    assert client.close_code is None


def test_the_thirty_third_call_is_not_sent() -> None:
    house = House()
    client = house.node()
    waiting = [house.invoke({"capability": "system.notify"}) for _ in range(MOST_CALLS)]
    assert house.refused({"capability": "system.notify"}) == (500, {"error": "Failed to send to node"})
    client.pump()
    assert len(client.json) == 1 + MOST_CALLS
    answer(client)
    assert [pending.is_answered for pending in waiting].count(True) == 1
    assert not house.invoke({"capability": "system.notify"}).is_answered


def test_another_nodes_result_is_not_taken() -> None:
    house = House()
    client, other = house.node("kitchen"), house.node("hall")
    pending = house.invoke({"capability": "system.notify"})
    other.send({"type": "result", "call_id": invocation(client)["call_id"], "success": True, "output": "forged"})
    assert not pending.is_answered


def test_cameras_need_somebodys_word_over_http_too() -> None:
    house = House()
    client = house.node()
    needed = {"error": "Capability 'camera.snap' requires approval. Set approved=true to proceed."}
    assert house.refused({"capability": "camera.snap"}) == (403, needed)
    assert house.refused({"capability": "camera.snap", "args": {"approved": True}}) == (403, needed)
    assert house.refused({"capability": " Camera.snap"})[0] == 403
    narrow = without_scope(house.gate, Scope.APPROVE)
    assert house.refused({"capability": "camera.snap", "approved": True}, token=narrow)[0] == 403
    assert len(client.json) == 1
    pending = house.invoke({"capability": "camera.snap", "approved": True})
    assert invocation(client)["args"] == {}
    answer(client)
    assert pending.response.status == 200


def test_arguments_that_are_not_utf8_are_a_400() -> None:
    house = House()
    house.node()
    raw = b'{"capability":"a","args":"\xff"}'
    response: Response = house.gate.client.post("/api/nodes/kitchen/invoke", raw, token=house.token, headers={"Content-Type": "application/json"})
    assert response.status == 400


def test_an_agents_tools_of_nodes_come_last_and_go_with_them() -> None:
    house = House()
    client = house.node()
    tools = list(house.gate.gateway.toolbox.tools())
    assert [name.rpartition("_")[0] for name in tools[-2:]] == ["node_kitchen_system_notify", "node_kitchen_camera_snap"]
    client.leave()
    assert list(house.gate.gateway.toolbox.tools()) == tools[:-2]
