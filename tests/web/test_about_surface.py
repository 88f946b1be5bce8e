"""`/api/v1` core read routes through the whole gateway. Source: rantaiclaw.md §10."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred, fail, succeed

from clawgate import __version__
from clawgate.domain.errors import AgentAuth
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import AutonomySettings, ChannelsSettings, LoginSettings, Settings, WatiChannel, WebhookChannel, WhatsAppChannel
from clawgate.testing.gateway import MemoryGateway
from tests.web.gate import with_gateway

IDS = [
    *("openrouter", "anthropic", "openai", "openai-codex", "ollama", "gemini", "venice"),
    *("vercel", "cloudflare", "moonshot", "kimi-code", "synthetic", "opencode", "zai"),
    *("glm", "minimax", "bedrock", "qianfan", "doubao", "qwen", "groq"),
    *("mistral", "xai", "deepseek", "together", "fireworks", "perplexity", "cohere"),
    *("copilot", "lmstudio", "llamacpp", "nvidia", "ovhcloud"),
]
CHECKS = [
    ("config.schema", "config"),
    ("config.provider_key", "config"),
    ("config.api_url", "config"),
    ("config.paths", "config"),
    ("policy.allowlist", "config"),
    ("channels.auth", "live"),
    ("mcp.startup", "live"),
    ("provider.ping", "live"),
    ("daemon.registration", "system"),
    ("system.deps", "system"),
]


def ask(gate: MemoryGateway, path: str) -> Any:  # decoded JSON
    answer = gate.client.get(f"/api/v1{path}", token=gate.pair())
    assert answer.status == 200
    return answer.json


class Vendors:
    """A `ModelCatalog` that says what a test tells it."""

    def __init__(self) -> None:
        self.answers: list[Deferred[tuple[str, ...]]] = []

    def models(self, provider: str) -> Deferred[tuple[str, ...]]:
        return self.answers.pop(0)


def asking(settings: Settings | None = None) -> tuple[MemoryGateway, Vendors]:
    """A gateway whose vendors are the test's."""
    vendors = Vendors()
    return MemoryGateway(settings, edges={"build_catalog": lambda current: vendors}), vendors


def test_version_is_open_and_carries_the_fingerprint() -> None:
    answer = MemoryGateway(Settings(config_fingerprint="0123456789abcdef")).client.get("/api/v1/version")
    assert answer.json == {"name": "clawgate", "version": __version__, "config_fingerprint": "0123456789abcdef"}


def test_gateway_without_a_file_has_no_fingerprint() -> None:
    assert MemoryGateway().client.get("/api/v1/version").json["config_fingerprint"] == "none"


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        (LoginSettings(), {"login_required": False, "idle_timeout_secs": 0}),
        (LoginSettings(idle_timeout_secs=60), {"login_required": False, "idle_timeout_secs": 0}),
        (LoginSettings(username="ann", password_hash=Secret("$argon2id$x"), idle_timeout_secs=60), {"login_required": True, "idle_timeout_secs": 60}),
    ],
)
def test_auth_info_never_names_the_user(login: LoginSettings, expected: dict[str, object]) -> None:
    answer = MemoryGateway(with_gateway(Settings(), login=login)).client.get("/api/v1/auth/info")
    assert answer.json == expected


@pytest.mark.parametrize(
    ("autonomy", "level", "preset"),
    [
        (AutonomySettings(level="readonly"), "ReadOnly", "strict"),
        (AutonomySettings(), "Supervised", "smart"),
        (AutonomySettings(always_ask=("x",)), "Supervised", "manual"),
        (AutonomySettings(level="full"), "Full", "off"),
    ],
)
def test_status_tells_level_and_preset(autonomy: AutonomySettings, level: str, preset: str) -> None:
    settings = Settings(autonomy=autonomy, default_provider="groq", default_model="m", config_path="/etc/claw/config.toml")
    told = ask(MemoryGateway(settings), "/status")
    assert set(told["runtime"]) == {"pid", "updated_at", "uptime_seconds", "components"}
    del told["runtime"]
    assert told == {
        "version": __version__,
        "provider": "groq",
        "model": "m",
        "memory_backend": "sqlite",
        "autonomy": level,
        "autonomy_preset": preset,
        "workspace_dir": "/etc/claw/workspace",
        "paired": True,
    }


