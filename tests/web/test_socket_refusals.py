"""What WebSockets say before the handshake: each family's own words, and one order of credentials.

Source: construct-realtime.md §0.2, §4, §5, §10, §12; zeroclaw.md B5–B7.
"""

from __future__ import annotations

import json

import pytest

from clawgate.domain.settings.model import NodesSettings, Settings, TerminalSettings
from clawgate.testing.gateway import MemoryGateway
from clawgate.testing.sockets import SocketClient

WORDS = {
    "/ws/chat": "Unauthorized — provide Authorization header, Sec-WebSocket-Protocol bearer, or ?token= query param",
    "/ws/canvas/a": "Unauthorized — provide Authorization header or Sec-WebSocket-Protocol bearer",
    "/ws/nodes": "Unauthorized — provide Authorization header or ?token= query param",
    "/ws/terminal": "Unauthorized",
}
every_socket = pytest.mark.parametrize("path", WORDS)


def gateway() -> MemoryGateway:
    return MemoryGateway(Settings(nodes=NodesSettings(enabled=True), terminal=TerminalSettings(enabled=True)))


@every_socket
def test_each_socket_refuses_strangers_in_its_own_words(path: str) -> None:
    client = SocketClient(gateway(), path)
    assert (client.status, json.loads(client.body)) == (401, {"error": WORDS[path]})


@every_socket
def test_an_empty_credential_is_none_and_the_next_place_counts(path: str) -> None:
    gate = gateway()
    token = gate.pair()
    empty = {"Authorization": "Bearer "}
    assert SocketClient(gate, path, subprotocols=["other", f"bearer.{token}"], headers=empty).status == 101
    assert SocketClient(gate, f"{path}?token={token}", subprotocols=["bearer."], headers=empty).status == 101
    assert SocketClient(gate, f"{path}?token=", headers=empty).status == 401
