"""Local routes are for this machine's own programs, not for pages of elsewhere that a browser here has open (design §4.8)."""

from __future__ import annotations

from typing import Any

import pytest

from clawgate.domain.settings import Settings
from clawgate.domain.settings.model import GatewaySettings
from clawgate.testing.gateway import MemoryGateway

PATHS = [("GET", "/pair/code"), ("GET", "/admin/paircode"), ("POST", "/admin/paircode/new"), ("POST", "/admin/paircode/new?rotate=all")]
HERE = {"Host": "127.0.0.1:3000"}


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:3000"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost.evil.example:3000"},
        HERE | {"Origin": "https://evil.example"},
        HERE | {"Origin": "http://127.0.0.1:8000"},
        HERE | {"Origin": "http://127.0.0.1:3000.evil.example"},
        HERE | {"Origin": "null"},
        HERE | {"Sec-Fetch-Site": "cross-site"},
        HERE | {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_page_of_elsewhere_is_not_local(method: str, path: str, headers: dict[str, str]) -> None:
    gate = MemoryGateway()
    token = gate.pair()
    answer = gate.client.request(method, path, peer="127.0.0.1", headers=headers)
    assert (answer.status, answer.json) == (403, {"error": "Admin endpoints are restricted to localhost"})
    assert gate.client.get("/api/devices", token=token).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost"},
        {"Host": "LOCALHOST:3000"},
        {"Host": "127.0.0.1:3000"},
        {"Host": "[::1]:3000"},
        {"Host": "[::1]"},
        HERE | {"Origin": "http://127.0.0.1:3000"},
        HERE | {"Sec-Fetch-Site": "same-origin"},
        HERE | {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
def test_own_pages_and_programs_are_local(headers: dict[str, str]) -> None:
    gate = MemoryGateway()
    assert gate.client.get("/pair/code", peer="127.0.0.1", headers=headers).status == 200


def open_gateway(**keys: Any) -> MemoryGateway:
    return MemoryGateway(settings=Settings(gateway=GatewaySettings(require_pairing=False, **keys)))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:3000", "127.0.0.1.evil.example", "EVIL.example.", "localhost.evil.example:3000"])
def test_without_pairing_a_bent_name_opens_nothing(host: str) -> None:
    gate = open_gateway()
    for method, path in (("GET", "/api/v1/config"), ("GET", "/api/sessions"), ("POST", "/webhook"), ("GET", "/ws/chat")):
        answer = gate.client.request(method, path, peer="127.0.0.1", headers={"Host": host}, body=b'{"message": "hi"}')
        assert (answer.status, "gateway.allowed_hosts" in answer.body.decode()) == ((403, True) if path != "/ws/chat" else (426, False)), path


def test_without_pairing_a_page_of_elsewhere_opens_nothing() -> None:
    answer = open_gateway().client.get("/api/sessions", headers=HERE | {"Origin": "https://evil.example"})
    assert (answer.status, answer.json) == (403, {"error": "Origin not allowed"})


@pytest.mark.parametrize(
    "host", ["127.0.0.1:3000", "[::1]:3000", "192.168.1.7", "localhost", "clawgate:3000", "agents.local", "gate.example", "GATE.example:8443"]
)
def test_without_pairing_addresses_and_expected_names_are_let_in(host: str) -> None:
    gate = open_gateway(allowed_hosts=("gate.example",))
    assert gate.client.get("/api/sessions", headers={"Host": host}).status == 200


def test_any_name_is_expected_behind_a_trusted_proxy_or_when_told_so_and_with_pairing() -> None:
    strange = {"Host": "evil.example"}
    for gate in (open_gateway(allowed_hosts=("*",)), open_gateway(trust_forwarded_headers=True)):
        assert gate.client.get("/api/sessions", headers=strange).status == 200
    gate = MemoryGateway()
    assert gate.client.get("/api/sessions", token=gate.pair(), headers=strange).status == 200
