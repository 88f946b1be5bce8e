"""Advisories about who is let in, and as whom; one test per row of `tests/advisories/rows.py`, each with its honest counterpart."""

from __future__ import annotations

import hmac
import re

import pytest
from twisted.internet.defer import Deferred

from clawgate.domain.caller import Scope
from clawgate.domain.secret import Secret
from clawgate.domain.settings.findings import Facts, Severity, bind_refusal, findings
from clawgate.domain.settings.model import ChannelsSettings, ControlSettings, GatewaySettings, NodesSettings, Settings, WebhookChannel
from clawgate.domain.tokens import bearer, token_hash
from clawgate.ports.sockets import REVOKED
from clawgate.testing.gateway import MemoryGateway
from clawgate.testing.sockets import SocketClient
from clawgate.web.router import Door
from tests.web.chat_room import SESSION, Room, last_approval, say
from tests.web.gate import device_of, gateway, unlimited
from tests.web.test_chat_socket_surface import PAID, PAY
from tests.web.test_hooks_surface import GITHUB, SECRET, Fixture, changed, github

EVERYTHING = {"scopes": ["admin"], "scope": "admin", "role": "admin", "admin": True, "senderIsOwner": True, "owner": True}
CHAT = "/api/v1/agent/chat"


def scopes_of(gate: MemoryGateway, code: str, **more: object) -> list[str]:
    return list(gate.client.post("/api/pair", {"code": code, **more}).json["scopes"])


def statuses(gate: MemoryGateway, token: str) -> dict[str, int]:
    """What a token gets on each transport: a request, a stream, a socket."""
    stream = gate.client.begin("GET", "/api/events", token=token)
    found = {"http": gate.client.get("/api/devices", token=token).status, "sse": stream.response.status}
    stream.leave()
    return found | {"ws": SocketClient(gate, f"/ws/chat?session_id={SESSION}", token=token).status}


def test_cve_2026_25253() -> None:
    gate = MemoryGateway()
    plain, baited = (gate.client.get(f"/pair/page{query}") for query in ("", "?gatewayUrl=wss://evil.example&token=zc_stolen"))
    assert plain.status == 200 and plain.body == baited.body
    page = plain.body.decode()
    assert not re.search(r"location\.(search|href)|URLSearchParams|document\.referrer|postMessage|localStorage|WebSocket", page)
    assert re.findall(r"location\.hash\)?;?", page) == ["location.hash);"] and "/^#([0-9]{6})$/.exec(location.hash)" in page
    assert re.findall(r"\bbase = (.*);", page) == ['location.pathname.replace(/\\/pair\\/page$/, "")']
    assert re.findall(r"fetch\((.*?),", page) == ['base + "/api/pair"']


def test_ghsa_rqpp_rjj8_7wv8() -> None:
    room = Room(PAY, PAY, PAID)
    narrow = room.gate.pair(scopes=["chat"])
    client = room.join(query=f"?session_id={SESSION}&scopes=approve,admin&role=admin", token=narrow)
    client.send({"type": "connect", **EVERYTHING, "scopes": ["approve", "admin"]})
    say(client)
    client.send({"type": "approval_response", "id": last_approval(client), "approved": True, **EVERYTHING})
    assert client.json[-1]["message"] == "this token may not approve"
    assert room.tools.calls == []
    owner = room.join(query="?session_id=22222222-2222-4222-8222-222222222222")
    say(owner)
    owner.send({"type": "approval_response", "id": last_approval(owner), "approved": True})
    owner.pump()
    assert [name for name, _, _ in room.tools.calls] == ["pay"]


def test_ghsa_4jpw_hj22_2xmc() -> None:
    gate = MemoryGateway()
    narrow, full = gate.pair(scopes=["admin", "read"]), gate.pair()
    minted = gate.client.post("/api/pairing/initiate", {"scopes": ["admin", "terminal", "approve"]}, token=narrow)
    assert scopes_of(gate, minted.json["pairing_code"]) == ["admin"]
    victim = device_of(gate, full)
    gate.pair(scopes=["read"])
    rotated = gate.client.post(f"/api/devices/{victim}/token/rotate", token=narrow)
    assert set(scopes_of(gate, rotated.json["pairing_code"])) <= {"admin", "read"}
    whole = gate.pair()
    honest = gate.client.post("/api/pairing/initiate", {"scopes": ["admin", "terminal"]}, token=whole)
    assert scopes_of(gate, honest.json["pairing_code"]) == ["admin", "terminal"]


