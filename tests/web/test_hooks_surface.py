"""`/hooks/{name}`: from a signed delivery to one outcome. Source: webhook-signatures.md §1; design §4.3, §4.5, §4.12–13; advisories.md §3.1."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred

from clawgate.domain.caller import Scope
from clawgate.domain.errors import AgentBadRequest
from clawgate.domain.inbox import Item
from clawgate.domain.messages import Attendance, TurnOptions
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import GatewaySettings, HookSettings, Settings
from clawgate.domain.signing.registry import SCHEMES
from clawgate.domain.signing.scheme import Verified
from clawgate.services.hooks import Hooks
from clawgate.testing.agents import Hang, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Pending, Response
from tests.web.gate import check_common

SECRET = "a long secret of the sender"
STANDARD = "whsec_" + base64.b64encode(b"k" * 32).decode()
GITHUB = HookSettings(verify="github", secrets=(Secret(SECRET),), message="{repo} was {action}", fields={"repo": "/repository/full_name"})
MESSAGES = HookSettings(verify="standard-webhooks", secrets=(Secret(STANDARD),), message="{text}", respond="sync")
PUSH = {"action": "opened", "repository": {"full_name": "acme/web"}}
JSON = "application/json"


def github(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(), "Content-Type": JSON}


def standard(body: bytes, moment: int, name: str = "msg_1", key: bytes = b"k" * 32) -> dict[str, str]:
    digest = hmac.new(key, f"{name}.{moment}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": name, "webhook-timestamp": str(moment), "webhook-signature": signature, "Content-Type": JSON}


class Fixture:
    """A gateway with hooks, and who signs for them."""

    def __init__(self, agent: ScriptedAgent | None = None, *, gateway: GatewaySettings | None = None, **hooks: HookSettings) -> None:
        self.agent = agent or ScriptedAgent()
        hooks = hooks or {"gh": GITHUB, "std": MESSAGES}
        self.gate = MemoryGateway(Settings(hooks=hooks, gateway=gateway or GatewaySettings()), agent=self.agent)

    @property
    def now(self) -> int:
        return self.gate.clock.wall_ms() // 1000

    def begin(self, path: str, body: bytes, headers: dict[str, str], **options: Any) -> Pending:  # as `GateClient.begin`
        return self.gate.client.begin("POST", path, body, headers=headers, **options)

    def post(self, path: str, body: bytes, headers: dict[str, str], **options: Any) -> Response:  # as `GateClient.begin`
        answer = self.gate.client.post(path, body, headers=headers, **options)
        check_common(answer)
        return answer

    def push(self, event: object = PUSH, **options: Any) -> Response:  # as `GateClient.begin`
        body = json.dumps(event).encode()
        return self.post("/hooks/gh", body, github(body), **options)

    def say(self, text: str, name: str = "msg_1", **more: str) -> Response:
        body = json.dumps({"text": text}).encode()
        return self.post("/hooks/std", body, standard(body, self.now, name) | more)

    def asked(self) -> list[str]:
        self.gate.pump()
        return [prompt.question for prompt in self.agent.prompts]

    def item(self, location: str) -> Any:  # JSON
        return self.gate.client.get(location, peer="operator").json

    def reload(self, **hooks: HookSettings) -> None:
        """As after a change of the file by hand."""
        self.gate.config.base = self.gate.config.base | {"hooks": {name: as_table(hook) for name, hook in hooks.items()}}
        Deferred.fromCoroutine(self.gate.gateway.live.reload())
        self.gate.pump()


def as_table(hook: HookSettings) -> dict[str, object]:
    table = msgspec.structs.asdict(hook)
    return {name: value for name, value in table.items() if value is not None} | {"secrets": [secret.reveal() for secret in hook.secrets]}


def changed(hook: HookSettings, **changes: object) -> HookSettings:
    return msgspec.structs.replace(hook, **changes)


# --- the road ------------------------------------------------------------------------------------------------------------------------------


def test_a_genuine_delivery_is_promised_an_outcome() -> None:
    fixture = Fixture(ScriptedAgent(["noted"]))
    answer = fixture.push()
    assert answer.status == 202
    assert answer.json == {"id": answer.json["id"], "status": "accepted", "status_url": answer.headers["location"]}
    assert fixture.asked() == ["[Hook: gh] acme/web was opened"]
    item = fixture.item(answer.headers["location"])
    assert (item["state"], item["response"], item["source"]) == ("done", "noted", "hook")


def test_a_sender_that_takes_no_202_gets_a_200() -> None:
    fixture = Fixture(ScriptedAgent([Hang()]), gh=changed(GITHUB, respond="ok"))
    assert [fixture.push().status for _ in range(2)] == [200, 200]
    assert fixture.push().json["status"] == "accepted"


def test_a_sync_hook_waits_and_answers_as_webhook_does() -> None:
    answer = Fixture(ScriptedAgent(["hello"])).say("hi")
    assert (answer.status, answer.json) == (200, {"response": "hello", "model": "scripted-1"})


def test_a_sync_hook_promises_when_asked_to_or_when_it_takes_too_long() -> None:
    fixture = Fixture(ScriptedAgent([Hang(), "two"]))
    body = b'{"text":"slow"}'
    pending = fixture.begin("/hooks/std", body, standard(body, fixture.now, "slow"))
    assert not pending.is_answered
    fixture.gate.clock.advance(30)
    fixture.gate.pump()
    assert pending.response.status == 408
    assert fixture.item(pending.response.headers["location"])["message"] == "[Hook: std] slow"
    assert fixture.say("two", "other", Prefer="respond-async").status == 202


def test_a_hook_names_its_skill_and_its_conversation() -> None:
    fixture = Fixture(ScriptedAgent(["1", "2", "3"]), gh=changed(GITHUB, skill="triage", conversation="{repo}"))
    locations = [fixture.push({**PUSH, "action": action}).headers["location"] for action in ("opened", "closed")]
    locations.append(fixture.push({"action": "zen"}).headers["location"])
    fixture.asked()
    assert [fixture.item(location)["conversation"] for location in locations] == ["hook:gh:acme/web"] * 2 + [None]
    assert [line.text for line in fixture.agent.prompts[1].lines[:-1]] == ["[Hook: gh] acme/web was opened", "1"]


def test_nobody_can_be_asked_for_approval_by_a_hook() -> None:
    fixture = Fixture(gh=changed(GITHUB, skill="triage"))
    found: list[Item | None] = []
    fixture.gate.store.inbox.get(fixture.push().json["id"]).addCallback(found.append)
    assert found[0] is not None
    assert found[0].options == TurnOptions(skill="triage", attendance=Attendance.NOBODY)


def test_a_form_is_a_body_too() -> None:
    body = b"payload=%7B%22action%22%3A%22opened%22%7D"
    hook = changed(GITHUB, message="", fields={"did": "/payload/action"})
    fixture = Fixture(gh=hook)
    assert fixture.post("/hooks/gh", body, github(body) | {"Content-Type": "application/x-www-form-urlencoded"}).status == 202
    assert fixture.asked() == ["[Hook: gh] did: opened"]


def test_what_is_not_signed_gets_into_no_message() -> None:
    fixture = Fixture(gh=changed(GITHUB, message="{action} {evil} {x-github-event}"))
    body = b'{"action":"opened"}'
    fixture.post("/hooks/gh?action=changed&evil=1", body, github(body) | {"X-GitHub-Event": "push"})
    assert fixture.asked() == ["[Hook: gh] opened {evil} {x-github-event}"]


# --- signatures ----------------------------------------------------------------------------------------------------------------------------


def test_a_hook_that_is_not_configured_is_a_404() -> None:
    answer = Fixture().post("/hooks/nothing", b"{}", github(b"{}"))
    assert (answer.status, answer.json) == (404, {"error": "Not found"})


@pytest.mark.parametrize("secrets", [(), (Secret(""),), (Secret("  "), Secret("\t"))], ids=["none", "empty", "blank"])
@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"\xff"])
def test_a_hook_without_a_usable_secret_refuses_whatever_comes(secrets: tuple[Secret, ...], body: bytes) -> None:
    fixture = Fixture(gh=changed(GITHUB, secrets=secrets))
    for secret in ("", "  ", SECRET):
        answer = fixture.post("/hooks/gh", body, github(body, secret) | {"Content-Type": "text/plain"})
        assert (answer.status, answer.json) == (401, {"error": "Invalid signature"})
    assert fixture.asked() == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256="},
        {"X-Hub-Signature": github(b"{}")["X-Hub-Signature-256"]},
        github(b"{} "),
        github(b"{}", "another secret of somebody"),
        {"X-Hub-Signature-256": "sha256=" + "0" * 64},
    ],
    ids=["none", "empty", "prefix only", "other header", "other body", "other secret", "zeroes"],
)
def test_a_wrong_signature_is_a_401_that_tells_nothing(headers: dict[str, str]) -> None:
    fixture = Fixture()
    answer = fixture.post("/hooks/gh", b"{}", headers)
    assert (answer.status, answer.json) == (401, {"error": "Invalid signature"})
    assert fixture.asked() == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("secrets", [(), (Secret(" "),), (Secret(SECRET),)], ids=["none", "blank", "one"])
def test_no_scheme_lets_garbage_in(scheme: str, secrets: tuple[Secret, ...]) -> None:
    fixture = Fixture(x=HookSettings(verify=scheme, secrets=secrets, message="m", rate_limit_per_minute=0))
    bodies = (b"", b"{}", b'{"type":1}', b'{"type":"url_verification","challenge":"x"}', b"\xff" * 40, b"[" * 9_000)
    values = ("", "0", "v1,", "sha256=" + "0" * 64, "t=1,v1=" + "0" * 64, "v0=" + "0" * 64, "A" * 44, "\xff\xfe", '"', "sig1=:AAAA:", "=" * 300)
    for number, value in enumerate(values):
        headers = dict.fromkeys(("X-Signature", *SCHEMES[scheme].headers), value) | {"content-type": JSON}
        answer = fixture.post("/hooks/x", bodies[number % len(bodies)], headers)
        assert (answer.status, answer.json) == (401, {"error": "Invalid signature"})
        assert fixture.gate.client.get("/hooks/x", headers=headers).status == 401
    assert fixture.asked() == []


def test_the_signature_is_checked_before_the_body_is_read() -> None:
    fixture = Fixture()
    bad, text = {"Content-Type": JSON}, {"Content-Type": "text/plain"}
    assert [fixture.post("/hooks/gh", b"{", each).status for each in (bad, text)] == [401, 401]
    assert [fixture.post("/hooks/gh", b"{", github(b"{") | each).status for each in (bad, text)] == [400, 415]
    assert fixture.post("/hooks/gh", b"[]", github(b"[]")).status == 202
    assert fixture.post("/hooks/gh", b"", github(b"")).status == 400


@pytest.mark.parametrize("shift", [-301, 301])
def test_a_signed_time_has_to_be_near(shift: int) -> None:
    fixture = Fixture()
    assert fixture.post("/hooks/std", b'{"text":"x"}', standard(b'{"text":"x"}', fixture.now + shift)).status == 401
    wide = Fixture(std=changed(MESSAGES, tolerance_secs=400))
    assert wide.post("/hooks/std", b'{"text":"x"}', standard(b'{"text":"x"}', wide.now + shift)).status == 200


def test_an_old_secret_counts_until_it_is_taken_out() -> None:
    fixture = Fixture(gh=changed(GITHUB, secrets=(Secret("the new secret of the sender"), Secret(SECRET))))
    body = json.dumps(PUSH).encode()
    assert fixture.push().status == 202
    assert fixture.post("/hooks/gh", body + b" ", github(body + b" ", "the new secret of the sender")).status == 202
    fixture.reload(gh=changed(GITHUB, secrets=(Secret("the new secret of the sender"),)))
    assert fixture.push({**PUSH, "n": 1}).status == 401
    assert fixture.post("/hooks/gh", body + b"  ", github(body + b"  ", "the new secret of the sender")).status == 202


def test_a_bearer_opens_no_hook_and_a_signature_opens_nothing_else() -> None:
    fixture = Fixture()
    token = fixture.gate.pair(scopes=[scope.value for scope in Scope])
    assert fixture.post("/hooks/gh", b"{}", {"Content-Type": JSON}, token=token).status == 401
    assert fixture.post("/hooks/gh", b"{}", {"Content-Type": JSON}, peer="operator").status == 401
    assert fixture.post("/webhook", b'{"message":"x"}', github(b'{"message":"x"}')).status == 401


# --- bounds --------------------------------------------------------------------------------------------------------------------------------


def test_a_hook_has_its_own_cap_up_to_one_mebibyte() -> None:
    small, large = changed(GITHUB, max_body_bytes=100), changed(GITHUB, max_body_bytes=1024 * 1024)
    fixture = Fixture(gh=small, big=large)
    body = json.dumps(PUSH).encode()
    assert fixture.post("/hooks/gh", body.ljust(100), github(body.ljust(100))).status == 202
    assert fixture.post("/hooks/gh", body.ljust(101), github(body.ljust(101))).status == 413
    whole = body.ljust(1024 * 1024)
    assert fixture.post("/hooks/big", whole, github(whole)).status == 202
    head = b"POST /hooks/big HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n"
    assert fixture.gate.client.send(head).response.status == 413


@pytest.mark.parametrize(("path", "cap"), [("/hooks/gh", 100), ("/hooks/big", 1024 * 1024), ("/hooks/nothing", 65_536)])
def test_no_more_is_read_than_the_hook_takes(path: str, cap: int) -> None:
    """advisories.md GHSA-rm59-992w-x2mv: bodies are bounded before anybody is known."""
    fixture = Fixture(gh=changed(GITHUB, max_body_bytes=100), big=changed(GITHUB, max_body_bytes=1024 * 1024))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: "
    assert fixture.gate.client.send(f"{head}{cap + 1}\r\n\r\n".encode()).response.status == 413
    assert not fixture.gate.client.send(f"{head}{cap}\r\n\r\n".encode()).is_answered


def test_a_prompt_that_would_be_too_long_is_a_413() -> None:
    fixture = Fixture(gh=changed(GITHUB, message="{v}" * 10))
    assert fixture.push({"v": "x" * 30_000}).status == 413


def test_each_client_has_its_own_share_of_a_hook() -> None:
    fixture = Fixture(gh=changed(GITHUB, rate_limit_per_minute=2), other=GITHUB)
    assert [fixture.push({**PUSH, "n": n}).status for n in range(3)] == [202, 202, 429]
    assert fixture.push({**PUSH, "n": 9}, peer="198.51.100.1").status == 202
    body = b'{"n":10}'
    assert fixture.post("/hooks/other", body, github(body)).status == 202
    fixture.gate.clock.advance(61)
    refused = [fixture.push({**PUSH, "n": n}) for n in (3, 4, 5)]
    assert [answer.status for answer in refused] == [202, 202, 429]
    assert (refused[2].headers["retry-after"], refused[2].json["retry_after"]) == ("60", 60)


def test_whoever_cannot_sign_uses_up_nothing_of_the_senders_share() -> None:
    """advisories.md theme 5: not even from the sender's own address, as behind a proxy or a tunnel."""
    fixture = Fixture(gh=changed(GITHUB, rate_limit_per_minute=3))
    statuses = [fixture.post("/hooks/gh", b"{}", github(b"{}", "a guess at the secret")).status for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert [fixture.post("/webhook", b"{}", {}).status, fixture.push().status] == [401, 202]


# --- copies --------------------------------------------------------------------------------------------------------------------------------


def test_a_copy_gets_the_outcome_that_there_is() -> None:
    fixture = Fixture(ScriptedAgent(["once", "twice"]))
    assert fixture.say("hi").json["response"] == "once"
    again = fixture.say("hi")
    assert (again.status, again.json["status"], again.json["idempotent"], again.json["response"]) == (200, "duplicate", True, "once")
    assert fixture.say("hi", "msg_2").json["response"] == "twice"
    first, second = fixture.push(), fixture.push()
    assert (first.status, second.json["status"]) == (202, "duplicate")
    assert len(fixture.asked()) == 3


def test_a_copy_is_known_however_its_signature_and_unsigned_ids_are_written() -> None:
    fixture = Fixture(ScriptedAgent(["once"]))
    body = json.dumps(PUSH).encode()
    upper = {"X-Hub-Signature-256": "sha256=" + github(body)["X-Hub-Signature-256"][7:].upper(), "Content-Type": JSON}
    written = (github(body), github(body) | {"X-GitHub-Delivery": "another"}, upper)
    assert [fixture.post("/hooks/gh", body, headers).status for headers in written] == [202, 200, 200]
    assert len(fixture.asked()) == 1


def test_a_copy_of_work_under_way_waits_for_it() -> None:
    fixture = Fixture(ScriptedAgent([Hang()]))
    body = b'{"text":"slow"}'
    pending = [fixture.begin("/hooks/std", body, standard(body, fixture.now)) for _ in range(2)]
    assert [each.is_answered for each in pending] == [False, False]
    assert len(fixture.asked()) == 1


def test_a_copy_of_a_promised_delivery_is_promised_the_same() -> None:
    fixture = Fixture(ScriptedAgent([Hang()]))
    assert [fixture.push().headers["location"] for _ in range(2)] == ["/api/inbox/0000000000000001"] * 2


def test_after_a_kill_the_same_signed_id_has_one_outcome() -> None:
    fixture = Fixture(ScriptedAgent(["once", "twice"]))
    assert fixture.say("hi").json["response"] == "once"
    fixture.push()
    fixture.asked()
    fixture.gate = fixture.gate.restart(kill=True)
    again = fixture.say("hi")
    assert (again.json["status"], again.json["response"]) == ("duplicate", "once")
    assert fixture.push().json["response"] == "twice"
    assert len(fixture.asked()) == 2


def test_a_promised_delivery_survives_a_kill_and_runs_once() -> None:
    fixture = Fixture(ScriptedAgent([Hang(), "after"]))
    location = fixture.push().headers["location"]
    fixture.gate = fixture.gate.restart(kill=True)
    fixture.gate.pump()
    assert fixture.item(location)["response"] == "after"
    assert fixture.push().json["response"] == "after"
    assert len(fixture.asked()) == 2


def test_failed_work_releases_the_key() -> None:
    fixture = Fixture(ScriptedAgent([AgentBadRequest("no"), "well"]))
    failed = fixture.say("hi")
    assert (failed.status, failed.json) == (500, {"error": "Hook execution failed"})
    assert fixture.say("hi").json == {"response": "well", "model": "scripted-1"}


@pytest.mark.parametrize(("verified", "seconds"), [(Verified(b"d"), 7 * 86_400), (Verified(b"d", sent_at=1.0), 86_400)], ids=["no time", "a time"])
def test_a_delivery_without_a_signed_time_is_remembered_for_longer(verified: Verified, seconds: int) -> None:
    """A captured one stays genuine for as long as the secret does."""
    fixture = Fixture()
    hooks = Hooks(lambda: fixture.gate.settings.hooks, 10, fixture.gate.clock, fixture.gate.edges.meter)
    dedupe = hooks.message(hooks.find("gh"), verified, b"{}", JSON).dedupe
    assert dedupe is not None
    assert dedupe.retention_seconds == seconds


def test_a_signed_id_is_remembered_for_a_day() -> None:
    fixture = Fixture(ScriptedAgent(["once", "twice"]))
    fixture.say("hi")
    fixture.gate.clock.step_wall(23 * 3_600_000)
    assert fixture.say("hi").json["status"] == "duplicate"
    fixture.gate.clock.step_wall(3_601_000)
    assert fixture.say("hi").json["response"] == "twice"


# --- live ----------------------------------------------------------------------------------------------------------------------------------


def test_hooks_come_change_and_go_while_running() -> None:
    fixture = Fixture(gh=GITHUB)
    assert [fixture.say("hi").status, fixture.push().status] == [404, 202]
    fixture.reload(std=MESSAGES, gh=changed(GITHUB, message="other {action}", rate_limit_per_minute=1))
    assert fixture.say("hi").status == 200
    assert [fixture.push({"action": action}).status for action in ("a", "b")] == [429, 429]
    fixture.gate.clock.advance(61)
    assert [fixture.push({"action": action}).status for action in ("a", "b")] == [202, 429]
    assert fixture.asked()[-1] == "[Hook: gh] other a"
    fixture.reload(std=MESSAGES)
    assert fixture.push({"action": "c"}).status == 404


def test_every_scheme_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "hooks.md").read_text()
    assert [name for name in SCHEMES if f"`{name}`" not in page] == []


