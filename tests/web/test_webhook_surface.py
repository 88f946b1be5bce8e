"""`POST /webhook`: order of checks, bodies, idempotency, waiting, leaving, sessions.

Source: zeroclaw.md A1.8, A3 (/webhook), A6, B1; rantaiclaw.md §4, §6, §20.2–20.3; design §1, §4.4–4.6, §4.15; advisories.md (GHSA-4h79-3q73-c7gg: twins).
"""

from __future__ import annotations

import tracemalloc

import msgspec
import pytest
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from clawgate.domain.errors import AgentBadRequest, AgentOverloaded
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import ChannelsSettings, MemorySettings, Settings, WebhookChannel
from clawgate.domain.turn import Role
from clawgate.testing.agents import Hang, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Pending, Response
from tests.web.gate import ODD_BODIES, check_common, gateway, unlimited, with_gateway

UNAUTHORIZED = {"error": "Unauthorized — pair first via POST /pair, then send Authorization: Bearer <token>"}
BAD_SECRET = {"error": "Unauthorized — invalid or missing X-Webhook-Secret header"}
BAD_BODY = {"error": 'Invalid JSON body. Expected: {"message": "..."}'}
DUPLICATE = {"status": "duplicate", "idempotent": True, "message": "Request already processed for this idempotency key"}
ASYNC = {"Prefer": "respond-async"}
JSON = {"Content-Type": "application/json"}


