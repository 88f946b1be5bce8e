"""Tools with an effect in the world, and a gateway that is killed around them (design §1: each tool step is journalled)."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.daemon import Daemon, Upstream, settings, until

pytestmark = pytest.mark.acceptance
SERVER = Path(__file__).with_name("mcp_ledger_server.py")


def notes(request: dict[str, Any]) -> dict[str, Any]:  # Any: JSON of the API
    """A model that has every word of a question noted, and then says what the tool said."""
    last = request["messages"][-1]
    if last["role"] == "tool":
        return {"content": f"done: {last['content']}"}
    functions = [{"name": "ledger__note", "arguments": f'{{"text": "{word}"}}'} for word in last["content"].split()]
    return {"tool_calls": [{"index": place, "id": f"c{place}", "type": "function", "function": one} for place, one in enumerate(functions)]}


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

    @contextmanager
    def console(self, message: str) -> Iterator[None]:
        """Somebody asks, with a key, and waits."""
        parts = urlsplit(self.daemon.url)
        with closing(http.client.HTTPConnection(parts.hostname or "", parts.port)) as connection:
            headers = {"Authorization": f"Bearer {self.daemon.token}", "Content-Type": "application/json", "X-Idempotency-Key": message}
            connection.request("POST", "/api/v1/agent/chat", json.dumps({"message": message}), headers)
            yield

    def questions(self) -> list[dict[str, Any]]:  # Any: JSON
        return list(self.daemon.call("GET", "/api/v1/approvals").json["approvals"])

    def question(self, arguments: str) -> dict[str, Any]:  # Any: JSON
        """The one that is open, about noting this."""
        until(lambda: [one["args"] for one in self.questions()] == [{"text": arguments}], f"somebody is asked about {arguments}")
        return self.questions()[0]

    def approve(self, question: dict[str, Any]) -> int:  # Any: JSON
        return self.daemon.call("POST", f"/api/v1/approvals/{question['id']}", {"approve": True}).status

    def answers(self) -> list[str | None]:
        """Of all messages that are done, oldest first."""
        return [self.item(one["id"])["response"] for one in reversed(self.daemon.call("GET", "/api/inbox?state=done").json["items"])]

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


def test_a_question_and_the_words_on_it_survive_kills(house: House) -> None:
    assert house.daemon.call("PUT", "/api/v1/config/autonomy", {"always_ask": ["ledger__note"]}).status == 200
    with house.console("one"):
        question = house.question("one")
        house.restart()
    assert house.question("one") == question
    assert (house.approve(question), house.approve(question)) == (200, 404)
    until(lambda: house.answers() == ["done: noted one"], "the call is made and the turn finished")
    with house.console("two three"):
        assert house.approve(house.question("two")) == 200
        house.daemon.kill()
    house.daemon.start()
    assert house.approve(house.question("three")) == 200
    until(lambda: house.answers() == ["done: noted one", "done: noted three"], "both calls are made and the turn finished")
    assert house.lines() == ["one", "two", "three"]
    assert house.upstream.asked == ["one", "noted one", "two three", "noted three"]
