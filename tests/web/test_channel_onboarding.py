"""`/bind` and `/claim` on channels, and the codes for them. Source: rantaiclaw.md §3, §7, §20.1, §20.7, §21; design §1, §4.11."""

from __future__ import annotations

import pytest

from clawgate.domain.errors import Conflict
from clawgate.domain.onboarding import BOUND, NOT_OWNER, NOT_SAVED, OWNER, WRONG
from clawgate.testing.agents import ScriptedAgent
from clawgate.testing.gateway import MemoryGateway
from tests.web.gate import check_common
from tests.web.platform_gate import BODIES, NAMES, PlatformGate, allowing, settings_of

SENDERS = {"whatsapp": "+555", "linq": "+555", "nextcloud_talk": "555", "wati": "+555"}


def closed() -> PlatformGate:
    """Nobody is answered yet."""
    return PlatformGate(settings_of(allowing(), webhook_rate_limit_per_minute=0))


def code_for(road: PlatformGate, name: str, **body: object) -> str:
    answer = road.gate.client.post("/admin/channels/codes", {"channel": name, **body}, peer="operator")
    check_common(answer)
    assert answer.status == 200, answer
    return str(answer.json["code"])


def write(road: PlatformGate, name: str, text: str, number: int = 1, sender: str = "555") -> None:
    answer = road.post(name, BODIES[name](text, ids=(f"{name}-{number}",), sender=sender))
    assert (answer.status, answer.json) == (200, {"status": "ok"})


@pytest.mark.parametrize("name", NAMES)
def test_bound_person_is_told_so_answered_from_now_on_and_written_down(name: str) -> None:
    road = closed()
    road.taking(name, 2)
    write(road, name, "hi", 1)
    write(road, name, f"/bind {code_for(road, name)}", 2)
    write(road, name, "hi again", 3)
    assert road.replies(name) == [BOUND, "ok"]
    assert road.gate.allowlist.admitted == [(name, SENDERS[name], False)]


@pytest.mark.parametrize("name", NAMES)
def test_claim_makes_an_owner_where_the_code_grants_it(name: str) -> None:
    road = closed()
    road.taking(name, 2)
    write(road, name, f"/claim {code_for(road, name)}", 1, "555")
    write(road, name, f"/claim {code_for(road, name, owner=False)}", 2, "556")
    assert road.replies(name) == [OWNER, NOT_OWNER]
    assert [owner for _, _, owner in road.gate.allowlist.admitted] == [True, False]


@pytest.mark.parametrize("name", NAMES)
def test_wrong_code_lets_nobody_in(name: str) -> None:
    """rantaiclaw.md §20.1: upstream puts the sender on the running allowlist."""
    road = closed()
    road.taking(name, 9)
    for number, text in enumerate(("/bind", "/bind 0000-0000", "/claim nope", "/claim 0000-0000")):
        write(road, name, text, number)
    write(road, name, "hi", 9)
    assert (road.replies(name), road.gate.allowlist.admitted) == ([WRONG] * 4, [])
    assert road.gate.edges.channels[name].allowed == ()


def test_code_is_for_its_channel_its_time_and_its_uses() -> None:
    road = closed()
    road.taking("linq", 9)
    other, late, once = code_for(road, "wati"), code_for(road, "linq", ttl_secs=60), code_for(road, "linq")
    write(road, "linq", f"/bind {other}", 1, "1")
    write(road, "linq", f"/bind {once}", 2, "2")
    write(road, "linq", f"/bind {once}", 3, "3")
    road.settle(60)
    write(road, "linq", f"/bind {late}", 4, "4")
    assert road.replies("linq") == [WRONG, BOUND, WRONG, WRONG]
    assert [identity for _, identity, _ in road.gate.allowlist.admitted] == ["+2"]


def test_code_may_be_for_many() -> None:
    road = closed()
    road.taking("linq", 9)
    code = code_for(road, "linq", max_uses=0)
    for number in range(1, 6):
        write(road, "linq", f"/bind {code.lower()}", number, str(number))
    assert road.replies("linq") == [BOUND] * 5


@pytest.mark.parametrize("name", NAMES)
def test_redelivered_command_is_done_once(name: str) -> None:
    road = closed()
    road.taking(name, 9)
    code = code_for(road, name)
    for _ in range(3):
        write(road, name, f"/claim {code}", 1)
    assert (road.replies(name), len(road.gate.allowlist.admitted)) == ([OWNER], 1)