class Caller:
    """A paired client of one gateway."""

    def __init__(self, gate: MemoryGateway, token: str | None = None) -> None:
        self.gate, self.token = gate, token if token is not None else gate.pair()

    def begin(self, text: str = "hi", **headers: str) -> Pending:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.gate.client.begin("POST", "/webhook", {"message": text}, token=self.token, headers=named)

    def ask(self, text: str = "hi", **headers: str) -> Response:
        answer = self.begin(text, **headers).response
        check_common(answer)
        return answer

    def raw(self, body: bytes, **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.gate.client.post("/webhook", body, token=self.token, headers=named)
        check_common(answer)
        return answer

    def show(self, address: str) -> dict[str, object]:
        answer = self.gate.client.get(address, token=self.token)
        assert answer.status == 200
        return dict(answer.json)


def held() -> tuple[MemoryGateway, ScriptedAgent]:
    """A gateway whose agent waits to be released."""
    agent = ScriptedAgent(is_held=True)
    return MemoryGateway(agent=agent), agent


def with_secret(secret: str, **changes: object) -> MemoryGateway:
    settings = Settings(channels_config=ChannelsSettings(webhook=WebhookChannel(secret=Secret(secret))))
    return MemoryGateway(with_gateway(settings, **changes))


# --- the answer --------------------------------------------------------------------------------------------------------------------------


def test_answer_is_the_response_and_the_model() -> None:
    agent = ScriptedAgent(["Hällo — “you”"])
    answer = Caller(MemoryGateway(agent=agent)).ask()
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.body == '{"model":"scripted-1","response":"Hällo — “you”"}'.encode()


def test_configured_model_is_the_one_that_is_named() -> None:
    answer = Caller(MemoryGateway(Settings(default_model="house/model"))).ask()
    assert answer.json["model"] == "house/model"


def test_message_reaches_the_agent_untouched() -> None:
    agent = ScriptedAgent()
    caller = Caller(MemoryGateway(agent=agent))
    for text in ("", "  \n", "a\x00b", "🦀 é", "x" * 60_000):
        assert caller.ask(text).status == 200
        assert agent.prompts[-1].lines[-1].text == text


def test_agent_that_gives_up_is_a_500_that_tells_nothing() -> None:
    for problem in (AgentBadRequest("sk-secret", detail="sk-secret"), AgentOverloaded("busy")):
        answer = Caller(MemoryGateway(agent=ScriptedAgent([problem]))).ask()
        assert (answer.status, answer.json) == (500, {"error": "LLM request failed"})


def test_incoming_message_is_remembered_under_a_key_of_its_own() -> None:
    gate = MemoryGateway()
    caller = Caller(gate)
    caller.ask("one")
    caller.ask("two")
    found: list[list[str]] = []
    gate.store.memory.find("", 10).addCallback(lambda entries: found.append([f"{entry.key[:12]} {entry.content}" for entry in entries]))
    assert sorted(found[0]) == ["webhook_msg_ one", "webhook_msg_ two"]


def test_nothing_is_remembered_when_auto_save_is_off() -> None:
    gate = MemoryGateway(Settings(memory=MemorySettings(auto_save=False)))
    Caller(gate).ask("one")
    found: list[int] = []
    gate.store.memory.find("", 10).addCallback(lambda entries: found.append(len(entries)))
    assert found == [0]


def test_a_turn_moves_the_metrics() -> None:
    gate = MemoryGateway(agent=ScriptedAgent(["a", AgentBadRequest("no")]))
    caller = Caller(gate)
    caller.ask()
    caller.ask()
    text = gate.client.get("/metrics").body.decode()
    for line in (
        'clawgate_agent_starts_total{model="scripted-1",provider="scripted"} 2.0',
        'clawgate_llm_requests_total{model="scripted-1",provider="scripted"} 1.0',
        'clawgate_errors_total{component="gateway"} 1.0',
        "clawgate_request_latency_seconds_count 2.0",
    ):
        assert line in text


# --- order of checks -----------------------------------------------------------------------------------------------------------------------


def test_checks_come_in_the_published_order() -> None:
    """Each request has everything wrong from some check on: the first wrong thing is what is told, and no earlier one is looked at later."""
    gate = with_secret("s3cret", webhook_rate_limit_per_minute=5)
    caller = Caller(gate)
    told = [
        gate.client.post("/webhook", b"{", token="wrong"),
        caller.raw(b"{"),
        caller.raw(b"{", X_Webhook_Secret="s3cret", **JSON),
        caller.raw(b'{"message":"hi"}', X_Webhook_Secret="s3cret", X_Idempotency_Key="k", **JSON),
        caller.raw(b'{"message":"hi"}', X_Webhook_Secret="s3cret", X_Idempotency_Key="k", **JSON),
        gate.client.post("/webhook", b"{", token="wrong"),
    ]
    assert [answer.status for answer in told] == [401, 401, 400, 200, 200, 429]
    assert [told[0].json, told[1].json, told[2].json] == [UNAUTHORIZED, BAD_SECRET, BAD_BODY]
    assert told[4].json["status"] == "duplicate"
    assert told[5].json == {"error": "Too many webhook requests. Please retry later.", "retry_after": 60}
    assert told[5].headers["retry-after"] == "60"
    assert gate.agent.calls == 1  # type: ignore[attr-defined]  # the scripted one


def test_limit_counts_accepted_requests_of_one_client() -> None:
    gate = gateway(webhook_rate_limit_per_minute=2)
    caller = Caller(gate)
    assert [caller.ask().status for _ in range(3)] == [200, 200, 429]
    elsewhere = gate.client.post("/webhook", {"message": "hi"}, token=caller.token, peer="198.51.100.1")
    assert elsewhere.status == 200
    gate.clock.advance(60)
    assert caller.ask().status == 200


def test_pair_and_webhook_limits_are_independent() -> None:
    gate = gateway(webhook_rate_limit_per_minute=1)
    caller = Caller(gate)
    assert [caller.ask().status, caller.ask().status, gate.client.post("/pair").status] == [200, 429, 403]


def test_webhook_secret_is_trimmed_on_both_sides_and_compared_as_a_whole() -> None:
    gate = with_secret(" s3cret\n")
    caller = Caller(gate)
    assert caller.ask(X_Webhook_Secret=" s3cret ").status == 200
    for wrong in ("S3CRET", "s3cre", "s3crets", "", " ", "wrong"):
        answer = caller.ask(X_Webhook_Secret=wrong)
        assert (answer.status, answer.json) == (401, BAD_SECRET)
    assert caller.ask().json == BAD_SECRET
    assert gate.agent.calls == 1  # type: ignore[attr-defined]  # the scripted one


def test_blank_webhook_secret_is_no_secret() -> None:
    assert Caller(with_secret("  ")).ask().status == 200


def test_secret_is_asked_for_with_pairing_off_too() -> None:
    gate = with_secret("s3cret", require_pairing=False)
    assert gate.client.post("/webhook", {"message": "hi"}).json == BAD_SECRET
    assert gate.client.post("/webhook", {"message": "hi"}, headers={"X-Webhook-Secret": "s3cret"}).status == 200


def test_any_or_no_token_will_do_with_pairing_off() -> None:
    gate = gateway(require_pairing=False)
    assert [gate.client.post("/webhook", {"message": "hi"}, token=token).status for token in (None, "", "x")] == [200] * 3


# --- bodies --------------------------------------------------------------------------------------------------------------------------------


ACCEPTED = (b'{"message":"hi"}', b' {"x":[1,{"y":null}],"message":"hi"}\n', b'{"message":"","message2":"a"}')


@pytest.mark.parametrize("body", ODD_BODIES, ids=lambda body: body[:40].decode("latin-1"))
def test_body_that_is_no_message_is_a_400(body: bytes) -> None:
    caller = Caller(MemoryGateway())
    answer = caller.raw(body, X_Idempotency_Key="k", **JSON)
    assert (answer.status, answer.json) == (400, BAD_BODY)
    assert caller.ask(X_Idempotency_Key="k").json == {"model": "scripted-1", "response": "ok"}


def test_refused_body_is_one_line_in_the_log_that_says_why_and_shows_nothing_of_it() -> None:
    caller = Caller(MemoryGateway())
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        caller.raw(b'{"message": 7, "canary": "words of a stranger"}', **JSON)
    finally:
        globalLogPublisher.removeObserver(events.append)
    [line] = [formatEvent(event) for event in events]
    assert " POST /webhook 400 " in line and line.endswith("Expected `str`, got `int` - at `$.message`")


@pytest.mark.parametrize("body", ACCEPTED)
def test_unknown_fields_are_ignored(body: bytes) -> None:
    assert Caller(MemoryGateway()).raw(body, **JSON).status == 200


def test_words_of_the_body_that_look_like_a_second_field_are_no_second_field() -> None:
    agent = ScriptedAgent()
    caller = Caller(MemoryGateway(agent=agent))
    text = 'say "message" and \\"message\\" and "message":"x"'
    assert caller.ask(text).status == 200
    assert caller.raw(b'{"a":{"message":1,"message":2},"message":"hi \\u00e9"}', **JSON).status == 200
    assert [prompt.lines[-1].text for prompt in agent.prompts] == [text, "hi é"]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/cloudevents+json", 200),
        ("application/json;", 200),
        ("", 400),
        ("text/json", 400),
        ("text/plain", 400),
        ("application/x-www-form-urlencoded", 400),
        ("multipart/form-data; boundary=x", 400),
        ("application/jsonp", 400),
        ("json", 400),
    ],
)
def test_content_type_decides_once(content_type: str, status: int) -> None:
    answer = Caller(MemoryGateway()).raw(b'{"message":"hi","files":[{"filepath":"/etc/passwd"}]}', Content_Type=content_type)
    assert answer.status == status


