"""`/triggers`: from a file of routes to the agent's answer. Source: rantaiclaw.md §3, §4, §8; design §4.2, §4.5, §4.15."""

from __future__ import annotations

import json
import os
from typing import Any

import msgspec
import pytest

from clawgate.domain.errors import AgentBadRequest
from clawgate.domain.messages import Attendance, TurnOptions
from clawgate.domain.settings.model import GatewaySettings, Settings
from clawgate.domain.turn import ToolCall
from clawgate.system.routesfile import MAX_BYTES, MOST_ROUTES, NAME
from clawgate.testing.agents import Hang, Pieces, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Response
from tests.web.gate import check_common

ROUTES: list[dict[str, Any]] = [  # Any: extra keys are part of the tests
    {"path": "/ci/done", "skill": "ci", "message": "Build of {repo} is {state}", "extra": 1},
    {"path": "über", "skill": "", "message": "plain"},
]


class Fixture:
    """A gateway with a file of routes and a full token."""

    def __init__(self, routes: object = ROUTES, agent: ScriptedAgent | None = None, settings: Settings | None = None) -> None:
        self.agent = agent or ScriptedAgent()
        self.gate = MemoryGateway(settings, agent=self.agent, start=False)
        self.file = self.gate.scratch.path / NAME
        if routes is not None:
            self.write(routes)
        self.gate.start()
        self.token = self.gate.pair()

    def write(self, routes: object) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_bytes(routes if isinstance(routes, bytes) else json.dumps(routes).encode())

    def rewrite(self, routes: object) -> None:
        before = self.file.stat().st_mtime_ns
        self.write(routes)
        os.utime(self.file, ns=(before + 10**9, before + 10**9))
        self.look()

    def look(self) -> None:
        for _ in range(5):
            self.gate.clock.advance(1)
            self.gate.pump()

    def post(self, path: str, body: Any = None, **options: Any) -> Response:  # Any: JSON, and what `begin` takes
        raw = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {**({"Content-Type": "application/json"} if raw else {}), **options.pop("headers", {})}
        answer = self.gate.client.post(path, raw, headers=headers, **{"token": self.token, **options})
        check_common(answer)
        return answer

    def asked(self) -> list[str]:
        return [prompt.question for prompt in self.agent.prompts]

    def component(self) -> Any:  # Any: JSON
        return self.gate.client.get("/health").json["runtime"]["components"].get("triggers")


def test_a_trigger_asks_the_agent_and_answers_with_skill_and_path() -> None:
    fixture = Fixture(agent=ScriptedAgent(["shipped"]))
    answer = fixture.post("/triggers/ci/done?repo=claw&repo=second", {"state": "green", "payload": {"b": 1, "a": "x"}})
    assert answer.status == 200
    assert answer.json == {"response": "shipped", "model": "scripted-1", "skill": "ci", "trigger_path": "ci/done"}
    assert fixture.asked() == ['[Webhook Trigger: ci] Build of claw is green\n\nPayload: {"a":"x","b":1}']


def test_a_trigger_tells_which_tools_its_answer_called() -> None:
    wish = Pieces((), (ToolCall("c1", "task_list", "{}"),), stop="tool_calls")
    answer = Fixture(agent=ScriptedAgent([wish, "none"])).post("/triggers/ci/done")
    assert answer.json["tool_calls"] == [{"toolCallId": "tc_0", "toolName": "task_list", "input": {}, "output": "[]"}]


@pytest.mark.parametrize(("body", "kind"), [(None, ""), (b"{", "application/json"), (b'{"state":"x"}', "text/plain"), (b"null", "application/json")])
def test_whatever_is_no_json_object_is_no_payload(body: bytes | None, kind: str) -> None:
    fixture = Fixture()
    assert fixture.post("/triggers/ci/done", body, headers={"Content-Type": kind} if kind else {}).status == 200
    assert fixture.asked() == ["[Webhook Trigger: ci] Build of {repo} is {state}"]


def test_an_encoded_path_is_decoded_and_an_empty_skill_is_kept() -> None:
    assert Fixture().post("/triggers/%C3%BCber").json["trigger_path"] == "über"


@pytest.mark.parametrize("path", ["ci", "ci/done/", "CI/done", "%2Aci"])
def test_an_unknown_trigger_is_a_404_that_lists_the_routes(path: str) -> None:
    answer = Fixture().post(f"/triggers/{path}")
    shown = path.replace("%2A", "*")
    assert answer.status == 404
    assert answer.json == {"error": f"No trigger route registered for path: {shown}", "available_routes": ["/ci/done", "über"]}


@pytest.mark.parametrize("path", ["/triggers", "/triggers/"])
def test_the_bare_path_is_no_trigger(path: str) -> None:
    assert Fixture().post(path).json == {"error": "Not found"}


def test_a_stranger_learns_no_route() -> None:
    fixture = Fixture()
    for path in ("/triggers/ci/done", "/triggers/no"):
        answer = fixture.post(path, token=None)
        assert (answer.status, answer.json) == (401, {"error": "Unauthorized — pair first via POST /pair"})
    assert fixture.asked() == []


