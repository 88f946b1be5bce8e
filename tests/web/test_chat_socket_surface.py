"""`WS /ws/chat` in both dialects: whole sequences of frames (construct-realtime.md §6, §12; zeroclaw.md B5; design §4.16)."""

from __future__ import annotations

import msgspec
import pytest

from clawgate.domain.errors import AgentAuth, AgentBadRequest, AgentOverloaded
from clawgate.domain.settings.model import AgentSettings, Settings
from clawgate.domain.tools import Risk, Tool
from clawgate.domain.turn import ToolCall, Usage
from clawgate.testing.agents import Answer, Hang, Pieces, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway
from clawgate.web.router import Match
from tests.web.chat_room import BOTH, SESSION, Frame, Room, last_approval, numbered, say, told

BASE = 1_800_000_000_000_000
PAY = Pieces(("I pay. ",), tool_calls=(ToolCall("c1", "pay", '{"sum":5}'),), usage=Usage(10, 4))
PAID = Pieces(("Pa", "id."), usage=Usage(20, 3))

DONE: Frame = {
    "type": "done",
    "full_response": "Paid.",
    "input_tokens": 30,
    "output_tokens": 7,
    "tokens_used": 37,
    "cost_usd": None,
    "model": "scripted-1",
    "provider": "",
    "max_context_tokens": None,
    "last_input_tokens": 20,
}


def question(id_: str) -> Frame:
    return {
        "type": "approval_request",
        "request_id": id_,
        "id": id_,
        "tool": "pay",
        "args": {"sum": 5},
        "arguments_summary": '{"sum":5}',
        "timeout_secs": 300,
    }


TURN: list[Frame] = [
    {"type": "chunk", "content": "I pay. "},
    {"type": "APPROVAL"},
    {"type": "tool_call", "id": "c1", "name": "pay", "args": {"sum": 5}},
    {"type": "tool_result", "id": "c1", "name": "pay", "output": "receipt 7"},
    {"type": "chunk", "content": "Pa"},
    {"type": "chunk", "content": "id."},
    {"type": "chunk_reset"},
    DONE,
]


def turn_of(dialect: str, approval: str) -> list[Frame]:
    frames = [question(approval) if frame["type"] == "APPROVAL" else frame for frame in TURN]
    return frames if dialect != "zeroclaw.v1" else [frame for frame in frames if frame["type"] != "chunk_reset"]


@pytest.mark.parametrize("dialect", ["", *BOTH])
def test_a_whole_turn_with_a_tool_in_each_dialect(dialect: str) -> None:
    room = Room(PAY, PAID)
    client = room.join(dialect, f"?session_id={SESSION}&name=Bills")
    assert client.json == [
        {"type": "session_start", "session_id": SESSION, "resumed": False, "message_count": 0, "name": "Bills", "seq": BASE},
    ]
    client.send({"type": "connect", "session_id": "x", "device_name": "d", "capabilities": ["a"]})
    assert client.json[1] == {"type": "connected", "message": "Connection established"}
    say(client, "pay 5")
    approval = last_approval(client)
    client.send({"type": "approval_response", "request_id": approval, "decision": "approve"})
    assert told(client) == turn_of(dialect, approval)
    numbers = [frame["seq"] for frame in numbered(client)]
    assert numbers == sorted(set(numbers))
    assert room.messages() == [("user", "pay 5"), ("assistant", "Paid.")]
    assert room.join(dialect).json[0] | {"seq": 0} == {
        "type": "session_start",
        "session_id": SESSION,
        "resumed": True,
        "message_count": 2,
        "name": "pay 5",
        "seq": 0,
    }


@pytest.mark.parametrize("cut", range(8))
@pytest.mark.parametrize("in_query", [True, False])
def test_a_connection_cut_at_any_frame_goes_on_without_loss_or_repetition(cut: int, in_query: bool) -> None:
    """The connection breaks after `cut` frames of a turn with a tool; the next one says what it has seen."""
    room = Room(PAY, PAID)
    watcher, client = room.watch(), room.join()
    say(client, "pay 5")
    seen = numbered(client)[:cut]
    approval = last_approval(watcher)
    if cut > 2:
        client.send({"type": "approval_response", "request_id": approval, "decision": "approve"})
        seen = numbered(client)[:cut]
    client.leave()
    if cut <= 2:
        watcher.send({"type": "approval_response", "request_id": approval, "decision": "approve"})
    last = seen[-1]["seq"] if seen else BASE
    again = room.join(query=f"?session_id={SESSION}" + (f"&last_seq={last}" if in_query else ""))
    again.send({"type": "connect"} | ({} if in_query else {"last_seq": last}))
    assert again.json[1] == {"type": "connected", "message": "Connection established", "missed": False}
    assert [*seen, *numbered(again)] == numbered(watcher)
    assert told(watcher) == turn_of("construct.v1", approval)


