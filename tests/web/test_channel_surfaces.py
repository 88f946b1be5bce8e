"""`/whatsapp`, `/linq`, `/nextcloud-talk` and `/wati` from signed delivery to the platform's own API.

Source: zeroclaw.md A3, A6, B1; rantaiclaw.md §7, §20.4, §21; design §1, §4.3, §4.5; advisories.md (GHSA-xh72-v6v9-mwhc, CVE-2026-28449, Telnyx variants,
PR #143484, goclaw#1134).
"""

from __future__ import annotations

import msgspec
import pytest
from twisted.internet.error import ConnectionRefusedError

from clawgate.domain.errors import AgentBadRequest, AgentOverloaded
from clawgate.domain.secret import Secret
from clawgate.testing.agents import ScriptedAgent
from clawgate.testing.gateway import MemoryGateway
from clawgate.testing.platforms import BrokenAgent, lost
from tests.web.gate import check_common
from tests.web.platform_gate import (
    APP_SECRET,
    BODIES,
    LINQ,
    NAMES,
    PATHS,
    SIGNING,
    WHATSAPP,
    PlatformGate,
    allowing,
    hmac_hex,
    linq_body,
    settings_of,
    whatsapp_body,
    with_secret,
)

OK = (200, {"status": "ok"})
BAD = (401, {"error": "Invalid signature"})
APOLOGY = "Sorry, I couldn't process your message right now."
TITLES = {"whatsapp": "WhatsApp", "linq": "Linq", "nextcloud_talk": "Nextcloud Talk", "wati": "WATI"}


# --- refusing -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_unconfigured_channel_is_a_404_before_anything_else(name: str) -> None:
    gate = MemoryGateway()
    for body in (b"", b"{", BODIES[name]("hi")):
        answer = gate.client.post(PATHS[name], body)
        check_common(answer)
        assert (answer.status, answer.json) == (404, {"error": f"{TITLES[name]} not configured"})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("secret", [None, Secret(""), Secret("  ")])
def test_channel_without_a_secret_refuses_even_what_is_signed_with_nothing(name: str, secret: Secret | None) -> None:
    road = PlatformGate(settings_of(with_secret(secret)))
    body = BODIES[name]("hi")
    for headers in ({}, road.sign(name, body, secret=""), road.sign(name, body, secret="  ")):
        answer = road.post(name, body, headers)
        assert (answer.status, answer.json) == (401, {"error": "Webhook authentication not configured"})
    assert road.items() == []


@pytest.mark.parametrize("name", SIGNING)
def test_delivery_that_nobody_we_know_signed_is_a_401_before_its_body_is_read(name: str) -> None:
    road = PlatformGate()
    body = BODIES[name]("hi")
    genuine = road.sign(name, body)
    key = next(header for header in genuine if "Signature" in header)
    forged = [
        {},
        {**genuine, key: ""},
        {**genuine, key: "sha256="},
        {**genuine, key: "sha256=zz" + "0" * 62},
        {**genuine, key: genuine[key][:-2]},
        {**genuine, key: genuine[key] + "00"},
        {**genuine, key: genuine[key].replace("sha256=", "sha1=") if name == "whatsapp" else "md5=" + genuine[key]},
        road.sign(name, body, secret="another"),
        road.sign(name, b"another body"),
    ]
    for headers in forged:
        for data in (body, b"{"):
            answer = road.post(name, data, headers)
            assert (answer.status, answer.json) == BAD
    assert (road.items(), road.gate.agent.calls) == ([], 0)  # type: ignore[attr-defined]  # the scripted one


def test_metas_prefix_is_required_and_case_sensitive() -> None:
    road = PlatformGate()
    body = whatsapp_body("hi")
    plain = hmac_hex(APP_SECRET, body)
    for value in (plain, "SHA256=" + plain, " sha256 =" + plain):
        assert road.post("whatsapp", body, {"X-Hub-Signature-256": value}).status == 401
    road.taking("whatsapp")
    assert road.post("whatsapp", body, {"X-Hub-Signature-256": "sha256=" + plain.upper()}).status == 200


