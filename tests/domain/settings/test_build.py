"""What configurations mean, and what is said of those that cannot work."""

from __future__ import annotations

import datetime

import pytest
import tomli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawgate.domain.errors import Invalid, InvalidSettings
from clawgate.domain.overlay import merged
from clawgate.domain.providers_catalog import PROVIDERS, Provider
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.domain.settings.parse import build, clear_text_secrets
from clawgate.domain.settings.schema import Kind, keys
from clawgate.domain.tokens import token_hash

HASH = "a" * 64

ZEROCLAW = f"""
default_provider = "openrouter"
default_model = "anthropic/claude-sonnet-4.6"
default_temperature = 0.7
api_key = "sk-or-v1-0123456789abcdef"

[observability]
backend = "none"

[autonomy]
level = "supervised"
workspace_only = true
allowed_commands = ["git", "ls"]

[agent]
compact_context = false
max_tool_iterations = 10

[memory]
backend = "markdown"
auto_save = true

[gateway]
port = 3000
host = "127.0.0.1"
require_pairing = true
allow_public_bind = false
paired_tokens = ["{HASH}"]
pair_rate_limit_per_minute = 10
webhook_rate_limit_per_minute = 60
trust_forwarded_headers = false
rate_limit_max_keys = 10000
idempotency_ttl_secs = 300
idempotency_max_keys = 10000

[tunnel]
provider = "cloudflare"

[tunnel.cloudflare]
token = "eyJhIjoiMDEyMzQ1Njc4OWFiY2RlZiJ9"

[secrets]
encrypt = true

[channels_config]
cli = true

[channels_config.telegram]
bot_token = "123:abc"

[channels_config.webhook]
secret = "7b6f2c1e9d8a4f35"

[channels_config.whatsapp]
access_token = "EAAB"
phone_number_id = "1234567890"
verify_token = "5d0c1f4b8a7e6932"
app_secret = " 0f1e2d3c4b5a69788796a5b4c3d2e1f0 "
allowed_numbers = ["+1234567890"]
pair_phone = "+1555"

[channels_config.linq]
api_token = "linq-token-0123456789"
from_phone = "+15550001111"
allowed_senders = ["*"]
"""

RANTAICLAW = """
default_provider = "openrouter"
default_temperature = 0.7
config_schema_version = 12

[gateway]
host = "0.0.0.0"
port = 9393
api_rate_limit_per_minute = 600
request_timeout_secs = 300

[gateway.login]
username = "owner"
password_hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"

[tunnel]
provider = "cloudflared"

[tunnel.cloudflare]
token = "eyJhIjoiMDEyMzQ1Njc4OWFiY2RlZiJ9"

[channels_config]
autonomous_tools = false

[channels_config.nextcloud_talk]
base_url = "https://cloud.example"
app_token = "x"

[tasks]
enabled = true

[reliability]
channel_initial_backoff_secs = 2

[observability]
backend = "otel"
"""

CONSTRUCT = """
default_provider = "anthropic"
default_model = "claude-sonnet-4"
default_temperature = 0.5

[gateway]
port = 42617
host = "127.0.0.1"
path_prefix = "/construct"
session_persistence = true
session_ttl_hours = 0

[gateway.pairing_dashboard]
code_length = 8
code_ttl_secs = 3600

[gateway.tls]
enabled = false
cert_path = "/etc/ssl/cert.pem"
key_path = "/etc/ssl/key.pem"

[gateway.tls.client_auth]
enabled = false
ca_cert_path = "/etc/ssl/ca.pem"

[kumiho]
enabled = true
api_url = "https://api.kumiho.cloud"

[security.webauthn]
enabled = false

[[cron.jobs]]
id = "daily"
"""


def built(text: str = "", **environ: str) -> Settings:
    return build(tomli.loads(text), environ=environ, dotenv={}, config_path="/c/config.toml", state_dir="/c/state")


