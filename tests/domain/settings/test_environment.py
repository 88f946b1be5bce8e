"""Variables and `.env`: which name wins, what is ignored and what is refused."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.errors import InvalidSettings
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.domain.settings.environment import names_of, parse_dotenv
from clawgate.domain.settings.parse import build
from clawgate.domain.settings.schema import keys


def built(document: dict[str, object] | None = None, *, dotenv: dict[str, str] | None = None, **environ: str) -> Settings:
    return under(environ, document, dotenv)


def under(environ: Mapping[str, str], document: dict[str, object] | None = None, dotenv: Mapping[str, str] | None = None) -> Settings:
    return build(document or {}, environ=environ, dotenv=dotenv or {}, config_path="", state_dir="")


@pytest.mark.parametrize("path", ["gateway.host", "gateway.port", "default_model", "api_key", "default_provider"])
def test_each_name_wins_over_those_after_it(path: str) -> None:
    names = names_of(path)
    texts = {
        "gateway.host": [f"10.0.0.{n}" for n in range(9)],
        "gateway.port": [str(7000 + n) for n in range(9)],
        "default_provider": ["openai", "anthropic", "gemini", "groq", "mistral", "deepseek", "ollama", "offline", "moonshot"],
    }.get(path, [f"text-{n}" for n in range(9)])

    for first in range(len(names)):
        environ = {name: texts[n] for n, name in enumerate(names) if n >= first}
        section, _, key = path.rpartition(".")
        found = under(environ)
        value = getattr(getattr(found, section), key) if section else getattr(found, key)
        shown = value.reveal() if isinstance(value, Secret) else str(value)
        assert shown == texts[first], names[first]


def test_a_variable_wins_over_the_file() -> None:
    assert built({"gateway": {"port": 1}}, ZEROCLAW_GATEWAY_PORT="2").gateway.port == 2


def test_the_environment_wins_over_dotenv_whatever_the_names() -> None:
    dotenv = {"CLAWGATE_GATEWAY_PORT": "1", "MODEL": "from-dotenv"}
    found = built(dotenv=dotenv, PORT="2")

    assert (found.gateway.port, found.default_model) == (2, "from-dotenv")


def test_a_port_that_is_none_is_ignored_and_ends_the_search() -> None:
    found = built(ZEROCLAW_GATEWAY_PORT="70000", PORT="9000")

    assert found.gateway.port == 3000
    assert found.warnings == ("ZEROCLAW_GATEWAY_PORT is ignored: gateway.port is 70000",)


def test_a_port_of_ours_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(InvalidSettings, match=r"gateway\.port: is text .* from the variable CLAWGATE_GATEWAY_PORT"):
        built(CLAWGATE_GATEWAY_PORT="http")


def test_a_shells_hostname_in_host_is_ignored() -> None:
    found = built(HOST="build-machine")

    assert found.gateway.host == "127.0.0.1"
    assert len(found.warnings) == 1


def test_blank_variables_count_as_absent() -> None:
    found = built({"default_model": "m", "api_key": "k"}, CLAWGATE_MODEL=" ", API_KEY="", HOST="", PORT="7000", ZEROCLAW_GATEWAY_PORT="")

    assert (found.default_model, found.api_key, found.gateway.port) == ("m", Secret("k"), 7000)


@pytest.mark.parametrize(
    ("text", "expected"), [("1", True), ("true", True), ("TRUE", True), ("yes", False), ("0", False), ("false", False), ("", False), ("on", False)]
)
def test_allow_public_bind_is_true_for_two_texts_only(text: str, expected: bool) -> None:
    assert built({"gateway": {"allow_public_bind": True}}, RANTAICLAW_ALLOW_PUBLIC_BIND=text).gateway.allow_public_bind is expected


@pytest.mark.parametrize(("in_file", "expected"), [("", "groq"), ("openrouter", "groq"), ("openai", "openai")])
def test_bare_provider_counts_only_while_the_file_says_openrouter(in_file: str, expected: str) -> None:
    assert built({"default_provider": in_file}, PROVIDER="groq").default_provider == expected


def test_an_unknown_provider_in_a_variable_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="from the variable ZEROCLAW_PROVIDER"):
        built(ZEROCLAW_PROVIDER="nobody")


@pytest.mark.parametrize(("text", "expected"), [("1.5", 1.5), ("2.1", 0.7), ("warm", 0.7)])
def test_temperature_of_another_project_is_taken_within_its_range(text: str, expected: float) -> None:
    assert built(ZEROCLAW_TEMPERATURE=text).default_temperature == expected


@pytest.mark.parametrize(("text", "expected"), [("45", 45), ("soon", 30), ("300", 300)])
def test_constructs_timeout_is_taken_when_it_is_a_number(text: str, expected: int) -> None:
    assert (
        built({"gateway": {"request_timeout_secs": 300}, "kumiho": {}}, CONSTRUCT_GATEWAY_TIMEOUT_SECS=text).gateway.request_timeout_secs == expected
    )


def test_channel_secrets_come_from_variables_only_for_configured_channels() -> None:
    configured: dict[str, object] = {"channels_config": {"whatsapp": {"app_secret": "file"}}}
    found = built(configured, ZEROCLAW_WHATSAPP_APP_SECRET=" variable ", CONSTRUCT_LINQ_SIGNING_SECRET="x").channels_config

    assert found.whatsapp is not None
    assert (found.whatsapp.app_secret, found.linq) == (Secret("variable"), None)


def test_any_key_has_a_long_name() -> None:
    found = built(
        CLAWGATE_GATEWAY__TLS__ENABLED="yes",
        CLAWGATE_GATEWAY__TLS__CERT_PATH="c",
        CLAWGATE_GATEWAY__TLS__KEY_PATH="k",
        CLAWGATE_GATEWAY__TRUSTED_PROXIES="10.0.0.7, 10.1.0.0/16",
        CLAWGATE_AGENT__RETRY_INITIAL_SECS="0.5",
        CLAWGATE_CHANNELS_CONFIG__WEBHOOK__SECRET="s",
    )

    assert (found.gateway.tls.enabled, found.gateway.trusted_proxies) == (True, ("10.0.0.7", "10.1.0.0/16"))
    assert found.agent.retry_initial_secs == 0.5
    assert found.channels_config.webhook is not None
    assert found.channels_config.webhook.secret == Secret("s")


def test_a_long_name_of_nothing_is_reported() -> None:
    assert built(CLAWGATE_GATWAY__PORT="1").warnings == ("CLAWGATE_GATWAY__PORT names no setting and is ignored",)


def test_paired_tokens_cannot_stand_in_a_variable() -> None:
    found = built(CLAWGATE_GATEWAY__PAIRED_TOKENS="a" * 64)

    assert found.gateway.paired_tokens == ()
    assert len(found.warnings) == 1


def test_no_two_settings_share_a_name() -> None:
    names = [name for path in keys() for name in names_of(path)]

    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "offline"),
        ({"ANTHROPIC_API_KEY": "k", "GROQ_API_KEY": "k"}, "anthropic"),
        ({"GOOGLE_API_KEY": "k"}, "gemini"),
        ({"KIMI_API_KEY": "k"}, "moonshot"),
        ({"OPENAI_API_KEY": " "}, "offline"),
        ({"API_KEY": "k", "OPENAI_API_KEY": "k"}, "openrouter"),
    ],
)
def test_an_unset_provider_is_the_first_with_a_key(environ: dict[str, str], expected: str) -> None:
    found = under(environ)

    assert found.default_provider == expected
    assert found.warnings == ()


def test_dotenv_knows_comments_quotes_and_export() -> None:
    text = '\ufeff# top\nA=1\nexport B = two # why\nC=\'it # is\'\nD="line\\nnext \\"q\\" \\\\n" # x\nE=\nF=a#b\nnot a line\n=x\nA=3\r\nG="open\nH H=1\n#I=1'

    assert parse_dotenv(text) == {"A": "3", "B": "two", "C": "it # is", "D": 'line\nnext "q" \\n', "E": "", "F": "a#b", "G": "open"}


@given(st.text(max_size=60))
def test_dotenv_of_any_text_is_names_and_values(text: str) -> None:
    for cut in range(len(text) + 1):
        assert all(name and not any(char.isspace() for char in name) for name in parse_dotenv(text[:cut]))