def test_missing_content_type_is_a_400() -> None:
    assert Caller(MemoryGateway()).raw(b'{"message":"hi"}').json == BAD_BODY


def test_claims_about_oneself_in_the_body_have_no_effect() -> None:
    gate = MemoryGateway()
    narrow = gate.pair(scopes=["read"])
    answer = gate.client.post("/webhook", {"message": "hi", "admin": True, "role": "owner", "scopes": ["chat"]}, token=narrow)
    assert (answer.status, gate.agent.calls) == (403, 0)  # type: ignore[attr-defined]  # the scripted one


# --- idempotency -----------------------------------------------------------------------------------------------------------------------


def test_replay_of_finished_work_has_the_duplicate_fields_and_the_outcome() -> None:
    agent = ScriptedAgent(["first", "second"])
    caller = Caller(MemoryGateway(agent=agent))
    assert caller.ask(X_Idempotency_Key="k").json == {"response": "first", "model": "scripted-1"}
    again = caller.ask("another body", X_Idempotency_Key=" k ")
    assert (again.status, again.json) == (200, {**DUPLICATE, "response": "first", "model": "scripted-1"})
    assert agent.calls == 1


@pytest.mark.parametrize("key", ["", " ", "\t"])
def test_blank_key_is_no_key(key: str) -> None:
    agent = ScriptedAgent()
    caller = Caller(MemoryGateway(agent=agent))
    for _ in range(2):
        assert "status" not in caller.ask(X_Idempotency_Key=key).json
    assert agent.calls == 2