def problems(text: str, **environ: str) -> dict[str, Invalid]:
    with pytest.raises(InvalidSettings) as caught:
        built(text, **environ)
    found = caught.value.problems
    assert str(caught.value).splitlines() == [str(problem) for problem in found]
    return {problem.path: problem for problem in found}


def test_an_empty_file_gives_the_published_defaults() -> None:
    found = built()

    assert (found.gateway.host, found.gateway.port, found.gateway.require_pairing) == ("127.0.0.1", 3000, True)
    assert (found.gateway.pair_rate_limit_per_minute, found.gateway.webhook_rate_limit_per_minute, found.gateway.idempotency_ttl_secs) == (
        10,
        60,
        300,
    )
    assert (found.default_provider, found.warnings, found.unknown, found.paired_tokens_present) == ("offline", (), (), False)
    assert (found.config_path, found.state_dir) == ("/c/config.toml", "/c/state")


def test_a_zeroclaw_config_starts_clawgate() -> None:
    found = built(ZEROCLAW)
    channels = found.channels_config

    assert found.gateway.paired_tokens == (HASH,)
    assert found.paired_tokens_present
    assert (found.default_model, found.api_key) == ("anthropic/claude-sonnet-4.6", Secret("sk-or-v1-0123456789abcdef"))
    assert channels.webhook is not None
    assert (channels.webhook.port, channels.webhook.secret) == (None, Secret("7b6f2c1e9d8a4f35"))
    assert channels.whatsapp is not None
    assert channels.whatsapp.is_cloud
    assert channels.whatsapp.app_secret == Secret("0f1e2d3c4b5a69788796a5b4c3d2e1f0")
    assert channels.linq is not None
    assert channels.linq.allowed_senders == ("*",)
    assert found.observability.backend == "none"
    assert found.memory.backend == "sqlite"
    assert found.unknown == (
        "agent.compact_context",
        "channels_config.telegram",
        "channels_config.whatsapp.pair_phone",
    )
    assert [warning.partition(":")[0] for warning in found.warnings] == ["memory.backend"]


def test_a_rantaiclaw_config_starts_clawgate_without_its_unused_timeout() -> None:
    found = built(RANTAICLAW, OPENROUTER_API_KEY="sk-or-v1-0")

    assert (found.gateway.host, found.gateway.port, found.gateway.request_timeout_secs) == ("0.0.0.0", 9393, 30)
    assert found.tunnel.provider == "cloudflare"
    assert found.observability.backend == "otel"
    assert sorted(warning.partition(":")[0] for warning in found.warnings) == ["gateway.request_timeout_secs", "observability.backend"]
    assert found.gateway.login.username


def test_a_construct_config_starts_clawgate() -> None:
    found = built(CONSTRUCT, ANTHROPIC_API_KEY="sk-ant-0")

    assert (found.gateway.port, found.gateway.path_prefix, found.gateway.tls.enabled) == (42617, "/construct", False)
    assert found.provider_keys == (("anthropic", Secret("sk-ant-0")),)
    assert {"gateway.session_persistence", "gateway.pairing_dashboard", "kumiho", "cron.jobs"} <= set(found.unknown)


def test_openrouter_without_a_key_starts_with_a_warning() -> None:
    found = built('default_provider = "openrouter"\ndefault_temperature = 0.7')

    assert found.default_provider == "openrouter"
    assert found.warnings == (
        "default_provider: no key for openrouter, so every turn will fail; set api_key, or OPENROUTER_API_KEY in the environment",
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("[gateway]\nrequest_timeout_secs = 300", 30),
        ("[gateway]\nrequest_timeout_secs = 5", 5),
        ("[gateway]\nrequest_timeout_secs = 60\n[identity]\nformat = 'aieos'", 30),
        ("[gateway]\nrequest_timeout_secs = 300\n[clawgate]\nversion = 1", 300),
        ("[gateway]\nrequest_timeout_secs = 60\n[identity]\nformat = 'aieos'\n[inbox]\nhigh_water = 10", 60),
        ("[gateway]\nrequest_timeout_secs = 300\n[agent]\nmax_attempts = 2", 30),
    ],
)
def test_the_timeout_of_another_project_does_not_count(text: str, seconds: int) -> None:
    found = built(text)

    assert found.gateway.request_timeout_secs == seconds
    assert any("request_timeout_secs" in warning for warning in found.warnings) == (f"= {seconds}\n" not in f"{text}\n")