@pytest.mark.parametrize(("age", "status"), [(0, 200), (300, 200), (-300, 200), (301, 401), (-301, 401), (10**9, 401)])
def test_linqs_timestamp_may_lie_five_minutes_off_on_either_side(age: int, status: int) -> None:
    road = PlatformGate()
    road.taking("linq")
    body = linq_body("hi")
    assert road.post("linq", body, road.sign("linq", body, at_seconds=road.gate.clock.wall_ms() // 1000 - age)).status == status


@pytest.mark.parametrize("moment", ["", "abc", "1e9", "-5", "1800000000.5", "٣", " "])
def test_linqs_timestamp_is_whole_seconds(moment: str) -> None:
    road = PlatformGate()
    body = linq_body("hi")
    headers = {"X-Webhook-Timestamp": moment, "X-Webhook-Signature": hmac_hex("linq_secret", moment.encode() + b"." + body)}
    raw = "".join(f"{key}: {value}\r\n" for key, value in headers.items()).encode()
    head = b"POST /linq HTTP/1.1\r\nHost: x\r\n" + raw + b"Content-Length: %d\r\n\r\n" % len(body)
    assert road.gate.client.send(head + body).response.status == 401


def test_linqs_prefix_is_optional_and_blanks_do_not_matter() -> None:
    road = PlatformGate()
    road.taking("linq", 2)
    for number, prefix in enumerate(("sha256=", " ")):
        body = linq_body("hi", ids=(f"m-{number}",))
        headers = road.sign("linq", body)
        assert road.post("linq", body, {**headers, "X-Webhook-Signature": prefix + headers["X-Webhook-Signature"]}).status == 200


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"nope", b"[" * 60_000, b'{"a":NaN}'])
def test_signed_body_that_is_no_json_is_a_400(name: str, body: bytes) -> None:
    answer = PlatformGate().post(name, body)
    assert (answer.status, answer.json) == (400, {"error": "Invalid JSON payload"})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"null", b"1", b'{"entry":[{"changes":[{"value":{"statuses":[{}]}}]}]}', b'{"event_type":"message.read"}']
)
def test_delivery_with_nothing_to_answer_is_acknowledged(name: str, body: bytes) -> None:
    road = PlatformGate()
    answer = road.post(name, body)
    assert ((answer.status, answer.json), road.items()) == (OK, [])


@pytest.mark.parametrize("name", NAMES)
def test_sender_that_is_not_allowed_is_acknowledged_and_not_answered(name: str) -> None:
    for senders in (("+1999",), ()):
        road = PlatformGate(settings_of(allowing(*senders)))
        answer = road.post(name, BODIES[name]("hi"))
        assert ((answer.status, answer.json), road.items()) == (OK, [])


@pytest.mark.parametrize("name", NAMES)
def test_burst_is_a_429_before_the_signature_is_looked_at(name: str) -> None:
    road = PlatformGate(settings_of(webhook_rate_limit_per_minute=3))
    statuses = [road.post(name, b"{}", {}).status for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    limited = road.post(name, b"{}")
    assert limited.json == {"error": "Too many webhook requests. Please retry later.", "retry_after": 60}
    assert limited.headers["retry-after"] == "60"


# --- Meta's subscription check ---------------------------------------------------------------------------------------------------------------


def shake(query: str, road: PlatformGate | None = None) -> tuple[int, str]:
    answer = (road or PlatformGate()).gate.client.get(f"/whatsapp{query}")
    check_common(answer)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return answer.status, answer.body.decode()


RIGHT = "?hub.mode=subscribe&hub.verify_token=my-verify-token"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (RIGHT + "&hub.challenge=1158201444", (200, "1158201444")),
        (RIGHT + "&hub.challenge=%3Cscript%3E+x", (200, "<script> x")),
        (RIGHT + "&hub.challenge=", (200, "")),
        (RIGHT, (400, "Missing hub.challenge")),
        ("", (403, "Forbidden")),
        ("?hub.mode=subscribe&hub.challenge=1", (403, "Forbidden")),
        ("?hub.mode=Subscribe&hub.verify_token=my-verify-token&hub.challenge=1", (403, "Forbidden")),
        ("?hub.mode=subscribe&hub.verify_token=%20my-verify-token&hub.challenge=1", (403, "Forbidden")),
        ("?hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1", (403, "Forbidden")),
        (RIGHT + "&hub.challenge=1&x=1&x=2&y=%ff", (400, "Failed to deserialize query string: invalid UTF-8")),
        (RIGHT + "&hub.challenge=1&x=1&x=2", (200, "1")),
        (RIGHT + "&hub.challenge=1&hub.challenge=2", (400, "Failed to deserialize query string: duplicate field `hub.challenge`")),
    ],
)
def test_subscription_check(query: str, told: tuple[int, str]) -> None:
    assert shake(query) == told