@pytest.mark.parametrize("cut", range(8))
def test_a_turn_goes_on_in_the_middle_of_a_resumption(cut: int) -> None:
    """The question is still open when the client comes back: it gets what it has not seen, answers, and gets the rest."""
    room = Room(PAY, PAID)
    watcher, client = room.watch(), room.join()
    say(client, "pay 5")
    seen = numbered(client)[: min(cut, 2)]
    client.leave()
    again = room.join(query=f"?session_id={SESSION}&last_seq={seen[-1]['seq'] if seen else BASE}")
    again.send({"type": "connect"})
    again.send({"type": "approval_response", "id": last_approval(watcher), "approved": True})
    assert [*seen, *numbered(again)] == numbered(watcher)
    assert numbered(watcher)[-1]["type"] == "done"


@pytest.mark.parametrize("dialect", BOTH)
def test_reasoning_is_told_while_it_comes_and_neither_answer_nor_kept(dialect: str) -> None:
    room = Room(Pieces(("4", "2"), thoughts=("Six times", " seven")))
    client = room.join(dialect)
    say(client, "6*7")
    assert told(client)[:3] == [
        {"type": "thinking", "content": "Six times"},
        {"type": "thinking", "content": " seven"},
        {"type": "chunk", "content": "4"},
    ]
    assert client.json[-1]["full_response"] == "42"
    assert room.messages() == [("user", "6*7"), ("assistant", "42")]


def test_half_a_surrogate_pair_of_a_model_is_told_as_an_escape() -> None:
    room = Room("a\ud800b")
    client = room.join()
    say(client)
    client.pump()
    assert [message for message in client.received if isinstance(message, str) and '"content":"a\\ud800b"' in message] != []


def test_what_is_no_longer_kept_is_said_and_open_questions_are_told_again() -> None:
    room = Room(PAY, PAID)
    client = room.join()
    say(client, "pay 5")
    client.leave()
    again = room.join(query=f"?session_id={SESSION}&last_seq=5")
    again.send({"type": "connect", "last_seq": 5})
    assert (again.json[0]["missed"], again.json[1]["missed"]) == (True, True)
    assert told(again) == [question(last_approval(again))]
    again.send({"type": "approval_response", "id": last_approval(again), "approved": True})
    assert told(again)[1:] == TURN[2:]


def test_who_comes_without_a_number_gets_the_open_question_and_what_follows() -> None:
    room = Room(PAY, PAID)
    first = room.join()
    say(first)
    second = room.join("zeroclaw.v1")
    second.send({"type": "connect"})
    assert told(second) == [question(last_approval(first))]
    second.send({"type": "approval_response", "request_id": last_approval(second), "decision": "always"})
    assert [frame["type"] for frame in told(second)] == ["approval_request", "tool_call", "tool_result", "chunk", "chunk", "done"]


def test_without_an_introduction_the_session_is_followed_after_five_seconds() -> None:
    room = Room(held=True)
    speaker, quiet = room.join(), room.join()
    say(speaker)
    assert [frame["type"] for frame in quiet.json] == ["session_start"]
    room.gate.clock.advance(5)
    quiet.pump()
    assert told(quiet) == [{"type": "chunk", "content": "hello"}]
    quiet.send({"type": "connect"})
    assert quiet.json[-1]["code"] == "UNKNOWN_MESSAGE_TYPE"


