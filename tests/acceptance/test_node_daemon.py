"""A node and a watcher of a canvas, with somebody else's WebSocket client, at a real daemon. Source: construct-realtime.md §4, §5."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.acceptance.daemon import DEADLINE_SECONDS, Daemon, settings, until

pytestmark = pytest.mark.acceptance


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path, settings(more='[nodes]\nenabled = true\nauth_token = "node-secret"\n'))
    try:
        made.start().pair()
        yield made
    finally:
        made.close()


def link(daemon: Daemon, path: str, token: str, *names: str) -> ClientConnection:
    return connect(
        daemon.url.replace("http", "ws", 1) + path,
        subprotocols=[Subprotocol(name) for name in (*names, f"bearer.{token}")],
        open_timeout=DEADLINE_SECONDS,
        close_timeout=DEADLINE_SECONDS,
    )


def said(client: ClientConnection) -> dict[str, object]:
    return dict(json.loads(client.recv(timeout=DEADLINE_SECONDS)))


def test_a_node_is_called_over_http_and_gone_when_it_leaves(daemon: Daemon) -> None:
    with link(daemon, "/ws/nodes", "node-secret", "construct.nodes.v1") as node, ThreadPoolExecutor(1) as others:
        assert node.subprotocol == "construct.nodes.v1"
        node.send(json.dumps({"type": "register", "node_id": "kitchen", "capabilities": [{"name": "system.notify", "description": "Says it"}]}))
        assert said(node) == {"type": "registered", "node_id": "kitchen", "capabilities_count": 1}
        call = others.submit(daemon.call, "POST", "/api/nodes/kitchen/invoke", {"capability": "system.notify", "args": {"text": "hi"}})
        asked = said(node)
        assert (asked["type"], asked["capability"], asked["args"]) == ("invoke", "system.notify", {"text": "hi"})
        node.send(json.dumps({"type": "result", "call_id": asked["call_id"], "success": True, "output": "said"}))
        answer = call.result(DEADLINE_SECONDS)
        assert (answer.status, answer.json) == (200, {"call_id": asked["call_id"], "success": True, "output": "said", "error": None})
    until(lambda: daemon.call("GET", "/api/nodes").json == {"nodes": [], "count": 0}, "the node is gone")


def test_a_large_frame_reaches_who_watches(daemon: Daemon) -> None:
    with link(daemon, "/ws/canvas/default", daemon.token, "construct.v1") as watcher:
        assert said(watcher) == {"type": "connected", "canvas_id": "default"}
        made = daemon.call("POST", "/api/canvas/default", {"content": "ü" * 131_072})
        assert made.status == 201
        assert said(watcher) == {"type": "frame", "canvas_id": "default", "frame": made.json["frame"]}