def test_subscription_check_without_a_channel() -> None:
    road = PlatformGate(settings_of({"linq": LINQ}))
    assert shake(RIGHT + "&hub.challenge=1", road) == (404, "WhatsApp not configured")
    assert shake("?hub.mode=a&hub.mode=b", road)[0] == 400


def test_blank_verify_token_matches_nothing() -> None:
    road = PlatformGate(settings_of({"whatsapp": msgspec.structs.replace(WHATSAPP, verify_token=Secret(""))}))
    assert shake("?hub.mode=subscribe&hub.verify_token=&hub.challenge=1", road) == (403, "Forbidden")


def test_linq_has_no_subscription_check() -> None:
    answer = PlatformGate().gate.client.get("/linq")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


# --- the road ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_message_is_acknowledged_run_and_answered(name: str) -> None:
    agent = ScriptedAgent(["Hello back"])
    road = PlatformGate(agent=agent)
    road.taking(name)
    answer = road.post(name, BODIES[name]("hi"))
    assert (answer.status, answer.json) == OK
    assert (road.replies(name), agent.prompts[0].lines[-1].text) == (["Hello back"], "hi")
    assert [item["status"] for item in road.items()] == ["done"]


@pytest.mark.parametrize("name", NAMES)
def test_acknowledgement_does_not_wait_for_the_turn(name: str) -> None:
    road = PlatformGate(agent=ScriptedAgent(is_held=True))
    assert road.post(name, BODIES[name]("hi")).status == 200
    assert [item["status"] for item in road.items()] == ["running"]


@pytest.mark.parametrize("name", NAMES)
def test_acknowledgement_waits_for_the_commit(name: str) -> None:
    road = PlatformGate()
    road.taking(name)
    body = BODIES[name]("hi")
    road.gate.store.hold_writes()
    waiting = road.gate.client.begin("POST", PATHS[name], body, headers=road.sign(name, body))
    assert not waiting.is_answered
    road.gate.store.release_writes()
    road.settle()
    assert waiting.response.status == 200


@pytest.mark.parametrize("name", NAMES)
def test_delivery_that_cannot_be_stored_is_a_503_and_the_next_one_runs_once(name: str) -> None:
    road = PlatformGate()
    road.taking(name)
    body = BODIES[name]("hi")
    road.gate.store.break_writes("disk full")
    refused = road.post(name, body)
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    road.gate.store.break_writes("")
    assert [road.post(name, body).status for _ in range(2)] == [200, 200]
    assert road.replies(name) == ["ok"]


@pytest.mark.parametrize("name", NAMES)
def test_redelivery_runs_once(name: str) -> None:
    road = PlatformGate()
    road.taking(name)
    for _ in range(3):
        assert road.post(name, BODIES[name]("hi")).status == 200
        road.settle(60)
    assert road.replies(name) == ["ok"]


@pytest.mark.parametrize("name", NAMES)
def test_redelivery_after_a_kill_runs_once(name: str) -> None:
    road = PlatformGate()
    road.taking(name, 2)
    road.post(name, BODIES[name]("hi"))
    after = PlatformGate(before=road)
    assert after.post(name, BODIES[name]("hi")).status == 200
    assert after.replies(name) == ["ok"]


@pytest.mark.parametrize("name", NAMES)
def test_delivery_that_was_acknowledged_survives_a_kill(name: str) -> None:
    agent = ScriptedAgent(is_held=True)
    road = PlatformGate(agent=agent)
    road.post(name, BODIES[name]("hi"))
    agent.is_held = False
    road.taking(name)
    after = PlatformGate(before=road)
    assert after.replies(name) == ["ok"]


@pytest.mark.parametrize("name", NAMES)
def test_other_ids_are_other_messages(name: str) -> None:
    road = PlatformGate()
    road.taking(name, 2)
    for message_id in ("a", "b"):
        road.post(name, BODIES[name]("hi", ids=(message_id,)))
    assert road.replies(name) == ["ok"] * 2


@pytest.mark.parametrize("name", NAMES)
def test_same_signed_body_without_ids_runs_once(name: str) -> None:
    """rantaiclaw.md §20.4: upstream has no replay protection for it."""
    road = PlatformGate()
    road.taking(name, 2)
    for text in ("hi", "hi", "hello"):
        road.post(name, BODIES[name](text, ids=(None,)))
    assert road.replies(name) == ["ok"] * 2