def test_every_problem_is_reported_at_once_with_path_and_remedy() -> None:
    found = problems(
        """
        api_key = 7
        default_temperature = 2.5
        default_provider = "gpt"
        memory = "sqlite"
        [gateway]
        port = "3000"
        host = "gateway.example"
        require_pairing = "yes"
        paired_tokens = "zc_plain"
        path_prefix = "/a/"
        [tunnel]
        provider = "wireguard"
        [channels_config.linq]
        api_token = "x"
        """
    )

    assert list(found) == [
        "default_provider",
        "default_temperature",
        "api_key",
        "gateway.host",
        "gateway.port",
        "gateway.require_pairing",
        "gateway.paired_tokens",
        "gateway.path_prefix",
        "memory",
        "tunnel.provider",
        "channels_config.linq.from_phone",
    ]
    assert [path for path, problem in found.items() if not problem.remedy] == []
    assert str(found["tunnel.provider"]) == 'tunnel.provider: Unknown tunnel provider: "wireguard". Valid: none, cloudflare, tailscale, ngrok, custom'
    assert str(found["gateway.port"]) == 'gateway.port: is text ("3000") and must be a whole number. Write port = 3000, without quotes'
    assert "zc_plain" not in str(found["gateway.paired_tokens"])
    assert "openrouter, openai, anthropic" in found["default_provider"].remedy


@pytest.mark.parametrize(
    ("prefix", "sentence"),
    [
        ("agents", "gateway.path_prefix must start with '/'"),
        ("/agents/", "gateway.path_prefix must not end with '/' (including bare '/')"),
        ("/", "gateway.path_prefix must not end with '/' (including bare '/')"),
        ("/a b", "gateway.path_prefix contains invalid character ' '; only unreserved and sub-delim URI characters are allowed"),
        ("/a%2f", "gateway.path_prefix contains invalid character '%'; only unreserved and sub-delim URI characters are allowed"),
        ("/a//b", "gateway.path_prefix contains an empty or dot segment"),
        ("/a/../b", "gateway.path_prefix contains an empty or dot segment"),
    ],
)
def test_a_path_prefix_that_cannot_work_is_refused_in_the_published_words(prefix: str, sentence: str) -> None:
    assert problems(f'[gateway]\npath_prefix = "{prefix}"')["gateway.path_prefix"].problem == sentence


