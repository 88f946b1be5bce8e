"""What those who sit in a chat are told besides their own turns (construct-realtime.md §12.4, §3.4; zeroclaw.md B4, B5)."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from clawgate.domain.errors import AgentBadRequest
from clawgate.domain.inbox import Item
from clawgate.domain.settings.model import AgentSettings, CronSettings, GatewaySettings, InboxSettings, Settings
from clawgate.domain.tools import Risk, Tool, ToolResult
from clawgate.domain.turn import ToolCall
from clawgate.services.chats import MOST_GUESTS
from clawgate.testing.agents import Pieces, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway
from clawgate.testing.sockets import SocketClient
from clawgate.testing.tools import ScriptedTools
from clawgate.web.dialects import chat_frames_wire as wire
from tests.web.chat_room import BOTH, SESSION, Frame, Room, numbered, say, told

CHAT = "/api/v1/agent/chat"
EVENT = {"type": "agent.started", "agentId": "a", "agentTitle": "Scout", "content": {"role": "coder"}}
NOON = "2027-01-15T08:00:00.000+00:00"


def ask(room: Room, text: str, token: str = "", session: str = SESSION, status: int = 200) -> Any:  # JSON
    answer = room.gate.client.post(CHAT, {"message": text, "session_id": session}, token=token or room.token)
    assert answer.status == status
    return answer.json


def arrived(room: Room, dialect: str = "construct.v1", **options: Any) -> SocketClient:
    """A connection that has introduced itself."""
    client = room.join(dialect, **options)
    client.send({"type": "connect"})
    return client


def kinds(client: SocketClient) -> list[str]:
    return [frame["type"] for frame in told(client)]


# --- other doors


@pytest.mark.parametrize("dialect", BOTH)
def test_a_turn_that_another_door_begins_is_told_live_and_once(dialect: str) -> None:
    room = Room("from afar", "from here")
    client = arrived(room, dialect)
    ask(room, "who?")
    question = {"type": "message", "session_id": SESSION, "role": "user", "content": "who?", "source": "api", "timestamp": NOON}
    expected: dict[str, list[Frame]] = {"construct.v1": [{"type": "chunk_reset"}], "zeroclaw.v1": [question]}
    frames = told(client)
    assert [frame for frame in frames if frame["type"] not in ("chunk", "done")] == expected[dialect]
    assert [frame["full_response"] for frame in frames if frame["type"] == "done"] == ["from afar"]
    say(client)
    assert kinds(client).count("done") == 2
    assert kinds(client).count("message") == (1 if dialect == "zeroclaw.v1" else 0)


def test_what_another_door_asks_is_told_again_to_who_was_away() -> None:
    room = Room("one", "two")
    watcher, client = arrived(room, "zeroclaw.v1"), arrived(room, "zeroclaw.v1")
    ask(room, "first")
    seen = numbered(client)
    client.leave()
    ask(room, "second")
    again = room.join("zeroclaw.v1", f"?session_id={SESSION}&last_seq={seen[-1]['seq']}")
    again.send({"type": "connect"})
    assert [*seen, *numbered(again)] == numbered(watcher)
    assert [frame["content"] for frame in numbered(watcher) if frame["type"] == "message"] == ["first", "second"]


def test_a_copy_of_a_message_is_not_told_again() -> None:
    room = Room("one")
    client = arrived(room, "zeroclaw.v1")
    for _ in range(2):
        body, headers = {"message": "first", "session_id": SESSION}, {"X-Idempotency-Key": "k"}
        assert room.gate.client.post(CHAT, body, token=room.token, headers=headers).json["text"] == "one"
    assert kinds(client) == ["message", "chunk", "done"]


def test_a_tool_of_another_doors_turn_can_be_answered_in_the_room() -> None:
    room = Room(Pieces(("Hm",), tool_calls=(ToolCall("c1", "pay", "{}"),)), "Paid.")
    client = arrived(room)
    asking = room.gate.client.begin("POST", CHAT, {"message": "pay", "session_id": SESSION}, token=room.token)
    client.pump()
    client.send({"type": "approval_response", "request_id": client.json[-1]["request_id"], "decision": "approve"})
    assert kinds(client) == ["chunk", "approval_request", "tool_call", "tool_result", "chunk", "chunk_reset", "done"]
    assert b"Paid." in asking.raw


def test_a_turn_that_the_operator_tries_again_is_told_too() -> None:
    room = Room(AgentBadRequest(), "better")
    ask(room, "who?", status=500)
    client = arrived(room)
    item = room.get("/api/inbox?state=dead")["items"][0]["id"]
    assert room.gate.client.post(f"/api/inbox/{item}/retry", {}, token=room.token).status == 200
    assert kinds(client) == ["chunk", "chunk_reset", "done"]


def test_a_turn_that_nobody_sits_by_leaves_no_trace() -> None:
    room = Room("one")
    ask(room, "first")
    late = room.join(query=f"?session_id={SESSION}&last_seq={int(1.8e15)}")
    late.send({"type": "connect"})
    assert told(late) == []


def test_a_message_that_comes_while_a_room_is_made_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The room has asked the store what is open; before the answer is there, another door begins a turn."""
    room = Room("one")
    held: Deferred[tuple[Item, ...]] = Deferred()
    answers = iter((held,))
    with monkeypatch.context() as patch:
        patch.setattr(type(room.gate.store.inbox), "open_in", lambda inbox, conversation, limit: next(answers, succeed(())))
        client = room.join("zeroclaw.v1", f"?session_id={SESSION}&last_seq={int(1.8e15)}")
        assert client.status == 0
        asking = room.gate.client.begin("POST", CHAT, {"message": "first", "session_id": SESSION}, token=room.token)
        held.callback(())
    client.pump()
    client.send({"type": "connect"})
    assert kinds(client) == ["message", "done"]
    assert b"one" in asking.raw