def test_same_id_on_two_platforms_is_two_messages() -> None:
    road = PlatformGate()
    for name in NAMES:
        road.taking(name)
        road.post(name, BODIES[name]("hi", ids=("same",)))
    assert [road.replies(name) for name in NAMES] == [["ok"]] * 4


def test_several_messages_in_one_delivery_are_answered_in_order() -> None:
    agent = ScriptedAgent(lambda prompt: f"re: {prompt.lines[-1].text}")
    road = PlatformGate(agent=agent)
    road.taking("whatsapp", 3)
    road.post("whatsapp", whatsapp_body("one", "two", "three"))
    road.settle(1)
    assert road.replies("whatsapp") == ["re: one", "re: two", "re: three"]
    assert [len(prompt.lines) for prompt in agent.prompts] == [1, 3, 5]


def test_chats_of_two_people_share_nothing() -> None:
    agent = ScriptedAgent()
    road = PlatformGate(agent=agent)
    road.taking("whatsapp", 2)
    road.post("whatsapp", whatsapp_body("secret", sender="111", ids=("a",)))
    road.post("whatsapp", whatsapp_body("what?", sender="222", ids=("b",)))
    assert [len(prompt.lines) for prompt in agent.prompts] == [1, 1]


def test_message_is_remembered_under_channel_sender_and_id() -> None:
    road = PlatformGate()
    road.taking("whatsapp")
    road.taking("linq")
    road.post("whatsapp", whatsapp_body("hi"))
    road.post("linq", linq_body("ho"))
    found: list[list[str]] = []
    road.gate.store.memory.find("", 10).addCallback(lambda entries: found.append(sorted(entry.key for entry in entries)))
    assert found[0] == ["linq_+1234567890_m-1", "whatsapp_+1234567890_wamid.1"]


@pytest.mark.parametrize("name", NAMES)
def test_sender_is_told_when_the_agent_gave_up(name: str) -> None:
    road = PlatformGate(agent=ScriptedAgent([AgentBadRequest("no")]))
    road.taking(name)
    road.post(name, BODIES[name]("hi"))
    assert road.replies(name) == [APOLOGY]
    assert [(item["status"], item["error"]) for item in road.items()] == [("dead", "bad_request")]


def test_agent_that_is_busy_is_asked_again_before_anybody_is_told() -> None:
    road = PlatformGate(agent=ScriptedAgent([AgentOverloaded("busy"), "at last"]))
    road.taking("whatsapp")
    road.post("whatsapp", whatsapp_body("hi"))
    assert road.replies("whatsapp") == []
    road.settle(10)
    assert road.replies("whatsapp") == ["at last"]


def test_key_of_a_message_whose_turn_failed_is_free_again() -> None:
    road = PlatformGate(agent=ScriptedAgent([AgentBadRequest("no"), "better"]))
    road.taking("whatsapp", 2)
    for _ in range(2):
        road.post("whatsapp", whatsapp_body("hi"))
    assert road.replies("whatsapp") == [APOLOGY, "better"]


def test_channel_that_is_down_holds_up_no_other() -> None:
    road = PlatformGate(broken={"whatsapp": BrokenAgent(ConnectionRefusedError())})
    road.taking("linq")
    road.post("whatsapp", whatsapp_body("hi"))
    road.post("linq", linq_body("hi"))
    assert road.replies("linq") == ["ok"]
    health = road.gate.client.get("/readyz")
    assert (health.status, health.json["unhealthy_components"]) == (503, ["channel:whatsapp"])


def test_reply_that_was_refused_for_now_is_sent_again() -> None:
    road = PlatformGate()
    road.platforms["whatsapp"].answer(429, b"{}", retry_after="7")
    road.taking("whatsapp")
    road.post("whatsapp", whatsapp_body("hi"))
    assert len(road.replies("whatsapp")) == 1
    road.settle(6.9)
    assert len(road.replies("whatsapp")) == 1
    road.settle(10)
    assert road.replies("whatsapp") == ["ok", "ok"]