def test_ghsa_whf9_3hcx_gq54() -> None:
    gate = MemoryGateway()
    admin = gate.pair()
    reader = gate.pair(scopes=["read"])
    device = device_of(gate, reader)
    code = gate.client.post(f"/api/devices/{device}/token/rotate", EVERYTHING, token=admin).json["pairing_code"]
    assert scopes_of(gate, code) == ["read"]
    assert gate.client.get("/api/devices", token=reader).status == 401


def test_cve_2026_34503() -> None:
    gate = MemoryGateway()
    stolen, other = gate.pair(), gate.pair()
    thief = gate.client.get("/api/devices", token=other).json["devices"][1]["id"]
    sockets = [SocketClient(gate, f"/ws/chat?session_id={SESSION}", token=token) for token in (stolen, other)]
    streams = [gate.client.begin("GET", "/api/events", token=token) for token in (stolen, other)]
    assert gate.client.request("DELETE", f"/api/devices/{thief}", token=other).status == 200
    for client in sockets:
        client.pump()
    assert [client.close_code for client in sockets] == [REVOKED, None]
    assert [stream.raw.endswith(b"0\r\n\r\n") for stream in streams] == [True, False]


def test_ghsa_68x5_xx89_w9mm() -> None:
    gate = MemoryGateway()
    old, kept = gate.pair(), gate.pair()
    assert statuses(gate, old) == statuses(gate, kept) == {"http": 200, "sse": 200, "ws": 101}
    left = (token_hash(kept),)
    Deferred.fromCoroutine(gate.gateway.devices.adopt(left, list_present=True))
    gate.pump()
    assert statuses(gate, old) == {"http": 401, "sse": 401, "ws": 401}
    assert statuses(gate, kept) == {"http": 200, "sse": 200, "ws": 101}
    hooks, new = Fixture(gh=GITHUB), "the new secret of the sender"
    assert hooks.push().status == 202
    hooks.reload(gh=changed(GITHUB, secrets=(Secret(new),)))
    body = b'{"action":"x"}'
    assert [hooks.post("/hooks/gh", body, github(body, secret)).status for secret in (SECRET, new)] == [401, 202]


def test_ghsa_xmxx_7p24_h892_ghsa_m8wm_r5vq_qjpg() -> None:
    gate = MemoryGateway()
    old, admin = gate.pair(), gate.pair()
    device = gate.client.get("/api/devices", token=admin).json["devices"][1]["id"]
    request = f"GET /api/devices HTTP/1.1\r\nHost: gate.internal\r\nAuthorization: Bearer {old}\r\n\r\n".encode()
    connection = gate.client.send(request)
    gate.client.request("DELETE", f"/api/devices/{device}", token=admin)
    for _ in range(2):
        connection.feed(request)
        gate.pump()
    assert re.findall(rb"HTTP/1\.1 (\d+)", connection.raw) == [b"200", b"401", b"401"]