WRONG: dict[str, tuple[str | Frame, str, str]] = {
    "no JSON": ("{", "INVALID_JSON", "Invalid JSON: Input data was truncated"),
    "another type": (
        {"type": "ping"},
        "UNKNOWN_MESSAGE_TYPE",
        'Unsupported message type "ping". Send {"type":"message","content":"your text"}',
    ),
    "a long type": (
        {"type": "t" * 65},
        "UNKNOWN_MESSAGE_TYPE",
        f'Unsupported message type "{"t" * 64}". Send {{"type":"message","content":"your text"}}',
    ),
    "no type": ("[]", "UNKNOWN_MESSAGE_TYPE", 'Unsupported message type "". Send {"type":"message","content":"your text"}'),
    "a crooked introduction": (
        {"type": "connect", "capabilities": "a"},
        "UNKNOWN_MESSAGE_TYPE",
        'Unsupported message type "connect". Send {"type":"message","content":"your text"}',
    ),
    "no content": ({"type": "message"}, "EMPTY_CONTENT", "Message content cannot be empty"),
    "empty content": ({"type": "message", "content": " "}, "EMPTY_CONTENT", "Message content cannot be empty"),
    "content that is no text": ({"type": "message", "content": 5}, "EMPTY_CONTENT", "Message content cannot be empty"),
    "a word on nothing": (
        {"type": "approval_response", "id": "x", "approved": True},
        "INVALID_APPROVAL_RESPONSE",
        "no pending approval with that id",
    ),
    "an unclear word": (
        {"type": "approval_response", "request_id": "x", "decision": "perhaps"},
        "INVALID_APPROVAL_RESPONSE",
        'Invalid approval response. Send {"type":"approval_response","request_id":"…","decision":"approve"|"always"|"deny"}',
    ),
}


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_frame_is_said_and_the_connection_stays(name: str, dialect: str) -> None:
    frame, code, message = WRONG[name]
    client = Room().join(dialect)
    client.send(frame)
    client.send(frame)
    assert client.json[1:] == [{"type": "error", "message": message, "code": code}] * 2
    say(client)
    assert client.json[-1]["type"] == "done"


def test_the_end_of_a_turn_names_the_provider_and_not_what_it_runs() -> None:
    settings = Settings(default_provider="command:/opt/agent --profile private")
    client = Room(gate=MemoryGateway(settings, agent=ScriptedAgent(("hello",)))).join()
    say(client)
    assert client.json[-1]["provider"] == "command"


def test_binary_frames_mean_nothing() -> None:
    client = Room().join()
    client.send(b"\x00")
    client.send(b"\x00")
    assert (len(client.json), client.close_code) == (1, None)


@pytest.mark.parametrize(
    ("problem", "code", "message"),
    [
        (AgentAuth("sk-secret"), "AUTH_ERROR", "The agent could not answer (auth)"),
        (AgentBadRequest("boom"), "PROVIDER_ERROR", "The agent could not answer (bad_request)"),
    ],
)
def test_a_turn_that_fails_is_an_error_with_its_code_and_without_the_vendors_words(problem: Answer, code: str, message: str) -> None:
    room = Room(problem, "better")
    client = room.join()
    say(client)
    assert told(client) == [{"type": "error", "message": message, "code": code}]
    assert room.gate.client.get(f"/api/sessions/{SESSION}/state", token=room.token).status == 404
    say(client)
    assert [frame["type"] for frame in told(client)[1:]] == ["chunk", "chunk_reset", "done"]
    assert room.get(f"/api/sessions/{SESSION}/state") == {"session_id": SESSION, "state": "idle"}


def test_a_turn_that_may_succeed_later_is_tried_again() -> None:
    room = Room(AgentOverloaded(), "better")
    client = room.join()
    say(client)
    assert (told(client), room.get(f"/api/sessions/{SESSION}/state")["state"]) == ([], "running")
    room.gate.clock.advance(3)
    assert [frame["type"] for frame in told(client)] == ["chunk", "chunk_reset", "done"]


def test_a_failure_shows_in_the_state_of_a_session_until_a_turn_goes_well() -> None:
    room = Room("fine", AgentAuth(), "fine again")
    client = room.join()
    states = []
    for _ in range(3):
        say(client)
        states.append(room.get(f"/api/sessions/{SESSION}/state")["state"])
    assert states == ["idle", "error", "idle"]


@pytest.mark.parametrize("dialect", BOTH)
def test_every_connection_of_a_session_is_told_its_turns(dialect: str) -> None:
    room = Room()
    asks, hears = room.join(dialect), room.join(dialect)
    hears.send({"type": "connect"})
    say(asks)
    assert told(hears) == told(asks) != []


def test_a_turn_that_is_given_up_leaves_no_failure() -> None:
    room = Room("fine", Hang(("par",)))
    client = room.join()
    say(client)
    say(client, "long")
    client.send({"type": "cancel"})
    assert room.get(f"/api/sessions/{SESSION}/state")["state"] == "idle"
    assert room.messages() == [("user", "hi"), ("assistant", "fine")]


def test_a_failure_is_forgotten_with_the_process() -> None:
    room = Room("fine", AgentAuth())
    client = room.join()
    say(client)
    say(client)
    assert room.get(f"/api/sessions/{SESSION}/state")["state"] == "error"
    after = room.gate.restart(kill=True)
    assert after.client.get(f"/api/sessions/{SESSION}/state", token=room.token).json == {"session_id": SESSION, "state": "idle"}


