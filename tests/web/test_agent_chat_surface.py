"""`POST /api/v1/agent/chat`, sync and streaming, and its streams (rantaiclaw.md §10, §13; design §4.6, §6)."""

from __future__ import annotations

from typing import Any

import pytest

from clawgate.domain.errors import AgentOverloaded
from clawgate.domain.settings import Settings
from clawgate.domain.turn import Usage
from clawgate.testing.agents import Hang, Pieces, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Pending

CHAT = "/api/v1/agent/chat"
SSE = {"Accept": "text/event-stream"}
UNAUTHORIZED = {"error": "unauthorized", "detail": "Pair via POST /pair, then send `Authorization: Bearer <token>`."}


def gate(*answers: Any, held: bool = False) -> tuple[MemoryGateway, str]:  # Any: what ScriptedAgent takes
    road = MemoryGateway(agent=ScriptedAgent(answers or ("hello",), is_held=held))
    return road, road.pair()


def stream(road: MemoryGateway, token: str, **body: object) -> Pending:
    return road.client.begin("POST", CHAT, {"message": "hi"} | body, token=token, headers=SSE)


def test_a_sync_caller_gets_text_model_and_session() -> None:
    road, token = gate()
    answer = road.client.post(CHAT, {"message": "hi"}, token=token)
    assert answer.status == 200
    assert set(answer.json) == {"text", "model", "provider", "duration_ms", "session_id"}
    assert (answer.json["text"], answer.json["model"]) == ("hello", "scripted-1")
    assert len(answer.json["session_id"]) == 36


def test_the_provider_is_named_without_what_it_runs() -> None:
    road = MemoryGateway(agent=ScriptedAgent(["hello"]), settings=Settings(default_provider="command:/opt/agent --key s3cret"))
    assert road.client.post(CHAT, {"message": "hi"}, token=road.pair()).json["provider"] == "command"


def test_a_session_goes_on_with_its_history() -> None:
    road, token = gate("one", "two")
    session = road.client.post(CHAT, {"message": "first"}, token=token).json["session_id"]
    again = road.client.post(CHAT, {"message": "second", "session_id": session}, token=token)
    assert again.json["session_id"] == session
    assert isinstance(road.agent, ScriptedAgent)
    assert [line.text for line in road.agent.prompts[1].lines] == ["first", "one", "second"]


