"""`/api/sessions` (construct-realtime.md §12.6; zeroclaw.md B3, B4)."""

from __future__ import annotations

from typing import Any

import pytest

from clawgate.services import chat_sessions
from clawgate.testing.agents import ScriptedAgent
from clawgate.testing.gateway import MemoryGateway

FIRST = "11111111-1111-4111-8111-111111111111"
SECOND = "22222222-2222-4222-8222-222222222222"
UNKNOWN = "33333333-3333-4333-8333-333333333333"
CHAT = "/api/v1/agent/chat"


class House:
    """A gateway with two sessions; the older one was talked in last."""

    def __init__(self) -> None:
        self.gate = MemoryGateway(agent=ScriptedAgent(["an answer"]))
        self.token = self.gate.pair()
        for session, text in ((FIRST, "tea?"), (SECOND, "coffee?"), (FIRST, "more tea?")):
            assert self.gate.client.post(CHAT, {"message": text, "session_id": session}, token=self.token).status == 200
            self.gate.clock.advance(400)

    def ask(self, method: str, path: str, body: Any = b"", token: str = "") -> tuple[int, Any]:  # JSON
        answer = self.gate.client.request(method, path, body, token=token or self.token)
        return answer.status, answer.json


def test_sessions_are_listed_by_their_last_activity_with_the_fields_of_both() -> None:
    house = House()
    status, found = house.ask("GET", "/api/sessions")
    assert status == 200
    assert found["sessions"][0] == {
        "id": FIRST,
        "session_id": FIRST,
        "session_key": f"gw_{FIRST}",
        "channel": "gateway",
        "channel_id": None,
        "agent_alias": None,
        "started_at": "2027-01-15T08:00:00.000+00:00",
        "created_at": "2027-01-15T08:00:00.000+00:00",
        "last_activity": "2027-01-15T08:13:20.000+00:00",
        "status": "idle",
        "message_count": 4,
        "name": "tea?",
    }
    assert [one["id"] for one in found["sessions"]] == [FIRST, SECOND]


def test_a_session_that_was_talked_in_lately_is_active() -> None:
    house = House()
    house.gate.client.post(CHAT, {"message": "now", "session_id": SECOND}, token=house.token)
    assert [(one["id"], one["status"]) for one in house.ask("GET", "/api/sessions")[1]["sessions"]] == [(SECOND, "active"), (FIRST, "idle")]


def test_messages_of_a_session_and_of_an_unknown_one() -> None:
    house = House()
    line = {"role": "user", "content": "coffee?", "created_at": "2027-01-15T08:06:40.000+00:00"}
    for path in (SECOND, f"gw_{SECOND}"):
        assert house.ask("GET", f"/api/sessions/{path}/messages") == (
            200,
            {"session_id": SECOND, "messages": [line, line | {"role": "assistant", "content": "an answer"}], "session_persistence": True},
        )
    assert house.ask("GET", f"/api/sessions/{UNKNOWN}/messages") == (200, {"session_id": UNKNOWN, "messages": [], "session_persistence": True})
    assert house.ask("GET", f"/api/sessions/{SECOND[:8]}/messages")[1]["messages"] == []


def test_a_running_session_says_with_what_and_since_when_and_is_aborted() -> None:
    house = House()
    assert isinstance(house.gate.agent, ScriptedAgent)
    house.gate.agent.is_held = True
    pending = house.gate.client.begin("POST", CHAT, {"message": "long", "session_id": FIRST}, token=house.token)
    status, state = house.ask("GET", f"/api/sessions/{FIRST}/state")
    assert (status, state["state"], state["turn_started_at"]) == (200, "running", "2027-01-15T08:20:00.000+00:00")
    assert house.ask("GET", f"/api/inbox/{state['turn_id']}")[1]["state"] == "running"
    assert [one["session_id"] for one in house.ask("GET", "/api/sessions/running")[1]["sessions"]] == [FIRST]
    assert house.ask("GET", f"/api/sessions/{SECOND}/state") == (200, {"session_id": SECOND, "state": "idle"})
    assert house.ask("POST", f"/api/sessions/{FIRST}/abort") == (200, {"status": "aborted"})
    assert house.ask("POST", f"/api/sessions/{FIRST}/abort") == (200, {"status": "no_active_response"})
    assert (pending.is_answered, house.gate.agent.cancelled) == (True, 1)
    assert house.ask("GET", f"/api/sessions/{UNKNOWN}/state") == (404, {"error": "Session not found"})