def test_redelivery_lets_nobody_in_again_whom_the_operator_has_put_out() -> None:
    road = closed()
    road.taking("linq", 9)
    text = f"/bind {code_for(road, 'linq', max_uses=5)}"
    write(road, "linq", text, 1)
    road.gate.edges.channels["linq"].allowed = ()
    write(road, "linq", text, 1)
    write(road, "linq", "hi", 2)
    assert (road.replies("linq"), road.gate.edges.channels["linq"].allowed) == ([BOUND], ())


def test_command_that_a_crash_left_half_done_is_finished_by_its_redelivery() -> None:
    """The use is written down, config.toml is not: the same message again spends nothing more."""
    road = closed()
    road.taking("linq", 9)
    text = f"/claim {code_for(road, 'linq')}"
    road.gate.allowlist.problem = SystemError("killed")
    write(road, "linq", text, 1)
    after = PlatformGate(before=road)
    after.gate.allowlist.problem = None
    write(after, "linq", text, 2)
    assert (after.replies("linq"), after.gate.allowlist.admitted) == ([NOT_SAVED, OWNER], [("linq", "+555", True)])


def test_file_that_cannot_be_written_lets_nobody_in() -> None:
    road = closed()
    road.taking("linq", 9)
    road.gate.allowlist.problem = Conflict("changed by hand")
    write(road, "linq", f"/bind {code_for(road, 'linq')}", 1)
    write(road, "linq", "hi", 2)
    assert (road.replies("linq"), road.gate.edges.channels["linq"].allowed) == ([NOT_SAVED], ())


def test_store_that_is_down_uses_no_code() -> None:
    road = closed()
    road.taking("linq", 9)
    body = BODIES["linq"](f"/bind {code_for(road, 'linq')}")
    road.gate.store.break_writes("disk full")
    assert road.post("linq", body).status == 503
    road.gate.store.break_writes("")
    assert road.post("linq", body).status == 200
    assert road.replies("linq") == [BOUND]


def test_codes_survive_a_restart_and_so_does_the_reply() -> None:
    road = closed()
    code = code_for(road, "linq")
    road = PlatformGate(before=road)
    road.platforms["linq"].answer(429, retry_after="30")
    write(road, "linq", f"/bind {code}")
    after = PlatformGate(before=road)
    after.taking("linq")
    after.settle(31)
    assert after.replies("linq") == [BOUND, BOUND]
    assert [item["status"] for item in after.items()] == ["done"]


def test_guessing_is_stopped_for_one_sender_and_nobody_else() -> None:
    road = closed()
    road.taking("linq", 9)
    code = code_for(road, "linq")
    for number in range(7):
        write(road, "linq", "/bind 0000-0000", number, "666")
    write(road, "linq", f"/bind {code}", 8, "666")
    write(road, "linq", f"/bind {code}", 9, "555")
    assert road.replies("linq") == [WRONG] * 5 + [BOUND]
    assert road.gate.allowlist.admitted == [("linq", "+555", False)]


def test_guessing_by_many_senders_closes_the_channels_codes_for_a_while() -> None:
    road = closed()
    road.taking("linq", 150)
    code = code_for(road, "linq")
    for number in range(101):
        write(road, "linq", "/bind 0000-0000", number, f"7{number}")
    write(road, "linq", f"/bind {code}", 998)
    assert (len(road.replies("linq")), road.gate.allowlist.admitted) == (100, [])
    road.settle(300)
    write(road, "linq", f"/bind {code}", 999)
    assert road.replies("linq")[-1] == BOUND


def test_command_reaches_neither_agent_nor_memory_nor_inbox() -> None:
    agent = ScriptedAgent()
    road = PlatformGate(settings_of(webhook_rate_limit_per_minute=0), agent)
    road.taking("linq", 9)
    code = code_for(road, "linq")
    for number, text in enumerate((f"/bind {code}", f"/claim {code}", "/bind 1234", "hello")):
        write(road, "linq", text, number)
    seen = " ".join(line.text for prompt in agent.prompts for line in prompt.lines)
    assert ([prompt.lines[-1].text for prompt in agent.prompts], "/bind" in seen, code in seen) == (["hello"], False, False)
    found: list[list[str]] = []
    road.gate.store.memory.find("", 10).addCallback(lambda entries: found.append([entry.content for entry in entries]))
    assert found == [["hello"]]
    assert code not in road.gate.client.get("/api/inbox", peer="operator").body.decode()
    assert code.replace("-", "") not in road.gate.store.image().decode("latin-1")


def test_everybodys_star_is_not_narrowed_by_a_code() -> None:
    road = PlatformGate()
    road.taking("linq", 9)
    write(road, "linq", f"/bind {code_for(road, 'linq')}", 1)
    assert road.gate.edges.channels["linq"].allowed == ("*",)


