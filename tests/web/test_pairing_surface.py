"""Pairing codes, tokens and devices at the HTTP border.

Source: zeroclaw.md A2, A3 (/pair), A6, B1, B3, B4; construct-realtime.md §0.4, §0.5, §1; rantaiclaw.md §3, §21; design §4.6–4.10;
advisories.md (GHSA-4jpw-hj22-2xmc, GHSA-whf9-3hcx-gq54, CVE-2026-34503, CVE-2026-35656, GHSA-wx3j-3v2j-rf45, nanobot#4825, CVE-2026-44118).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred, fail

from clawgate.domain.caller import Scope
from clawgate.domain.devices import Device
from clawgate.domain.errors import StoreUnavailable
from clawgate.domain.settings.model import GatewaySettings, Settings, TunnelSettings
from clawgate.testing.gateway import MemoryGateway, Response
from tests.web.gate import check_common, gateway, unlimited, with_gateway

SAVE_IT = "Save this token — use it as Authorization: Bearer <token>"
UNSAVED = "Paired for this process, but failed to persist token to config.toml. Check config path and write permissions."
NO_CODE = "Pairing is active but no new code available (already paired or code expired)"
OFF = "Pairing is disabled for this gateway"


def pair(gate: MemoryGateway, code: str, peer: str = "203.0.113.9", **headers: str) -> Response:
    answer = gate.client.post("/pair", headers={"X-Pairing-Code": code, **headers}, peer=peer)
    check_common(answer)
    return answer


def api_pair(gate: MemoryGateway, body: dict[str, Any] | bytes, peer: str = "203.0.113.9", **headers: str) -> Response:
    answer = gate.client.post("/api/pair", body, peer=peer, headers=headers)
    check_common(answer)
    return answer


def new_code(gate: MemoryGateway, path: str = "/admin/paircode/new", token: str | None = None, **body: object) -> Response:
    return gate.client.post(path, body, token=token) if token else gate.client.post(path, body, peer="operator")


def opens(gate: MemoryGateway, token: str) -> bool:
    return gate.client.get("/api/devices", token=token).status != 401


def calm() -> MemoryGateway:
    """A gateway without rate limits, so that lockouts show by themselves."""
    return MemoryGateway(msgspec.structs.replace(Settings(), gateway=unlimited()))


def wrong(gate: MemoryGateway) -> str:
    return "000000" if gate.gateway.pairing.pending_code != "000000" else "111111"


# --- POST /pair --------------------------------------------------------------------------------------------------------------------------


def test_right_code_gives_a_token_with_the_union_of_all_fields() -> None:
    gate = MemoryGateway()
    answer = pair(gate, gate.codes[0])
    token = answer.json["token"]
    assert re.fullmatch("zc_[0-9a-f]{64}", token)
    expected = {"paired": True, "persisted": True, "token": token, "message": SAVE_IT, "issued_at": answer.json["issued_at"]}
    assert {name: answer.json[name] for name in expected} == expected
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", answer.json["issued_at"])
    assert opens(gate, token)


def test_only_the_hash_of_the_token_reaches_the_mirror() -> None:
    gate = MemoryGateway()
    token = pair(gate, gate.codes[0]).json["token"]
    assert gate.mirror.hashes == {hashlib.sha256(token.encode()).hexdigest()}


def test_code_is_trimmed_and_the_body_is_ignored() -> None:
    gate = MemoryGateway()
    answer = gate.client.post("/pair", b"\xff{not json", headers={"X-Pairing-Code": f"\t {gate.codes[0]} ", "Content-Type": "image/png"})
    assert answer.status == 200


def test_second_use_of_a_code_is_refused() -> None:
    gate = MemoryGateway()
    assert [pair(gate, gate.codes[0]).status, pair(gate, gate.codes[0]).status] == [200, 403]


def test_prefix_of_tokens_is_a_setting() -> None:
    gate = gateway(token_prefix="cg_")
    assert pair(gate, gate.codes[0]).json["token"].startswith("cg_")


@pytest.mark.parametrize("code", ["", " ", "12345", "abcdef", "1234567", "' OR 1=1", "x" * 8000])
def test_wrong_code_is_a_403(code: str) -> None:
    answer = pair(MemoryGateway(), code)
    assert (answer.status, answer.json) == (403, {"error": "Invalid pairing code"})


def test_missing_or_unreadable_header_is_a_wrong_code() -> None:
    gate = calm()
    unreadable = b"POST /pair HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nX-Pairing-Code: \xff\xfe\r\n\r\n"
    assert [gate.client.post("/pair").status, gate.client.send(unreadable).response.status] == [403, 403]
    assert [gate.client.post("/pair").status for _ in range(4)] == [403, 403, 403, 429]


def test_only_the_first_of_two_code_headers_counts() -> None:
    gate = MemoryGateway()
    lines = f"X-Pairing-Code: {wrong(gate)}\r\nX-Pairing-Code: {gate.codes[0]}\r\n".encode()
    assert gate.client.send(b"POST /pair HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + lines + b"\r\n").response.status == 403


def test_token_that_could_not_be_mirrored_works_and_says_so() -> None:
    gate = MemoryGateway()
    gate.mirror.problem = OSError("read-only file system")
    answer = pair(gate, gate.codes[0])
    assert (answer.status, answer.json["persisted"], answer.json["message"]) == (200, False, UNSAVED)
    assert opens(gate, answer.json["token"])
    assert opens(gate.restart(kill=True), answer.json["token"])


def test_store_that_refuses_gives_no_token_and_leaves_the_code() -> None:
    gate = MemoryGateway()
    gate.store.break_writes("disk full")
    answer = pair(gate, gate.codes[0])
    assert (answer.status, answer.headers["retry-after"], "token" in answer.json) == (503, "5", False)
    gate.store.break_writes("")
    assert pair(gate, gate.codes[0]).status == 200


def test_per_minute_limit_is_told_in_field_and_header() -> None:
    gate = MemoryGateway()
    gate.pair()
    statuses = [pair(gate, "").status for _ in range(9)]
    limited = pair(gate, "")
    assert statuses == [403] * 5 + [429] * 4
    assert (limited.status, limited.json) == (429, {"error": "Too many pairing requests. Please retry later.", "retry_after": 60})
    assert limited.headers["retry-after"] == "60"


def test_limit_of_zero_is_no_limit() -> None:
    gate = calm()
    assert {pair(gate, "x", peer=f"203.0.113.{host}").status for host in range(100)} <= {403}


def test_pairing_is_never_right_when_it_is_off() -> None:
    gate = gateway(require_pairing=False)
    assert gate.codes == []
    assert pair(gate, "000000").json == {"error": "Invalid pairing code"}
    assert api_pair(gate, {"code": ""}).status == 400


# --- lockout and ceiling -----------------------------------------------------------------------------------------------------------------


def test_sixth_wrong_code_is_locked_out_with_the_seconds_left() -> None:
    gate = calm()
    assert [pair(gate, wrong(gate)).status for _ in range(5)] == [403] * 5
    locked = pair(gate, wrong(gate))
    assert (locked.status, locked.json) == (429, {"error": "Too many failed attempts. Try again in 300s.", "retry_after": 300})
    assert locked.headers["retry-after"] == "300"
    gate.clock.advance(299.5)
    assert pair(gate, wrong(gate)).json["retry_after"] == 1


def test_right_code_is_refused_while_its_client_is_locked_and_good_for_others() -> None:
    gate = calm()
    for _ in range(5):
        pair(gate, wrong(gate))
    assert pair(gate, gate.codes[0]).status == 429
    assert pair(gate, gate.codes[0], peer="198.51.100.1").status == 200


def test_expired_lock_leaves_five_more_tries() -> None:
    gate = calm()
    for _ in range(5):
        pair(gate, wrong(gate))
    gate.clock.advance(300)
    assert [pair(gate, wrong(gate)).status for _ in range(6)] == [403] * 5 + [429]


def test_failures_count_however_far_apart() -> None:
    gate = calm()
    statuses = []
    for _ in range(6):
        statuses.append(pair(gate, wrong(gate)).status)
        gate.clock.advance(250)
    assert statuses == [403, 403, 403, 403, 403, 429]


def test_idle_client_is_forgotten_after_900_seconds() -> None:
    gate = calm()
    for _ in range(4):
        pair(gate, wrong(gate))
    gate.clock.advance(901)
    assert [pair(gate, wrong(gate)).status for _ in range(5)] == [403] * 5


def test_success_clears_the_failures_of_its_client_only() -> None:
    gate = calm()
    for _ in range(4):
        pair(gate, wrong(gate))
        pair(gate, wrong(gate), peer="198.51.100.1")
    assert pair(gate, gate.codes[0]).status == 200
    gate.clock.advance(60)
    assert [pair(gate, "x").status, pair(gate, "x").status] == [403, 403]
    assert [pair(gate, "x", peer="198.51.100.1").status, pair(gate, "x", peer="198.51.100.1").status] == [403, 429]


def test_both_doors_share_one_lockout() -> None:
    gate = calm()
    for _ in range(3):
        pair(gate, wrong(gate))
        api_pair(gate, {"code": wrong(gate)})
    locked = api_pair(gate, {"code": gate.codes[0]})
    assert (locked.status, locked.json) == (429, {"paired": False, "error": "Too many attempts. Locked out for 300s", "retry_after": 300})
    assert locked.headers["retry-after"] == "300"


def test_loopback_is_locked_out_too() -> None:
    gate = calm()
    assert [pair(gate, wrong(gate), peer="127.0.0.1").status for _ in range(6)] == [403] * 5 + [429]


def test_ipv6_neighbours_share_a_lockout_and_mapped_ipv4_is_ipv4() -> None:
    gate = calm()
    assert [pair(gate, wrong(gate), peer=f"2001:db8::{host}").status for host in range(1, 7)] == [403] * 5 + [429]
    for _ in range(5):
        pair(gate, wrong(gate), peer="::ffff:198.51.100.7")
    assert pair(gate, wrong(gate), peer="198.51.100.7").status == 429


def spray(gate: MemoryGateway, count: int) -> set[int]:
    return {pair(gate, wrong(gate), peer=f"198.51.{number // 200}.{number % 200}").status for number in range(count)}


def test_sixty_failures_of_many_clients_burn_the_code_and_nothing_else() -> None:
    gate = calm()
    token = gate.pair()
    code = new_code(gate).json["pairing_code"]
    assert spray(gate, 59) == {403}
    assert gate.gateway.pairing.pending_code == code
    assert spray(gate, 1) == {403}
    assert gate.gateway.pairing.pending_code is None
    assert pair(gate, code, peer="192.0.2.1").status == 403
    assert opens(gate, token)
    assert gate.client.post("/webhook", {"message": "hi"}, token=token).status == 200


def test_burned_code_is_replaced_by_the_operators_next_one() -> None:
    gate = calm()
    spray(gate, 60)
    code = new_code(gate).json["pairing_code"]
    assert pair(gate, code, peer="192.0.2.1").status == 200


# --- life of a code ----------------------------------------------------------------------------------------------------------------------


def test_code_expires_and_a_new_one_is_announced_while_nothing_is_paired() -> None:
    gate = gateway(pairing_code_ttl_secs=60)
    gate.clock.advance(59)
    assert len(gate.codes) == 1
    gate.clock.advance(1)
    assert len(gate.codes) == 2
    assert [pair(gate, gate.codes[0]).status, pair(gate, gate.codes[1]).status] == [403, 200]
    gate.clock.advance(600)
    assert len(gate.codes) == 2


def test_renewal_leaves_the_operators_own_code_alone() -> None:
    gate = gateway(pairing_code_ttl_secs=60)
    gate.clock.advance(59)
    code = new_code(gate, scopes=["read"]).json["pairing_code"]
    gate.clock.advance(5)
    assert gate.codes[1:] == []
    assert pair(gate, code).json["scopes"] == ["read"]


class Away:
    """Rows that cannot be read."""

    def alive(self, now_ms: int) -> Deferred[tuple[Device, ...]]:
        return fail(StoreUnavailable(detail="away"))


def test_renewal_tries_again_when_the_store_could_not_be_read() -> None:
    gate = gateway(pairing_code_ttl_secs=60)
    rows, gate.gateway.devices.rows = gate.gateway.devices.rows, Away()  # type: ignore[assignment]  # all that is asked of it
    gate.clock.advance(60)
    gate.gateway.devices.rows = rows
    assert len(gate.codes) == 1
    gate.clock.advance(60)
    assert len(gate.codes) == 2


def test_restart_without_tokens_makes_a_new_code_and_with_tokens_none() -> None:
    gate = MemoryGateway()
    second = gate.restart(kill=True)
    assert len(second.codes) == 1
    assert second.codes != gate.codes
    second.pair()
    assert second.restart(kill=True).codes == []


def test_no_code_is_made_when_a_token_was_imported() -> None:
    settings = Settings(gateway=GatewaySettings(paired_tokens=("zc_old",)), paired_tokens_present=True)
    gate = MemoryGateway(settings)
    assert gate.codes == []
    assert gate.client.get("/health").json["paired"] is True
    assert opens(gate, "zc_old")


def test_imported_hash_opens_like_its_token_and_upper_case_hex_too() -> None:
    hashed = hashlib.sha256(b"zc_old").hexdigest()
    for entry in (hashed, hashed.upper()):
        gate = MemoryGateway(Settings(gateway=GatewaySettings(paired_tokens=(entry,)), paired_tokens_present=True))
        assert [opens(gate, "zc_old"), opens(gate, hashed)] == [True, False]
        assert gate.client.get("/api/devices", token="zc_old").json["devices"][0]["device_type"] == "legacy"


# --- POST /api/pair ------------------------------------------------------------------------------------------------------------------------


def test_api_pair_answers_the_published_fields() -> None:
    gate = MemoryGateway()
    answer = api_pair(gate, {"code": f" {gate.codes[0]} ", "device_name": "Chrome on Linux", "device_type": "browser", "admin": True, "role": "root"})
    body = answer.json
    assert (answer.status, body["paired"], body["persisted"], body["message"]) == (200, True, True, "Pairing successful")
    device = gate.client.get("/api/devices", token=body["token"]).json["devices"][0]
    assert (device["name"], device["device_type"], device["ip_address"]) == ("Chrome on Linux", "browser", "203.0.113.9")


@pytest.mark.parametrize("body", [{"code": "x"}, {}, {"code": None}, {"code": 5}, {"code": ["x"]}, {"code": ""}])
def test_api_pair_wrong_code_is_a_400(body: dict[str, Any]) -> None:
    answer = api_pair(MemoryGateway(), body)
    assert (answer.status, answer.json) == (400, {"paired": False, "error": "Invalid or expired pairing code"})


def test_api_pair_counts_a_number_as_no_code() -> None:
    gate = MemoryGateway()
    assert api_pair(gate, {"code": int(gate.codes[0])}).status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'["x"]', b"null", b"\xff", b'{"code":"\\ud800"}', b"[" * 60_000])
def test_api_pair_body_that_is_no_object_is_a_400(body: bytes) -> None:
    answer = api_pair(MemoryGateway(), body, **{"Content-Type": "application/json"})
    assert (answer.status, answer.json) == (400, {"paired": False, "error": 'Invalid JSON body. Expected: {"code": "..."}'})


def test_api_pair_needs_a_json_content_type() -> None:
    gate = MemoryGateway()
    body = msgspec.json.encode({"code": gate.codes[0]})
    assert [api_pair(gate, body).status, api_pair(gate, body, **{"Content-Type": "text/plain"}).status] == [400, 400]
    assert api_pair(gate, body, **{"Content-Type": "Application/Problem+JSON; charset=utf-8"}).status == 200


def test_api_pair_rate_limit_keeps_its_shape() -> None:
    gate = gateway(pair_rate_limit_per_minute=1)
    api_pair(gate, {"code": "x"})
    limited = api_pair(gate, {"code": "x"})
    assert limited.json == {"paired": False, "error": "Too many pairing requests. Please retry later.", "retry_after": 60}
    assert limited.headers["retry-after"] == "60"


@pytest.mark.parametrize(
    ("given", "stored"), [("  Kitchen \n", "Kitchen"), ("a\x00b\u202ec", "abc"), ("x" * 500, "x" * 128), ("", None), (7, None), (None, None)]
)
def test_device_name_is_stored_printable_and_short(given: object, stored: str | None) -> None:
    gate = MemoryGateway()
    token = api_pair(gate, {"code": gate.codes[0], "device_name": given}).json["token"]
    assert gate.client.get("/api/devices", token=token).json["devices"][0]["name"] == stored


def test_operators_name_wins_and_is_cleaned_too() -> None:
    gate = MemoryGateway()
    code = new_code(gate, name=" Ann's\x07 phone ").json["pairing_code"]
    token = api_pair(gate, {"code": code, "device_name": "evil"}).json["token"]
    assert gate.client.get("/api/devices", token=token).json["devices"][0]["name"] == "Ann's phone"


# --- auth limiter ------------------------------------------------------------------------------------------------------------------------


def test_ten_failed_credentials_lock_a_client_at_every_door_that_counts() -> None:
    gate = calm()
    token = gate.pair()
    code = new_code(gate).json["pairing_code"]
    statuses = [gate.client.post("/webhook", {"message": "hi"}, token="wrong").status for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    refused = [gate.client.post("/webhook", {"message": "hi"}, token="wrong"), pair(gate, code), api_pair(gate, {"code": code})]
    assert [answer.status for answer in refused] == [429] * 3
    text = "Too many auth attempts. Try again in 300s."
    assert refused[0].json == refused[1].json == {"error": text, "retry_after": 300}
    assert refused[2].json == {"paired": False, "error": text, "retry_after": 300}
    assert {answer.headers["retry-after"] for answer in refused} == {"300"}
    assert gate.client.post("/webhook", {"message": "hi"}, token=token).status == 200
    gate.clock.advance(300)
    assert pair(gate, code).status == 200


def test_failures_spread_over_more_than_a_minute_lock_nobody() -> None:
    gate = calm()
    statuses = []
    for _ in range(30):
        statuses.append(gate.client.post("/webhook", {"message": "hi"}, token="wrong").status)
        gate.clock.advance(7)
    assert statuses == [401] * 30


def test_loopback_cannot_lock_itself_out_unless_something_is_forwarded() -> None:
    gate = calm()
    statuses = [gate.client.post("/webhook", {"message": "hi"}, token="wrong", peer="127.0.0.1").status for _ in range(15)]
    assert statuses == [401] * 15
    forwarded = [
        gate.client.post("/webhook", {"message": "hi"}, token="wrong", peer="127.0.0.1", headers={"X-Forwarded-For": "192.0.2.1"}).status
        for _ in range(11)
    ]
    assert forwarded == [401] * 10 + [429]


def test_dashboard_that_polls_with_a_dead_token_can_still_pair_again() -> None:
    gate = calm()
    statuses = {gate.client.get("/api/devices", token="revoked").status for _ in range(30)}
    assert statuses == {401}
    assert pair(gate, gate.codes[0]).status == 200


# --- codes for operators -----------------------------------------------------------------------------------------------------------------


def test_first_code_is_shown_only_while_nothing_is_paired() -> None:
    gate = MemoryGateway()
    shown = gate.client.get("/pair/code", peer="127.0.0.1")
    assert shown.json == {"success": True, "pairing_required": True, "pairing_code": gate.codes[0]}
    gate.pair()
    new_code(gate)
    assert gate.client.get("/pair/code", peer="::1").json == {"success": True, "pairing_required": True, "pairing_code": None}


def test_pending_code_is_shown_to_the_administrator_with_its_sentence() -> None:
    gate = MemoryGateway()
    shape = {"success": True, "pairing_required": True}
    assert gate.client.get("/admin/paircode", peer="127.0.0.1").json == {
        **shape,
        "pairing_code": gate.codes[0],
        "message": "Use this one-time code to pair",
    }
    pair(gate, gate.codes[0])
    assert gate.client.get("/admin/paircode", peer="127.0.0.1").json == {**shape, "pairing_code": None, "message": NO_CODE}


def test_new_code_replaces_the_pending_one() -> None:
    gate = MemoryGateway()
    answer = new_code(gate)
    code = answer.json["pairing_code"]
    message = "New pairing code generated — use this one-time code to pair"
    assert answer.json == {"success": True, "pairing_required": True, "pairing_code": code, "message": message}
    assert re.fullmatch(r"\d{6}", code)
    assert [pair(gate, gate.codes[0]).status, pair(gate, code).status] == [403, 200]


def test_codes_of_a_gateway_without_pairing() -> None:
    gate = gateway(require_pairing=False)
    none = {"pairing_required": False, "pairing_code": None}
    assert gate.client.get("/pair/code", peer="127.0.0.1").json == {"success": True, **none}
    assert gate.client.get("/admin/paircode", peer="127.0.0.1").json == {"success": True, **none, "message": OFF}
    answer = new_code(gate)
    assert (answer.status, answer.json) == (400, {"success": False, **none, "message": OFF})
    refused = [gate.client.post(path) for path in ("/api/pairing/initiate",)]
    assert [(answer.status, answer.json) for answer in refused] == [(503, {"error": "Pairing is disabled or not available"})]


def test_switching_pairing_off_opens_no_administration_to_the_world() -> None:
    gate = gateway(require_pairing=False)
    for token in (None, "", "anything"):
        assert gate.client.get("/admin/paircode", token=token).json == {"error": "Admin endpoints are restricted to localhost"}


@pytest.mark.parametrize("path", ["/pair/code", "/admin/paircode"])
@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-For",
        "X-Real-IP",
        "Forwarded",
        "X-Forwarded-Host",
        "CF-Connecting-IP",
        "Tailscale-User-Login",
        "Via",
        "X-Forwarded-Proto",
        "True-Client-IP",
    ],
)
def test_forwarded_request_is_not_local(path: str, header: str) -> None:
    gate = MemoryGateway()
    answer = gate.client.get(path, peer="127.0.0.1", headers={header: "127.0.0.1"})
    assert (answer.status, answer.json) == (403, {"error": "Admin endpoints are restricted to localhost"})


def test_nobody_is_local_once_a_tunnel_is_configured() -> None:
    gate = MemoryGateway(Settings(tunnel=TunnelSettings(provider="custom")))
    assert [gate.client.get("/pair/code", peer=peer).status for peer in ("127.0.0.1", "::1", "::ffff:127.0.0.1")] == [403] * 3
    assert gate.client.get("/pair/code", token=gate.pair(scopes=["admin"])).status == 200


def test_neighbour_is_not_local_and_forms_of_loopback_are() -> None:
    gate = MemoryGateway()
    remote = [gate.client.get("/pair/code", peer=peer).status for peer in ("192.168.1.2", "10.0.0.1", "2001:db8::1")]
    local = [gate.client.get("/pair/code", peer=peer).status for peer in ("127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1")]
    assert (remote, local) == ([403] * 3, [200] * 4)


def test_no_token_is_given_for_being_local() -> None:
    gate = MemoryGateway()
    assert gate.client.get("/api/devices", peer="127.0.0.1").status == 401
    assert pair(gate, "", peer="127.0.0.1").status == 403


# --- scopes and lives of tokens -----------------------------------------------------------------------------------------------------------


def scopes_of(gate: MemoryGateway, code: str) -> list[str]:
    return list(pair(gate, code).json["scopes"])


def test_token_from_a_code_holds_every_scope_unless_the_operator_narrowed_it() -> None:
    gate = MemoryGateway()
    assert scopes_of(gate, gate.codes[0]) == sorted(Scope)
    assert scopes_of(gate, new_code(gate, scopes=["chat", "read"]).json["pairing_code"]) == ["chat", "read"]


def test_administrator_hands_out_no_more_than_it_holds() -> None:
    gate = MemoryGateway()
    admin = gate.pair(scopes=["admin", "read"])
    assert scopes_of(gate, new_code(gate, token=admin, scopes=["read", "terminal", "chat"]).json["pairing_code"]) == ["read"]
    assert scopes_of(gate, new_code(gate, token=admin).json["pairing_code"]) == ["admin", "read"]
    assert scopes_of(gate, new_code(gate, "/api/pairing/initiate", token=admin).json["pairing_code"]) == ["admin", "read"]


def test_asking_only_for_what_one_does_not_hold_is_a_403_and_makes_no_code() -> None:
    gate = MemoryGateway()
    admin = gate.pair(scopes=["admin"])
    answer = new_code(gate, token=admin, scopes=["chat"])
    assert (answer.status, gate.gateway.pairing.pending_code) == (403, None)


def code_as_seen(gate: MemoryGateway, token: str) -> Response:
    return gate.client.get("/admin/paircode", token=token)


def test_narrow_administrator_does_not_see_a_code_that_gives_more_than_it_holds() -> None:
    gate = MemoryGateway()
    admin = gate.pair(scopes=["admin", "read"])
    code = new_code(gate).json["pairing_code"]
    answer = code_as_seen(gate, admin)
    assert (answer.status, code.encode() in answer.body) == (403, False)
    narrow = new_code(gate, scopes=["read"]).json["pairing_code"]
    assert code_as_seen(gate, admin).json["pairing_code"] == narrow


def test_token_with_an_end_does_not_see_a_code_that_lives_longer() -> None:
    gate = MemoryGateway()
    admin = gate.pair(ttl_secs=3600)
    new_code(gate)
    assert code_as_seen(gate, admin).status == 403
    new_code(gate, ttl_secs=60, code_ttl_secs=60)
    assert code_as_seen(gate, admin).status == 403  # it says nothing of when it will be used


@pytest.mark.parametrize("path", ["/admin/paircode/new", "/api/pairing/initiate"])
def test_token_with_an_end_hands_out_none_that_outlives_it(path: str) -> None:
    gate = MemoryGateway(msgspec.structs.replace(Settings(), gateway=unlimited()))
    admin = gate.pair(ttl_secs=3600)
    gate.clock.advance(600)
    friend = pair(gate, new_code(gate, path, token=admin).json["pairing_code"]).json["token"]
    friends = pair(gate, new_code(gate, path, token=friend).json["pairing_code"]).json["token"]
    gate.clock.advance(2999)
    assert [opens(gate, token) for token in (friend, friends)] == [True, True]
    gate.clock.advance(2)
    assert [opens(gate, token) for token in (friend, friends)] == [False, False]


def test_code_ends_with_the_token_that_made_it() -> None:
    gate = MemoryGateway(msgspec.structs.replace(Settings(), gateway=unlimited()))
    admin = gate.pair(ttl_secs=60)
    code = new_code(gate, token=admin, code_ttl_secs=86_400).json["pairing_code"]
    gate.clock.advance(61)
    assert pair(gate, code).status == 403


@pytest.mark.parametrize("path", ["/admin/paircode/new", "/api/pairing/initiate"])
def test_code_dies_with_the_revoked_device_that_made_it(path: str) -> None:
    gate = MemoryGateway()
    stolen, owner = gate.pair(name="stolen"), gate.pair()
    code = new_code(gate, path, token=stolen).json["pairing_code"]
    device_id = next(device["id"] for device in gate.client.get("/api/devices", token=owner).json["devices"] if device["name"] == "stolen")
    assert gate.client.request("DELETE", f"/api/devices/{device_id}", token=owner).status == 200
    assert (gate.gateway.pairing.pending_code, pair(gate, code).status) == (None, 403)


def test_code_of_somebody_else_outlives_a_revoked_device() -> None:
    gate = MemoryGateway()
    owner = gate.pair()
    code = new_code(gate).json["pairing_code"]
    assert gate.client.request("DELETE", f"/api/devices/{only_device(gate, owner)['id']}", token=owner).status == 200
    assert pair(gate, code).status == 200


def test_rotation_keeps_the_end_of_the_token() -> None:
    gate = MemoryGateway(msgspec.structs.replace(Settings(), gateway=unlimited()))
    gate.pair(ttl_secs=3600, name="guest")
    admin = gate.pair()
    device_id = next(device["id"] for device in gate.client.get("/api/devices", token=admin).json["devices"] if device["name"] == "guest")
    gate.clock.advance(600)
    again = pair(gate, gate.client.post(f"/api/devices/{device_id}/token/rotate", token=admin).json["pairing_code"]).json["token"]
    assert opens(gate, again)
    gate.clock.advance(3001)
    assert not opens(gate, again)


@pytest.mark.parametrize(
    "body",
    [{"scopes": ["root"]}, {"scopes": "read"}, {"ttl_secs": -1}, {"ttl_secs": 10**18}, {"ttl_secs": 10**400}, {"code_ttl_secs": -5}, {"name": 5}],
)
def test_new_code_that_makes_no_sense_is_a_400(body: dict[str, object]) -> None:
    gate = MemoryGateway()
    before = gate.gateway.pairing.pending_code
    answer = new_code(gate, **body)
    assert (answer.status, list(answer.json)) == (400, ["error"])
    assert gate.gateway.pairing.pending_code == before


def test_code_with_a_life_of_its_own_expires_by_it() -> None:
    gate = MemoryGateway()
    gate.pair()
    code = new_code(gate, code_ttl_secs=30).json["pairing_code"]
    gate.clock.advance(30)
    assert pair(gate, code).status == 403


def test_token_with_a_life_dies_on_time() -> None:
    gate = MemoryGateway()
    token = gate.pair(ttl_secs=60)
    gate.clock.advance(59.9)
    assert opens(gate, token)
    gate.clock.advance(0.1)
    assert not opens(gate, token)


# --- devices ---------------------------------------------------------------------------------------------------------------------------


def only_device(gate: MemoryGateway, token: str) -> dict[str, Any]:
    listed = gate.client.get("/api/devices", token=token).json
    assert listed["count"] == len(listed["devices"])
    return dict(listed["devices"][0])


def test_device_shows_what_it_is_and_never_its_hash() -> None:
    gate = MemoryGateway()
    token = pair(gate, gate.codes[0]).json["token"]
    answer = gate.client.get("/api/devices", token=token)
    device = answer.json["devices"][0]
    assert set(device) == {"id", "name", "device_type", "paired_at", "last_seen", "ip_address", "scopes", "expires_at"}
    assert (device["name"], device["device_type"], device["ip_address"], device["expires_at"]) == (None, "legacy-pair", "203.0.113.9", None)
    assert hashlib.sha256(token.encode()).hexdigest().encode() not in answer.body


def test_revoked_token_is_dead_at_once_and_after_a_restart() -> None:
    gate = MemoryGateway()
    admin, token = gate.pair(), gate.pair()
    device_id = only_device(gate, admin)["id"]
    assert opens(gate, token)
    answer = gate.client.request("DELETE", f"/api/devices/{device_id}", token=admin)
    assert (answer.status, answer.json) == (200, {"message": "Device revoked and bearer token invalidated", "device_id": device_id})
    assert not opens(gate, token)
    assert gate.mirror.hashes == {hashlib.sha256(admin.encode()).hexdigest()}
    assert not opens(gate.restart(kill=True), token)


def test_token_may_revoke_itself() -> None:
    gate = MemoryGateway()
    token = gate.pair()
    assert gate.client.request("DELETE", f"/api/devices/{only_device(gate, token)['id']}", token=token).status == 200
    assert not opens(gate, token)


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/api/devices/nobody"), ("POST", "/api/devices/nobody/token/rotate")])
def test_unknown_device_is_a_404(method: str, path: str) -> None:
    gate = MemoryGateway()
    answer = gate.client.request(method, path, token=gate.pair())
    assert (answer.status, answer.json) == (404, {"error": "Device not found"})


def test_revoking_survives_a_mirror_that_cannot_be_written() -> None:
    gate = MemoryGateway()
    admin, token = gate.pair(), gate.pair()
    gate.mirror.problem = OSError("read-only file system")
    gate.client.request("DELETE", f"/api/devices/{only_device(gate, admin)['id']}", token=admin)
    assert not opens(gate, token)
    assert not opens(gate.restart(kill=True), token)


def test_rotation_kills_the_token_and_its_code_brings_back_what_the_device_had() -> None:
    gate = MemoryGateway()
    token = gate.pair(scopes=["chat"], name="Kitchen")
    admin = gate.pair()
    device_id = next(device["id"] for device in gate.client.get("/api/devices", token=admin).json["devices"] if device["name"] == "Kitchen")
    answer = gate.client.post(f"/api/devices/{device_id}/token/rotate", token=admin)
    assert answer.json == {"device_id": device_id, "pairing_code": answer.json["pairing_code"], "message": "Use this code to re-pair the device"}
    assert not opens(gate, token)
    again = pair(gate, answer.json["pairing_code"])
    assert again.json["scopes"] == ["chat"]


def test_rotation_gives_no_scope_that_its_caller_lacks() -> None:
    gate = MemoryGateway()
    token = gate.pair()
    admin = gate.pair(scopes=["admin", "read"])
    full = next(device for device in gate.client.get("/api/devices", token=token).json["devices"] if len(device["scopes"]) == len(Scope))
    code = gate.client.post(f"/api/devices/{full['id']}/token/rotate", token=admin).json["pairing_code"]
    assert scopes_of(gate, code) == ["admin", "read"]


def test_rotation_that_would_leave_no_scope_is_refused_and_revokes_nothing() -> None:
    gate = MemoryGateway()
    token, admin = gate.pair(scopes=["read"]), gate.pair(scopes=["admin"])
    device_id = only_device(gate, token)["id"]
    device_id = next(d["id"] for d in gate.client.get("/api/devices", token=token).json["devices"] if d["scopes"] == ["read"])
    assert gate.client.post(f"/api/devices/{device_id}/token/rotate", token=admin).status == 403
    assert opens(gate, token)


def test_rotation_leaves_a_pending_code_alone() -> None:
    gate = MemoryGateway()
    admin = gate.pair()
    pending = new_code(gate).json["pairing_code"]
    answer = gate.client.post(f"/api/devices/{only_device(gate, admin)['id']}/token/rotate", token=admin)
    assert (answer.status, answer.json["pairing_code"]) == (200, None)
    assert pair(gate, pending).status == 200


def test_rotate_all_revokes_everybody_and_gives_a_code() -> None:
    gate = MemoryGateway()
    tokens = [gate.pair() for _ in range(3)]
    answer = new_code(gate, "/admin/paircode/new?rotate=all")
    assert [opens(gate, token) for token in tokens] == [False] * 3
    assert (gate.mirror.hashes, gate.client.get("/health").json["paired"]) == (frozenset(), False)
    assert opens(gate, pair(gate, answer.json["pairing_code"]).json["token"])


def test_rotate_one_device_by_its_id() -> None:
    gate = MemoryGateway()
    keeper, token = gate.pair(), gate.pair()
    device_id = only_device(gate, keeper)["id"]
    assert new_code(gate, f"/admin/paircode/new?rotate={device_id}").status == 200
    assert [opens(gate, keeper), opens(gate, token)] == [True, False]
    missing = new_code(gate, "/admin/paircode/new?rotate=nobody")
    assert (missing.status, missing.json) == (404, {"error": "Device not found"})


# --- the file and the store ----------------------------------------------------------------------------------------------------------------


def adopt(gate: MemoryGateway, *entries: str) -> None:
    Deferred.fromCoroutine(gate.gateway.devices.adopt(entries, list_present=True))
    gate.pump()


def test_hash_that_was_deleted_from_the_file_is_revoked() -> None:
    gate = MemoryGateway()
    kept, gone = gate.pair(), gate.pair()
    adopt(gate, hashlib.sha256(kept.encode()).hexdigest())
    assert [opens(gate, kept), opens(gate, gone)] == [True, False]
    adopt(gate)
    assert not opens(gate, kept)


def test_revoked_hash_in_an_old_file_stays_dead() -> None:
    gate = MemoryGateway()
    admin, token = gate.pair(), gate.pair()
    old = tuple(gate.mirror.hashes)
    gate.client.request("DELETE", f"/api/devices/{only_device(gate, admin)['id']}", token=admin)
    adopt(gate, *old)
    assert not opens(gate, token)
    settings = with_gateway(msgspec.structs.replace(gate.settings, paired_tokens_present=True), paired_tokens=old)
    assert not opens(MemoryGateway(settings, store_image=gate.store.image(), before=gate), token)


# --- who is the client -------------------------------------------------------------------------------------------------------------------


def lock_from(gate: MemoryGateway, peer: str, **headers: str) -> None:
    for _ in range(5):
        pair(gate, wrong(gate), peer=peer, **headers)


def test_forwarded_headers_mean_nothing_by_default() -> None:
    gate = calm()
    statuses = [pair(gate, wrong(gate), **{"X-Forwarded-For": f"192.0.2.{host}", "X-Real-IP": f"192.0.2.{host}"}).status for host in range(6)]
    assert statuses == [403] * 5 + [429]


def trusting(**changes: object) -> MemoryGateway:
    own = msgspec.structs.replace(unlimited(), trust_forwarded_headers=True, **changes)
    return MemoryGateway(Settings(gateway=own))


def test_trusted_proxy_names_the_client_by_its_right_most_address() -> None:
    gate = trusting()
    lock_from(gate, "127.0.0.1", **{"X-Forwarded-For": "198.51.100.1, 192.0.2.7"})
    assert pair(gate, "x", peer="127.0.0.1", **{"X-Forwarded-For": "203.0.113.77, 192.0.2.7"}).status == 429
    assert pair(gate, "x", peer="127.0.0.1", **{"X-Forwarded-For": "198.51.100.1"}).status == 403
    assert pair(gate, "x", peer="192.0.2.7").status == 429


def test_proxy_that_adds_a_line_of_its_own_has_the_last_word() -> None:
    gate = trusting()
    lock_from(gate, "192.0.2.7")
    raw = b"POST /pair HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nX-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"
    assert gate.client.send(raw, peer="127.0.0.1").response.status == 429


def test_stranger_is_believed_nothing_even_when_proxies_are_trusted() -> None:
    gate = trusting()
    statuses = [pair(gate, wrong(gate), peer="203.0.113.9", **{"X-Forwarded-For": f"192.0.2.{host}"}).status for host in range(6)]
    assert statuses == [403] * 5 + [429]


def test_real_ip_counts_when_nothing_was_forwarded_and_garbage_falls_back_to_the_peer() -> None:
    gate = trusting()
    lock_from(gate, "127.0.0.1", **{"X-Real-IP": "192.0.2.7"})
    assert pair(gate, "x", peer="192.0.2.7").status == 429
    lock_from(gate, "127.0.0.1", **{"X-Forwarded-For": "garbage"})
    assert pair(gate, "x", peer="127.0.0.1").status == 429


def test_forged_loopback_through_a_proxy_is_not_local() -> None:
    gate = trusting()
    for header in ("X-Forwarded-For", "X-Real-IP"):
        assert gate.client.get("/pair/code", peer="127.0.0.1", headers={header: "127.0.0.1"}).status == 403


def test_only_listed_proxies_are_believed() -> None:
    gate = trusting(trusted_proxies=("10.0.0.0/8",))
    lock_from(gate, "10.1.2.3", **{"X-Forwarded-For": "192.0.2.7"})
    assert pair(gate, "x", peer="192.0.2.7").status == 429
    assert pair(gate, "x", peer="127.0.0.1", **{"X-Forwarded-For": "192.0.2.7"}).status == 403


def test_initiated_code_gives_what_was_asked_for_and_no_more() -> None:
    gate = MemoryGateway()
    admin = gate.pair()
    code = gate.client.post("/api/pairing/initiate", {"scopes": ["read"]}, token=admin).json["pairing_code"]
    narrow = gate.client.post("/api/pair", {"code": code}).json["token"]
    assert [gate.client.get(path, token=narrow).status for path in ("/api/devices", "/api/inbox")] == [200, 403]
    assert gate.client.post("/api/pairing/initiate", {"scopes": ["everything"]}, token=admin).status == 400