def test_silence_is_a_no() -> None:
    agent = ScriptedAgent([PAY])
    room = Room(gate=MemoryGateway(Settings(agent=AgentSettings(approval_timeout_secs=9)), agent=agent))
    client = room.join("zeroclaw.v1")
    say(client)
    assert told(client)[-1]["timeout_secs"] == 9
    room.gate.clock.advance(9)
    assert told(client)[-1] == {"type": "error", "message": "A tool call was denied.", "code": "AGENT_ERROR"}
    assert room.tools.calls == []


@pytest.mark.parametrize("dialect", BOTH)
def test_calls_of_one_answer_are_told_and_made_one_after_the_other(dialect: str) -> None:
    calls = tuple(ToolCall(id_, name, "{}") for id_, name in (("c1", "look"), ("c2", "nothing"), ("c3", "look")))
    room = Room(Pieces((), tool_calls=calls), "done")
    room.tools.offered.append(Tool(name="look", description="Looks.", risk=Risk.READ))
    client = room.join(dialect)
    say(client)
    seen = [(frame["type"], frame["id"]) for frame in told(client) if frame["type"] in ("tool_call", "tool_result")]
    assert seen == [(kind, id_) for id_ in ("c2", "c1", "c3") for kind in ("tool_call", "tool_result")]


def test_a_denied_tool_ends_the_turn() -> None:
    room = Room(PAY)
    client = room.join("zeroclaw.v1")
    say(client)
    client.send({"type": "approval_response", "request_id": last_approval(client), "decision": "deny"})
    assert told(client)[2:] == [
        {"type": "tool_result", "id": "c1", "name": "pay", "output": "denied"},
        {"type": "error", "message": "A tool call was denied.", "code": "AGENT_ERROR"},
    ]
    assert room.tools.calls == []


def test_a_token_without_the_scope_asks_and_does_not_approve() -> None:
    room = Room(PAY, PAID)
    client = room.join(token=room.gate.pair(scopes=["chat"]))
    say(client)
    client.send({"type": "approval_response", "id": last_approval(client), "approved": True})
    assert client.json[-1] == {"type": "error", "message": "this token may not approve", "code": "INVALID_APPROVAL_RESPONSE"}
    assert room.tools.calls == []


@pytest.mark.parametrize(
    ("dialect", "last"),
    [("construct.v1", {"type": "error", "message": "The turn was cancelled.", "code": "AGENT_ERROR"}), ("zeroclaw.v1", {"type": "aborted"})],
)
def test_a_cancelled_turn_ends_and_the_next_one_begins(dialect: str, last: Frame) -> None:
    room = Room(Hang(("par",)), "next")
    client = room.join(dialect)
    say(client, "one")
    say(client, "two")
    client.send({"type": "cancel"})
    assert told(client)[:2] == [{"type": "chunk", "content": "par"}, last]
    assert client.json[-1]["full_response"] == "next"
    assert (room.agent.cancelled, room.messages()) == (1, [("user", "two"), ("assistant", "next")])
    client.send({"type": "cancel"})
    assert client.json[-1]["type"] == "done"


@pytest.mark.parametrize(("dialect", "code"), [("construct.v1", "SESSION_BUSY"), ("zeroclaw.v1", "SESSION_QUEUE_FULL")])
def test_messages_queue_up_to_eight_and_run_in_order(dialect: str, code: str) -> None:
    room = Room(held=True)
    one, two = room.join(dialect), room.join(dialect)
    for number in range(9):
        say(two if number % 2 else one, f"m{number}")
    assert [frame for frame in told(one) if frame["type"] == "error"] == [
        {"type": "error", "message": f"Session gw_{SESSION} queue full (8 pending requests)", "code": code}
    ]
    room.agent.is_held = False
    room.agent.release()
    room.gate.pump()
    one.pump()
    assert [prompt.question for prompt in room.agent.prompts] == [f"m{number}" for number in range(8)]
    assert len(room.messages()) == 16
    say(one, "again")
    assert [frame["type"] for frame in told(one)].count("done") == 9


