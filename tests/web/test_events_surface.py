"""`/api/events`, its history and tickets, `/api/daemon/logs` (construct-realtime.md §7; design §4.17)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from clawgate.domain.caller import Caller, Scope
from clawgate.domain.errors import AgentOverloaded
from clawgate.domain.turn import Completion, ToolCall, Usage
from clawgate.services.events import KEPT
from clawgate.services.tickets import MOST_TICKETS, TICKET_SECONDS
from clawgate.system.logs import LogTail
from clawgate.testing.agents import Pieces, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Pending
from clawgate.web.fan_out import MOST_WAITING_BYTES, SLOW_SECONDS
from clawgate.web.surfaces.events import MOST_STREAMS_EACH
from clawgate.web.surfaces.logs import MOST_READERS
from tests.web.gate import device_of

EVENTS = "/api/events"
LOGS = "/api/daemon/logs"
UNAUTHORIZED = {"error": "Unauthorized — provide Authorization: Bearer <token>"}


def kinds(pending: Pending) -> list[str]:
    return [str(frame["type"]) for frame in pending.events]


def numbers(pending: Pending) -> list[int]:
    return [int(line[4:]) for line in pending.raw.split(b"\n") if line.startswith(b"id: ")]


def gate(*answers: Any, **options: Any) -> tuple[MemoryGateway, str]:  # Any: what ScriptedAgent and MemoryGateway take
    road = MemoryGateway(agent=ScriptedAgent(answers or ("hello",)), **options)
    return road, road.pair()


def publish(road: MemoryGateway, *kinds: str, principal: str | None = None, **data: object) -> None:
    for kind in kinds:
        road.gateway.events.publish(kind, data, principal)


# --- the stream


def test_a_stream_begins_with_a_comment_and_tells_what_happens() -> None:
    road, token = gate()
    stream = road.client.begin("GET", EVENTS, token=token)
    assert stream.response.headers["content-type"] == "text/event-stream"
    assert b": open\n\n" in stream.raw
    created = road.client.post("/tasks", {"title": "mend"}, token=token).json
    [frame] = stream.events
    assert (frame["type"], frame["id"], frame["timestamp"][-6:]) == ("task_created", created["id"], "+00:00")
    assert numbers(stream) == [1]


def test_a_turn_tells_in_the_published_fields() -> None:
    road, token = gate(Pieces(("hello",), usage=Usage(30, 12)))
    stream = road.client.begin("GET", EVENTS, token=token)
    road.client.post("/webhook", {"message": "a secret thing"}, token=token)
    assert kinds(stream) == ["agent_start", "llm_request", "agent_end"]
    start, request, end = stream.events
    assert {start["provider"], request["provider"], end["provider"]} == {"scripted"}
    assert {start["model"], request["model"], end["model"]} == {"scripted-1"}
    assert (start["source"], end["cost_usd"], end["duration_ms"]) == ("webhook", None, 0)
    assert b"a secret thing" not in stream.raw


def test_a_failed_turn_is_an_error_without_the_vendors_words() -> None:
    road, token = gate(AgentOverloaded("do not tell", detail="nor this"))
    stream = road.client.begin("GET", EVENTS, token=token)
    road.client.begin("POST", "/webhook", {"message": "hi"}, token=token)
    assert kinds(stream)[-1] == "error"
    assert (stream.events[-1]["component"], stream.events[-1]["message"]) == ("gateway", "the turn failed (overloaded)")


def test_a_tool_call_tells_its_begin_and_end() -> None:
    road, token = gate(Completion(text="", tool_calls=(ToolCall("1", "task_list", "{}"),)), "done")
    stream = road.client.begin("GET", EVENTS, token=token)
    road.client.post("/webhook", {"message": "hi"}, token=token)
    assert kinds(stream) == ["agent_start", "llm_request", "tool_call_start", "tool_call", "llm_request", "agent_end"]
    called = stream.events[3]
    assert (called["tool"], called["success"], called["duration_ms"]) == ("task_list", True, 0)


def test_a_stream_is_kept_alive_and_leaves_nothing_behind() -> None:
    road, token = gate()
    stream = road.client.begin("GET", EVENTS, token=token)
    road.clock.advance(15)
    assert b": keep-alive\n\n" in stream.raw
    assert road.gateway.events.is_watched
    stream.leave()
    assert not road.gateway.events.is_watched


def test_a_stream_ends_with_its_credential_and_with_the_gateway() -> None:
    road, token = gate()
    stream = road.client.begin("GET", EVENTS, token=token)
    road.client.request("DELETE", f"/api/devices/{device_of(road, token)}", peer="operator")
    assert stream.raw.endswith(b"0\r\n\r\n")
    again = road.client.begin("GET", EVENTS, peer="operator", token=None)
    road.stop()
    road.clock.advance(30)
    assert again.raw.endswith(b"0\r\n\r\n")
    assert not road.gateway.events.is_watched


def test_what_is_somebody_elses_is_not_told() -> None:
    road, admin = gate()
    reader = road.pair(scopes=["read"])
    own = device_of(road, admin)
    streams = [road.client.begin("GET", EVENTS, token=token) for token in (admin, reader)]
    publish(road, "session_renamed", principal=own)
    publish(road, "session_renamed", principal="another")
    publish(road, "config_changed", "human_approval_request", "task_created")
    assert [kinds(stream) for stream in streams] == [
        ["session_renamed", "session_renamed", "config_changed", "human_approval_request", "task_created"],
        ["session_renamed", "task_created"],
    ]


def test_each_credential_has_so_many_streams() -> None:
    road, token = gate()
    first = [road.client.begin("GET", EVENTS, token=token) for _ in range(MOST_STREAMS_EACH)]
    assert road.client.get(EVENTS, token=token).status == 503
    first[0].leave()
    assert road.client.begin("GET", EVENTS, token=token).response.status == 200


def test_a_head_is_answered_and_watches_nothing() -> None:
    road, token = gate()
    assert road.client.request("HEAD", EVENTS, token=token).headers["content-type"] == "text/event-stream"
    assert not road.gateway.events.is_watched


# --- who was away


REPLAYS: dict[str, tuple[str, dict[str, str], list[int]]] = {
    "header": (EVENTS, {"Last-Event-ID": "1"}, [2, 3]),
    "query": (EVENTS + "?last_event_id=2", {}, [3]),
    "header before query": (EVENTS + "?last_event_id=2", {"Last-Event-ID": "1"}, [2, 3]),
    "everything seen": (EVENTS, {"Last-Event-ID": "3"}, []),
    "nothing said": (EVENTS, {}, []),
    "0": (EVENTS, {"Last-Event-ID": "0"}, []),
    "no number": (EVENTS, {"Last-Event-ID": "x1"}, []),
    "an earlier process": (EVENTS, {"Last-Event-ID": "77"}, [1, 2, 3]),
}


@pytest.mark.parametrize(("path", "headers", "expected"), REPLAYS.values(), ids=REPLAYS)
def test_what_was_missed_is_repeated(path: str, headers: dict[str, str], expected: list[int]) -> None:
    road, token = gate()
    publish(road, "task_created", "task_updated", "task_deleted")
    stream = road.client.begin("GET", path, token=token, headers=headers)
    assert numbers(stream) == expected
    publish(road, "task_created")
    assert numbers(stream) == [*expected, 4]


def test_who_was_away_too_long_is_told_so() -> None:
    road, token = gate()
    publish(road, *["task_created"] * (KEPT + 7))
    stream = road.client.begin("GET", EVENTS, token=token, headers={"Last-Event-ID": "2"})
    assert stream.events[0] == {"type": "lagged", "missed": 5}
    assert numbers(stream)[0] == 8


def test_history_pages_from_a_number() -> None:
    road, token = gate()
    publish(road, "task_created", "config_changed", "task_updated", "task_deleted", id="7")
    first = road.client.get(EVENTS + "/history?limit=3", token=token).json
    assert [(event["number"], event["type"], event["id"]) for event in first["events"]] == [
        (1, "task_created", "7"),
        (2, "config_changed", "7"),
        (3, "task_updated", "7"),
    ]
    assert (first["last"], first["missed"]) == (3, 0)
    rest = road.client.get(f"{EVENTS}/history?after={first['last']}", token=token).json
    assert [event["number"] for event in rest["events"]] == [4]
    assert road.client.get(f"{EVENTS}/history?after=4", token=token).json == {"events": [], "last": 4, "missed": 0}
    reader = road.pair(scopes=["read"])
    assert [event["number"] for event in road.client.get(EVENTS + "/history", token=reader).json["events"]] == [1, 3, 4]


@pytest.mark.parametrize("query", ["after=x", "limit=-1", "after=1&after=2"])
def test_a_history_query_that_is_none_is_a_400(query: str) -> None:
    road, token = gate()
    assert road.client.get(f"{EVENTS}/history?{query}", token=token).status == 400


# --- who is slow


def fill(road: MemoryGateway, count: int) -> None:
    for _ in range(count):
        publish(road, "channel_event", payload="x" * 10_000)


def test_a_slow_client_is_told_how_much_it_missed() -> None:
    road, token = gate()
    stream = road.client.begin("GET", EVENTS, token=token)
    before = len(stream.raw)
    stream.pause()
    fill(road, 100)
    assert len(stream.raw) == before
    stream.resume()
    got = stream.events
    assert len(got) < MOST_WAITING_BYTES // 10_000 + 3
    assert got[-1] == {"type": "lagged", "missed": 100 - (len(got) - 1)}
    publish(road, "task_created")
    assert kinds(stream)[-1] == "task_created"


def test_a_client_that_takes_nothing_is_cut() -> None:
    road, token = gate()
    stream = road.client.begin("GET", EVENTS, token=token)
    stream.pause()
    fill(road, 1)
    road.clock.advance(SLOW_SECONDS - 1)
    assert not stream.is_over
    road.clock.advance(1)
    assert stream.is_over


def test_a_client_that_takes_again_in_time_stays() -> None:
    road, token = gate()
    stream = road.client.begin("GET", EVENTS, token=token)
    stream.pause()
    fill(road, 1)
    road.clock.advance(SLOW_SECONDS - 1)
    stream.resume()
    road.clock.advance(SLOW_SECONDS)
    assert not stream.is_over
    assert kinds(stream) == ["channel_event"]


# --- tickets


def ticket(road: MemoryGateway, token: str) -> str:
    answer = road.client.post(EVENTS + "/ticket", token=token)
    assert (answer.status, answer.json["expires_in"]) == (200, 30)
    return str(answer.json["ticket"])


def statuses(road: MemoryGateway, paths: Sequence[str]) -> list[int]:
    return [road.client.get(path).status for path in paths]


def test_a_ticket_opens_one_stream_once() -> None:
    road, token = gate()
    one = ticket(road, token)
    assert statuses(road, [f"{EVENTS}?ticket={one}", f"{EVENTS}?ticket={one}"]) == [200, 401]


def test_a_ticket_is_good_for_streams_only() -> None:
    road, token = gate()
    one = ticket(road, token)
    assert statuses(road, [f"{EVENTS}/history?ticket={one}", f"/api/devices?ticket={one}", f"{LOGS}?ticket={one}"]) == [401, 401, 200]


def test_a_ticket_lasts_thirty_seconds() -> None:
    road, token = gate()
    one, other = ticket(road, token), ticket(road, token)
    road.clock.advance(TICKET_SECONDS - 1)
    assert statuses(road, [f"{EVENTS}?ticket={one}"]) == [200]
    road.clock.advance(1)
    answer = road.client.get(f"{EVENTS}?ticket={other}")
    assert (answer.status, answer.json) == (401, UNAUTHORIZED)


def test_a_ticket_can_no_more_than_its_token() -> None:
    road, _ = gate()
    reader = road.pair(scopes=["read"])
    assert statuses(road, [f"{LOGS}?ticket={ticket(road, reader)}"]) == [403]
    stream = road.client.begin("GET", f"{EVENTS}?ticket={ticket(road, reader)}")
    publish(road, "config_changed", "task_created")
    assert kinds(stream) == ["task_created"]


def test_a_ticket_dies_with_its_token() -> None:
    road, token = gate()
    one = ticket(road, token)
    short = road.pair(ttl_secs=10)
    other = ticket(road, short)
    road.client.request("DELETE", f"/api/devices/{device_of(road, token)}", peer="operator")
    road.clock.advance(10)
    assert statuses(road, [f"{EVENTS}?ticket={other}"]) == [401]
    everybody = [device["id"] for device in road.client.get("/api/devices", peer="operator").json["devices"]]
    for device in everybody:
        road.client.request("DELETE", f"/api/devices/{device}", peer="operator")
    assert statuses(road, [f"{EVENTS}?ticket={one}"]) == [401]


def test_a_bearer_in_the_address_opens_nothing() -> None:
    road, token = gate()
    paths = [f"{EVENTS}?token={token}", f"{EVENTS}?ticket={token}", f"{EVENTS}?ticket="]
    assert statuses(road, paths) == [401, 401, 401]
    assert road.client.get(EVENTS).json == UNAUTHORIZED


def test_tickets_are_bounded_and_the_oldest_gives_way() -> None:
    road, token = gate()
    tickets = road.gateway.web.doorkeeper.tickets
    first = ticket(road, token)
    for _ in range(MOST_TICKETS):
        tickets.issue(Caller("ann", frozenset({Scope.READ}), "c"))
    assert statuses(road, [f"{EVENTS}?ticket={first}"]) == [401]


# --- the log


def logging_gate() -> tuple[MemoryGateway, str, LogTail]:
    tail = LogTail(lines=5)
    tail.is_fed = True
    road, token = gate(edges={"logs": tail})
    return road, token, tail


def test_the_log_is_told_from_its_last_lines_on() -> None:
    road, token, tail = logging_gate()
    for number in range(7):
        tail.add(f"line {number}", 1_800_000_000_000)
    stream = road.client.begin("GET", LOGS, token=token)
    assert [frame["line"] for frame in stream.events] == ["line 2", "line 3", "line 4", "line 5", "line 6"]
    assert stream.events[0] == {"type": "log", "line": "line 2", "timestamp": "2027-01-15T08:00:00.000+00:00"}
    tail.add("broke\n  | Traceback\n\n", 0)
    road.clock.advance(0.5)
    assert [frame["line"] for frame in stream.events][5:] == ["broke", "  | Traceback"]


def test_a_slow_reader_of_the_log_is_told_how_much_it_missed() -> None:
    road, token, tail = logging_gate()
    tail.add("first", 0)
    stream = road.client.begin("GET", LOGS, token=token)
    stream.pause()
    for number in range(9):
        tail.add(f"line {number}", 0)
        road.clock.advance(0.5)
    stream.resume()
    road.clock.advance(0.5)
    assert [frame.get("line", frame.get("missed")) for frame in stream.events] == ["first", 4, *[f"line {number}" for number in range(4, 9)]]


def test_a_log_that_is_elsewhere_says_so() -> None:
    road, token = gate(edges={"logs": LogTail()})
    [frame] = road.client.begin("GET", LOGS, token=token).events
    assert (frame["type"], sorted(frame)) == ("log_unavailable", ["line", "timestamp", "type"])


def test_so_many_read_the_log_at_once() -> None:
    road, token, _ = logging_gate()
    readers = [road.client.begin("GET", LOGS, token=token) for _ in range(MOST_READERS)]
    assert road.client.get(LOGS, token=token).status == 503
    for reader in readers:
        reader.leave()
    assert road.client.begin("GET", LOGS, token=token).response.status == 200
