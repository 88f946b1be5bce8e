"""What `clawgate check` says."""

from __future__ import annotations

import pytest
import tomli

from clawgate.domain.settings import Settings
from clawgate.domain.settings.findings import Facts, Severity, bind_refusal, findings, is_public, is_weak
from clawgate.domain.settings.parse import build

STRONG = "7b6f2c1e9d8a4f350b"


def built(text: str = "", **environ: str) -> Settings:
    return build(tomli.loads(text), environ=environ, dotenv={}, config_path="/c/config.toml", state_dir="/c/state")


def said(text: str, facts: Facts | None = None) -> set[tuple[str, str, str]]:
    return {(found.id, found.severity.value, found.path) for found in findings(built(text), facts or Facts())}


def test_a_first_run_has_only_information() -> None:
    assert said("") == {("CG024", "info", "channels_config.webhook.secret"), ("CG052", "info", "default_provider")}


def test_a_well_kept_configuration_has_no_finding() -> None:
    text = f"""
    default_provider = "ollama"
    [channels_config.webhook]
    secret = "{STRONG}"
    [channels_config.whatsapp]
    verify_token = "{STRONG}"
    app_secret = "{STRONG}"
    allowed_numbers = ["+15551234567"]
    """

    assert said(text, Facts(config_mode=0o600, state_dir_mode=0o700, key_file_mode=0o600)) == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[gateway]\nhost = '0.0.0.0'", ("CG010", "error", "gateway.host")),
        ("[gateway]\nhost = '0.0.0.0'\nallow_public_bind = true", ("CG010", "warning", "gateway.host")),
        ("[gateway]\nhost = '0.0.0.0'\n[tunnel]\nprovider = 'tailscale'", ("CG018", "warning", "gateway.host")),
        ("[gateway]\nallow_public_bind = true", ("CG011", "warning", "gateway.allow_public_bind")),
        ("[gateway]\nrequire_pairing = false", ("CG012", "warning", "gateway.require_pairing")),
        ("[gateway]\nrequire_pairing = false\n[tunnel]\nprovider = 'tailscale'", ("CG012", "error", "gateway.require_pairing")),
        ("[gateway]\nrequire_pairing = false", ("CG024", "warning", "channels_config.webhook.secret")),
        ("[gateway]\npair_rate_limit_per_minute = 0", ("CG013", "warning", "gateway.pair_rate_limit_per_minute")),
        ("[gateway]\napi_rate_limit_per_minute = 0", ("CG013", "warning", "gateway.api_rate_limit_per_minute")),
        ("[gateway]\ntrust_forwarded_headers = true\ntrusted_proxies = ['0.0.0.0/0']", ("CG014", "error", "gateway.trusted_proxies")),
        ("[gateway]\ntrust_forwarded_headers = true\ntrusted_proxies = ['::/0']", ("CG014", "error", "gateway.trusted_proxies")),
        ("[gateway]\ntrust_forwarded_headers = true\ntrusted_proxies = []", ("CG015", "info", "gateway.trusted_proxies")),
        ("[channels_config.webhook]\nsecret = 'change-me-please-now'", ("CG020", "error", "channels_config.webhook.secret")),
        ("[channels_config.webhook]\nsecret = 'q7w2e9r4'", ("CG020", "warning", "channels_config.webhook.secret")),
        ("[channels_config.webhook]\nsecret = ' '", ("CG024", "info", "channels_config.webhook.secret")),
        ("api_key = 'your-api-key'", ("CG020", "error", "api_key")),
        ("[channels_config.whatsapp]\nphone_number_id = '1'", ("CG021", "error", "channels_config.whatsapp.app_secret")),
        ("[channels_config.whatsapp]\nverify_token = ''", ("CG023", "error", "channels_config.whatsapp.verify_token")),
        ("[channels_config.whatsapp]\nallowed_numbers = ['*']", ("CG025", "warning", "channels_config.whatsapp.allowed_numbers")),
        ("[channels_config.whatsapp]", ("CG026", "info", "channels_config.whatsapp.allowed_numbers")),
        ("[channels_config.linq]\napi_token = ''\nfrom_phone = ''", ("CG022", "error", "channels_config.linq.signing_secret")),
        ("[channels_config.linq]\napi_token = ''\nfrom_phone = ''", ("CG027", "error", "channels_config.linq.api_token")),
        ("[channels_config.whatsapp]\napi_base = 'http://graph.example'", ("CG050", "error", "channels_config.whatsapp.api_base")),
        ("[secrets]\nencrypt = false", ("CG031", "info", "secrets.encrypt")),
        ("[identity]\nformat = 'aieos'", ("CG040", "info", "identity")),
        ("[memory]\nbackend = 'lucid'", ("CG041", "warning", "memory.backend")),
        ("default_provider = 'custom:http://models.example/v1'", ("CG050", "warning", "default_provider")),
        ("default_provider = 'custom:https://u:p@models.example/v1'", ("CG053", "warning", "default_provider")),
        ("default_provider = 'ollama'\napi_url = 'http://models.example'", ("CG050", "warning", "api_url")),
        ("default_provider = 'ollama'\napi_url = 'https://u:p@models.example'", ("CG053", "warning", "api_url")),
        ("default_provider = 'openai'", ("CG051", "warning", "default_provider")),
        ("default_provider = 'xai'", ("CG051", "warning", "default_provider")),
        ("default_provider = 'bedrock'", ("CG054", "warning", "default_provider")),
        ("[gateway]\nrequire_pairing = false\n[terminal]\nenabled = true", ("CG060", "warning", "terminal.enabled")),
        ("[gateway]\nrequire_pairing = false\n[nodes]\nenabled = true", ("CG061", "warning", "nodes.auth_token")),
        ("[nodes]\nenabled = true\nauth_token = ''", ("CG061", "warning", "nodes.auth_token")),
        ("[nodes]\nenabled = true\nauth_token = 'q7w2e9r4'", ("CG020", "warning", "nodes.auth_token")),
        ("[nodes]\nannounce = true", ("CG062", "info", "nodes.announce")),
        ("[nodes]\nenabled = true\nannounce = true", ("CG062", "info", "nodes.announce")),
        ("[control]\nenabled = true\nhost = '0.0.0.0'\ntrusted_ips = ['10.0.0.5']", ("CG064", "warning", "control.host")),
        ("[control]\nenabled = true\nhost = '0.0.0.0'\ntrusted_ips = ['0.0.0.0/0']", ("CG065", "error", "control.trusted_ips")),
    ],
)
def test_a_danger_is_named(text: str, expected: tuple[str, str, str]) -> None:
    assert expected in said(text)


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ("default_provider = 'custom:http://127.0.0.1:8080/v1'", "CG050"),
        ("default_provider = 'custom:http://localhost:8080/v1'", "CG050"),
        ("[gateway]\ntrusted_proxies = ['0.0.0.0/0']", "CG014"),
        ("[gateway]\ntrust_forwarded_headers = true\ntrusted_proxies = ['127.0.0.0/8', '10.0.0.0/8']", "CG014"),
        ("[gateway]\nhost = '127.0.0.2'", "CG010"),
        ("default_provider = 'bedrock'\napi_url = 'https://models.example/v1'", "CG054"),
        ("default_provider = 'lmstudio'", "CG051"),
        ("[terminal]\nenabled = true", "CG060"),
        ("[gateway]\nrequire_pairing = false", "CG060"),
        ("[nodes]\nenabled = true", "CG061"),
        (f"[gateway]\nrequire_pairing = false\n[nodes]\nenabled = true\nauth_token = '{STRONG}'", "CG061"),
        ("[gateway]\nhost = '192.0.2.7'\n[nodes]\nenabled = true\nannounce = true", "CG062"),
        ("[control]\nenabled = true", "CG064"),
        ("[control]\nenabled = true\nhost = '0.0.0.0'\ntrusted_ips = ['10.0.0.0/8']", "CG065"),
    ],
)
def test_what_is_no_danger_is_not_named(text: str, id_: str) -> None:
    assert id_ not in {found[0] for found in said(text)}