def test_a_session_is_renamed() -> None:
    house = House()
    assert house.ask("PUT", f"/api/sessions/{FIRST}", {"name": " Tea\n time "}) == (200, {"session_id": FIRST, "name": "Tea time"})
    assert house.ask("PUT", f"/api/sessions/{FIRST}", {"name": " "}) == (400, {"error": "name is required"})
    assert house.ask("PUT", f"/api/sessions/{FIRST}", {"name": "\x01"}) == (400, {"error": "name is required"})
    assert house.ask("PUT", f"/api/sessions/{FIRST}", {}) == (400, {"error": "name is required"})
    assert house.ask("PUT", f"/api/sessions/{FIRST}", {"name": 5})[0] == 422
    assert house.ask("PUT", f"/api/sessions/{UNKNOWN}", {"name": "x"}) == (404, {"error": "Session not found"})
    assert house.ask("PUT", f"/api/sessions/{FIRST[:8]}", {"name": "x"}) == (404, {"error": "Session not found"})


def test_a_removed_session_ends_what_runs_in_it_and_does_not_come_back() -> None:
    house = House()
    assert isinstance(house.gate.agent, ScriptedAgent)
    house.gate.agent.is_held = True
    waiting = [house.gate.client.begin("POST", CHAT, {"message": text, "session_id": FIRST}, token=house.token) for text in ("a", "b")]
    assert house.ask("DELETE", f"/api/sessions/{FIRST}") == (200, {"deleted": True, "session_id": FIRST})
    house.gate.agent.release()
    house.gate.pump()
    assert [pending.is_answered for pending in waiting] == [True, True]
    assert house.ask("DELETE", f"/api/sessions/{FIRST}") == (404, {"error": "Session not found"})
    assert [one["id"] for one in house.ask("GET", "/api/sessions")[1]["sessions"]] == [SECOND]


def test_a_session_whose_first_turn_runs_is_removed_too() -> None:
    house = House()
    assert isinstance(house.gate.agent, ScriptedAgent)
    house.gate.agent.is_held = True
    pending = house.gate.client.begin("POST", CHAT, {"message": "first", "session_id": UNKNOWN}, token=house.token)
    stranger = house.gate.pair(scopes=["read", "chat"])
    assert house.ask("DELETE", f"/api/sessions/{UNKNOWN}", token=stranger) == (404, {"error": "Session not found"})
    assert house.ask("DELETE", f"/api/sessions/{UNKNOWN}") == (200, {"deleted": True, "session_id": UNKNOWN})
    house.gate.agent.release()
    house.gate.pump()
    assert (pending.is_answered, house.gate.agent.cancelled) == (True, 1)
    assert house.ask("DELETE", f"/api/sessions/{UNKNOWN}") == (404, {"error": "Session not found"})
    assert UNKNOWN not in [one["id"] for one in house.ask("GET", "/api/sessions")[1]["sessions"]]


def test_lists_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    monkeypatch.setattr(chat_sessions, "MOST_LISTED", 1)
    monkeypatch.setattr(chat_sessions, "MOST_SHOWN", 2)
    assert [one["id"] for one in house.ask("GET", "/api/sessions")[1]["sessions"]] == [FIRST]
    assert [line["content"] for line in house.ask("GET", f"/api/sessions/{FIRST}/messages")[1]["messages"]] == ["more tea?", "an answer"]


@pytest.mark.parametrize(("method", "path"), [("GET", "messages"), ("GET", "state"), ("PUT", ""), ("DELETE", "")])
def test_somebody_elses_session_does_not_exist(method: str, path: str) -> None:
    house = House()
    stranger = house.gate.pair(scopes=["read", "chat"])
    body: Any = {"name": "x"} if method == "PUT" else b""
    assert house.ask(method, f"/api/sessions/{FIRST}/{path}".rstrip("/"), body, stranger) == (404, {"error": "Session not found"})
    assert house.ask("GET", "/api/sessions", token=stranger) == (200, {"sessions": []})
