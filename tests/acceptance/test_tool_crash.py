"""Tools with an effect in the world, and a gateway that is killed around them (design §1: each tool step is journalled)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.daemon import Daemon, Upstream, settings, until

pytestmark = pytest.mark.acceptance
SERVER = Path(__file__).with_name("mcp_ledger_server.py")


def notes(request: dict[str, Any]) -> dict[str, Any]:  # Any: JSON of the API
    """A model that has every question noted, and then says what the tool said."""
    last = request["messages"][-1]
    if last["role"] == "tool":
        return {"content": f"done: {last['content']}"}
    arguments = f'{{"text": "{last["content"]}"}}'
    return {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "ledger__note", "arguments": arguments}}]}


class House:
    """A daemon, its model, and the ledger that its tool writes."""

    def __init__(self, home: Path) -> None:
        self.upstream = Upstream()
        self.upstream.delta = notes
        self.ledger, self.hold = home / "ledger", home / "ledger.hold"
        self.daemon = Daemon(home / "home", settings(self.upstream.provider, more='[autonomy]\nlevel = "full"'))
        self.daemon.start().pair()
        server = {"ledger": {"command": sys.executable, "args": [str(SERVER), str(self.ledger)]}}
        answer = self.daemon.call("PATCH", "/config/mcp-servers", server)
        assert (answer.status, answer.json["ok"]) == (200, True), answer

    def lines(self) -> list[str]:
        return self.ledger.read_text().split() if self.ledger.exists() else []

    def item(self, item_id: str) -> dict[str, Any]:  # Any: JSON
        return dict(self.daemon.call("GET", f"/api/inbox/{item_id}").json)

    def restart(self) -> None:
        self.daemon.kill()
        self.daemon.start()

    def close(self) -> None:
        self.hold.unlink(missing_ok=True)
        self.daemon.close()
        self.upstream.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def test_a_server_added_while_running_is_called_and_survives_a_kill(house: House) -> None:
    answer = house.daemon.call("POST", "/webhook", {"message": "one"}).json
    assert (answer["response"], answer["tool_calls"][0]["output"]) == ("done: noted one", "noted one")
    house.restart()
    until(lambda: house.daemon.call("GET", "/config/mcp-servers").json["applied"]["ledger"]["status"] == "Running", "the server is back")
    assert house.daemon.call("POST", "/webhook", {"message": "two"}).json["response"] == "done: noted two"
    assert house.lines() == ["one", "two"]


def test_a_kill_after_the_call_replays_its_result(house: House) -> None:
    first = house.daemon.tell("one").json["id"]
    until(lambda: house.item(first)["state"] == "done", "the tools are warm")
    house.upstream.delta = lambda request: slow(house, request)
    item_id = house.daemon.tell("two").json["id"]
    until(lambda: [step["state"] for step in house.item(item_id)["steps"]] == ["done"], "the call is written down")
    house.daemon.kill()
    house.upstream.gate.set()
    house.upstream.delta = notes
    house.daemon.start()
    until(lambda: house.item(item_id)["state"] == "done", "the turn is finished")
    assert house.item(item_id)["response"] == "done: noted two"
    assert house.lines() == ["one", "two"]


def slow(house: House, request: dict[str, Any]) -> dict[str, Any]:  # Any: JSON
    """The first answer comes at once, the second waits."""
    if request["messages"][-1]["role"] == "tool":
        house.upstream.gate.clear()
        house.upstream.gate.wait(60)
    return notes(request)


def test_a_kill_in_the_middle_of_the_call_stops_for_a_person(house: House) -> None:
    house.hold.touch()
    item_id = house.daemon.tell("pay").json["id"]
    until(lambda: house.lines() == ["pay"], "the call has had its effect")
    house.restart()
    until(lambda: house.item(item_id)["state"] == "uncertain", "a person has to decide")
    assert house.lines() == ["pay"]
    house.hold.unlink()
    until(lambda: house.daemon.call("GET", "/config/mcp-servers").json["applied"]["ledger"]["status"] == "Running", "the server is back")
    assert house.daemon.call("POST", f"/api/inbox/{item_id}/retry").status == 200
    until(lambda: house.item(item_id)["state"] == "done", "the person had it called again")
    assert house.lines() == ["pay", "pay"]
