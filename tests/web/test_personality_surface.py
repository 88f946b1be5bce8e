"""`/api/v1/personality`. Source: rantaiclaw.md §10 (Personality)."""

from __future__ import annotations

import pytest

from clawgate.domain.caller import Scope
from clawgate.domain.settings.model import Settings
from clawgate.testing.gateway import MemoryGateway, Response
from tests.web.gate import check_common

PATH = "/api/v1/personality"
DEFAULT: dict[str, object] = {
    "preset": "default",
    "name": "RantaiClawAgent",
    "role": "general productivity and helpful assistance",
    "tone": "neutral",
    "avoid": None,
    "always_on_kbs": [],
}


def put(gate: MemoryGateway, token: str, **body: object) -> Response:
    answer = gate.client.request("PUT", PATH, body, token=token)
    check_common(answer)
    return answer


def test_without_one_it_says_so() -> None:
    gate = MemoryGateway(Settings(config_path="/home/x/.rantaiclaw/profiles/work/config.toml"))
    assert gate.client.get(PATH, token=gate.pair()).json == {"profile": "work", "preset": None, "configured": False}


def test_first_change_starts_from_the_published_default() -> None:
    gate = MemoryGateway()
    token = gate.pair()
    answer = put(gate, token, tone="dry", timezone="Mars/Base", unknown=1)
    assert (answer.status, answer.json) == (200, DEFAULT | {"tone": "dry"})
    assert gate.client.get(PATH, token=token).json == DEFAULT | {"tone": "dry", "profile": "default", "timezone": "UTC"}


def test_change_keeps_the_rest_and_an_empty_avoid_clears() -> None:
    gate = MemoryGateway()
    token = gate.pair()
    put(gate, token, name="Ann", avoid="salt", always_on_kbs=["a", "b", "a"])
    assert put(gate, token, preset="research_analyst").json == DEFAULT | {
        "preset": "research_analyst",
        "name": "Ann",
        "avoid": "salt",
        "always_on_kbs": ["a", "b"],
    }
    assert put(gate, token, avoid="").json["avoid"] is None


def test_system_md_is_rewritten() -> None:
    gate = MemoryGateway()
    token = gate.pair()
    for name in ("Ann", "Bob"):
        put(gate, token, name=name)
        assert (gate.scratch.path / "SYSTEM.md").read_text().startswith(f"You are {name}.\n")


def test_unknown_preset_is_a_400_with_the_published_words() -> None:
    gate = MemoryGateway()
    token = gate.pair()
    answer = put(gate, token, preset="pirate")
    assert (answer.status, answer.json) == (400, {"error": "bad_request", "detail": "unknown preset `pirate`"})
    assert gate.client.get(PATH, token=token).json["preset"] is None


@pytest.mark.parametrize("body", [{"preset": 1}, {"always_on_kbs": "a"}, {"name": ["x"]}])
def test_body_of_another_shape_is_a_422(body: dict[str, object]) -> None:
    gate = MemoryGateway()
    assert put(gate, gate.pair(), **body).status == 422


def test_broken_persona_toml_is_a_409_that_names_it() -> None:
    gate = MemoryGateway()
    token = gate.pair()
    gate.scratch.path.mkdir()
    (gate.scratch.path / "persona.toml").write_text("name = ")
    for answer in (gate.client.get(PATH, token=token), put(gate, token, name="Ann")):
        assert (answer.status, answer.json["error"], answer.json["detail"].startswith("persona.toml is not TOML")) == (409, "conflict", True)


@pytest.mark.parametrize(("method", "scope"), [("GET", Scope.READ), ("PUT", Scope.WRITE)])
def test_personality_wants_its_scope(method: str, scope: Scope) -> None:
    gate = MemoryGateway()
    narrow = gate.pair(scopes=[each for each in Scope if each is not scope])
    statuses = [gate.client.request(method, PATH, {}, token=token).status for token in (None, narrow, gate.pair(scopes=[scope]))]
    assert statuses == [401, 403, 200]