def test_an_announcement_without_its_package_is_an_error() -> None:
    text = "[nodes]\nenabled = true\nannounce = true"
    missing = ("CG063", "error", "nodes.announce")
    assert missing in said(text, Facts(has_mdns=False))
    assert missing not in said(text, Facts(has_mdns=True)) | said("[nodes]\nenabled = true", Facts(has_mdns=False))


def test_facts_about_files_become_findings() -> None:
    facts = Facts(
        config_mode=0o644,
        state_dir_mode=0o750,
        key_file_mode=0o604,
        key_path="/c/.secret_key",
        is_root=True,
        clear_text_secrets=("api_key", "gateway.paired_tokens"),
    )

    assert said("default_provider = 'ollama'", facts) - said("default_provider = 'ollama'") == {
        ("CG001", "error", "/c/config.toml"),
        ("CG002", "error", "/c/state"),
        ("CG003", "error", "/c/.secret_key"),
        ("CG004", "warning", "process"),
        ("CG030", "warning", "api_key"),
        ("CG032", "warning", "gateway.paired_tokens"),
    }


def test_clear_text_is_no_finding_where_encryption_is_off() -> None:
    assert "CG030" not in {found[0] for found in said("[secrets]\nencrypt = false", Facts(clear_text_secrets=("api_key",)))}