def test_status_of_an_unset_provider_is_empty() -> None:
    told = ask(MemoryGateway(Settings(workspace_dir="/srv/files")), "/status")
    assert (told["provider"], told["model"], told["workspace_dir"]) == ("", "", "/srv/files")


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        ("custom:https://me:canary-word@llm.example/v1", "custom:https://***@llm.example/v1"),
        ("custom:https://llm.example/v1?key=canary-word", "custom:https://llm.example/v1?key=***"),
    ],
)
def test_provider_is_named_without_the_credentials_in_its_url(provider: str, told: str) -> None:
    gate = MemoryGateway(Settings(default_provider=provider))
    token = gate.pair()
    chat = gate.client.post("/api/v1/agent/chat", {"message": "hi"}, token=token)
    answers = [gate.client.get(path, token=token) for path in ("/api/v1/status", "/api/v1/secrets")]
    assert [answer.json["provider"] for answer in (chat, *answers)] == ["custom", told, told]
    assert not any(b"canary-word" in answer.body for answer in (chat, *answers))


def test_doctor_has_every_check_of_the_contract_once() -> None:
    results = ask(MemoryGateway(), "/doctor")["results"]
    assert [(result["name"], result["category"]) for result in results] == CHECKS
    assert {tuple(sorted(result)) for result in results} == {("category", "duration_ms", "hint", "message", "name", "severity")}
    assert {result["severity"] for result in results} <= {"Ok", "Info", "Warn", "Fail"}
    assert {result["duration_ms"] for result in results} == {0}


@pytest.mark.parametrize(
    ("settings", "name", "severity"),
    [
        (Settings(), "config.schema", "Ok"),
        (Settings(unknown=("gatway.port",)), "config.schema", "Info"),
        (Settings(default_provider="groq"), "config.provider_key", "Warn"),
        (Settings(default_provider="bedrock"), "config.provider_key", "Warn"),
        (Settings(default_provider="custom:http://far.example/v1"), "config.api_url", "Warn"),
        (with_gateway(Settings(), api_rate_limit_per_minute=0), "policy.allowlist", "Warn"),
        (Settings(channels_config=ChannelsSettings(whatsapp=WhatsAppChannel())), "channels.auth", "Fail"),
        (Settings(), "mcp.startup", "Info"),
        (Settings(), "system.deps", "Ok"),
    ],
)
def test_doctor_grades_what_is_found(settings: Settings, name: str, severity: str) -> None:
    results = {result["name"]: result for result in ask(MemoryGateway(settings), "/doctor")["results"]}
    assert results[name]["severity"] == severity
    assert results[name]["message"]


def test_doctor_tells_of_a_component_in_error_and_of_a_broken_store() -> None:
    gate = MemoryGateway()
    token = gate.pair()
    gate.gateway.health.failed("mcp:files", "gone")
    gate.store.break_writes("disk full")
    gate.client.post("/admin/paircode/new", peer="operator")
    gate.client.post("/pair", headers={"X-Pairing-Code": gate.gateway.pairing.pending_code or ""})
    results = {result["name"]: result["severity"] for result in gate.client.get("/api/v1/doctor", token=token).json["results"]}
    assert (results["mcp.startup"], results["daemon.registration"], results["system.deps"]) == ("Fail", "Fail", "Fail")


def test_channels_come_in_the_published_order_and_presence_is_enough() -> None:
    channels = ChannelsSettings(whatsapp=WhatsAppChannel(), webhook=WebhookChannel(), wati=WatiChannel(api_token=Secret("t")))
    settings = Settings(channels_config=channels, unknown=("channels_config.telegram", "channels_config.nothing", "x"))
    assert ask(MemoryGateway(settings), "/channels") == {"configured": ["telegram", "webhook", "whatsapp", "wati"], "count": 4}