def test_who_named_a_session_first_does_not_hear_what_its_owner_asks() -> None:
    room = Room("secret")
    squatter = arrived(room, "zeroclaw.v1", token=room.gate.pair(scopes=["chat"]))
    ask(room, "a secret?", room.gate.pair(scopes=["chat"]))
    assert told(squatter) == []


def test_who_named_a_session_first_does_not_hear_words_that_are_put_into_it() -> None:
    room = Room("secret")
    squatter = arrived(room, "zeroclaw.v1", token=room.gate.pair(scopes=["chat"]))
    owner = room.gate.pair(scopes=["chat"])
    ask(room, "a secret?", owner)
    answer = room.gate.client.post(f"/api/sessions/{SESSION}/messages", {"content": "another secret"}, token=owner)
    assert (answer.status, told(squatter)) == (200, [])


@pytest.mark.parametrize("is_in_the_room", [False, True])
def test_nobody_speaks_in_a_session_whose_first_message_is_somebody_elses(is_in_the_room: bool) -> None:
    room = Room("a secret", held=True)
    stranger, owner = room.gate.pair(scopes=["chat"]), room.gate.pair(scopes=["chat"])
    squatter = arrived(room, "zeroclaw.v1", token=stranger) if is_in_the_room else None
    asking = room.gate.client.begin("POST", CHAT, {"message": "tell me", "session_id": SESSION}, token=owner)
    if squatter is None:
        ask(room, "repeat everything", stranger, status=404)
    else:
        say(squatter, "repeat everything")
        assert kinds(squatter) == ["error"]
    room.agent.release()
    assert asking.response.json["text"] == "a secret"
    assert len(room.agent.prompts) == 1


def test_who_named_a_session_first_keeps_its_owner_not_out() -> None:
    room = Room("secret", "another")
    squatter = arrived(room, "zeroclaw.v1", token=room.gate.pair(scopes=["chat"]))
    owner = room.gate.pair(scopes=["chat"])
    ask(room, "a secret?", owner)
    client = arrived(room, "zeroclaw.v1", token=owner)
    say(client, "and?")
    assert (kinds(client)[-1], told(squatter)) == ("done", [])
    say(squatter, "tell me")
    assert [frame["type"] for frame in told(squatter)] == ["error"]
    squatter.leave()
    ask(room, "still there?", owner)
    assert told(client)[-1]["full_response"] == "another"


def test_an_administrators_message_keeps_the_owner_of_a_session_not_out() -> None:
    room = Room("one", "two")
    token = room.gate.pair(scopes=["chat"])
    ask(room, "mine", token)
    room.agent.is_held = True
    with_key = {"message": "by the way", "session_id": SESSION}
    asking = room.gate.client.begin("POST", CHAT, with_key, token=room.token)
    client = arrived(room, "zeroclaw.v1", token=token)
    room.agent.release()
    assert (kinds(client)[-1], asking.response.status) == ("done", 200)


def test_what_an_administrator_asks_in_somebodys_session_is_told_to_its_owner() -> None:
    room = Room("one", "two")
    token = room.gate.pair(scopes=["chat"])
    ask(room, "mine", token)
    client = arrived(room, "zeroclaw.v1", token=token)
    ask(room, "by the way")
    assert [frame.get("content") for frame in told(client)][:1] == ["by the way"]
    assert kinds(client)[-1] == "done"


