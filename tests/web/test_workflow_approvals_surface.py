"""Workflows outside that ask a person (construct-realtime.md §3)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred

from clawgate.domain.caller import ALL_SCOPES, Caller, Scope
from clawgate.domain.workflow_approvals import AlreadyAnswered, Word, WorkflowApproval
from clawgate.services.workflow_approvals import MOST_KEPT, WorkflowApprovals
from clawgate.testing.gateway import MemoryGateway, Response
from tests.web.gate import device_of

SAY = "/api/channel-events"
LIST = "/api/workflows/approvals"
QUESTION: dict[str, object] = {
    "type": "human_approval_request",
    "run_id": "run-1",
    "step_id": "deploy",
    "workflow_name": "release",
    "channels": ["dashboard", "discord"],
    "content": {"title": "Approval Required: deploy", "message": "Ship it?"},
    "timeout": 60.0,
    "approve_keywords": ["ship"],
    "reject_keywords": ["halt"],
}


def say(road: MemoryGateway, **changes: object) -> Response:
    return road.client.post(SAY, QUESTION | changes, peer="127.0.0.1")


def answer(road: MemoryGateway, token: str, run_id: str = "run-1", **body: object) -> Response:
    return road.client.post(f"/api/workflows/runs/{run_id}/approve", body, token=token)


def listed(road: MemoryGateway, token: str, query: str = "") -> list[dict[str, Any]]:  # Any: JSON
    body = road.client.get(LIST + query, token=token).json
    assert body["count"] == len(body["approvals"])
    return list(body["approvals"])


def gate() -> tuple[MemoryGateway, str]:
    road = MemoryGateway()
    return road, road.pair()


def test_a_question_is_told_and_listed() -> None:
    road, token = gate()
    stream = road.client.begin("GET", "/api/events", token=token)
    assert (say(road).status, say(road, run_id="run-0", timeout=0).json) == (200, {"ok": True})
    told = [frame for frame in stream.events if frame.get("run_id") == "run-1"]
    assert [frame["type"] for frame in stream.events[:2]] == ["channel_event", "human_approval_request"]
    assert stream.events[0]["payload"] == QUESTION
    assert [{name: frame[name] for name in ("run_id", "step_id", "workflow_name", "title", "message")} for frame in told] == [
        {
            "run_id": "run-1",
            "step_id": "deploy",
            "workflow_name": "release",
            "title": "Approval Required: deploy",
            "message": "Ship it?",
        }
    ]
    first, second = sorted(listed(road, token), key=lambda one: str(one["run_id"]), reverse=True)
    assert (first["status"], first["approve_keywords"], first["expires_at"]) == ("open", ["ship"], "2027-01-15T08:01:00.000+00:00")
    assert (second["run_id"], second["expires_at"]) == ("run-0", None)


def test_any_json_is_passed_on() -> None:
    road, token = gate()
    stream = road.client.begin("GET", "/api/events", token=token)
    bodies: list[bytes] = [b'{"type":"agent.started","agentId":"a"}', b"null", b"[1]", b'"x"', b'{"type":"human_approval_request","run_id":1}']
    for body in bodies:
        heard = road.client.post(SAY, body, headers={"Content-Type": "application/json"}, peer="127.0.0.1")
        assert (heard.status, heard.json) == (200, {"ok": True})
    assert [frame["type"] for frame in stream.events] == ["channel_event"] * 5
    assert [frame["payload"] for frame in stream.events] == [msgspec.json.decode(body) for body in bodies]
    assert listed(road, token) == []


@pytest.mark.parametrize("body", [b"", b"{", b'"\\ud800"', b"[" * 30_000], ids=["nothing", "half", "surrogate", "deep"])
def test_what_cannot_be_passed_on_is_a_400(body: bytes) -> None:
    road, _ = gate()
    assert road.client.post(SAY, body, headers={"Content-Type": "application/json"}, peer="127.0.0.1").status == 400


def test_only_this_machine_may_ask() -> None:
    road, token = gate()
    refused = {"error": "channel-events only accepts localhost connections"}
    forwarded = road.client.post(SAY, QUESTION, peer="127.0.0.1", headers={"X-Forwarded-For": "203.0.113.7"})
    assert [(heard.status, heard.json) for heard in (road.client.post(SAY, QUESTION), forwarded)] == [(403, refused)] * 2
    assert listed(road, token) == []


WORDS: dict[str, tuple[dict[str, Any], str, bool, str]] = {  # Any: JSON
    "yes": ({"approved": True}, "Workflow approved", True, ""),
    "yes with feedback": ({"approved": True, "feedback": "well done"}, "Workflow approved", True, "well done"),
    "no": ({"approved": False, "feedback": None}, "Workflow rejected", False, ""),
    "reply": ({"reply": " SHIP it"}, "Workflow approved", True, ""),
    "reply with feedback": ({"reply": "Halt: no"}, "", False, ""),
    "rejecting reply": ({"reply": "Halt Not on Friday"}, "Workflow rejected", False, "Not on Friday"),
    "word before reply": ({"approved": False, "reply": "ship"}, "Workflow rejected", False, ""),
}


@pytest.mark.parametrize(("body", "message", "approved", "feedback"), WORDS.values(), ids=WORDS)
def test_a_word_resolves_the_question(body: dict[str, Any], message: str, approved: bool, feedback: str) -> None:  # Any: JSON
    road, token = gate()
    say(road)
    stream = road.client.begin("GET", "/api/events", token=token)
    got = answer(road, token, **body)
    if not message:
        assert (got.status, stream.events) == (400, [])
        return
    assert (got.status, got.json) == (200, {"status": "ok", "message": message, "run_id": "run-1", "approved": approved})
    [told] = stream.events
    assert (told["type"], told["run_id"], told["step_id"], told["approved"], told["feedback"]) == (
        "human_approval_resolved",
        "run-1",
        "deploy",
        approved,
        feedback,
    )
    assert listed(road, token) == []
    [kept] = listed(road, token, "?answered=true")
    assert (kept["status"], kept["answered_by"]) == ("approved" if approved else "rejected", device_of(road, token))


def test_the_second_answer_is_told_who_was_first() -> None:
    road, token = gate()
    first = device_of(road, token)
    say(road)
    assert answer(road, token, approved=False).status == 200
    second = answer(road, road.pair(), approved=True)
    assert (second.status, second.json) == (409, {"error": f"Already rejected by {first}", "approved": False, "answered_by": first})


def test_of_two_answers_at_once_one_counts() -> None:
    road, _ = gate()
    say(road)
    approvals = WorkflowApprovals(Slow(road), road.clock, road.gateway.events)
    callers = [Caller(name, ALL_SCOPES, "c") for name in ("ann", "bob")]
    outcomes: list[object] = []
    for caller, approved in zip(callers, (True, False), strict=True):
        Deferred.fromCoroutine(approvals.answer("run-1", Word(approved), caller)).addBoth(outcomes.append)
    road.clock.advance(10)
    won, lost = outcomes
    assert isinstance(won, WorkflowApproval)
    assert won.given is not None
    assert (won.given.principal, won.given.word) == ("ann", Word(True))
    failure: Any = lost  # a Failure of any type
    assert isinstance(failure.value, AlreadyAnswered)
    assert (failure.value.principal, failure.value.approved) == ("ann", True)
    assert [event.kind for event in road.gateway.events.recent()].count("human_approval_resolved") == 1


class Slow:
    """Facts that take a second each."""

    def __init__(self, road: MemoryGateway) -> None:
        self._road = road

    def __getattr__(self, name: str) -> Any:  # Any: every method of the port
        method = getattr(self._road.store.facts, name)

        def later(*arguments: object) -> Deferred[Any]:
            waited: Deferred[Any] = self._road.clock.sleep(1.0)
            return waited.addCallback(lambda _: method(*arguments))

        return later


@pytest.mark.parametrize("run_id", ["run-2", "run-1%20", "%F0%9F%91%8D"])
def test_a_run_that_does_not_ask_is_a_404(run_id: str) -> None:
    road, token = gate()
    say(road)
    assert [answer(road, token, run_id, **body).status for body in ({"approved": True}, {"reply": "ship"})] == [404, 404]


@pytest.mark.parametrize("body", [{}, {"approved": "yes"}, {"approved": None}, {"reply": 1}, {"approved": True, "feedback": 1}], ids=repr)
def test_a_word_of_another_shape_is_a_422(body: dict[str, Any]) -> None:  # Any: JSON
    road, token = gate()
    say(road)
    assert answer(road, token, **body).status == 422
    assert len(listed(road, token)) == 1


def test_a_question_ends_with_its_timeout() -> None:
    road, token = gate()
    say(road)
    road.clock.advance(61)
    assert listed(road, token) == []
    assert answer(road, token, approved=True).status == 404


def test_a_question_and_its_answer_survive_a_kill() -> None:
    road, token = gate()
    say(road)
    say(road, run_id="run-0")
    assert answer(road, token, "run-0", approved=True).status == 200
    again = road.restart(kill=True)
    assert [one["run_id"] for one in listed(again, token)] == ["run-1"]
    assert [answer(again, token, run, approved=True).status for run in ("run-0", "run-1")] == [409, 200]


def test_a_later_question_of_the_run_replaces_the_earlier() -> None:
    road, token = gate()
    say(road)
    assert answer(road, token, approved=True).status == 200
    say(road, step_id="announce")
    assert [one["step_id"] for one in listed(road, token)] == ["announce"]
    assert answer(road, token, approved=True).status == 200


def test_questions_are_bounded_and_answered_ones_give_way() -> None:
    road, token = gate()
    one = WorkflowApprovals(road.store.facts, road.clock, road.gateway.events)
    for number in range(MOST_KEPT):
        Deferred.fromCoroutine(one.heard(QUESTION | {"run_id": f"r{number}"}))
    road.pump()
    assert (say(road).status, say(road, run_id="r7").status) == (503, 200)
    assert answer(road, token, "r9", approved=True).status == 200
    assert say(road).status == 200
    assert len(listed(road, token, "?answered=true")) == MOST_KEPT


def test_answering_takes_the_scope_for_it() -> None:
    road, _ = gate()
    say(road)
    reader = road.pair(scopes=["read"])
    assert [road.client.get(LIST, token=reader).status, answer(road, reader, approved=True).status] == [403, 403]
    stream = road.client.begin("GET", "/api/events", token=reader)
    say(road, run_id="run-3")
    assert stream.events == []
    assert answer(road, road.pair(scopes=[Scope.APPROVE]), approved=True).status == 200
