"""`/api/v1/config*` and `/api/v1/secrets` (rantaiclaw.md §11, §21 "config_api")."""

from __future__ import annotations

import msgspec
import pytest

from clawgate.domain.caller import Scope
from clawgate.domain.errors import Conflict
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.domain.settings.model import KnowledgeSettings, McpServer
from clawgate.testing.gateway import MemoryGateway, Response
from tests.web.gate import check_common, without_scope
from tests.web.test_live_config import CANARY, SETTINGS, Live

ROUTES = [
    ("GET", "/config"),
    ("PUT", "/config/model"),
    ("PUT", "/config/autonomy"),
    ("POST", "/config/mcp_servers/x"),
    ("DELETE", "/config/mcp_servers/x"),
    ("GET", "/config/knowledge"),
    ("PUT", "/config/knowledge"),
    ("GET", "/secrets"),
    ("PUT", "/secrets"),
    ("POST", "/channels/telegram"),
    ("DELETE", "/channels/telegram"),
]


def ask(live: Live, method: str, path: str, body: object = b"") -> Response:
    return live.ask(method, f"/api/v1{path}", body)


def now(live: Live) -> Settings:
    return live.gate.gateway.live.settings


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_the_api_wants_an_administrator(method: str, path: str) -> None:
    gate = MemoryGateway()
    stranger = gate.client.request(method, f"/api/v1{path}", b"{")
    narrow = gate.client.request(method, f"/api/v1{path}", b"{", token=without_scope(gate, Scope.ADMIN))
    assert (stranger.status, stranger.json["error"], narrow.status, narrow.json["error"]) == (401, "unauthorized", 403, "forbidden")


def test_the_configuration_is_shown_bare_and_masked() -> None:
    answer = ask(Live(), "GET", "/config")
    assert CANARY.encode() not in answer.body
    assert (answer.json["default_model"], answer.json["api_key"], answer.json["secrets"]) == ("first", "", {"encrypt": True})
    assert "provider_api_keys" not in answer.json


def test_the_model_is_written_to_the_users_file_and_in_force_at_once() -> None:
    live = Live()
    live.patch("model", model="patched")
    answer = ask(live, "PUT", "/config/model", {"model": "second", "temperature": 0.2})
    assert answer.json == {"default_provider": "offline", "default_model": "second", "default_temperature": 0.2}
    assert (live.gate.config.base["default_model"], live.gate.config.above) == ("second", {})
    assert live.says() == "says second"


def test_saying_again_what_the_file_says_goes_before_the_overlay() -> None:
    live = Live()
    live.patch("model", model="patched")
    assert ask(live, "PUT", "/config/model", {"model": "first"}).json["default_model"] == "first"


def test_blank_clears_and_a_provider_without_a_key_is_warned_of() -> None:
    live = Live()
    answer = ask(live, "PUT", "/config/model", {"model": "", "provider": "openai"})
    assert (answer.status, answer.json["default_model"], answer.json["default_provider"]) == (200, None, "openai")
    assert "openai" in answer.json["warning"]


def test_every_listed_provider_can_be_chosen_and_one_without_an_address_is_warned_of() -> None:
    live = Live()
    warned = []
    for row in ask(live, "GET", "/providers").json["providers"]:
        answer = ask(live, "PUT", "/config/model", {"provider": row["id"]})
        assert (answer.status, answer.json["default_provider"]) == (200, row["id"])
        if "custom:<base URL>" in answer.json.get("warning", ""):
            warned.append(row["id"])
    assert warned == ["openai-codex", "cloudflare", "kimi-code", "opencode", "bedrock", "copilot"]


def test_a_provider_that_nobody_knows_is_refused_with_the_way_there() -> None:
    live = Live()
    answer = ask(live, "PUT", "/config/model", {"provider": "acme"})
    assert (answer.status, "custom:<url>" in answer.json["detail"], now(live).default_provider) == (400, True, "offline")


def test_switching_the_provider_carries_keys() -> None:
    live = Live(msgspec.structs.replace(SETTINGS, default_provider="openai", provider_api_keys={"gemini": Secret("gemini-key-1")}))
    ask(live, "PUT", "/config/model", {"provider": "gemini"})
    assert now(live).api_key == Secret("gemini-key-1")
    ask(live, "PUT", "/config/model", {"provider": "openai"})
    assert (now(live).api_key, now(live).default_provider) == (Secret(CANARY), "openai")