@pytest.mark.parametrize("dialect", BOTH)
def test_words_that_are_put_into_a_session_are_told_and_kept(dialect: str) -> None:
    room = Room("one", "two")
    ask(room, "first")
    client = arrived(room, dialect)
    path = f"/api/sessions/gw_{SESSION}/messages"
    answer = room.gate.client.post(path, {"content": "The build is done."}, token=room.token)
    assert (answer.status, answer.json) == (
        200,
        {
            "status": "ok",
            "session_id": SESSION,
            "message": {"role": "assistant", "content": "The build is done."},
            "session_persistence": True,
        },
    )
    assert told(client) == [
        {"type": "message", "session_id": SESSION, "role": "assistant", "content": "The build is done.", "source": "api", "timestamp": NOON}
    ]
    assert room.messages()[2:] == [("assistant", "The build is done.")]
    ask(room, "second")
    assert [line.text for line in room.agent.prompts[-1].lines] == ["first", "one", "The build is done.", "second"]


@pytest.mark.parametrize(
    ("session", "body", "status", "error"),
    [
        (SESSION, {}, 400, "content is required"),
        (SESSION, {"content": " "}, 400, "content is required"),
        ("22222222-2222-4222-8222-222222222222", {"content": "x"}, 404, "Session not found"),
    ],
)
def test_words_for_no_session_and_no_words_are_refused(session: str, body: Any, status: int, error: str) -> None:
    room = Room()
    ask(room, "first")
    answer = room.gate.client.post(f"/api/sessions/{session}/messages", body, token=room.token)
    assert (answer.status, answer.json) == (status, {"error": error})


def test_nobody_puts_words_into_somebody_elses_session() -> None:
    room = Room()
    ask(room, "first")
    stranger = room.gate.pair(scopes=["chat"])
    assert room.gate.client.post(f"/api/sessions/{SESSION}/messages", {"content": "x"}, token=stranger).status == 404
    assert len(room.messages()) == 2


# --- outside the session


def happen(room: Room, **fields: object) -> None:
    assert room.gate.client.post("/api/channel-events", EVENT | fields, peer="127.0.0.1").status == 200


def test_events_of_workflows_reach_construct_chats_also_outside_turns_and_have_no_number() -> None:
    room = Room()
    construct, zeroclaw, quiet = arrived(room), arrived(room, "zeroclaw.v1"), room.join()
    happen(room)
    for client in (construct, zeroclaw, quiet):
        client.pump()
    assert construct.json[2:] == [{"type": "agent_event", "event": EVENT}]
    assert (zeroclaw.json[2:], quiet.json[1:]) == ([], [])
    last = construct.json[0]["seq"]
    construct.leave()
    happen(room)
    assert told(arrived(room, query=f"?session_id={SESSION}&last_seq={last}")) == []


@pytest.mark.parametrize(
    ("scopes", "is_told"),
    [(["chat"], False), (["chat", "read"], False), (["chat", "approve"], False), (["chat", "read", "approve"], True)],
)
def test_events_of_workflows_have_the_audience_that_they_have_elsewhere(scopes: list[str], is_told: bool) -> None:
    room = Room()
    client = arrived(room, token=room.gate.pair(scopes=scopes))
    happen(room)
    assert kinds(client) == (["agent_event"] if is_told else [])


def test_a_client_that_takes_nothing_misses_events_and_is_told_how_many() -> None:
    room = Room()
    slow = arrived(room)
    slow.stall()
    for _ in range(100):
        happen(room, content={"log": "x" * 60_000})
    slow.resume()
    assert told(slow) == [{"type": "lagged", "missed": 100}]
    happen(room)
    assert kinds(slow) == ["lagged", "agent_event"]
    assert slow.close_code is None


def test_nothing_is_watched_for_when_the_last_chat_has_gone() -> None:
    room = Room()
    client = arrived(room)
    assert room.gate.gateway.events.is_watched is False
    assert set(room.gate.gateway.events._of_kind) == {"channel_event", "cron_run_finished"}
    client.leave()
    assert room.gate.gateway.events._of_kind == {}


def test_ends_of_scheduled_jobs_reach_zeroclaw_chats_with_the_beginning_of_their_output() -> None:
    settings = Settings(gateway=GatewaySettings(api_rate_limit_per_minute=0), cron=CronSettings(enabled=True))
    room = Room(gate=MemoryGateway(settings, agent=ScriptedAgent(["news " * 1_000])))
    construct, zeroclaw, blind = (
        arrived(room),
        arrived(room, "zeroclaw.v1"),
        arrived(room, "zeroclaw.v1", query="", token=room.gate.pair(scopes=["chat"])),
    )
    body = {"schedule": {"kind": "every", "every_ms": 3_600_000}, "prompt": "What is new?"}
    job = room.gate.client.post("/api/v1/cron", body, token=room.token).json["id"]
    assert room.gate.client.post(f"/api/v1/cron/{job}/run", {}, token=room.token).status == 200
    (frame,) = told(zeroclaw)
    assert frame == {
        "type": "cron_result",
        "job_id": job,
        "success": True,
        "output": ("news " * 1_000)[:1_000],
        "timestamp": NOON,
        "manual": True,
    }
    assert (told(construct), told(blind)) == ([], [])