def test_uncertain_send_waits_for_the_operator_who_may_send_it_again() -> None:
    road = PlatformGate(broken={"whatsapp": BrokenAgent(lost(ConnectionResetError()))})
    road.post("whatsapp", whatsapp_body("hi"))
    (item,) = road.items()
    assert item["status"] == "uncertain"
    road.settle(3600)
    assert road.items()[0]["status"] == "uncertain"
    shown = road.gate.client.get(f"/api/inbox/{item['id']}", peer="operator").json
    assert [(send["channel"], send["target"], send["state"]) for send in shown["sends"]] == [("whatsapp", "+1234567890", "uncertain")]
    after = PlatformGate(before=road)
    after.taking("whatsapp")
    again = after.gate.client.post(f"/api/inbox/{item['id']}/retry", peer="operator")
    after.settle()
    assert (again.status, after.replies("whatsapp")) == (200, ["ok"])
    assert [item["status"] for item in after.items()] == ["done"]
    assert after.gate.agent.calls == 1  # type: ignore[attr-defined]  # the scripted one: the answer is not made twice


def test_channel_counts_in_both_directions() -> None:
    road = PlatformGate()
    road.taking("whatsapp")
    road.post("whatsapp", whatsapp_body("hi"))
    text = road.gate.client.get("/metrics").body.decode()
    for direction in ("inbound", "outbound"):
        assert f'clawgate_channel_messages_total{{channel="whatsapp",direction="{direction}"}} 1.0' in text


@pytest.mark.parametrize("name", ["whatsapp", "linq", "wati"])
def test_long_reply_goes_out_in_parts_of_4096_characters(name: str) -> None:
    road = PlatformGate(agent=ScriptedAgent(["x" * 10_000]))
    road.taking(name, 3)
    road.post(name, BODIES[name]("hi"))
    assert [len(part) for part in road.replies(name)] == [4096, 4096, 1808]


# --- events that are no messages ---------------------------------------------------------------------------------------------------------


def _whatsapp(**value: object) -> bytes:
    return msgspec.json.encode({"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", "value": value}]}]})


EVENTS = {
    "whatsapp": (
        _whatsapp(statuses=[{"id": "wamid.1", "status": "delivered"}, {"id": "wamid.1", "status": "read"}]),
        _whatsapp(messages=[{"from": "1", "id": "w", "type": "reaction", "reaction": {"message_id": "wamid.1", "emoji": "👍"}}]),
        _whatsapp(errors=[{"code": 131051}]),
        b'{"object":"page","entry":[{"changes":[{"field":"account_update","value":{}}]}]}',
    ),
    "linq": (
        b'{"event_type":"message.delivered","data":{"message":{"id":"m"}}}',
        b'{"event_type":"message.read","data":{"chat_id":"c","from":"1"}}',
        b'{"event_type":"reaction.added","data":{"from":"1","message":{"parts":[{"type":"text","value":"x"}]}}}',
        b'{"event_type":7}',
    ),
    "nextcloud_talk": (
        b'{"type":"Join","actor":{"type":"Application","id":"bots/b"},"object":{"type":"Collection","id":"room"}}',
        b'{"type":"Leave","actor":{"type":"Application","id":"bots/b"},"object":{"type":"Collection","id":"room"}}',
        b'{"type":"Like","actor":{"type":"Person","id":"users/a"},"object":{"type":"Note","id":"1"},"target":{"id":"room"},"content":"x"}',
        b'{"type":"Undo","actor":{"type":"Person","id":"users/a"},"object":{"type":"Like"},"target":{"id":"room"}}',
        b'{"type":"Activity","actor":{"type":"Person","id":"users/a"},"object":{"type":"Note","id":"1","content":"{}"},"target":{"id":"room"}}',
    ),
    "wati": (
        b'{"eventType":"sentMessageDELIVERED","waId":"1","text":"x","type":"text"}',
        b'{"eventType":"sentMessageREAD","waId":"1","text":"x","type":"text"}',
        b'{"eventType":"message","waId":"1","text":"x","type":"reaction","owner":false}',
        b'{"eventType":"message","waId":"1","text":"x","type":"text","owner":true}',
    ),
}


@pytest.mark.parametrize(("name", "body"), [(name, body) for name, bodies in EVENTS.items() for body in bodies])
def test_signed_event_that_is_no_message_is_acknowledged(name: str, body: bytes) -> None:
    road = PlatformGate()
    answer = road.post(name, body)
    assert ((answer.status, answer.json), road.items()) == (OK, [])


@pytest.mark.parametrize("name", SIGNING)
def test_bytes_that_are_read_are_those_that_were_signed(name: str) -> None:
    """The same JSON in other bytes is another delivery."""
    road = PlatformGate()
    road.taking(name)
    body = BODIES[name]("hi")
    spaced, genuine = body.replace(b'":', b'" :', 1), road.sign(name, body)
    assert (road.post(name, spaced, genuine).status, road.items()) == (401, [])
    assert road.post(name, spaced).status == 200
    assert road.replies(name) == ["ok"]