def test_twins_wait_for_one_turn_and_get_the_same() -> None:
    gate, agent = held()
    caller = Caller(gate)
    twins = [caller.begin(X_Idempotency_Key="k") for _ in range(3)]
    assert [twin.is_answered for twin in twins] == [False] * 3
    agent.release()
    gate.pump()
    assert [twin.response.status for twin in twins] == [200] * 3
    assert {twin.response.json["response"] for twin in twins} == {"ok"}
    assert [twin.response.json.get("status") for twin in twins] == [None, "duplicate", "duplicate"]
    assert agent.calls == 1


def test_twins_of_work_that_fails_are_told_so_and_the_key_is_free() -> None:
    agent = ScriptedAgent([AgentBadRequest("no"), "second"], is_held=True)
    gate = MemoryGateway(agent=agent)
    caller = Caller(gate)
    twins = [caller.begin(X_Idempotency_Key="k") for _ in range(2)]
    agent.release()
    gate.pump()
    assert [twin.response.status for twin in twins] == [500, 500]
    agent.is_held = False
    assert caller.ask(X_Idempotency_Key="k").json == {"response": "second", "model": "scripted-1"}


def test_key_is_bound_to_its_caller() -> None:
    agent = ScriptedAgent(["for ann", "for bob"])
    gate = MemoryGateway(agent=agent)
    ann, bob = Caller(gate), Caller(gate)
    assert ann.ask(X_Idempotency_Key="k").json["response"] == "for ann"
    assert bob.ask(X_Idempotency_Key="k").json == {"response": "for bob", "model": "scripted-1"}


def test_key_is_forgotten_after_its_time() -> None:
    agent = ScriptedAgent()
    gate = MemoryGateway(with_gateway(Settings(), idempotency_ttl_secs=300), agent=agent)
    caller = Caller(gate)
    caller.ask(X_Idempotency_Key="k")
    gate.clock.advance(299)
    assert caller.ask(X_Idempotency_Key="k").json["status"] == "duplicate"
    gate.clock.advance(1)
    assert "status" not in caller.ask(X_Idempotency_Key="k").json
    assert agent.calls == 2


def test_finished_key_survives_a_restart() -> None:
    gate = MemoryGateway(agent=ScriptedAgent(["first", "second"]))
    caller = Caller(gate)
    caller.ask(X_Idempotency_Key="k")
    after = Caller(gate.restart(kill=True), caller.token)
    assert after.ask(X_Idempotency_Key="k").json == {**DUPLICATE, "response": "first", "model": "scripted-1"}