def test_triggers_share_the_webhook_limit_in_their_own_words() -> None:
    fixture = Fixture(settings=Settings(gateway=GatewaySettings(webhook_rate_limit_per_minute=1)))
    assert fixture.post("/triggers/ci/done").status == 200
    refused = fixture.post("/triggers/ci/done", token=None)
    assert (refused.status, refused.json) == (429, {"error": "Too many trigger requests. Please retry later.", "retry_after": 60})
    assert refused.headers["retry-after"] == "60"


def test_a_failed_trigger_is_a_500_in_its_own_words() -> None:
    answer = Fixture(agent=ScriptedAgent([AgentBadRequest("no")])).post("/triggers/ci/done")
    assert (answer.status, answer.json) == (500, {"error": "Trigger execution failed"})


def test_a_prompt_that_would_grow_too_long_is_a_413() -> None:
    routes = [{"path": "x", "skill": "s", "message": "{v}" * 200}]
    assert Fixture(routes).post("/triggers/x", {"v": "x" * 10_000}).status == 413


def test_a_trigger_can_be_promised_an_outcome() -> None:
    fixture = Fixture()
    answer = fixture.post("/triggers/ci/done", headers={"Prefer": "respond-async"})
    assert answer.status == 202
    item = fixture.gate.client.get(answer.headers["location"], token=fixture.token).json
    assert (item["source"], item["conversation"], item["message"]) == ("trigger", None, "[Webhook Trigger: ci] Build of {repo} is {state}")


def test_a_trigger_that_outlasts_the_wait_is_a_408_with_its_place() -> None:
    fixture = Fixture(agent=ScriptedAgent([Hang()]))
    pending = fixture.gate.client.begin("POST", "/triggers/ci/done", token=fixture.token)
    fixture.gate.clock.advance(GatewaySettings().request_timeout_secs)
    fixture.gate.pump()
    assert (pending.response.status, pending.response.headers["location"]) == (408, "/api/inbox/0000000000000001")


def test_a_trigger_runs_once_for_a_key_of_its_caller_and_path() -> None:
    fixture = Fixture(agent=ScriptedAgent(["first", "second", "third"]))
    key, other = {"X-Idempotency-Key": "k"}, fixture.gate.pair()
    first, again = (fixture.post("/triggers/ci/done", headers=key).json for _ in range(2))
    assert (first["response"], again["response"], again["status"], again["trigger_path"]) == ("first", "first", "duplicate", "ci/done")
    assert fixture.post("/triggers/%C3%BCber", headers=key).json["response"] == "second"
    assert fixture.post("/triggers/ci/done", headers=key, token=other).json["response"] == "third"


def test_a_trigger_names_its_skill_and_nobody_to_ask() -> None:
    fixture = Fixture(agent=ScriptedAgent([Hang()]))
    fixture.post("/triggers/ci/done", headers={"Prefer": "respond-async"})
    found: list[TurnOptions | None] = []
    fixture.gate.store.inbox.get("0000000000000001").addCallback(lambda item: found.append(item and item.options))
    assert found == [TurnOptions(skill="ci", attendance=Attendance.NOBODY)]


# --- the file


def test_no_file_means_no_routes_and_no_component() -> None:
    fixture = Fixture(None)
    assert fixture.post("/triggers/x").json["available_routes"] == []
    assert fixture.component() is None


BAD: list[bytes] = [
    b"{",
    b"{}",
    b'[{"path":"x","skill":"s"}]',
    b'[{"path":"x","skill":"s","message":"m"},{"path":1,"skill":"s","message":"m"}]',
    b'[{"path":"//","skill":"s","message":"m"}]',
    b'[{"path":"x","skill":"s","message":"\\ud800"}]',
    b"\xff",
    b"[" * 100_000,
    b" " * (MAX_BYTES + 1),
    json.dumps([{"path": "x", "skill": "s", "message": "m"}] * (MOST_ROUTES + 1)).encode(),
]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_a_bad_file_of_routes_keeps_the_last_good_ones_and_says_so(bad: bytes) -> None:
    fixture = Fixture()
    assert fixture.component()["status"] == "ok"
    fixture.rewrite(bad)
    assert fixture.post("/triggers/ci/done").status == 200
    assert fixture.component()["status"] == "error"
    fixture.rewrite([ROUTES[1]])
    assert fixture.component()["status"] == "ok"
    assert fixture.post("/triggers/ci/done").json["available_routes"] == ["über"]


def test_a_file_of_routes_is_read_again_when_it_changes_and_when_it_goes() -> None:
    fixture = Fixture(None)
    fixture.write(ROUTES)
    fixture.look()
    assert fixture.post("/triggers/ci/done").status == 200
    fixture.file.unlink()
    fixture.look()
    assert (fixture.post("/triggers/ci/done").status, fixture.component()) == (404, None)


def test_a_bad_file_of_routes_at_the_start_is_no_routes_and_no_end() -> None:
    fixture = Fixture(b"{")
    assert fixture.post("/triggers/ci/done").json["available_routes"] == []
    assert fixture.component()["status"] == "error"


def test_a_pipe_in_the_place_of_the_file_holds_up_nothing() -> None:
    fixture = Fixture(None)
    fixture.file.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(fixture.file)
    fixture.look()
    assert fixture.component()["status"] == "error"