def test_no_channel_is_an_empty_list() -> None:
    assert ask(MemoryGateway(), "/channels") == {"configured": [], "count": 0}


def test_providers_are_the_published_table() -> None:
    told = ask(MemoryGateway(), "/providers")
    assert [provider["id"] for provider in told["providers"]] == IDS
    assert told["count"] == 33
    assert [provider["id"] for provider in told["providers"] if provider["local"]] == ["ollama", "lmstudio", "llamacpp"]
    assert all(set(provider) == {"id", "display_name", "aliases", "local"} for provider in told["providers"])


@pytest.mark.parametrize("name", ["groq", "GROQ"])
def test_models_are_the_curated_list_until_somebody_asks(name: str) -> None:
    assert ask(MemoryGateway(), f"/providers/{name}/models") == {
        "provider": "groq",
        "models": ["llama-3.3-70b-versatile"],
        "default": "llama-3.3-70b-versatile",
        "source": "curated",
        "age_secs": None,
        "count": 1,
    }


def test_alias_stands_for_its_provider_and_the_chosen_model_is_the_default() -> None:
    told = ask(MemoryGateway(Settings(default_provider="moonshot", default_model="mine")), "/providers/kimi/models")
    assert (told["provider"], told["default"]) == ("moonshot", "mine")


@pytest.mark.parametrize(("method", "path"), [("GET", "models"), ("POST", "models/refresh")])
def test_unknown_provider_is_a_404(method: str, path: str) -> None:
    gate = MemoryGateway()
    answer = gate.client.request(method, f"/api/v1/providers/nobody/{path}", token=gate.pair())
    assert (answer.status, answer.json) == (404, {"error": "not_found", "detail": "unknown provider `nobody`"})


def test_refresh_asks_and_the_list_is_remembered() -> None:
    gate, vendors = asking()
    vendors.answers.append(succeed(("a", "b")))
    token = gate.pair()
    answer = gate.client.post("/api/v1/providers/groq/models/refresh", token=token).json
    assert (answer["models"], answer["source"], answer["age_secs"], answer["refreshed"], answer["detail"]) == (["a", "b"], "cache", 0, True, None)
    gate.clock.advance(90)
    kept = gate.client.get("/api/v1/providers/groq/models", token=token).json
    assert (kept["models"], kept["source"], kept["age_secs"], "refreshed" in kept) == (["a", "b"], "cache", 90, False)


def test_refresh_that_fails_is_a_200_that_says_why_and_keeps_what_was_known() -> None:
    gate, vendors = asking()
    vendors.answers.append(fail(AgentAuth("no key for groq", detail="secret detail")))
    answer = gate.client.post("/api/v1/providers/groq/models/refresh", token=gate.pair())
    assert (answer.status, answer.json["refreshed"], answer.json["detail"], answer.json["source"]) == (200, False, "no key for groq", "curated")


def test_refresh_of_a_vendor_that_is_silent_ends() -> None:
    gate, vendors = asking()
    vendors.answers.append(Deferred())
    pending = gate.client.begin("POST", "/api/v1/providers/groq/models/refresh", token=gate.pair())
    assert not pending.is_answered
    gate.clock.advance(20)
    gate.pump()
    assert (pending.response.json["refreshed"], pending.response.json["detail"]) == (False, "the provider did not answer in time")


def test_gateway_that_asks_nobody_says_so() -> None:
    gate = MemoryGateway()
    answer = gate.client.post("/api/v1/providers/groq/models/refresh", token=gate.pair()).json
    assert (answer["refreshed"], answer["detail"]) == (False, "this gateway asks no provider")


def test_list_of_another_version_counts_as_none() -> None:
    gate = MemoryGateway()
    gate.store.facts.put("provider_models", "groq", msgspec.json.encode({"other": 1}).decode())
    assert gate.client.get("/api/v1/providers/groq/models", token=gate.pair()).json["source"] == "curated"