# --- Nextcloud's random --------------------------------------------------------------------------------------------------------------------

DUPLICATE = (200, {"status": "duplicate"})


def talk(road: PlatformGate, body: bytes, random: str = "r" * 64) -> tuple[int, object]:
    answer = road.post("nextcloud_talk", body, road.sign("nextcloud_talk", body, random=random))
    return answer.status, answer.json


def test_replayed_random_is_acknowledged_and_not_run_again() -> None:
    road = PlatformGate()
    road.taking("nextcloud_talk", 2)
    body = BODIES["nextcloud_talk"]("hi", ids=(None,))
    assert [talk(road, body) for _ in range(3)] == [OK, DUPLICATE, DUPLICATE]
    assert (talk(road, b"{}"), talk(road, b"{}", "s" * 64)) == (DUPLICATE, OK)
    assert road.replies("nextcloud_talk") == ["ok"]


def test_random_is_remembered_across_a_kill_and_for_a_week() -> None:
    road = PlatformGate()
    road.taking("nextcloud_talk", 2)
    body = BODIES["nextcloud_talk"]("hi")
    assert talk(road, body) == OK
    after = PlatformGate(before=road)
    assert talk(after, body) == DUPLICATE
    found: list[int] = []
    for days in (6.9, 7):
        moment = after.gate.clock.wall_ms() + int(days * 86_400_000)
        after.gate.store.facts.all("nonce", moment, 9).addCallback(lambda facts: found.append(len(facts)))
    assert found == [1, 0]


def test_random_of_a_delivery_that_was_not_stored_is_not_spent() -> None:
    road = PlatformGate()
    road.taking("nextcloud_talk")
    body = BODIES["nextcloud_talk"]("hi")
    road.gate.store.break_writes("disk full")
    assert talk(road, body)[0] == 503
    road.gate.store.break_writes("")
    assert (talk(road, body), road.replies("nextcloud_talk")) == (OK, ["ok"])


def test_random_of_an_unsigned_delivery_is_not_spent() -> None:
    road = PlatformGate()
    road.taking("nextcloud_talk")
    body, random = BODIES["nextcloud_talk"]("hi"), "r" * 64
    forged = {"X-Nextcloud-Talk-Random": random, "X-Nextcloud-Talk-Signature": "0" * 64}
    assert road.post("nextcloud_talk", body, forged).status == 401
    assert talk(road, body, random) == OK


def test_redelivery_under_another_random_runs_once() -> None:
    road = PlatformGate()
    road.taking("nextcloud_talk", 2)
    body = BODIES["nextcloud_talk"]("hi")
    assert [talk(road, body, letter * 64) for letter in "abc"] == [OK] * 3
    assert road.replies("nextcloud_talk") == ["ok"]


# --- WATI's token --------------------------------------------------------------------------------------------------------------------------


def test_watis_token_is_taken_from_header_or_query_and_no_other_opens() -> None:
    road = PlatformGate()
    road.taking("wati", 3)
    for number, (query, headers) in enumerate(
        (("?token=wati_token", {}), ("", {"X-Webhook-Token": "wati_token"}), ("?token=x", road.sign("wati", b"")))
    ):
        body = BODIES["wati"]("hi", ids=(f"w{number}",))
        assert road.gate.client.post(f"/wati{query}", body, headers=headers).status == 200
    for query, headers in (
        ("", {}),
        ("?token=", {}),
        ("?token=x", {"X-Webhook-Token": "y"}),
        ("?token=wati_token&token=wati_token", {}),
        ("?token=%ff", {}),
    ):
        for body in (BODIES["wati"]("hi", ids=("w9",)), b"{"):
            answer = road.gate.client.post(f"/wati{query}", body, headers=headers)
            assert (answer.status, answer.json) == BAD
    assert len(road.items()) == 3


def test_guests_and_owners_are_told_apart_by_who_wrote() -> None:
    road = PlatformGate()
    for name in NAMES:
        road.taking(name)
        road.post(name, BODIES[name]("hi"))
    found: list[list[tuple[str, str]]] = []
    road.gate.store.inbox.page(frozenset(), 0, "", 9).addCallback(
        lambda page: found.append([(item.options.attendance, item.options.sender) for item in reversed(page.items)])
    )
    assert found == [[("chat", "+1234567890")] * 2 + [("chat", "1234567890"), ("chat", "+1234567890")]]
