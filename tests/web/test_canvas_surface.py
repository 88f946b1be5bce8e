"""`/api/canvas…` and `/ws/canvas/{id}` (construct-realtime.md §4; zeroclaw.md B6)."""

from __future__ import annotations

import pytest

from clawgate.domain.caller import Scope
from clawgate.domain.canvas import MAX_CONTENT_BYTES, MOST_BEHIND, MOST_CANVASES
from clawgate.ports.sockets import REVOKED
from clawgate.testing.gateway import MemoryGateway, Response
from clawgate.testing.sockets import SocketClient
from tests.web.gate import device_of, without_scope


class House:
    def __init__(self) -> None:
        self.gate = MemoryGateway()
        self.token = self.gate.pair()

    def get(self, path: str) -> Response:
        return self.gate.client.get(path, token=self.token)

    def render(self, content: str, canvas_id: str = "a", **more: object) -> Response:
        return self.gate.client.post(f"/api/canvas/{canvas_id}", {"content": content, **more}, token=self.token)

    def show(self, content: str, canvas_id: str = "a") -> None:
        """As the operator, whom no limit counts."""
        assert self.gate.client.post(f"/api/canvas/{canvas_id}", {"content": content}, peer="operator").status == 201

    def clear(self, canvas_id: str = "a") -> Response:
        return self.gate.client.request("DELETE", f"/api/canvas/{canvas_id}", token=self.token)

    def watch(self, canvas_id: str = "a", **options: object) -> SocketClient:
        return SocketClient(self.gate, f"/ws/canvas/{canvas_id}", **({"token": self.token} | options))  # type: ignore[arg-type]  # as SocketClient takes them


def test_what_is_rendered_is_shown_listed_and_remembered() -> None:
    house = House()
    made = house.render("<b>1</b>")
    assert (made.status, made.json["canvas_id"], sorted(made.json["frame"])) == (201, "a", ["content", "content_type", "frame_id", "timestamp"])
    assert (made.json["frame"]["content_type"], made.json["frame"]["timestamp"]) == ("html", "2027-01-15T08:00:00.000+00:00")
    assert made.json["frame_id"] == made.json["frame"]["frame_id"]
    second = house.render("2", content_type="markdown").json["frame"]
    assert house.get("/api/canvas/a").json == {"canvas_id": "a", "frame": second}
    assert house.get("/api/canvas/a/history").json == {"canvas_id": "a", "frames": [made.json["frame"], second]}
    assert house.get("/api/canvas").json == {"canvases": ["a"]}


def test_clearing_answers_the_same_whether_there_was_something() -> None:
    house = House()
    house.render("x")
    assert [house.clear().json, house.clear().json] == [{"canvas_id": "a", "status": "cleared"}] * 2
    assert house.get("/api/canvas").json == {"canvases": []}


def test_an_unknown_canvas_is_a_404_with_an_empty_history() -> None:
    house = House()
    assert (house.get("/api/canvas/a").status, house.get("/api/canvas/a").json) == (404, {"error": "Canvas 'a' not found"})
    assert house.get("/api/canvas/a/history").json == {"canvas_id": "a", "frames": []}


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"content": "x", "content_type": "pdf"}, 400, 'Invalid content_type \'pdf\'. Allowed: ["html", "svg", "markdown", "text"]'),
        ({"content": "x", "content_type": "clear"}, 400, 'Invalid content_type \'clear\'. Allowed: ["html", "svg", "markdown", "text"]'),
        ({"content": "x" * 262_145, "content_type": "pdf"}, 400, 'Invalid content_type \'pdf\'. Allowed: ["html", "svg", "markdown", "text"]'),
        ({"content": "x" * 262_145}, 413, "Content exceeds maximum size of 262144 bytes"),
    ],
)
def test_a_bad_canvas_is_refused_in_the_published_words(body: dict[str, object], status: int, error: str) -> None:
    house = House()
    answer = house.gate.client.post("/api/canvas/a", body, token=house.token)
    assert (answer.status, answer.json) == (status, {"error": error})


def test_the_whole_quarter_mebibyte_comes_through_even_escaped() -> None:
    house = House()
    content = "\x01" * MAX_CONTENT_BYTES
    assert house.render(content).status == 201
    assert house.get("/api/canvas/a").json["frame"]["content"] == content


