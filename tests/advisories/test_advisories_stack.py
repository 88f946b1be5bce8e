"""Advisories of the libraries below, kept from coming true here; one test per row of `tests/advisories/rows.py`."""

from __future__ import annotations

import ast
import base64
import hmac
import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from packaging.version import Version
from twisted.internet.interfaces import ISSLTransport
from zope.interface import implementer

import clawgate
from clawgate.agents.http import checked_url
from clawgate.channels.api import checked_base
from clawgate.domain import control
from clawgate.domain.errors import Invalid
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.system.jwt import Hs256
from clawgate.testing import gateway as testing
from clawgate.testing.agents import ScriptedAgent
from clawgate.testing.clock import ManualClock
from clawgate.testing.gateway import MemoryGateway
from clawgate.testing.sockets import SocketClient
from clawgate.web.sockets import MOST_MESSAGE_BYTES
from tests.agents.upstream_net import Upstream, answer, client
from tests.web.gate import check_common, gateway, unlimited
from tests.web.platform_gate import BODIES, PlatformGate

KEY = "k" * 40
CHAT = "/ws/chat?session_id=11111111-1111-4111-8111-111111111111"


def request(line: str, *headers: str, body: str = "") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: gate.internal", *headers, "", body]).encode("latin-1")


def codes(raw: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", raw)]


def test_cve_2024_41671_ghsa_c8m8_j448_xjx7() -> None:
    agent = ScriptedAgent(["slow answer"], is_held=True)
    gate = MemoryGateway(agent=agent)
    token = gate.pair()
    body = '{"message":"hi"}'
    slow = request("POST /webhook", f"Authorization: Bearer {token}", f"Content-Length: {len(body)}", "Content-Type: application/json", body=body)
    both = gate.client.send(slow + request("GET /api/v1/version") + request("GET /nothing"))
    assert (both.raw, agent.calls) == (b"", 1)
    agent.release()
    gate.pump()
    assert codes(both.raw) == [200, 200, 404]
    assert both.raw.index(b"slow answer") < both.raw.index(b'"version"') < both.raw.index(b"Not found")


def test_cve_2023_46137_ghsa_cq7q_gv5w_rwx2() -> None:
    gate = MemoryGateway()
    token, narrow = gate.pair(), gate.pair(scopes=["chat"])
    presented = (f"Bearer {token}", "", f"Bearer {narrow}", "Bearer wrong", f"Bearer {token}")
    pieces = [request("GET /api/devices", *([f"Authorization: {value}"] if value else [])) for value in presented]
    assert codes(gate.client.send(b"".join(pieces)).raw) == [200, 401, 403, 401, 200]


def test_cve_2024_41810_ghsa_cf56_g6w6_pqq2() -> None:
    gate = gateway(path_prefix="/gate")
    for target in ("/gate/", '/gate/?"><script>alert(1)</script>', "/gate/?next=//evil.example", "/gate/?u=http://evil.example/"):
        moved = gate.client.send(request(f"GET {target}")).response
        assert (moved.status, moved.headers["location"], moved.body) == (308, "/gate", b"")
    for target in ('/gate/"><script>alert(1)</script>', "/<svg/onload=x>"):
        gone = gate.client.send(request(f"GET {target}")).response
        assert gone.status in (400, 404) and b"<" not in gone.body and gone.headers["content-type"].startswith("application/json")
    assert gate.client.get("/gate/health").status == 200


def test_cve_2022_39348_ghsa_vg46_2rrj_3647() -> None:
    gate = MemoryGateway()
    for host in ("<script>alert(1)</script>", 'x"onload=1', "a\\b"):
        assert gate.client.send(f"GET /nothing HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).response.status == 400
    missing = gate.client.send(b"GET /nothing HTTP/1.1\r\nHost: echo-me.example\r\n\r\n").response
    assert (missing.status, missing.json) == (404, {"error": "Not found"})
    check_common(missing)
    assert gate.client.send(b"GET /health HTTP/1.1\r\nHost: echo-me.example\r\n\r\n").response.status == 200


SMUGGLED = request("GET /api/v1/version")


def smuggles(headers: tuple[str, ...], body: str) -> None:
    """One request that two readers would cut differently: it is refused, and nothing after it is read."""
    gate = MemoryGateway()
    sent = gate.client.send(request("POST /webhook", *headers, body=body) + SMUGGLED)
    assert codes(sent.raw) == [400], headers
    assert b'"version"' not in sent.raw and sent.is_over


def test_cve_2022_24801_ghsa_c2jg_hw38_jrqq() -> None:
    chunked = ("Transfer-Encoding: chunked",)
    for headers in ("Content-Length: +5", "Content-Length: 0x5", "Content-Length : 5", "Content-Length: 5_0", "Content-Length: -5"):
        smuggles((headers,), "abcde")
    for size in ("0x5", "+5", "5 ", "5;ext=1", "-5"):
        smuggles(chunked, f"{size}\r\nabcde\r\n0\r\n\r\n")
    for coding in ("Transfer-Encoding : chunked", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding: identity", "Transfer-Encoding: x, chunked"):
        smuggles((coding,), "5\r\nabcde\r\n0\r\n\r\n")
    gate = MemoryGateway()
    fine = gate.client.send(
        request("POST /webhook", *chunked, body="5\r\nabcde\r\n0\r\n\r\n") + request("POST /webhook", "Content-Length: 5", body="abcde")
    )
    assert codes(fine.raw) == [401, 401]


def test_cve_2020_10108_cve_2020_10109() -> None:
    smuggles(("Content-Length: 5", "Content-Length: 0"), "abcde")
    smuggles(("Content-Length: 5", "Content-Length: 5"), "abcde")
    smuggles(("Content-Length: 5, 5",), "abcde")
    smuggles(("Content-Length: 5", "Transfer-Encoding: chunked"), "0\r\n\r\n")
    smuggles(("Transfer-Encoding: chunked", "Content-Length: 5"), "0\r\n\r\n")
    gate = MemoryGateway()
    assert codes(gate.client.send(request("POST /webhook", "Content-Length: 5", body="abcde") + SMUGGLED).raw) == [401, 200]


def test_cve_2019_9512_9514_9515() -> None:
    gate = MemoryGateway()
    preface = gate.client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"p" * 8)
    assert codes(preface.raw) == [400] and preface.is_over
    upgrade = gate.client.send(request("GET /health", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"))
    assert codes(upgrade.raw) == [200]
    assert gate.site.acceptableProtocols() == [b"http/1.1"]


def test_cve_2019_12387() -> None:
    clock, upstream = ManualClock(), Upstream(lambda server: server.say(answer(b"{}")))
    http = client(upstream.net, clock)
    for path in ("/x\r\nX-Evil: 1", "/x y", "/x\n", "/\x00", "/é"):
        problems: list[object] = []
        http.post(path, {}, b"{}", Sink()).addErrback(problems.append)
        upstream.net.pump()
        assert len(problems) == 1 and upstream.requests == 0
    for url in ("http://h/\r\nX: 1", "http://h\r\n/", "http://h/a b", "http://u:p@h/", "http://h/\n"):
        with pytest.raises(Invalid):
            checked_url(url)
        if "@" not in url and " " not in url:
            with pytest.raises(Invalid):
                checked_base("x", url)
    http.post("/fine?x=1", {}, b"{}", Sink())
    upstream.net.pump()
    assert upstream.requests == 1 and upstream.last.last_head.startswith(b"POST /v1/fine?x=1 HTTP/1.1\r\n")


class Sink:
    """A receiver that takes anything."""

    def head(self, *_: object) -> None:
        """Taken."""

    def data(self, *_: object) -> None:
        """Taken."""

    def end(self, *_: object) -> None:
        """Taken."""


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_cve_2022_21712_ghsa_92x2_jw7w_xvvx_cve_2022_23607_ghsa_fhpf_pp6p_55qc(status: int) -> None:
    road = PlatformGate(agent=ScriptedAgent(["one", "two"]))
    whatsapp = road.platforms["whatsapp"]
    whatsapp.answer(status, b"{}", location="https://evil.example/take", set_cookie="a=b")
    road.post("whatsapp", BODIES["whatsapp"]("hi", ids=("wamid.1",)))
    assert [call.host for call in whatsapp.calls] == ["graph.facebook.com"]
    road.taking("whatsapp", 2)
    road.post("whatsapp", BODIES["whatsapp"]("hi", ids=("wamid.2",)))
    assert {call.host for call in whatsapp.calls} == {"graph.facebook.com"} and len(whatsapp.calls) >= 2
    assert not any("cookie" in call.headers for call in whatsapp.calls)


def test_cve_2026_42304_ghsa_grgv_6hw6_v9g4() -> None:
    declared = Path(clawgate.__file__).parents[1].joinpath("pyproject.toml").read_text()
    pins = {"twisted": "26.4", "PyJWT": "2.13", "treq": "22.1"}
    for name, oldest in pins.items():
        [written] = re.findall(rf'"{name}(?:\[\w+\])?>=([\d.]+)"', declared)
        assert Version(written) >= Version(oldest) and Version(version(name)) >= Version(oldest)
    assert not imported() & {"twisted.names"}


def imported() -> set[str]:
    """The modules that our sources name, with their packages."""
    found: set[str] = set()
    for path in Path(clawgate.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{name}" for name in names]
            for name in names:
                parts = name.split(".")
                found.update(".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return found


def test_cve_2016_1000111_cve_2019_12855_cve_2022_21716() -> None:
    found = imported()
    assert {"twisted.web", "twisted.web.http", "klein"} <= found
    assert not found & {"twisted.web.twcgi", "twisted.web.distrib", "twisted.words", "twisted.conch", "twisted.mail", "twisted.spread", "pickle"}


def test_cve_2020_35678() -> None:
    gate = MemoryGateway()
    token = gate.pair()
    for query in ("redirect=http://evil.example", "redirect=%0d%0aSet-Cookie:%20a=b", "after=5&redirect=//evil.example"):
        handshake = request(
            f"GET {CHAT}&{query}",
            *(f"Authorization: Bearer {token}", "Upgrade: websocket", "Connection: Upgrade"),
            *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        )
        head = gate.client.send(handshake).raw.partition(b"\r\n\r\n")[0]
        assert codes(head) == [101]
        assert b"evil" not in head and b"ookie" not in head and b"Location" not in head and b"Refresh" not in head


@implementer(ISSLTransport)
class ByTls(testing._Transport):
    """A connection that TLS protects."""


def test_autobahn_691(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = MemoryGateway()
    token = gate.pair()
    strange = (
        *("http://gate.internal.evil.example", "http://evilgate.internal", "http://gate.internal:81", "http://gate.internal@evil.example"),
        *("http://gate.internal/", "http://GATE.internal.", "null", "gate.internal", "*", "http://*.internal"),
        *("ftp://gate.internal", "chrome-extension://gate.internal", "file://gate.internal", "://gate.internal"),
    )
    assert [SocketClient(gate, CHAT, token=token, headers={"Origin": origin}).status for origin in strange] == [403] * len(strange)

    def statuses() -> list[int]:
        return [SocketClient(gate, CHAT, token=token, headers={"Origin": f"{scheme}://gate.internal"}).status for scheme in ("http", "https")]

    assert statuses() == [101, 101]
    monkeypatch.setattr(testing, "_Transport", ByTls)
    assert statuses() == [403, 101]


def test_autobahn_changelog_809() -> None:
    gate = MemoryGateway()
    token = gate.pair()
    offered = SocketClient(gate, CHAT, token=token, headers={"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"})
    assert offered.status == 101
    assert b"extensions" not in offered._pending.raw.partition(b"\r\n\r\n")[0].lower()
    offered.raw(b"\xc1\x85\x00\x00\x00\x00hello")
    assert offered.close_code == 1002
    whole = SocketClient(gate, CHAT, token=token)
    whole.send("x" * (MOST_MESSAGE_BYTES + 1))
    assert whole.close_code == 1009
    fragments = SocketClient(gate, CHAT, token=token)
    piece = b"\xff" + (MOST_MESSAGE_BYTES // 4).to_bytes(8, "big") + b"\x00" * 4 + b"x" * (MOST_MESSAGE_BYTES // 4)
    fragments.raw(b"\x01" + piece + (b"\x00" + piece) * 4)
    assert fragments.close_code == 1009
    small = SocketClient(gate, CHAT, token=token)
    small.send('{"type":"nothing"}')
    assert small.close_code is None and MOST_MESSAGE_BYTES <= 1 << 20


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def token_of(header: dict[str, object], key: bytes = KEY.encode(), algorithm: str = "sha256", **claims: object) -> str:
    """A token that somebody signs by hand."""
    text = f"{part(header)}.{part(claims)}"
    signature = hmac.new(key, text.encode(), algorithm).digest() if algorithm else b""
    return f"{text}." + base64.urlsafe_b64encode(signature).decode().rstrip("=")


HS = {"alg": "HS256", "typ": "JWT"}


def test_cve_2022_29217_ghsa_ffqj_6fqr_9h24() -> None:
    signer = Hs256(Secret(KEY))
    assert signer.is_signed(signer.sign({"a": 1})) and signer.is_signed(token_of(HS, a=1))
    for name in ("HS384", "HS512"):
        assert not signer.is_signed(token_of({"alg": name}, algorithm="sha" + name[2:]))
    for name in ("none", "None", "RS256", "hs256", ""):
        assert not signer.is_signed(token_of({"alg": name}))
    public = generate_private_key(65537, 2048).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    confused = Hs256(Secret(public.decode()))
    assert not confused.is_signed(token_of(HS, key=public))
    with pytest.raises(Invalid):
        confused.sign({"a": 1})


def verdict(signer: Hs256, token: str) -> str | None:
    return control.refusal(token, now_s=1000, active_id="j", is_signed=signer.is_signed)


GOOD = {"iat": 1000, "exp": 2000, "jti": "j"}


def test_cve_2024_53861_ghsa_75c5_xw7c_p5pm() -> None:
    signer = Hs256(Secret(KEY))
    assert verdict(signer, signer.sign({**GOOD, "iss": control.ISSUER})) is None
    for issuer in ("", "o", "openclaw", "gateway", control.ISSUER[:-1], control.ISSUER + "x", [control.ISSUER], None):
        refused = verdict(signer, signer.sign({**GOOD, "iss": issuer}))
        assert refused is not None and "issuer" in refused
    assert "issuer" in str(verdict(signer, signer.sign(GOOD)))


def test_cve_2026_32597_ghsa_752w_5fwx_jx9f() -> None:
    signer = Hs256(Secret(KEY))
    claims = {**GOOD, "iss": control.ISSUER}
    assert verdict(signer, token_of(HS, **claims)) is None
    for critical in (["x-policy"], ["exp"], [], "x", ["b64", "x-policy"]):
        assert verdict(signer, token_of({**HS, "crit": critical, "x-policy": "none"}, **claims)) is not None


def test_cve_2026_48523_cve_2026_48524_cve_2026_48525() -> None:
    signer = Hs256(Secret(KEY))
    claims = {**GOOD, "iss": control.ISSUER}
    own = {"kty": "oct", "k": base64.urlsafe_b64encode(b"attacker").decode().rstrip("="), "alg": "HS256"}
    for header in ({"alg": "none"}, {**HS, "b64": False, "crit": ["b64"]}, {"alg": "HS256", "jwk": own}):
        assert verdict(signer, token_of(header, key=b"attacker", **claims)) is not None
    assert verdict(signer, token_of({"alg": "none"}, algorithm="", **claims)) is not None
    assert not Hs256(Secret("")).is_signed(token_of(HS, key=b"", **claims))
    flood = [
        verdict(signer, token_of({**HS, "kid": f"unknown-{number}", "jku": "http://evil.example"}, key=b"no", **claims)) for number in range(200)
    ]
    assert None not in flood
    assert verdict(signer, signer.sign(claims)) is None


def test_werkzeug_2821() -> None:
    gate = MemoryGateway(Settings(gateway=unlimited()))
    token = gate.pair()
    for path in ("//evil.example", "//evil.example/%2e%2e", "///evil.example/", "/api//inbox", "//api/inbox/x", "/\\evil.example"):
        refused = gate.client.send(request(f"GET {path}", f"Authorization: Bearer {token}")).response
        assert refused.status == 400 and "location" not in refused.headers
    for path in ("/api/inbox/", "/api/inbox/x/", "/tasks/x/comments/", "/health/"):
        missing = gate.client.get(path, token=token)
        assert missing.status == 404 and "location" not in missing.headers
    assert gate.client.get("/api/inbox", token=token).status == 200


def test_granian_subprotocol() -> None:
    gate = MemoryGateway()
    token = gate.pair()
    values = {"\xff\xfe": 400, "construct.v1, \xe9": 400, "x" * 8192: 431, "a b c": 400, ",,,": 400, "(": 400, "bearer." + "\xff" * 100: 400}
    assert {value: SocketClient(gate, CHAT, token=token, headers={"Sec-WebSocket-Protocol": value}).status for value in values} == values
    assert SocketClient(gate, CHAT, token=token, subprotocols=["construct.v1"]).subprotocol == "construct.v1"