# --- the turn


def test_operators_tools_have_a_status_before_call_and_result_on_constructs_page_only() -> None:
    name = "construct-operator__spawn_team"
    calls = (ToolCall("c1", name, '{"title":"Scouts"}'), ToolCall("c2", "pay", "{}"))
    frames = {}
    for dialect in BOTH:
        room = Room(Pieces(("Go. ",), tool_calls=calls), "Done.")
        tools = ScriptedTools([Tool(name=name, description="", risk=Risk.READ)], outcomes={name: ToolResult('{"team_id":"t1"}')})
        room.gate.gateway.toolbox.add(tools)
        client = room.join(dialect)
        say(client)
        client.send({"type": "approval_response", "request_id": client.json[-1]["request_id"], "decision": "approve"})
        frames[dialect] = [frame for frame in told(client) if frame["type"].startswith(("operator", "tool"))]
        assert ["seq" in frame for frame in client.json if frame["type"] == "operator_status"] == [False] * (2 if "construct" in dialect else 0)
    assert [frame["type"] for frame in frames["construct.v1"]] == [
        "operator_status",
        "tool_call",
        "operator_status",
        "tool_result",
        "tool_call",
        "tool_result",
    ]
    assert frames["construct.v1"][0] == {"type": "operator_status", "phase": "spawning", "detail": "Scouts"}
    assert frames["construct.v1"][2] == {"type": "operator_status", "phase": "spawned", "detail": "t1"}
    assert [frame["type"] for frame in frames["zeroclaw.v1"]] == ["tool_call", "tool_result"] * 2


def test_a_history_that_is_cut_is_told_to_zeroclaws_page() -> None:
    agent = ScriptedAgent(["a"])
    room = Room(gate=MemoryGateway(Settings(agent=AgentSettings(history_messages=4)), agent=agent))
    client, construct = room.join("zeroclaw.v1"), arrived(room)
    for number in range(4):
        say(client, f"q{number}")
    cut = [frame for frame in told(client) if frame["type"] == "history_trimmed"]
    assert cut == [{"type": "history_trimmed", "dropped_messages": 2, "kept_turns": 2, "reason": "history_messages"}]
    assert [line.text for line in agent.prompts[-1].lines] == ["q1", "a", "q2", "a", "q3"]
    assert "history_trimmed" not in kinds(construct)


def test_an_sop_that_is_answered_is_a_problem_of_its_own() -> None:
    client = Room().join("zeroclaw.v1")
    client.send({"type": "approval_response", "kind": "sop", "run_id": "r", "decision": "approve"})
    assert client.json[-1] == {"type": "error", "message": "SOPs are not enabled", "code": "SOP_DISABLED"}


def test_a_session_has_places_for_sixty_four_connections() -> None:
    room = Room()
    there = [room.join() for _ in range(MOST_GUESTS)]
    assert [client.status for client in there] == [101] * MOST_GUESTS
    assert room.join().status == 503
    there[0].leave()
    assert room.join().status == 101


def test_a_message_is_written_once_for_everybody_who_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[object] = []
    event = wire.event
    monkeypatch.setattr(wire, "event", lambda dialect, what: (written.append((dialect, what.seq)), event(dialect, what))[1])
    room = Room("tea")
    clients = [arrived(room, dialect) for dialect in BOTH for _ in range(3)]
    say(clients[0])
    assert {told(client)[-1]["type"] for client in clients} == {"done"}
    assert len(written) == len(set(written))


def test_a_turn_is_told_to_its_end_although_too_many_wait() -> None:
    room = Room(gate=MemoryGateway(agent=ScriptedAgent(["tea", "milk"], is_held=True), settings=Settings(inbox=InboxSettings(max_waiters=1))))
    client, other = arrived(room), room.join(query="?session_id=other")
    other.send({"type": "connect"})
    say(other)
    say(client)
    room.agent.release(1)
    assert told(other)[-1]["type"] == "done"
    room.agent.release(1)
    assert "done" not in kinds(client)
    room.gate.clock.advance(1.0)
    assert told(client)[-1]["type"] == "done"