# --- what platforms ask of the address itself ------------------------------------------------------------------------------------------------


def test_slacks_challenge_is_answered_without_a_turn_and_only_when_signed() -> None:
    fixture = Fixture(slack=HookSettings(verify="slack", secrets=(Secret(SECRET),), message="{text}"))
    body = b'{"type":"url_verification","challenge":"3eZbrw1aB"}'
    digest = hmac.new(SECRET.encode(), f"v0:{fixture.now}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {"X-Slack-Request-Timestamp": str(fixture.now), "X-Slack-Signature": f"v0={digest}", "Content-Type": JSON}
    answer = fixture.post("/hooks/slack", body, headers)
    assert answer.status == 200
    assert b"3eZbrw1aB" in answer.body
    assert fixture.post("/hooks/slack", body, headers | {"X-Slack-Signature": "v0=" + "0" * 64}).status == 401
    assert fixture.asked() == []


def test_discords_ping_is_answered_without_a_turn() -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
    fixture = Fixture(discord=HookSettings(verify="discord", secrets=(Secret(key.public_key().public_bytes_raw().hex()),), message="{x}"))
    body = b'{"type":1}'
    headers = {"X-Signature-Timestamp": str(fixture.now), "Content-Type": JSON}
    signature = key.sign(headers["X-Signature-Timestamp"].encode() + body).hex()
    answer = fixture.post("/hooks/discord", body, headers | {"X-Signature-Ed25519": signature})
    assert (answer.status, answer.json) == (200, {"type": 1})
    assert fixture.post("/hooks/discord", body, headers | {"X-Signature-Ed25519": "00" * 64}).status == 401
    assert fixture.asked() == []


def test_metas_subscription_is_checked_by_its_token_and_others_have_none() -> None:
    meta = HookSettings(verify="meta", secrets=(Secret(SECRET),), verify_token=Secret("chosen at the platform"), message="{x}")
    fixture = Fixture(meta=meta, gh=GITHUB)
    query = "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    right = fixture.gate.client.get(f"/hooks/meta{query}chosen+at+the+platform")
    assert (right.status, right.body) == (200, b"1158201444")
    wrong = [fixture.gate.client.get(f"/hooks/{path}").status for path in (f"meta{query}guess", "meta", f"gh{query}x", "nothing")]
    assert wrong == [401, 401, 401, 404]


def test_there_is_nothing_else_to_get_even_with_the_right_token() -> None:
    fixture = Fixture(tg=HookSettings(verify="telegram", secrets=(Secret("A_long-token_of_ours"),), message="{x}"))
    token = {"X-Telegram-Bot-Api-Secret-Token": "A_long-token_of_ours", "Content-Type": JSON}
    assert fixture.gate.client.get("/hooks/tg", headers=token).status == 404
    assert fixture.post("/hooks/tg", b'{"update_id":1,"x":"hi"}', token).status == 202


# --- the URL that is signed ----------------------------------------------------------------------------------------------------------------


def twilio(url: str, fields: dict[str, str]) -> str:
    text = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.new(SECRET.encode(), text.encode(), hashlib.sha1).digest()).decode()


