"""`/api/inbox`: what became of a message, and the operator's decisions. Source: design §1, §4.5, §4.6; domain/inbox.py's table."""

from __future__ import annotations

from typing import Any

import pytest

from clawgate.domain.errors import AgentBadRequest
from clawgate.services import desk
from clawgate.testing.agents import Hang, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Response
from tests.web.gate import check_common, gateway

NONSENSE = [
    *("state=asleep", "state=done,x", "state=done&state=dead", "state=%ff"),
    *("since=yesterday", "since=2027-01-15T08:00:05", "since=-5", "since=99999999999999"),
    *("limit=0", "limit=-1", "limit=x", "limit=999999", "limit=1.5", "limit=1&limit=2", "limit=%d9%a3"),
    *("cursor=x", "cursor=%00"),
]
ASYNC = {"Prefer": "respond-async"}


def accept(gate: MemoryGateway, token: str, text: str = "hi", **headers: str) -> str:
    """The id of a message that was promised."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return str(gate.client.post("/webhook", {"message": text}, token=token, headers={**ASYNC, **named}).json["id"])


def get(gate: MemoryGateway, path: str, token: str) -> Response:
    answer = gate.client.get(path, token=token)
    check_common(answer)
    return answer


def listed(gate: MemoryGateway, token: str, query: str = "") -> list[str]:
    return [item["id"] for item in get(gate, f"/api/inbox{query}", token).json["items"]]


def decide(gate: MemoryGateway, token: str, item_id: str, what: str) -> Response:
    answer = gate.client.post(f"/api/inbox/{item_id}/{what}", token=token)
    check_common(answer)
    gate.clock.advance(1)
    return answer


def test_item_shows_its_outcome_and_its_times() -> None:
    gate = MemoryGateway(agent=ScriptedAgent(["answer"]))
    token = gate.pair()
    item_id = accept(gate, token, "question", X_Session_Id="s")
    shown = get(gate, f"/api/inbox/{item_id}", token).json
    fixed = {"id": item_id, "status": "done", "state": "done", "source": "webhook", "message": "question", "attempts": 1, "sends": []}
    outcome = {"response": "answer", "model": "scripted-1", "error": None, "next_attempt_at": None}
    assert shown == {**shown, **fixed, **outcome}
    assert shown["accepted_at"] == "2027-01-15T08:00:00.000+00:00"


def test_item_belongs_to_its_caller_and_to_administrators() -> None:
    gate = MemoryGateway()
    ann, bob, admin = gate.pair(scopes=["chat"]), gate.pair(scopes=["chat"]), gate.pair(scopes=["chat", "admin"])
    item_id = accept(gate, ann)
    assert [get(gate, f"/api/inbox/{item_id}", token).status for token in (ann, bob, admin)] == [200, 404, 200]
    assert get(gate, f"/api/inbox/{item_id}", bob).json == get(gate, "/api/inbox/0000000000000000", bob).json == {"error": "Not found"}


@pytest.mark.parametrize("item_id", ["x", "0", "%00x", "é", "0123456789ABCDEF0", "-1", "' OR 1=1", "%f0%9f%a6%80", "9" * 400])
def test_odd_id_is_a_404_or_a_400(item_id: str) -> None:
    gate = MemoryGateway()
    token = gate.pair()
    path = f"/api/inbox/{item_id}".encode().replace(b" ", b"%20").decode("latin-1")
    assert {get(gate, path, token).status, decide(gate, token, path.rpartition("/")[2], "retry").status} <= {400, 404}


def test_list_is_newest_first_and_paged_by_cursor() -> None:
    gate = MemoryGateway()
    token = gate.pair()
    ids = [accept(gate, token) for _ in range(5)]
    first = get(gate, "/api/inbox?limit=2", token).json
    second = get(gate, f"/api/inbox?limit=2&cursor={first['cursor']}", token).json
    last = get(gate, f"/api/inbox?limit=2&cursor={second['cursor']}", token).json
    assert [[item["id"] for item in page["items"]] for page in (first, second, last)] == [ids[:2:-1], ids[2:0:-1], ids[:1]]
    assert last["cursor"] is None


def test_list_by_state_and_time() -> None:
    gate = MemoryGateway(agent=ScriptedAgent(["fine", AgentBadRequest("no"), Hang()]))
    token = gate.pair()
    done = accept(gate, token)
    gate.clock.advance(10)
    dead, running = accept(gate, token), accept(gate, token)
    assert listed(gate, token, "?state=done") == [done]
    assert listed(gate, token, "?state=dead,running") == [running, dead]
    assert listed(gate, token, "?state=") == [running, dead, done]
    assert listed(gate, token, "?since=0") == listed(gate, token, "?since=1970-01-01T01:00:00%2B01:00") == [running, dead, done]
    assert listed(gate, token, "?since=1800000011") == listed(gate, token, "?since=2027-01-15T08:00:11Z") == []
    assert listed(gate, token, "?since=999999999999") == listed(gate, token, "?since=9999-12-31T23:59:59-23:59") == []  # past the last id
    assert listed(gate, token, "?state=uncertain") == []


@pytest.mark.parametrize("query", NONSENSE)
def test_query_that_makes_no_sense_is_a_400_that_says_why(query: str) -> None:
    gate = MemoryGateway()
    answer = get(gate, f"/api/inbox?{query}", gate.pair())
    assert answer.status == 400
    assert query.partition("=")[0] in answer.json["error"] or "query string" in answer.json["error"]


def test_page_is_never_larger_than_500() -> None:
    gate = MemoryGateway()
    token = gate.pair()
    assert get(gate, "/api/inbox?limit=99999", token).status == 200


def test_dead_item_is_tried_again_by_the_operator() -> None:
    gate = MemoryGateway(agent=ScriptedAgent([AgentBadRequest("no"), "better"]))
    token = gate.pair()
    item_id = accept(gate, token)
    answer = decide(gate, token, item_id, "retry")
    assert (answer.status, answer.json["status"], answer.json["attempts"]) == (200, "received", 0)
    assert get(gate, f"/api/inbox/{item_id}", token).json["response"] == "better"


def test_every_dead_item_is_tried_again_page_by_page_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "MAX_PAGE", 2)
    gate = MemoryGateway(agent=ScriptedAgent([*[AgentBadRequest("no")] * 3, "fine", Hang(), *["better"] * 3]))
    token = gate.pair()
    dead, fine, running = [accept(gate, token, X_Session_Id="s") for _ in range(3)], accept(gate, token), accept(gate, token)
    first = gate.client.post("/api/inbox/retry", token=token).json
    second = gate.client.post(f"/api/inbox/retry?cursor={first['cursor']}", token=token).json
    gate.clock.advance(1)
    monkeypatch.undo()
    assert ([first["retried"], second], len(first["cursor"])) == ([2, {"retried": 1, "cursor": None}], 16)
    assert states(gate, token) == {**dict.fromkeys([*dead, fine], "done"), running: "running"}
    assert gate.client.post("/api/inbox/retry", token=token).json == {"retried": 0, "cursor": None}
    assert gate.client.post("/api/inbox/retry?cursor=x", token=token).status == 400


def test_running_item_is_dropped_and_its_turn_ended() -> None:
    agent = ScriptedAgent([Hang()])
    gate = MemoryGateway(agent=agent)
    token = gate.pair()
    item_id = accept(gate, token)
    answer = decide(gate, token, item_id, "drop")
    assert (answer.status, answer.json["status"], answer.json["error"]) == (200, "dropped", "dropped_by_operator")
    assert agent.cancelled == 1


def test_caller_who_waits_for_a_dropped_item_is_told() -> None:
    gate = MemoryGateway(agent=ScriptedAgent([Hang()]))
    token = gate.pair()
    waiting = gate.client.begin("POST", "/webhook", {"message": "hi"}, token=token)
    (item_id,) = listed(gate, token)
    decide(gate, token, item_id, "drop")
    assert (waiting.response.status, waiting.response.json) == (409, {"error": f"The message is dropped; see /api/inbox/{item_id}"})


def test_dropping_frees_the_conversation_and_the_key() -> None:
    agent = ScriptedAgent([Hang(), "second", "third"])
    gate = MemoryGateway(agent=agent)
    token = gate.pair()
    first = accept(gate, token, X_Session_Id="s", X_Idempotency_Key="k")
    second = accept(gate, token, X_Session_Id="s")
    assert get(gate, f"/api/inbox/{second}", token).json["status"] == "received"
    decide(gate, token, first, "drop")
    assert get(gate, f"/api/inbox/{second}", token).json["response"] == "second"
    assert accept(gate, token, X_Idempotency_Key="k") not in (first, second)


def states(gate: MemoryGateway, token: str) -> dict[str, Any]:
    return {item["id"]: item["status"] for item in get(gate, "/api/inbox", token).json["items"]}


@pytest.mark.parametrize("what", ["retry", "drop"])
def test_finished_item_is_nobodys_to_decide(what: str) -> None:
    gate = MemoryGateway()
    token = gate.pair()
    item_id = accept(gate, token)
    answer = decide(gate, token, item_id, what)
    assert (answer.status, states(gate, token)) == (409, {item_id: "done"})


@pytest.mark.parametrize("what", ["retry", "drop"])
def test_deciding_while_the_store_refuses_changes_nothing(what: str) -> None:
    gate = MemoryGateway(agent=ScriptedAgent([AgentBadRequest("no")]))
    token = gate.pair()
    item_id = accept(gate, token)
    gate.store.break_writes("disk full")
    answer = decide(gate, token, item_id, what)
    assert (answer.status, answer.headers["retry-after"], states(gate, token)) == (503, "5", {item_id: "dead"})


def test_api_limit_is_per_client_and_told() -> None:
    gate = gateway(api_rate_limit_per_minute=3)
    token = gate.pair()
    statuses = [get(gate, "/api/inbox", token).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    assert get(gate, "/api/inbox", token).json == {"error": "Too many requests. Please retry later.", "retry_after": 60}
    assert gate.client.get("/api/inbox", token=token, peer="198.51.100.1").status == 200
    assert gate.client.get("/health").status == 200