def test_autonomy_is_replaced_key_by_key_and_shown_whole() -> None:
    live = Live()
    answer = ask(live, "PUT", "/config/autonomy", {"level": "READ_ONLY", "allowed_commands": ["git"], "max_actions_per_hour": 7})
    assert (answer.json["level"], answer.json["allowed_commands"], answer.json["max_actions_per_hour"]) == ("readonly", ["git"], 7)
    assert (answer.json["workspace_only"], now(live).autonomy.level) == (True, "readonly")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"level": "x"}, "invalid autonomy level: x"),
        ({"allowed_commands": [""]}, "invalid command"),
        ({"allowed_commands": ["rm -rf"]}, "invalid command"),
        ({"allowed_commands": ["*"]}, "invalid command"),
        ({"max_actions_per_hour": -1}, "autonomy.max_actions_per_hour"),
    ],
)
def test_autonomy_that_cannot_work_is_refused(body: dict[str, object], detail: str) -> None:
    live = Live()
    answer = ask(live, "PUT", "/config/autonomy", body)
    assert (answer.status, answer.json["error"], detail in answer.json["detail"]) == (400, "bad_request", True)
    assert live.gate.config.writes == 0


def test_a_server_is_added_replaced_and_removed() -> None:
    live = Live()
    added = ask(live, "POST", "/config/mcp_servers/more", {"command": "more", "args": ["-v"], "env": {"KEY": CANARY}})
    assert added.json == {"name": "more", "added": True, "count": 2}
    assert ask(live, "POST", "/config/mcp_servers/more", {"command": "less"}).json["count"] == 2
    assert now(live).mcp_servers["more"] == McpServer(command="less")
    gone = [ask(live, "DELETE", "/config/mcp_servers/more").json for _ in range(2)]
    assert gone == [{"name": "more", "removed": True, "count": 1}, {"name": "more", "removed": False, "count": 1}]


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("x", {"command": " "}, "command must not be empty"),
        ("%20", {"command": "x"}, "server name must not be empty"),
        ("a%20b", {"command": "x"}, "is no name"),
    ],
)
def test_a_server_without_name_or_command_is_refused(path: str, body: dict[str, object], detail: str) -> None:
    answer = ask(Live(), "POST", f"/config/mcp_servers/{path}", body)
    assert (answer.status, detail in answer.json["detail"]) == (400, True)


def test_secrets_are_set_cleared_kept_and_never_returned() -> None:
    live = Live()
    answers = [
        ask(live, "PUT", "/secrets", {"api_key": "sk-fresh-0123456789", "api_url": "https://host/v1"}),
        ask(live, "PUT", "/secrets", {"api_url": ""}),
        ask(live, "GET", "/secrets"),
        ask(live, "PUT", "/secrets", {"api_key": ""}),
    ]
    assert [answer.json.get("api_key_present") for answer in answers] == [True, True, True, False]
    assert answers[2].json == {"provider": "offline", "api_url": None, "api_key_present": True, "encrypt_at_rest": True}
    assert not any(b"sk-fresh" in answer.body for answer in answers)


@pytest.mark.parametrize("url", ["sk-0123456789abcdef", "gsk_x", "xai-1", "AIzaSy", "hf_1", "sk_live", "ftp://h", "h", "http://"])
def test_a_url_that_is_none_changes_nothing(url: str) -> None:
    live = Live()
    answer = ask(live, "PUT", "/secrets", {"api_key": "sk-fresh-0123456789", "api_url": url})
    assert (answer.status, now(live).api_key, live.gate.config.writes) == (400, Secret(CANARY), 0)


def test_knowledge_is_turned_on_and_off_and_keeps_its_keys() -> None:
    live = Live()
    on = ask(live, "PUT", "/config/knowledge", {"enabled": True, "embedding_api_key": "emb-0123456789"})
    assert on.json == {"enabled": True, "embedding_configured": True, "vision_configured": False}
    ask(live, "PUT", "/config/knowledge", {"enabled": False})
    assert ask(live, "GET", "/config/knowledge").json == {
        "enabled": False,
        "embedding_configured": True,
        "vision_configured": False,
        "source": "config",
    }
    assert now(live).knowledge == KnowledgeSettings(embedding_api_key=Secret("emb-0123456789"))


def test_telegram_is_refused_with_the_channels_there_are() -> None:
    live = Live()
    posted = ask(live, "POST", "/channels/telegram", {"bot_token": CANARY})
    assert (posted.status, posted.json["detail"]) == (
        400,
        "Telegram is not a channel of this gateway. Supported: whatsapp, linq, nextcloud_talk, wati",
    )
    assert ask(live, "DELETE", "/channels/telegram").status == 404


def test_a_file_changed_meanwhile_is_a_conflict() -> None:
    live = Live()
    live.gate.config.problem = Conflict("config.toml changed since it was read")
    answer = ask(live, "PUT", "/config/model", {"model": "second"})
    assert (answer.status, answer.json) == (409, {"error": "conflict", "detail": "config.toml changed since it was read"})
    check_common(answer)
    assert now(live).default_model == "first"


def test_an_edit_of_nothing_is_no_write_of_anything() -> None:
    live = Live()
    for path in ("/config/model", "/config/autonomy", "/config/knowledge", "/secrets"):
        assert ask(live, "PUT", path, {}).status == 200
    assert live.gate.config.base["default_model"] == "first"