def test_running_key_survives_a_kill_and_its_replay_gets_the_outcome() -> None:
    gate, agent = held()
    caller = Caller(gate)
    caller.begin(X_Idempotency_Key="k")
    agent.is_held = False
    after = Caller(gate.restart(kill=True), caller.token)
    replay = after.ask(X_Idempotency_Key="k")
    assert (replay.status, replay.json["response"], replay.json["status"]) == (200, "ok", "duplicate")


def test_very_long_key_is_a_key() -> None:
    agent = ScriptedAgent()
    caller = Caller(MemoryGateway(agent=agent))
    for key in ("k" * 8000, "k" * 8000, "k" * 7999 + "l"):
        assert caller.ask(X_Idempotency_Key=key).status == 200
    assert agent.calls == 2


def test_bad_body_and_bad_token_use_up_no_key() -> None:
    gate = MemoryGateway()
    caller = Caller(gate)
    gate.client.post("/webhook", {"message": "hi"}, token="wrong", headers={"X-Idempotency-Key": "k"})
    caller.raw(b"{", X_Idempotency_Key="k", **JSON)
    assert "status" not in caller.ask(X_Idempotency_Key="k").json


def test_key_of_a_script_cannot_claim_a_platforms_message_id() -> None:
    """rantaiclaw.md §20.2: upstream keeps both in one map."""
    gate = MemoryGateway()
    caller = Caller(gate)
    for key in ("whatsapp:wamid.1", "channel:whatsapp wamid.1", "wamid.1"):
        assert "status" not in caller.ask(X_Idempotency_Key=key).json


# --- waiting too long, not waiting ------------------------------------------------------------------------------------------------------------


def test_turn_that_outlasts_the_wait_is_not_cut() -> None:
    gate, agent = held()
    caller = Caller(gate)
    waiting = caller.begin()
    gate.clock.advance(29.9)
    assert not waiting.is_answered
    gate.clock.advance(0.2)
    gate.pump()
    answer = waiting.response
    check_common(answer)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (408, b"", "text/plain; charset=utf-8")
    location = answer.headers["location"]
    assert caller.show(location)["status"] == "running"
    agent.release()
    gate.pump()
    shown = caller.show(location)
    assert (shown["status"], shown["response"], shown["model"]) == ("done", "ok", "scripted-1")


def test_who_waits_holds_nothing_of_what_was_sent_but_the_message() -> None:
    gate, agent = held()
    caller, count = Caller(gate), 20
    body = b'{"message":"hi","more":"%b"}' % (b"x" * 60_000)
    tracemalloc.start()
    try:
        waiting = [gate.client.begin("POST", "/webhook", body, token=caller.token, headers=JSON) for _ in range(count)]
        held_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held_bytes < count * len(body) / 3
    agent.release()
    assert [begun.response.status for begun in waiting] == [200] * count


def test_wait_is_the_configured_one() -> None:
    gate = MemoryGateway(with_gateway(Settings(), request_timeout_secs=5), agent=ScriptedAgent([Hang()]))
    waiting = Caller(gate).begin()
    gate.clock.advance(5.1)
    gate.pump()
    assert waiting.response.status == 408


def test_what_timed_out_is_promised_and_so_tried_again_after_a_failure() -> None:
    agent = ScriptedAgent([AgentOverloaded("busy"), "second"], is_held=True)
    gate = MemoryGateway(agent=agent)
    caller = Caller(gate)
    waiting = caller.begin()
    gate.clock.advance(31)
    gate.pump()
    agent.is_held = False
    agent.release()
    gate.clock.advance(30)
    gate.pump()
    assert caller.show(waiting.response.headers["location"])["response"] == "second"


def test_async_request_is_promised_and_told_where_to_look() -> None:
    gate, agent = held()
    caller = Caller(gate)
    answer = caller.ask(**ASYNC)
    url = answer.headers["location"]
    assert (answer.status, answer.json) == (202, {"id": url.rpartition("/")[2], "status": "accepted", "status_url": url})
    assert caller.show(url)["status"] == "running"
    agent.release()
    gate.pump()
    assert caller.show(url)["response"] == "ok"