def test_errors_come_first_and_each_finding_has_a_remedy() -> None:
    found = findings(built("[gateway]\nhost = '0.0.0.0'\nrequire_pairing = false\n[x]\n[channels_config.whatsapp]\nallowed_numbers = ['*']"), Facts())
    severities = [list(Severity).index(finding.severity) for finding in found]

    assert severities == sorted(severities)
    assert set(severities) == {0, 1, 2}
    assert [finding.id for finding in found if not (finding.remedy and finding.text)] == []


def test_no_finding_repeats_a_secret() -> None:
    found = findings(built("api_key = 'your-canary-key'\n[channels_config.webhook]\nsecret = 'canary'"), Facts(clear_text_secrets=("api_key",)))

    assert "CG020" in {finding.id for finding in found}
    assert "canary" not in repr(found)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("[gateway]\nhost = '0.0.0.0'", True),
        ("[gateway]\nhost = '192.168.1.100'", True),
        ("[gateway]\nhost = '[::]'", True),
        ("[gateway]\nhost = '0.0.0.0'\n[tunnel]\nprovider = ''", True),
        ("[gateway]\nhost = '0.0.0.0'\n[tunnel]\nprovider = 'none'", True),
        ("[gateway]\nhost = '0.0.0.0'\n[tunnel]\nprovider = 'tailscale'", False),
        ("[gateway]\nhost = '0.0.0.0'\nallow_public_bind = true", False),
        ("[gateway]\nhost = '0.0.0.0'\n[gateway.tls]\nenabled = true\ncert_path = 'c'\nkey_path = 'k'", False),
        ("[gateway]\nhost = 'localhost'", False),
        ("[gateway]\nhost = '127.0.0.2'", False),
        ("[gateway]\nhost = '0:0:0:0:0:0:0:1'", False),
        ("", False),
    ],
)
def test_an_exposed_start_is_refused(text: str, refused: bool) -> None:
    assert (bind_refusal(built(text)) is not None) is refused


def test_the_refusal_has_the_published_words() -> None:
    assert bind_refusal(built("[gateway]\nhost = '0.0.0.0'")) == (
        "🛑 Refusing to bind to 0.0.0.0 — gateway would be exposed to the internet.\n"
        "Fix: use --host 127.0.0.1 (default), configure a tunnel, or set\n"
        "[gateway] allow_public_bind = true in config.toml (NOT recommended)."
    )


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", False), ("[::1]", False), ("::ffff:127.0.0.1", False), ("localhost.evil.example", True), ("", True), ("fe80::1", True)],
)
def test_public_is_whatever_is_not_certainly_loopback(host: str, expected: bool) -> None:
    assert is_public(host) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("secret", True),
        ("Secret123", True),
        ("my-changeme", True),
        ("your-jwt-secret-key-here", True),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", True),
        ("<token>", True),
        (STRONG, False),
        ("correct horse battery", False),
    ],
)
def test_published_and_lazy_secrets_are_weak(text: str, expected: bool) -> None:
    assert is_weak(text) is expected
