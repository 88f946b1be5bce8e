"""Local routes are for this machine's own programs, not for pages of elsewhere that a browser here has open (design §4.8)."""

from __future__ import annotations

import pytest

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