@pytest.mark.parametrize(
    ("prefer", "status"),
    [
        ("respond-async", 202),
        ("Respond-Async", 202),
        ("wait=10, respond-async", 202),
        ("respond-async; foo=bar", 202),
        ("respond-asynchronously", 200),
        ("", 200),
    ],
)
def test_preference_is_read_as_rfc_7240_has_it(prefer: str, status: int) -> None:
    assert Caller(MemoryGateway()).ask(Prefer=prefer).status == status


def test_async_failure_ends_where_it_can_be_read() -> None:
    caller = Caller(MemoryGateway(agent=ScriptedAgent([AgentBadRequest("no")])))
    shown = caller.show(caller.ask(**ASYNC).headers["location"])
    assert (shown["status"], shown["response"], shown["error"]) == ("dead", None, "bad_request")


def test_replay_of_an_async_key_points_at_the_same_item_until_it_is_done() -> None:
    gate, agent = held()
    caller = Caller(gate)
    first, second = (caller.ask(X_Idempotency_Key="k", **ASYNC) for _ in range(2))
    assert (second.status, second.json) == (202, first.json)
    waiting = caller.begin(X_Idempotency_Key="k")
    assert not waiting.is_answered
    agent.release()
    gate.pump()
    done = {**DUPLICATE, "response": "ok", "model": "scripted-1"}
    assert [waiting.response.json, caller.ask(X_Idempotency_Key="k", **ASYNC).json] == [done, done]
    assert agent.calls == 1


def test_202_is_on_disk() -> None:
    gate, agent = held()
    caller = Caller(gate)
    url = caller.ask(**ASYNC).headers["location"]
    agent.is_held = False
    after = Caller(gate.restart(kill=True), caller.token)
    assert after.show(url)["response"] == "ok"


def test_nothing_is_said_before_the_commit() -> None:
    gate = MemoryGateway()
    caller = Caller(gate)
    gate.store.hold_writes()
    waiting = caller.begin(**ASYNC)
    assert not waiting.is_answered
    gate.store.release_writes()
    gate.pump()
    assert waiting.response.status == 202


# --- refusing ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"X_Idempotency_Key": "k"}, ASYNC, {"X_Session_Id": "s"}])
def test_store_that_refuses_is_a_503_and_never_a_2xx(headers: dict[str, str]) -> None:
    gate = MemoryGateway()
    caller = Caller(gate)
    caller.ask()
    gate.store.break_writes("disk full")
    answer = caller.ask(**headers)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.json == {"error": "Service temporarily unavailable. Please retry later.", "retry_after": 5}
    gate.store.break_writes("")
    gate.clock.advance(5)
    assert caller.ask(**headers).status in (200, 202)


def test_outcome_that_cannot_be_committed_is_never_answered_as_if_it_were() -> None:
    gate, agent = held()
    caller = Caller(gate)
    waiting = caller.begin()
    gate.store.break_writes("disk full")
    agent.release()
    gate.pump()
    assert waiting.response.status == 503


def test_full_inbox_is_a_503() -> None:
    settings = msgspec.structs.replace(Settings(), inbox=msgspec.structs.replace(Settings().inbox, high_water=2))
    gate = MemoryGateway(settings, agent=ScriptedAgent([Hang()]))
    caller = Caller(gate)
    statuses = [caller.ask(**ASYNC).status for _ in range(3)]
    assert statuses == [202, 202, 503]


def test_too_many_waiting_callers_are_a_503() -> None:
    settings = msgspec.structs.replace(Settings(), inbox=msgspec.structs.replace(Settings().inbox, max_waiters=1))
    caller = Caller(MemoryGateway(settings, agent=ScriptedAgent([Hang()])))
    waiting = caller.begin()
    answer = caller.ask()
    assert (waiting.is_answered, answer.status, answer.headers["retry-after"]) == (False, 503, "5")