def test_closing_the_socket_detaches_and_the_answer_is_kept() -> None:
    room = Room(held=True)
    client = room.join()
    say(client)
    client.close()
    assert room.get("/api/sessions/running")["sessions"] == [
        {
            "session_id": SESSION,
            "created_at": "2027-01-15T08:00:00.000+00:00",
            "last_activity": "2027-01-15T08:00:00.000+00:00",
            "message_count": 0,
        }
    ]
    room.agent.release()
    room.gate.pump()
    assert room.messages() == [("user", "hi"), ("assistant", "hello")]
    assert room.get("/api/sessions/running") == {"sessions": []}


def test_after_a_kill_the_turn_is_finished_and_told() -> None:
    room = Room(PAY, PAID)
    client = room.join()
    say(client, "pay 5")
    approval, last = last_approval(client), client.json[-1]["seq"]
    room.gate.clock.advance(100)
    next_room = Room(gate=room.gate.restart(kill=True))
    again = next_room.join(query=f"?session_id={SESSION}&last_seq={last}", token=room.token)
    again.send({"type": "connect"})
    assert again.json[0]["missed"] is True
    assert told(again) == [question(approval) | {"timeout_secs": 200}]
    assert again.json[-1]["seq"] > last
    again.send({"type": "approval_response", "id": last_approval(again), "approved": True})
    assert again.json[-1]["full_response"] == "Paid."
    assert next_room.messages() == [("user", "pay 5"), ("assistant", "Paid.")]


def test_a_question_of_a_turn_that_begins_again_while_somebody_sits_in_the_room_is_told_once() -> None:
    room = Room(PAY, PAY)
    say(room.join(query="?session_id=other"))
    client = room.join()
    say(client, "pay 5")
    approval = last_approval(client)
    room.gate.settings = msgspec.structs.replace(room.gate.settings, agent=AgentSettings(max_concurrent_turns=1))
    after = Room(gate=room.gate.restart(kill=True))
    after.agent.answers = [PAID, PAID]
    again = after.join(token=room.token)
    again.send({"type": "connect"})
    assert told(again) == []
    other = after.join(query="?session_id=other", token=room.token)
    other.send({"type": "connect"})
    other.send({"type": "approval_response", "id": last_approval(other), "approved": True})
    assert told(again) == [question(approval)]


def test_a_word_that_cannot_be_written_down_is_complained_about_and_may_be_given_again() -> None:
    room = Room(PAY, PAID)
    client = room.join()
    say(client, "pay 5")
    word = {"type": "approval_response", "id": last_approval(client), "approved": True}
    room.gate.store.break_writes("disk full")
    client.send(word)
    assert (client.json[-1]["type"], client.json[-1]["code"], room.tools.calls) == ("error", "SESSION_BUSY", [])
    room.gate.store.break_writes("")
    client.send(word)
    assert (told(client)[-1]["full_response"], len(room.tools.calls)) == ("Paid.", 1)


def test_stopping_the_gateway_leaves_the_turn_to_the_next_one() -> None:
    room = Room(Hang(), "late")
    client = room.join()
    say(client)
    room.gate.stop()
    for _ in range(60):
        room.gate.clock.advance(1)
    client.pump()
    assert client.close_code == 1001
    after = Room(gate=room.gate.restart())
    assert after.messages() == [("user", "hi"), ("assistant", "late")]


def test_a_session_of_somebody_else_does_not_exist() -> None:
    room = Room(held=True)
    mine, stranger = room.gate.pair(scopes=["chat", "read"]), room.gate.pair(scopes=["chat", "read"])
    client = room.join(token=mine)
    assert room.join(token=stranger).status == 404
    say(client)
    assert room.join(token=stranger).status == 404
    room.agent.release()
    room.gate.pump()
    client.leave()
    assert room.join(token=stranger).status == 404
    paths = ("messages", "state")
    assert [room.gate.client.get(f"/api/sessions/{SESSION}/{path}", token=stranger).status for path in paths] == [404, 404]
    assert room.gate.client.get("/api/sessions", token=stranger).json == {"sessions": []}
    assert room.join().status == 101


def test_a_session_that_has_become_somebody_elses_takes_no_more() -> None:
    room = Room("secret", "other")
    squatter, owner = room.join(token=room.gate.pair(scopes=["chat"])), room.gate.pair(scopes=["chat"])
    body = {"message": "mine", "session_id": SESSION}
    assert room.gate.client.post("/api/v1/agent/chat", body, token=owner).json["text"] == "secret"
    say(squatter, "what was said?")
    assert told(squatter) == [{"type": "error", "message": "Session not found", "code": "AGENT_ERROR"}]
    assert room.agent.calls == 1