@pytest.mark.parametrize(
    ("written", "bound"),
    [
        ("localhost", "127.0.0.1"),
        ("LOCALHOST", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
    ],
)
def test_hosts_become_addresses_to_bind(written: str, bound: str) -> None:
    assert built(f'[gateway]\nhost = "{written}"').gateway.host == bound


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("[gateway]\nport = 65536", "gateway.port"),
        ("[gateway]\nport = -1", "gateway.port"),
        ("[gateway]\nport = true", "gateway.port"),
        ("[gateway]\nport = 3000.5", "gateway.port"),
        ("[gateway]\nhost = ''", "gateway.host"),
        ("[gateway]\nrequest_timeout_secs = 0\n[clawgate]", "gateway.request_timeout_secs"),
        ("[gateway]\ntrusted_proxies = ['proxy.example']", "gateway.trusted_proxies"),
        ("[gateway]\ntrusted_proxies = [1]", "gateway.trusted_proxies"),
        ("[gateway]\ntoken_prefix = 'zc '", "gateway.token_prefix"),
        ("[gateway.tls]\nenabled = true\nkey_path = 'k'", "gateway.tls.cert_path"),
        ("[gateway.tls.client_auth]\nenabled = true", "gateway.tls.client_auth.enabled"),
        ("[gateway.tls]\nenabled=true\ncert_path='c'\nkey_path='k'\n[gateway.tls.client_auth]\nenabled=true", "gateway.tls.client_auth.ca_cert_path"),
        ("[gateway.tls.client_auth]\npinned_certs = ['ab:cd']", "gateway.tls.client_auth.pinned_certs"),
        ("[agent]\nmax_concurrent_turns = 0", "agent.max_concurrent_turns"),
        ("[agent]\nretry_initial_secs = nan", "agent.retry_initial_secs"),
        ("[agent]\nretry_initial_secs = 10\nretry_max_secs = 1", "agent.retry_max_secs"),
        ("[store]\nurl = 'postgres://u:p@h/d'", "store.url"),
        ("[observability]\nlog_level = 'loud'", "observability.log_level"),
        ("[observability]\nmetrics_namespace = '9'", "observability.metrics_namespace"),
        ("[tunnel]\nprovider = 'cloudflare'", "tunnel.cloudflare"),
        ("[tunnel]\nprovider = 'ngrok'", "tunnel.ngrok"),
        ("[tunnel]\nprovider = 'ngrok'\n[tunnel.ngrok]\ndomain = 'd'", "tunnel.ngrok.auth_token"),
        ("[tunnel]\nprovider = 'custom'", "tunnel.custom"),
        ("[tunnel]\nprovider = 'custom'\n[tunnel.custom]\nstart_command = ' '", "tunnel.custom.start_command"),
        ("[channels_config.linq]\nfrom_phone = '+1'", "channels_config.linq.api_token"),
        ("[channels_config.webhook]\nport = 70000", "channels_config.webhook.port"),
        ("[channels_config.whatsapp]\napi_base = 'ftp://x'", "channels_config.whatsapp.api_base"),
        ("gateway = 3000", "gateway"),
        ("default_provider = 'custom:localhost:8080'", "default_provider"),
        ("default_provider = 'local:'", "default_provider"),
        ("default_provider = 'command:\"open'", "default_provider"),
        ("[clawgate]\nversion = 2", "clawgate.version"),
        ("clawgate = 1", "clawgate.version"),
    ],
)
def test_what_cannot_work_is_refused_with_its_path_and_a_remedy(text: str, path: str) -> None:
    found = problems(text)

    assert list(found) == [path]
    assert found[path].remedy


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("OpenRouter", "openrouter"),
        ("kimi", "moonshot"),
        ("ollama", "ollama"),
        (" custom:http://127.0.0.1:8080/v1 ", "custom:http://127.0.0.1:8080/v1"),
        ("anthropic-custom:https://h.example", "anthropic-custom:https://h.example"),
        ("local:/models/small.gguf", "local:/models/small.gguf"),
        ("command:/bin/cat -u", "command:/bin/cat -u"),
        ("offline", "offline"),
    ],
)
def test_providers_have_one_name(written: str, meant: str) -> None:
    assert built(f'default_provider = "{written}"').default_provider == meant


def test_a_number_of_thousands_of_digits_is_refused_like_any_other() -> None:
    document: dict[str, object] = {"gateway": {"port": 10**5000, "host": 10**5000}, "default_temperature": 10**5000}

    with pytest.raises(InvalidSettings) as caught:
        build(document, environ={}, dotenv={}, config_path="", state_dir="")

    assert [problem.path for problem in caught.value.problems] == ["default_temperature", "gateway.host", "gateway.port"]


def test_zero_means_the_least_or_the_default_where_upstream_says_so() -> None:
    gateway = built("[gateway]\nidempotency_ttl_secs = 0\nidempotency_max_keys = 0\nrate_limit_max_keys = 0\npair_rate_limit_per_minute = 0").gateway

    assert (gateway.idempotency_ttl_secs, gateway.idempotency_max_keys, gateway.rate_limit_max_keys) == (1, 10_000, 10_000)
    assert gateway.pair_rate_limit_per_minute == 0