@pytest.mark.parametrize(
    ("url", "gateway", "headers", "signed", "status"),
    [
        ("", GatewaySettings(), {}, "http://gate.internal/hooks/sms?a=1", 202),
        ("", GatewaySettings(), {"X-Forwarded-Proto": "https"}, "https://gate.internal/hooks/sms?a=1", 401),
        (
            "",
            GatewaySettings(trust_forwarded_headers=True, trusted_proxies=("203.0.113.9",)),
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "sms.example"},
            "https://sms.example/hooks/sms?a=1",
            202,
        ),
        ("https://sms.example/in", GatewaySettings(), {}, "https://sms.example/in?a=1", 202),
        ("https://sms.example/in", GatewaySettings(), {}, "http://gate.internal/hooks/sms?a=1", 401),
    ],
    ids=["as it came", "a stranger's word", "a trusted proxy's word", "as configured", "not as configured"],
)
def test_the_url_that_is_signed(url: str, gateway: GatewaySettings, headers: dict[str, str], signed: str, status: int) -> None:
    hook = HookSettings(verify="twilio", secrets=(Secret(SECRET),), message="{Body}", url=url)
    fixture = Fixture(gateway=gateway, sms=hook)
    form = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": twilio(signed, {"Body": "hi", "MessageSid": "SM1"})}
    assert fixture.post("/hooks/sms?a=1", b"Body=hi&MessageSid=SM1", form | headers).status == status