def test_the_hundred_and_first_is_a_429_until_one_is_cleared() -> None:
    house = House()
    for number in range(MOST_CANVASES):
        house.show("x", str(number))
    full = house.render("x")
    assert (full.status, full.json) == (429, {"error": "Maximum canvas count reached. Clear unused canvases first."})
    watcher = house.watch()
    assert (watcher.json, watcher.close_code) == ([{"type": "error", "error": "Maximum canvas count reached"}], 1000)
    house.clear("7")
    assert house.render("x").status == 201


def test_this_machine_writes_without_a_token_and_reads_with_one() -> None:
    gate = MemoryGateway()
    for peer, write, read in (("127.0.0.1", (201, 200), 401), ("203.0.113.9", (401, 401), 401)):
        made = gate.client.post("/api/canvas/a", {"content": "x"}, peer=peer)
        assert (made.status, gate.client.request("DELETE", "/api/canvas/a", peer=peer).status) == write
        assert gate.client.get("/api/canvas/a", peer=peer).status == read


def test_a_page_of_elsewhere_is_not_this_machine() -> None:
    headers = {"Origin": "https://evil.example"}
    assert MemoryGateway().client.post("/api/canvas/a", {"content": "x"}, peer="127.0.0.1", headers=headers).status == 401


def test_a_token_without_write_does_not_render() -> None:
    house = House()
    narrow = without_scope(house.gate, Scope.WRITE)
    assert house.gate.client.post("/api/canvas/a", {"content": "x"}, token=narrow).status == 403


# --- watching


def test_who_watches_sees_what_is_shown_then_connected_then_what_comes() -> None:
    house = House()
    first = house.render("1").json["frame"]
    client = house.watch(subprotocols=["construct.v1", f"bearer.{house.token}"])
    second = house.render("2").json["frame"]
    house.clear()
    client.pump()
    assert (client.subprotocol, client.json[:3]) == (
        "construct.v1",
        [
            {"type": "frame", "canvas_id": "a", "frame": first},
            {"type": "connected", "canvas_id": "a"},
            {"type": "frame", "canvas_id": "a", "frame": second},
        ],
    )
    cleared = client.json[3]["frame"]
    assert (cleared["content_type"], cleared["content"], len(client.json)) == ("clear", "", 4)


def test_watching_an_empty_canvas_lists_it_until_it_is_left() -> None:
    house = House()
    client = house.watch()
    client.send("anything")
    client.send(b"\x00")
    assert (client.json, house.get("/api/canvas").json) == ([{"type": "connected", "canvas_id": "a"}], {"canvases": ["a"]})
    client.leave()
    assert house.get("/api/canvas").json == {"canvases": []}


def test_only_its_own_canvas_is_seen() -> None:
    house = House()
    client = house.watch("b")
    house.render("x", "a")
    client.pump()
    assert client.json == [{"type": "connected", "canvas_id": "b"}]


def test_the_socket_has_its_own_401() -> None:
    client = SocketClient(MemoryGateway(), "/ws/canvas/a")
    assert (client.status, client.body) == (401, '{"error":"Unauthorized — provide Authorization header or Sec-WebSocket-Protocol bearer"}'.encode())


def test_an_id_that_is_too_long_is_refused_before_the_handshake() -> None:
    assert House().watch("x" * 257).status == 400


def test_who_does_not_keep_up_misses_the_oldest_and_is_told() -> None:
    house = House()
    client = house.watch()
    client.stall()
    for number in range(MOST_BEHIND + 3):
        house.show(str(number))
    client.pump()
    assert client.json == [{"type": "connected", "canvas_id": "a"}]
    client.resume()
    assert client.json[1] == {"type": "lagged", "canvas_id": "a", "missed_frames": 3}
    assert [message["frame"]["content"] for message in client.json[2:]] == [str(number) for number in range(3, MOST_BEHIND + 3)]
    assert client.close_code is None


def test_a_revoked_token_sees_nothing_more() -> None:
    house = House()
    client = house.watch()
    house.gate.client.request("DELETE", f"/api/devices/{device_of(house.gate, house.token)}", peer="operator")
    house.show("x")
    client.pump()
    assert (client.json, client.close_code) == ([{"type": "connected", "canvas_id": "a"}], REVOKED)
    assert house.gate.client.get("/api/canvas", peer="operator").json == {"canvases": ["a"]}


def test_a_restart_begins_with_empty_canvases() -> None:
    house = House()
    house.render("x")
    gate = house.gate.restart(kill=True)
    assert gate.client.get("/api/canvas", token=house.token).json == {"canvases": []}