def test_draining_gateway_takes_nothing_and_finishes_what_runs() -> None:
    gate, agent = held()
    caller = Caller(gate)
    waiting = caller.begin()
    gate.stop()
    gate.pump()
    refused = caller.ask()
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    agent.release()
    gate.clock.advance(1)
    assert waiting.response.json["response"] == "ok"


def test_drain_that_takes_too_long_is_a_503_and_a_keyed_item_goes_on_afterwards() -> None:
    gate, agent = held()
    caller = Caller(gate)
    keyed, unkeyed = caller.begin(X_Idempotency_Key="k"), caller.begin()
    gate.stop()
    gate.clock.advance(30)
    assert [keyed.response.status, unkeyed.response.status] == [503, 503]
    agent.is_held = False
    after = Caller(gate.restart(), caller.token)
    assert after.ask(X_Idempotency_Key="k").json["status"] == "duplicate"
    assert states(after) == ["done", "dropped"]


def states(caller: Caller) -> list[str]:
    """States of everything in the inbox, oldest first."""
    items = caller.gate.client.get("/api/inbox", token=caller.token).json["items"]
    return [item["status"] for item in reversed(items)]


# --- leaving --------------------------------------------------------------------------------------------------------------------------------


def test_client_that_leaves_takes_its_turn_along() -> None:
    gate, agent = held()
    caller = Caller(gate)
    caller.begin().leave()
    assert (agent.cancelled, agent.running, states(caller)) == (1, 0, ["dropped"])


def test_client_that_leaves_with_a_key_is_expected_back() -> None:
    gate, agent = held()
    caller = Caller(gate)
    caller.begin(X_Idempotency_Key="k").leave()
    assert (agent.cancelled, agent.running) == (0, 1)
    agent.release()
    gate.pump()
    assert caller.ask(X_Idempotency_Key="k").json == {**DUPLICATE, "response": "ok", "model": "scripted-1"}


def test_twin_that_leaves_takes_nothing_along() -> None:
    gate, agent = held()
    caller = Caller(gate)
    first, second = caller.begin(X_Idempotency_Key="k"), caller.begin(X_Idempotency_Key="k")
    second.leave()
    agent.release()
    gate.pump()
    assert first.response.status == 200


def test_client_that_leaves_during_the_commit_of_an_async_request_has_it_run() -> None:
    gate = MemoryGateway()
    caller = Caller(gate)
    gate.store.hold_writes()
    caller.begin(**ASYNC).leave()
    gate.store.release_writes()
    gate.clock.advance(1)
    assert states(caller) == ["done"]


def test_client_that_leaves_during_the_commit_of_an_unkeyed_one_has_it_dropped() -> None:
    gate, agent = held()
    caller = Caller(gate)
    gate.store.hold_writes()
    caller.begin(X_Session_Id="s").leave()
    gate.store.release_writes()
    gate.clock.advance(1)
    assert (states(caller), agent.running) == (["dropped"], 0)


# --- conversations ----------------------------------------------------------------------------------------------------------------------


def lines(agent: ScriptedAgent) -> list[list[str]]:
    """What the agent was shown, call by call."""
    return [[f"{line.role}:{line.text}" for line in prompt.lines] for prompt in agent.prompts]


def test_session_sends_its_history_in_order() -> None:
    agent = ScriptedAgent(["A1", "A2", "A3"])
    caller = Caller(MemoryGateway(agent=agent))
    for text in ("Q1", "Q2", "Q3"):
        caller.ask(text, X_Session_Id="s")
    assert lines(agent)[2] == [f"{Role.USER}:Q1", f"{Role.ASSISTANT}:A1", f"{Role.USER}:Q2", f"{Role.ASSISTANT}:A2", f"{Role.USER}:Q3"]