ERRORS: dict[str, tuple[dict[str, Any], int, dict[str, Any]]] = {  # Any: what `begin` takes, and JSON
    "no token": ({"body": {"message": "hi"}}, 401, UNAUTHORIZED),
    "a malformed body without a token": ({"body": b"{"}, 401, UNAUTHORIZED),
    "no JSON content type": (
        {"body": b"{}", "token": "t"},
        415,
        {"error": "unsupported_media_type", "detail": "Expected request with `Content-Type: application/json`"},
    ),
    "no JSON": (
        {"body": b"{", "token": "t", "headers": {"Content-Type": "application/json"}},
        400,
        {"error": "bad_request", "detail": "Failed to parse the request body as JSON"},
    ),
    "no message": (
        {"body": {}, "token": "t"},
        422,
        {
            "error": "unprocessable",
            "detail": "Failed to deserialize the JSON body into the target type: Object missing required field `message`",
        },
    ),
    "a blank message": ({"body": {"message": " \n"}, "token": "t"}, 400, {"error": "bad_request", "detail": "message must not be empty"}),
    "a temperature out of range": (
        {"body": {"message": "hi", "temperature": 2.5}, "token": "t"},
        400,
        {"error": "bad_request", "detail": "temperature must be between 0.0 and 2.0"},
    ),
    "an unknown provider": (
        {"body": {"message": "hi", "provider": "acme"}, "token": "t"},
        400,
        {"error": "bad_request", "detail": "Unknown provider 'acme'"},
    ),
    "a program as provider": (
        {"body": {"message": "hi", "provider": "command:rm -rf"}, "token": "t"},
        400,
        {"error": "bad_request", "detail": "provider: name a vendor; URLs, files and programs are for the configuration"},
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_wrong_is_said(name: str) -> None:
    options, status, body = ERRORS[name]
    road, token = gate()
    if options.get("token"):
        options = options | {"token": token}
    answer = road.client.request("POST", CHAT, options["body"], **{key: value for key, value in options.items() if key != "body"})
    assert (answer.status, answer.json) == (status, body)


def test_a_failed_turn_is_an_internal_error_without_the_vendors_words() -> None:
    road, token = gate(AgentOverloaded("boom", detail="sk-secret"))
    answer = road.client.post(CHAT, {"message": "hi"}, token=token)
    assert (answer.status, answer.json) == (500, {"error": "internal_error", "detail": "The agent could not answer (overloaded)"})


def test_a_sync_turn_that_outlasts_the_wait_is_408_and_goes_on() -> None:
    road, token = gate(held=True)
    pending = road.client.begin("POST", CHAT, {"message": "hi"}, token=token)
    for _ in range(121):
        road.clock.advance(1)
    assert pending.response.status == 408
    location = pending.response.headers["location"]
    assert isinstance(road.agent, ScriptedAgent)
    road.agent.release()
    road.pump()
    assert road.client.get(location, token=token).json["state"] == "done"


def test_a_stream_tells_pieces_usage_and_the_end() -> None:
    road, token = gate(Pieces(("hel", "lo"), usage=Usage(3, 2)))
    pending = stream(road, token)
    session = pending.events[-1]["session_id"]
    assert pending.events == [
        {"type": "chunk", "text": "hel"},
        {"type": "chunk", "text": "lo"},
        {"type": "usage", "model": "scripted-1", "prompt": 3, "completion": 2, "total": 5, "cost_usd": 0.0},
        {"type": "done", "text": "hello", "cancelled": False, "session_id": session},
    ]
    head = pending.raw.partition(b"\r\n\r\n")[0].lower()
    assert b"content-type: text/event-stream" in head
    assert b"x-accel-buffering: no" in head


def test_half_a_surrogate_pair_of_a_model_is_streamed_as_an_escape() -> None:
    road, token = gate("a\ud800b")
    assert b'data: {"text":"a\\ud800b","type":"chunk"}\n' in stream(road, token).raw


@pytest.mark.parametrize("query", ["?stream=1", "?stream=TRUE", "?stream=yes", "?stream=on"])
def test_the_query_asks_for_a_stream_too(query: str) -> None:
    road, token = gate()
    pending = road.client.begin("POST", CHAT + query, {"message": "hi"}, token=token)
    assert pending.events[-1]["type"] == "done"


def test_a_failure_in_a_stream_is_an_error_and_done() -> None:
    road, token = gate(AgentOverloaded())
    pending = stream(road, token, session_id="mine")
    assert pending.events[-2:] == [
        {"type": "error", "message": "The agent could not answer (overloaded)"},
        {"type": "done", "text": "", "cancelled": False, "session_id": "mine"},
    ]


def test_who_leaves_a_stream_cancels_the_turn() -> None:
    road, token = gate(Hang(("par", "tial")))
    pending = stream(road, token)
    assert [frame["text"] for frame in pending.events] == ["par", "tial"]
    pending.leave()
    assert isinstance(road.agent, ScriptedAgent)
    assert (road.agent.cancelled, len(road.gateway.web.streams)) == (1, 0)


def test_a_quiet_stream_is_kept_alive() -> None:
    road, token = gate(Hang())
    pending = stream(road, token)
    for _ in range(31):
        road.clock.advance(1)
    assert pending.raw.count(b": keep-alive") == 2


def test_a_revoked_token_ends_its_streams_and_their_turns() -> None:
    road, token = gate(Hang(("a",)))
    other = road.pair()
    pending, theirs = stream(road, token), stream(road, other)
    device = road.client.get("/api/devices", peer="operator").json["devices"][-1]["id"]
    road.client.request("DELETE", f"/api/devices/{device}", peer="operator")
    road.pump()
    assert pending.raw.endswith(b"0\r\n\r\n")
    assert not theirs.raw.endswith(b"0\r\n\r\n")
    assert isinstance(road.agent, ScriptedAgent)
    assert road.agent.cancelled == 1


def test_an_expired_token_ends_its_streams() -> None:
    road = MemoryGateway(agent=ScriptedAgent((Hang(),)))
    token = road.pair(ttl_secs=5)
    pending = stream(road, token)
    road.clock.advance(6)
    assert pending.raw.endswith(b"0\r\n\r\n")


def test_stopping_the_gateway_ends_a_stream_with_a_word() -> None:
    road, token = gate(Hang())
    pending = stream(road, token)
    road.stop()
    for _ in range(30):
        road.clock.advance(1)
    assert pending.events[-2]["type"] == "error"
    assert pending.events[-1]["type"] == "done"