def test_an_empty_tunnel_provider_is_no_tunnel() -> None:
    assert built('[tunnel]\nprovider = ""').tunnel.provider == "none"


def test_an_empty_cloudflare_section_asks_for_a_quick_tunnel() -> None:
    cloudflare = built('[tunnel]\nprovider = "cloudflare"\n[tunnel.cloudflare]').tunnel.cloudflare

    assert cloudflare is not None
    assert cloudflare.token is None


def test_plain_tokens_are_kept_as_hashes_and_blank_ones_dropped() -> None:
    found = built(f'[gateway]\npaired_tokens = ["zc_plain", "", "{HASH.upper()}", "{HASH}"]')

    assert found.gateway.paired_tokens == (token_hash("zc_plain"), HASH)
    assert [warning for warning in found.warnings if "zc_plain" in warning] == []
    assert len(found.warnings) == 1


def test_unknown_backends_start_with_a_warning() -> None:
    found = built('[observability]\nbackend = "statsd"')

    assert (found.observability.backend, len(found.warnings)) == ("none", 1)


def test_a_secret_is_stripped_and_never_printed() -> None:
    found = built('api_key = "  sk-canary  "')

    assert found.api_key == Secret("sk-canary")
    assert "canary" not in repr(found)


def test_a_secret_may_name_a_variable() -> None:
    found = built('api_key = "env:MY_KEY"', MY_KEY=" k ")

    assert found.api_key == Secret("k")
    assert "MY_KEY" in problems('api_key = "env:MY_KEY"')["api_key"].problem


def test_stored_secrets_are_resolved_where_they_are_read_and_nowhere_else() -> None:
    asked: list[tuple[str, str]] = []

    def resolve(path: str, text: str) -> str:
        asked.append((path, text))
        return "clear"

    document: dict[str, object] = {
        "api_key": "file:key",
        "default_model": "enc2:00",
        "channels_config": {"telegram": {"bot_token": "enc2:11"}, "whatsapp": {"allowed_numbers": ["enc:22", "+1"]}},
        "agent": {"system_prompt": "file:prompt.txt"},
    }
    found = build(document, environ={}, dotenv={}, config_path="", state_dir="", resolve=resolve)

    assert asked == [("default_model", "enc2:00"), ("api_key", "file:key"), ("channels_config.whatsapp.allowed_numbers", "enc:22")]
    assert (found.default_model, found.api_key, found.agent.system_prompt) == ("clear", Secret("clear"), "file:prompt.txt")
    assert found.channels_config.whatsapp is not None
    assert found.channels_config.whatsapp.allowed_numbers == ("clear", "+1")


def test_without_a_resolver_a_stored_secret_is_a_problem_not_a_key() -> None:
    assert list(problems('api_key = "enc2:00"')) == ["api_key"]


def test_the_overlay_wins_over_the_file_and_the_environment_over_both() -> None:
    document = {"default_model": "file", "gateway": {"port": 1, "host": "127.0.0.1"}}
    overlay = {"default_model": "overlay", "gateway": {"port": 2}}

    found = build(document, environ={"PORT": "3"}, dotenv={}, config_path="", state_dir="", overlay=overlay)

    assert (found.default_model, found.gateway.port, found.gateway.host) == ("overlay", 3, "127.0.0.1")


def test_merging_leaves_its_arguments_alone() -> None:
    base: dict[str, object] = {"a": {"b": 1}, "c": 1}

    assert merged(base, {"a": {"d": 2}, "c": {"e": 3}}) == {"a": {"b": 1, "d": 2}, "c": {"e": 3}}
    assert base == {"a": {"b": 1}, "c": 1}