def test_session_may_stand_in_the_body_and_the_header_wins() -> None:
    agent = ScriptedAgent()
    caller = Caller(MemoryGateway(agent=agent))
    caller.raw(b'{"message":"Q1","session_id":"s"}', **JSON)
    caller.ask("Q2", X_Session_Id="s")
    caller.raw(b'{"message":"Q3","session_id":"s"}', X_Session_Id="t", **JSON)
    assert [len(shown) for shown in lines(agent)] == [1, 3, 1]


def test_without_a_session_each_request_stands_alone() -> None:
    agent = ScriptedAgent()
    caller = Caller(MemoryGateway(agent=agent))
    for _ in range(3):
        caller.ask()
    assert [len(shown) for shown in lines(agent)] == [1, 1, 1]


@pytest.mark.parametrize("session", ["", "a b", "a/b", "ä", "x" * 129, "a:b", "../x", "a\tb"])
def test_session_of_another_form_is_ignored(session: str) -> None:
    agent = ScriptedAgent()
    caller = Caller(MemoryGateway(agent=agent))
    for _ in range(2):
        caller.ask(X_Session_Id=session)
    assert [len(shown) for shown in lines(agent)] == [1, 1]


def test_sessions_of_one_name_belong_each_to_its_token() -> None:
    agent = ScriptedAgent()
    gate = MemoryGateway(agent=agent)
    ann, bob = Caller(gate), Caller(gate)
    ann.ask("secret", X_Session_Id="s")
    bob.ask("what was said?", X_Session_Id="s")
    assert lines(agent)[1] == [f"{Role.USER}:what was said?"]


def test_one_session_runs_one_turn_at_a_time_and_others_beside_it() -> None:
    gate, agent = held()
    caller = Caller(gate)
    first, second = caller.begin("Q1", X_Session_Id="s"), caller.begin("Q2", X_Session_Id="s")
    caller.begin("Q3", X_Session_Id="t")
    caller.begin("Q4")
    gate.clock.advance(1)
    assert sorted(shown[-1] for shown in lines(agent)) == [f"{Role.USER}:Q1", f"{Role.USER}:Q3", f"{Role.USER}:Q4"]
    agent.release()
    gate.clock.advance(1)
    assert (first.is_answered, second.is_answered) == (True, False)
    assert lines(agent)[-1] == [f"{Role.USER}:Q1", f"{Role.ASSISTANT}:ok", f"{Role.USER}:Q2"]


def test_history_survives_a_restart() -> None:
    agent = ScriptedAgent()
    gate = MemoryGateway(agent=agent)
    caller = Caller(gate)
    caller.ask("Q1", X_Session_Id="s")
    Caller(gate.restart(kill=True), caller.token).ask("Q2", X_Session_Id="s")
    assert lines(agent)[1] == [f"{Role.USER}:Q1", f"{Role.ASSISTANT}:ok", f"{Role.USER}:Q2"]


def test_a_hundred_requests_of_one_client_are_answered_without_limits() -> None:
    caller = Caller(MemoryGateway(msgspec.structs.replace(Settings(), gateway=unlimited())))
    assert {caller.ask(str(number)).status for number in range(100)} == {200}


def test_first_key_makes_room_when_there_are_too_many_and_running_ones_stay() -> None:
    agent = ScriptedAgent()
    caller = Caller(MemoryGateway(with_gateway(Settings(), idempotency_max_keys=2), agent=agent))
    for key in ("a", "b", "a", "c"):
        caller.ask(X_Idempotency_Key=key)
    assert [caller.ask(X_Idempotency_Key=key).json.get("status") for key in ("b", "c", "a")] == ["duplicate", "duplicate", None]
    agent.is_held = True
    running = [caller.begin(X_Idempotency_Key=key) for key in ("d", "e")]
    refused = caller.begin(X_Idempotency_Key="f")
    assert ([waiting.is_answered for waiting in running], refused.response.status) == ([False, False], 503)