# --- the operator's side -----------------------------------------------------------------------------------------------------------------


def test_codes_are_the_operators_to_make() -> None:
    road = closed()
    stranger = road.gate.client.post("/admin/channels/codes", {"channel": "linq"})
    chat = road.gate.client.post("/admin/channels/codes", {"channel": "linq"}, token=road.gate.pair(scopes=["chat"]))
    assert (stranger.status, chat.status) == (403, 403)
    code = road.gate.client.post("/admin/channels/codes", {"channel": "linq", "ttl_secs": 600, "max_uses": 3}, peer="operator").json
    assert len(code.pop("code")) == 9
    assert code == {"channel": "linq", "ttl_secs": 600, "max_uses": 3, "grant_owner": True}


def test_codes_die_with_the_device_that_made_them() -> None:
    road = closed()
    road.taking("linq", 9)
    token = road.gate.pair(scopes=["admin"])
    stolen = road.gate.client.post("/admin/channels/codes", {"channel": "linq"}, token=token).json["code"]
    genuine = code_for(road, "linq")
    device = road.gate.client.get("/api/devices", peer="operator").json["devices"][0]["id"]
    assert road.gate.client.request("DELETE", f"/api/devices/{device}", peer="operator").status == 200
    write(road, "linq", f"/claim {stolen}", 1, "666")
    write(road, "linq", f"/claim {genuine}", 2)
    assert (road.replies("linq"), road.gate.allowlist.admitted) == ([WRONG, OWNER], [("linq", "+555", True)])


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"channel": "telegram"}, 400, "unknown channel; use one of: whatsapp, linq, nextcloud_talk, wati, gateway"),
        ({"channel": "linq"}, 404, "Linq not configured"),
    ],
)
def test_code_for_a_channel_that_is_not_there_is_refused(body: dict[str, object], status: int, error: str) -> None:
    answer = MemoryGateway().client.post("/admin/channels/codes", body, peer="operator")
    check_common(answer)
    assert (answer.status, answer.json) == (status, {"error": error})


def test_number_of_live_codes_is_bounded() -> None:
    road = closed()
    for _ in range(100):
        code_for(road, "linq", ttl_secs=60)
    assert road.gate.client.post("/admin/channels/codes", {"channel": "linq"}, peer="operator").status == 409
    road.settle(60)
    code_for(road, "linq")


def test_channels_are_listed_with_what_is_configured() -> None:
    listed = PlatformGate(settings_of({"linq": allowing("+1")["linq"]})).gate.client.get("/admin/channels", peer="operator").json["channels"]
    assert [(one["name"], one["configured"], one["allowed"]) for one in listed] == [
        ("whatsapp", False, 0),
        ("linq", True, 1),
        ("nextcloud_talk", False, 0),
        ("wati", False, 0),
    ]


# --- codes for POST /pair ----------------------------------------------------------------------------------------------------------------


def pair(gate: MemoryGateway, code: str) -> int:
    return gate.client.post("/pair", headers={"X-Pairing-Code": code}).status


def test_gateway_code_pairs_and_a_wrong_one_does_not() -> None:
    road = PlatformGate(settings_of(pair_rate_limit_per_minute=0))
    gate, code = road.gate, code_for(road, "gateway")
    paired = gate.client.post("/pair", headers={"X-Pairing-Code": code.lower()})
    assert paired.status == 200
    assert gate.client.get("/api/devices", token=paired.json["token"]).status == 200
    assert (pair(gate, code), pair(gate, "0000-0000"), pair(gate, code_for(road, "linq"))) == (403, 403, 403)


def test_pairing_by_gateway_codes_never_counts_as_a_failure() -> None:
    """rantaiclaw.md §20.7: upstream locks a client after five of them."""
    road = PlatformGate(settings_of(pair_rate_limit_per_minute=0))
    code = code_for(road, "gateway", max_uses=0)
    assert [pair(road.gate, code) for _ in range(9)] == [200] * 9


def test_wrong_gateway_codes_lock_a_client_like_any_other() -> None:
    road = PlatformGate(settings_of(pair_rate_limit_per_minute=0))
    code = code_for(road, "gateway")
    assert [pair(road.gate, "0000-0000") for _ in range(5)] == [403] * 5
    assert pair(road.gate, code) == 429


def test_gateway_codes_are_made_on_this_machine_only() -> None:
    road = PlatformGate()
    answer = road.gate.client.post("/admin/channels/codes", {"channel": "gateway"}, token=road.gate.pair())
    assert (answer.status, road.gate.client.post("/admin/channels/codes", {"channel": "gateway"}, peer="127.0.0.1").status) == (403, 200)
