"""The gateway in somebody else's Twisted process: below two stock resources of a stock Site. Source: codebases.md §5 T10, T12; docs/howto/embed.md."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site

from clawgate.testing.gateway import MemoryGateway, Response, parse_response
from clawgate.web.fan_out import SLOW_SECONDS
from clawgate.web.router import Door
from tests.web.gate import check_common, gateway


class Foreign:
    """A stock Site with a gateway at /our/agents."""

    def __init__(self, gate: MemoryGateway) -> None:
        self.gate = gate
        root, outer = Resource(), Resource()
        root.putChild(b"our", outer)
        outer.putChild(b"agents", gate.gateway.resource)
        self.site = Site(root, reactor=gate.clock.reactor)

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        lines = {"Host": "x", "Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return self.raw(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)

    def connected(self) -> tuple[Any, Any]:  # stock Twisted, untyped: a protocol and its StringTransport
        address = IPv4Address("TCP", "203.0.113.9", 40000)
        protocol: Any = self.site.buildProtocol(address)
        transport = StringTransport(peerAddress=address)
        protocol.makeConnection(transport)
        return protocol, transport

    def raw(self, data: bytes) -> Response:
        protocol, transport = self.connected()
        protocol.dataReceived(data)
        self.gate.pump()
        return parse_response(transport.value())


def test_t12_every_route_answers_two_levels_deep() -> None:
    gate = MemoryGateway()
    foreign, token = Foreign(gate), gate.pair()
    for route in gate.gateway.router.routes:
        path = route.path.replace("<device_id>", "no-such").replace("<item_id>", "0123456789abcdef")
        here = gate.client.request(route.method, path, token=token)
        there = foreign.send(route.method, "/our/agents" + path, Authorization=f"Bearer {token}")
        check_common(there)
        assert (there.status, there.headers["content-type"]) == (here.status, here.headers["content-type"]), route.endpoint


def test_t12_locks_hold_two_levels_deep() -> None:
    gate = MemoryGateway()
    foreign = Foreign(gate)
    for route in gate.gateway.router.routes:
        if route.auth not in (Door.PUBLIC, Door.SIGNED):
            path = "/our/agents" + route.path.replace("<device_id>", "x").replace("<item_id>", "x")
            shake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
            headers = {"Authorization": "Bearer wrong"} | (shake if route.is_socket else {})
            assert foreign.send(route.method, path, **headers).status == 401, route.endpoint


def test_a_turn_and_its_addresses_know_where_the_gateway_is_mounted() -> None:
    gate = MemoryGateway()
    foreign, token = Foreign(gate), gate.pair()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Prefer": "respond-async"}
    answer = foreign.send("POST", "/our/agents/webhook", b'{"message":"hi"}', **headers)
    assert answer.status == 202
    assert answer.headers["location"] == answer.json["status_url"] == f"/our/agents/api/inbox/{answer.json['id']}"
    shown = foreign.send("GET", answer.json["status_url"], Authorization=f"Bearer {token}")
    assert (shown.json["status"], shown.json["response"]) == ("done", "ok")


def test_prefix_and_mount_point_add_up() -> None:
    gate = gateway(path_prefix="/v1")
    foreign = Foreign(gate)
    assert foreign.send("GET", "/our/agents/v1/health").status == 200
    assert foreign.send("GET", "/our/agents/health").status == 404
    assert foreign.send("GET", "/our/agents/v1/").headers["location"] == "/our/agents/v1"


@pytest.mark.parametrize("path", ["/our/agents/api%2fdevices", "/our/agents/../x", "/our/agents//health", "/our/agents/%00", "/our/agents/x/%2e%2e"])
def test_ambiguous_paths_are_refused_there_too(path: str) -> None:
    answer = Foreign(MemoryGateway()).send("GET", path)
    assert answer.status in (400, 404)
    assert "text/html" not in answer.headers["content-type"]


def test_t10_body_that_the_foreign_site_let_through_is_refused_by_the_resource() -> None:
    gate = MemoryGateway()
    foreign, token = Foreign(gate), gate.pair()
    head, tail = b'{"message":"', b'"}'
    for size, status in ((65_536, 200), (65_537, 413), (300_000, 413)):
        body = head + b"a" * (size - len(head) - len(tail)) + tail
        answer = foreign.send("POST", "/our/agents/webhook", body, Authorization=f"Bearer {token}", Content_Type="application/json")
        check_common(answer)
        assert (answer.status, answer.headers["content-type"]) == (status, "application/json")


def test_a_stream_whose_client_takes_nothing_is_dropped_there_too() -> None:
    gate = MemoryGateway()
    foreign, token = Foreign(gate), gate.pair()
    protocol, transport = foreign.connected()
    protocol.dataReceived(f"GET /our/agents/api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    gate.pump()
    transport.producer.pauseProducing()
    gate.gateway.events.publish("task_created", {})
    gate.clock.advance(SLOW_SECONDS - 1)
    assert not transport.disconnected
    gate.clock.advance(1)
    assert transport.disconnected
    protocol.connectionLost(Failure(ConnectionLost()))
    assert len(gate.gateway.web.streams) == 0
    assert not gate.gateway.events.is_watched


def test_head_has_no_body_there() -> None:
    answer = Foreign(MemoryGateway()).send("HEAD", "/our/agents/health")
    assert (answer.status, answer.body) == (200, b"")