@pytest.mark.parametrize(("wanted", "is_kept"), [("wf-live-" + SESSION, True), ("a", True), ("../x", False), ("x" * 129, False), ("", False)])
def test_a_client_names_its_session_within_bounds(wanted: str, is_kept: bool) -> None:
    client = Room().join(query=f"?session_id={wanted}")
    assert (client.json[0]["session_id"] == wanted) is is_kept


@pytest.mark.parametrize("wanted", [f"gw_{SESSION}", f"gw_gw_{SESSION}"])
def test_the_storage_key_names_the_same_session(wanted: str) -> None:
    room = Room()
    client = room.join(query=f"?session_id={wanted}")
    assert client.json[0]["session_id"] == SESSION
    say(client)
    assert room.get(f"/api/sessions/{wanted}/messages")["messages"] == room.get(f"/api/sessions/{SESSION}/messages")["messages"] != []


@pytest.mark.parametrize("dialect", BOTH)
def test_an_introduction_names_neither_session_nor_directory(dialect: str) -> None:
    room = Room()
    client = room.join(dialect)
    client.send({"type": "connect", "session_id": "elsewhere", "device_name": "d", "cwd": "/nowhere"})
    say(client)
    assert (client.json[-1]["type"], room.messages()) == ("done", [("user", "hi"), ("assistant", "hello")])
    assert room.get("/api/sessions/elsewhere/messages")["messages"] == []


@pytest.mark.parametrize("last", ["x", "-1", "9" * 16, "9" * 40, "٣"])
def test_a_crooked_number_is_a_400(last: str) -> None:
    assert Room().join(query=f"?last_seq={last}").status == 400


def test_a_name_is_stored_once_the_session_is() -> None:
    room = Room()
    client = room.join(query=f"?session_id={SESSION}&name=Bills")
    say(client)
    assert room.get("/api/sessions")["sessions"][0]["name"] == "hi"
    assert room.join(query=f"?session_id={SESSION}&name=Bills").json[0]["name"] == "Bills"
    assert room.get("/api/sessions")["sessions"][0]["name"] == "Bills"


@pytest.mark.parametrize("name", ["", "%20", "%01"])
def test_a_name_of_nothing_is_none(name: str) -> None:
    room = Room()
    query = f"?session_id={SESSION}&name={name}"
    client = room.join(query=query)
    assert "name" not in client.json[0]
    say(client)
    assert room.join(query=query).json[0]["name"] == "hi"


def test_the_turn_asks_with_the_sessions_history() -> None:
    room = Room("one", "two")
    client = room.join()
    say(client, "first")
    say(client, "second")
    assert [line.text for line in room.agent.prompts[1].lines] == ["first", "one", "second"]


def test_more_than_is_kept_is_missed_and_nothing_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawgate.services.rooms.KEPT_EVENTS", 10)
    room = Room(Pieces(tuple("abcdefghijklmnopqrstuvwxyz")))
    client = room.join()
    say(client)
    first, tenth = numbered(client)[0]["seq"], numbered(client)[-10]["seq"]
    assert room.join(query=f"?session_id={SESSION}&last_seq={first}").json[0]["missed"] is True
    again = room.join(query=f"?session_id={SESSION}&last_seq={tenth}")
    again.send({"type": "connect"})
    assert (again.json[0]["missed"], numbered(again)) == (False, numbered(client)[-9:])


def test_long_reasoning_pushes_nothing_else_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawgate.services.rooms.KEPT_EVENTS", 10)
    room = Room(Pieces(("4", "2"), thoughts=tuple("abcdefghijklmnopqrstuvwxyz")))
    client = room.join()
    begin = client.json[0]["seq"]
    say(client)
    again = room.join(query=f"?session_id={SESSION}&last_seq={begin}")
    again.send({"type": "connect"})
    assert again.json[0]["missed"] is False
    assert [frame for frame in numbered(again) if frame["type"] != "thinking"] == numbered(client)[26:]
    assert len(numbered(again)) <= 10


def test_empty_rooms_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawgate.services.chats.MOST_IDLE", 5)
    room = Room()
    match = room.gate.gateway.router.match("GET", b"/ws/chat")
    assert isinstance(match, Match)
    rooms = match.route.handler.__self__.chats._rooms  # type: ignore[attr-defined]  # a bound method of the surface
    for number in range(10):
        room.join(query=f"?session_id=s{number}").close()
    assert list(rooms) == ["s5", "s6", "s7", "s8", "s9"]
    room.gate.clock.advance(601)
    room.join(query="?session_id=last")
    assert list(rooms) == ["last"]
