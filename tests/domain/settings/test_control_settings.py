"""`[control]` out of a file and OpenClaw Enterprise's bare names (openclaw-enterprise.md §1.1; design §4.12, §4.18)."""

from __future__ import annotations

import tomllib

import pytest

from clawgate.domain.errors import InvalidSettings
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.domain.settings.parse import build


def built(text: str = "", dotenv: dict[str, str] | None = None, **environ: str) -> Settings:
    return build(tomllib.loads(text), environ=environ, dotenv=dotenv or {}, config_path="", state_dir="")


def test_it_is_off_on_loopback_and_trusts_this_machine_by_itself() -> None:
    found = built().control

    assert (found.enabled, found.host, found.port, found.trusted_ips, found.token_ttl_hours) == (False, "127.0.0.1", 18789, ("127.0.0.1", "::1"), 24)


@pytest.mark.parametrize("name", ["WS_CONTROL_PORT", "JWT_SECRET", "TRUSTED_CLIENT_IPS"])
def test_each_of_three_names_switches_it_on_from_either_place(name: str) -> None:
    value = {"WS_CONTROL_PORT": "19000", "JWT_SECRET": "s" * 40, "TRUSTED_CLIENT_IPS": "10.0.0.1"}[name]

    assert built(**{name: value}).control.enabled
    assert built(dotenv={name: value}).control.enabled


def test_the_other_names_do_not_switch_it_on() -> None:
    others = {"SESSION_TTL_HOURS": "5", "NODE_ENV": "production", "GEMINI_MODEL": "g", "WS_CONTROL_HOST": "127.0.0.2", "JWT_SECRET": " "}

    assert not built(**others).control.enabled


def test_what_is_written_wins_over_names_that_only_imply() -> None:
    assert not built("[control]\nenabled = false", JWT_SECRET="s" * 40).control.enabled
    assert not built(JWT_SECRET="s" * 40, CLAWGATE_CONTROL__ENABLED="false").control.enabled


def test_every_name_says_what_it_said_upstream() -> None:
    found = built(
        WS_CONTROL_PORT="19000",
        WS_CONTROL_HOST="0.0.0.0",
        JWT_SECRET="s" * 40,
        TRUSTED_CLIENT_IPS=" 10.0.0.1 ,, ::1",
        SESSION_TTL_HOURS="8",
        NODE_ENV="production",
        GEMINI_MODEL="g",
        MOONSHOT_MODEL="m",
    ).control

    assert (found.port, found.host, found.trusted_ips, found.token_ttl_hours) == (19000, "0.0.0.0", ("10.0.0.1", "::1"), 8)
    assert (found.jwt_secret, found.node_env, found.gemini_model, found.kimi_model) == (Secret("s" * 40), "production", "g", "m")


def test_a_list_that_is_set_and_empty_trusts_nobody() -> None:
    assert built(TRUSTED_CLIENT_IPS="").control.trusted_ips == ()
    assert built(TRUSTED_CLIENT_IPS="").control.enabled


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"WS_CONTROL_PORT": "many"}, "control.port"),
        ({"JWT_SECRET": "s", "SESSION_TTL_HOURS": "soon"}, "control.token_ttl_hours"),
        ({"JWT_SECRET": "s", "SESSION_TTL_HOURS": "0"}, "control.token_ttl_hours"),
        ({"TRUSTED_CLIENT_IPS": "proxy.example"}, "control.trusted_ips"),
        ({"WS_CONTROL_PORT": "19000", "WS_CONTROL_HOST": "0.0.0.0"}, "control.host"),
    ],
)
def test_what_cannot_work_is_named(environ: dict[str, str], path: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        built(**environ)

    assert path in [problem.path for problem in refused.value.problems]


def test_a_short_secret_is_taken_with_a_warning_that_does_not_repeat_it() -> None:
    found = built(JWT_SECRET="tooshort")

    assert [warning for warning in found.warnings if warning.startswith("control.jwt_secret")]
    assert not any("tooshort" in warning for warning in found.warnings)


def test_the_active_provider_counts_only_with_the_control_plane() -> None:
    keys = {"GEMINI_API_KEY": "g", "MOONSHOT_API_KEY": "m", "ACTIVE_AI_PROVIDER": "kimi"}

    assert built(**keys).default_provider == "gemini"
    assert built(**keys, WS_CONTROL_PORT="19000").default_provider == "moonshot"
    assert built(**keys, WS_CONTROL_PORT="19000", CLAWGATE_PROVIDER="gemini").default_provider == "gemini"


def test_the_active_provider_does_not_get_the_key_of_the_files() -> None:
    text = 'default_provider = "openai"\napi_key = "sk-openai"\napi_url = "https://openai.example/v1"\ndefault_model = "gpt"'
    found = built(text, ACTIVE_AI_PROVIDER="gemini", GEMINI_API_KEY="g", WS_CONTROL_PORT="19000")

    assert (found.default_provider, found.api_key, found.api_url, found.default_model) == ("gemini", None, "", "")


def test_the_named_model_counts_from_the_start_unless_the_file_names_one() -> None:
    plane = {"GEMINI_API_KEY": "g", "GEMINI_MODEL": "gm", "MOONSHOT_MODEL": "km", "WS_CONTROL_PORT": "19000"}

    assert (built(**plane).default_provider, built(**plane).default_model) == ("gemini", "gm")
    assert built(**plane, MOONSHOT_API_KEY="m", ACTIVE_AI_PROVIDER="kimi").default_model == "km"
    assert built('default_provider = "gemini"\ndefault_model = "mine"', **plane).default_model == "mine"
    assert built('default_provider = "openai"\napi_key = "sk"', **plane).default_model == ""
    assert built(GEMINI_API_KEY="g", GEMINI_MODEL="gm").default_model == ""


def test_an_unknown_active_provider_is_ignored_with_a_warning() -> None:
    found = built('default_provider = "offline"', ACTIVE_AI_PROVIDER="claude", WS_CONTROL_PORT="19000")

    assert found.default_provider == "offline"
    assert "ACTIVE_AI_PROVIDER is ignored: write gemini or kimi" in found.warnings