def test_clear_text_secrets_are_found_by_path() -> None:
    document = tomli.loads(ZEROCLAW)
    document["gateway"]["paired_tokens"] = ["zc_plain"]
    document["channels_config"]["whatsapp"]["access_token"] = "enc2:00"
    document["channels_config"]["whatsapp"]["verify_token"] = "env:V"
    document["channels_config"]["whatsapp"]["app_secret"] = "file:f"

    assert clear_text_secrets(document) == (
        "api_key",
        "tunnel.cloudflare.token",
        "channels_config.webhook.secret",
        "channels_config.linq.api_token",
        "gateway.paired_tokens",
    )


TOML_VALUES: st.SearchStrategy[object] = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.just(2**64),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(["enc2:00", "file:x", "env:X", "custom:http://[", "command:'", "::1%eth0", "/\ud800", "sqlite:", "\x00"]),
        st.just(datetime.datetime(2026, 1, 1)),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, object]:
    document: dict[str, object] = draw(st.dictionaries(st.text(max_size=8), TOML_VALUES, max_size=2))
    for path in draw(
        st.lists(st.sampled_from([*keys(), "gateway", "tunnel.ngrok", "gateway.tls.client_auth.enabled", "clawgate.version"]), max_size=6)
    ):
        *parents, name = path.split(".")
        table: dict[str, object] = document
        for parent in parents:
            below = table.setdefault(parent, {})
            table = below if isinstance(below, dict) else {}
        table[name] = draw(TOML_VALUES)
    return document


@given(documents(), documents(), st.dictionaries(st.sampled_from(["PORT", "HOST", "CLAWGATE_PORT", "CLAWGATE_GATEWAY__PORT"]), st.text(max_size=10)))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_document_gives_settings_or_named_problems(document: dict[str, object], overlay: dict[str, object], environ: dict[str, str]) -> None:
    outcome = settings_or_problems(document, overlay, environ)

    if isinstance(outcome, Settings):
        assert 0 <= outcome.gateway.port <= 65535
        assert outcome.default_provider
    else:
        assert outcome
        assert [problem for problem in outcome if not (problem.path and problem.problem and problem.remedy)] == []


def settings_or_problems(document: dict[str, object], overlay: dict[str, object], environ: dict[str, str]) -> Settings | tuple[Invalid, ...]:
    try:
        return build(document, environ=environ, dotenv={}, config_path="", state_dir="", overlay=overlay)
    except InvalidSettings as refused:
        return refused.problems


@given(st.sampled_from(sorted(path for path, key in keys().items() if key.kind is Kind.SECRET)), st.text(alphabet="qjxz", min_size=12, max_size=12))
@settings(max_examples=50, deadline=None)
def test_no_problem_repeats_the_text_of_a_secret(path: str, text: str) -> None:
    document: dict[str, object] = {"default_temperature": 9}
    table = document
    *parents, name = path.split(".")
    for parent in parents:
        below: dict[str, object] = {}
        table[parent] = below
        table = below
    table[name] = [text]

    with pytest.raises(InvalidSettings) as caught:
        build(document, environ={}, dotenv={}, config_path="", state_dir="")

    assert text not in str(caught.value)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)
def test_every_listed_provider_starts_and_a_file_that_names_it_only_warns(provider: Provider) -> None:
    for name in (provider.id, *provider.aliases, provider.id.upper()):
        found = built(f'default_provider = "{name}"\napi_key = "k"')
        assert found.default_provider == provider.id
        assert [("custom:<base URL>" in warning) for warning in found.warnings] == ([] if provider.can_answer else [True])
        assert built(f'default_provider = "{name}"\napi_key = "k"\napi_url = "https://models.example/v1"').warnings == ()


def test_a_key_in_the_environment_chooses_its_provider_and_the_old_order_stays() -> None:
    assert built(XAI_API_KEY="x").default_provider == "xai"
    assert built(XAI_API_KEY="x", ANTHROPIC_API_KEY="a", OPENAI_API_KEY="o").default_provider == "openai"
    assert built('default_provider = "xai"', XAI_API_KEY="x").warnings == ()