def test_cve_2026_28475_cve_2026_28464_ghsa_jmm5_fvh5_gf4p(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = compared_lengths(monkeypatch)
    gate = webhook_with("correct horse battery")
    for guess, status in (("correct horse batterX", 401), ("X", 401), ("correct horse battery", 200)):
        compared.clear()
        assert ask(gate, guess) == status
        assert compared == [(32, 32)]
    compared.clear()
    assert gate.client.post("/api/pair", {"code": "000000"}).status == 400
    assert compared and set(compared) == {(32, 32)}


def test_cve_2026_41407(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = compared_lengths(monkeypatch)
    gate = webhook_with("s" * 40)
    lengths = (1, 39, 41, 4000)
    assert [ask(gate, "s" * length) for length in lengths] == [401] * 4
    assert compared == [(32, 32)] * 4
    assert ask(gate, "s" * 40) == 200


def compared_lengths(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The lengths that the standard library's comparison is given from now on; it compares as ever."""
    found: list[tuple[int, int]] = []
    genuine = hmac.compare_digest

    def noting(one: bytes, other: bytes) -> bool:
        found.append((len(one), len(other)))
        return genuine(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noting)
    return found


def webhook_with(secret: str) -> MemoryGateway:
    return MemoryGateway(Settings(gateway=unlimited(), channels_config=ChannelsSettings(webhook=WebhookChannel(secret=Secret(secret)))))


def ask(gate: MemoryGateway, secret: str) -> int:
    return gate.client.post("/webhook", {"message": "hi"}, token="", headers={"X-Webhook-Secret": secret}, peer="operator").status


def test_ghsa_6rmx_gvvg_vh6j() -> None:
    gate = MemoryGateway(Settings(gateway=unlimited()))
    wrong = [gate.client.request(method, "/webhook", token="wrong").status for method in ("PUT", "GET", "DELETE") * 10]
    assert wrong == [405] * 30
    assert gate.client.post("/webhook", {"message": "hi"}, token="wrong").status == 401
    counted = [gate.client.post("/webhook", {"message": "hi"}, token="wrong").status for _ in range(10)]
    assert counted == [401] * 9 + [429]


def test_ghsa_5847_rm3g_23mw() -> None:
    gate = gateway(api_rate_limit_per_minute=2)
    token = gate.pair()

    def get(peer: str) -> int:
        return gate.client.get("/api/devices", token=token, peer=peer).status

    assert [get(peer) for peer in ("198.51.100.7", "::ffff:198.51.100.7", "198.51.100.7", "198.51.100.8")] == [200, 200, 429, 200]
    assert [get(f"2001:db8:1:2::{host}") for host in (1, "ffff", "a:b")] == [200, 200, 429]
    assert get("2001:db8:1:3::1") == 200


def test_pr_57647() -> None:
    gate = gateway(api_rate_limit_per_minute=3)
    token = gate.pair()
    guesses = [gate.client.get("/api/devices", token=f"zc_{number:064x}").status for number in range(5)]
    assert guesses == [401, 401, 401, 429, 429]
    assert gate.client.get("/api/devices", token=token, peer="198.51.100.1").status == 200


def test_cve_2026_35656() -> None:
    for peer in ("192.0.2.1", "127.0.0.1"):
        gate = gateway(trust_forwarded_headers=True, trusted_proxies=("192.0.2.1", "127.0.0.1"))
        for forged in ("127.0.0.1", "::1", "127.0.0.1, 127.0.0.1"):
            assert gate.client.get("/admin/paircode", peer=peer, headers={"X-Forwarded-For": forged}).status == 403
        assert gate.client.get("/admin/paircode", peer="127.0.0.1").status == 200


def test_cve_2026_53832() -> None:
    gate = MemoryGateway()
    for name in ("Tailscale-User-Login", "X-Forwarded-For", "X-Real-IP", "Forwarded"):
        assert gate.client.get("/admin/paircode", peer="127.0.0.1", headers={name: "owner@example"}).status == 403
    for name in ("Tailscale-User-Login", "X-Forwarded-User", "Remote-User", "X-WebAuth-User"):
        assert gate.client.get("/api/devices", peer="127.0.0.1", headers={name: "owner@example"}).status == 401
    assert gate.client.get("/admin/paircode", peer="127.0.0.1").status == 200


def test_ghsa_8j2w_6fmm_m587_ghsa_v865_p3gq_hw6m_cve_2026_32004() -> None:
    gate = MemoryGateway(Settings(gateway=unlimited()))
    token = gate.pair()
    twisted = (
        "/api%2fdevices",
        "/api%2Fdevices",
        "//api/devices",
        "/api//devices",
        "/health/../api/devices",
        "/api/./devices",
        "/health/%2e%2e/api/devices",
    )
    assert [gate.client.get(path, token=token).status for path in twisted] == [400] * len(twisted)
    others = ("/API/devices", "/api/Devices", "/api%252fdevices", "/api/devices/", "/api/devices;x")
    assert [gate.client.get(path, token=token).status for path in others] == [404] * 5
    assert [gate.client.get(path).status for path in ("/api/devices", "/%61pi/devices")] == [401, 401]
    assert [gate.client.get(path, token=token).status for path in ("/api/devices", "/%61pi/devices")] == [200, 200]


def test_cve_2026_35669_cve_2026_35668() -> None:
    gate = MemoryGateway(Settings(gateway=unlimited()))
    others = [scope for scope in Scope if scope is not Scope.ADMIN]
    narrow, admin = gate.pair(scopes=others), gate.pair()
    routes = [("GET", path) for path in ("/config", "/api/v1/config", "/config/channels", "/api/v1/secrets", "/api/daemon/logs", "/api/inbox")]
    routes += [("POST", "/api/pairing/initiate"), ("POST", "/admin/paircode/new"), ("GET", "/admin/paircode"), ("GET", "/admin/channels")]
    assert [gate.client.request(method, path, token=narrow).status for method, path in routes] == [403] * len(routes)
    assert [gate.client.request(method, path, token=admin).status for method, path in routes] == [200] * len(routes)


def test_openclaw_12519() -> None:
    def noticed(host: str, **changes: object) -> set[tuple[str, Severity]]:
        settings = Settings(gateway=GatewaySettings(host=host, **changes))  # type: ignore[arg-type]  # fields of their own types
        return {(finding.id, finding.severity) for finding in findings(settings, Facts())} & {("CG010", severity) for severity in Severity}

    for host in ("0.0.0.0", "::", "192.0.2.7", "gate.example", "::ffff:192.0.2.7"):
        refusal = bind_refusal(Settings(gateway=GatewaySettings(host=host)))
        assert refusal is not None and host in refusal
        assert noticed(host) == {("CG010", Severity.ERROR)}
        assert noticed(host, allow_public_bind=True) == {("CG010", Severity.WARNING)}
    assert bind_refusal(Settings()) is None and noticed("127.0.0.1") == set()


def test_cve_2026_44118() -> None:
    gate = MemoryGateway()
    code = gate.client.post("/admin/paircode/new", {"scopes": ["chat"]}, peer="operator").json["pairing_code"]
    paired = gate.client.post("/api/pair", {"code": code, **EVERYTHING}).json
    assert paired["scopes"] == ["chat"]
    token = paired["token"]
    assert gate.client.post("/webhook", {"message": "hi", **EVERYTHING}, token=token).status == 200
    assert gate.client.post(CHAT, {"message": "hi", **EVERYTHING}, token=token).status == 200
    assert gate.client.get("/config?role=admin&admin=true", token=token, headers={"X-Role": "admin"}).status == 403


OPEN = {
    *("GET /health", "GET /readyz", "GET /metrics", "POST /pair", "POST /api/pair", "GET /pair/page", "POST /login"),
    *("GET /api/v1/version", "GET /api/v1/auth/info", "GET /whatsapp", "POST /whatsapp", "POST /linq", "POST /nextcloud-talk", "POST /wati"),
    *("POST /hooks/<name>", "GET /hooks/<name>", "GET /ws/nodes", "GET /api/openapi.json"),
}
"""Routes that ask for no bearer; those of platforms, hooks and nodes ask for something else."""


def test_cve_2026_7112() -> None:
    gate = MemoryGateway(Settings(gateway=unlimited(), nodes=NodesSettings(enabled=True)))
    routes = gate.gateway.router.routes
    assert {route.endpoint for route in routes if route.auth in (Door.PUBLIC, Door.SIGNED)} == OPEN
    for route in routes:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"any-\1", route.path)
        if route.is_socket:
            assert SocketClient(gate, path).status == 401
        elif route.endpoint not in OPEN:
            assert gate.client.request(route.method, path).status == (403 if route.auth is Door.LOCAL else 401), route.endpoint
    assert gate.client.get("/api/devices", token=gate.pair()).status == 200


def test_nanobot_587_pr_635() -> None:
    assert (Settings().gateway.host, Settings().control.host) == ("127.0.0.1", "127.0.0.1")
    exposed = Settings(
        gateway=GatewaySettings(host="0.0.0.0", require_pairing=False, allow_public_bind=True),
        control=ControlSettings(enabled=True, host="0.0.0.0", trusted_ips=("0.0.0.0/0",)),
    )
    errors = {finding.id for finding in findings(exposed, Facts()) if finding.severity is Severity.ERROR}
    assert {"CG012", "CG065"} <= errors
    bridge = MemoryGateway(Settings(nodes=NodesSettings(enabled=True), gateway=GatewaySettings(require_pairing=False)))
    assert SocketClient(bridge, "/ws/nodes").status == 503
    secured = MemoryGateway(
        Settings(nodes=NodesSettings(enabled=True, auth_token=Secret("node-secret")), gateway=GatewaySettings(require_pairing=False))
    )
    assert [SocketClient(secured, "/ws/nodes", token=token).status for token in ("", "guess", "node-secret")] == [401, 401, 101]


def test_nanobot_4825_4826_4827_4077_4103() -> None:
    gate = MemoryGateway()
    token = gate.pair()
    for peer in ("127.0.0.1", "::1"):
        issuing = [gate.client.post(path, {}, peer=peer) for path in ("/pair", "/api/pair", "/api/pairing/initiate", "/api/events/ticket")]
        assert [answer.status for answer in issuing] == [403, 400, 401, 401]
        assert not any(b"zc_" in answer.body or b"ticket" in answer.body for answer in issuing)
        assert gate.client.get("/admin/control/token", peer=peer).status == 404
    assert gate.client.post("/api/events/ticket", token=token, peer="127.0.0.1").status == 200


def test_cve_2026_42208_ghsa_r75f_5x8p_qvmc() -> None:
    gate = MemoryGateway(Settings(gateway=unlimited()))
    token = gate.pair()
    hostile = ("' OR '1'='1", "x'; DROP TABLE devices;--", "%' --", token + "'--", "\x7f\x80\xff", "\xed\xa0\x80", "a" * 513, "a" * 7000)
    for value in hostile:
        answers = [gate.client.get("/api/devices", headers={"Authorization": f"Bearer {value}"}).status for _ in range(2)]
        assert set(answers) <= {400, 401}, value[:40]
    assert bearer("Bearer " + "a" * 505) is not None and bearer("Bearer " + "a" * 506) is None
    assert gate.client.get("/api/devices", token=token).json["count"] == 1


def test_cve_2026_7663() -> None:
    room = Room("one")
    gate = room.gate
    narrow, enough = gate.pair(scopes=[scope for scope in Scope if scope is not Scope.CHAT]), gate.pair(scopes=["chat"])

    def tried(token: str) -> list[int]:
        streamed = gate.client.begin("POST", CHAT, {"message": "hi"}, token=token, headers={"Accept": "text/event-stream"}).response.status
        asked = [gate.client.post(path, {"message": "hi"}, token=token).status for path in ("/webhook", CHAT)]
        return [*asked, streamed, room.join(token=token, query="").status]

    assert tried(narrow) == [403, 403, 403, 403]
    assert tried("wrong") == tried("") == [401, 401, 401, 401]
    assert tried(enough) == [200, 200, 200, 101]


def test_ghsa_wx3j_3v2j_rf45() -> None:
    proxied = gateway(trust_forwarded_headers=True, trusted_proxies=("127.0.0.1",))
    for headers in ({"X-Forwarded-For": "198.51.100.9"}, {"X-Real-IP": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}, {"Via": "1.1 proxy"}):
        assert proxied.client.get("/admin/paircode", peer="127.0.0.1", headers=headers).status == 403
    rebound = proxied.client.get("/admin/paircode", peer="127.0.0.1", headers={"Host": "evil.example"})
    assert rebound.status == 403
    assert proxied.client.get("/admin/paircode", peer="198.51.100.9").status == 403
    assert proxied.client.get("/admin/paircode", peer="127.0.0.1").status == 200
