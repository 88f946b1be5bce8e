"""What differs between two settings, and the configuration without its secrets."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.secret import Secret
from clawgate.domain.settings.changes import Changes, changes
from clawgate.domain.settings.masking import is_secret_name, masked
from clawgate.domain.settings.model import (
    AgentSettings,
    AutonomySettings,
    ChannelsSettings,
    GatewaySettings,
    LinqChannel,
    LoginSettings,
    McpServer,
    NgrokTunnel,
    Section,
    Settings,
    TunnelSettings,
    WatiChannel,
    WebhookChannel,
    WhatsAppChannel,
)
from clawgate.domain.settings.schema import Key, Kind, keys, tables

LINQ = LinqChannel(api_token=Secret("one"), from_phone="+1")
PLAIN = Settings()


def channels(**kinds: object) -> Settings:
    return msgspec.structs.replace(PLAIN, channels_config=msgspec.structs.replace(ChannelsSettings(), **kinds))


def test_equal_settings_do_not_differ() -> None:
    assert changes(channels(linq=LINQ), channels(linq=msgspec.structs.replace(LINQ, api_token=Secret("one")))) == Changes()


def test_keys_are_live_or_for_the_next_start_as_their_notes_say() -> None:
    new = Settings(default_model="m", gateway=GatewaySettings(port=1), agent=AgentSettings(system_prompt="s", max_attempts=1))
    assert changes(PLAIN, new) == Changes(live=("default_model", "agent.system_prompt"), restart=("gateway.port", "agent.max_attempts"))


def test_a_secret_that_differs_is_told_by_its_path_alone() -> None:
    found = changes(channels(linq=LINQ), channels(linq=msgspec.structs.replace(LINQ, api_token=Secret("two"))))
    assert found == Changes(live=("channels_config.linq.api_token",))


def test_a_table_that_comes_or_goes_is_one_difference() -> None:
    assert changes(PLAIN, channels(linq=LINQ)) == changes(channels(linq=LINQ), PLAIN) == Changes(live=("channels_config.linq",))
    assert changes(PLAIN, channels(webhook=WebhookChannel())) == Changes(restart=("channels_config.webhook",))


def test_members_of_a_family_are_told_by_name() -> None:
    old = Settings(mcp_servers={"gone": McpServer(command="a"), "same": McpServer(command="a"), "my.files": McpServer(command="a")})
    new = Settings(mcp_servers={"same": McpServer(command="a"), "my.files": McpServer(command="b"), "fresh": McpServer(url="http://h")})
    assert changes(old, new) == Changes(live=("mcp_servers.gone", 'mcp_servers."my.files".command', "mcp_servers.fresh"))


def test_only_what_was_asked_for_is_told() -> None:
    new = Settings(default_model="m", autonomy=AutonomySettings(level="full", auto_approve=("a",)))
    assert changes(PLAIN, new, (("autonomy", "level"),)) == Changes(live=("autonomy.level",))
    assert changes(PLAIN, channels(linq=LINQ), (("channels_config", "linq", "api_token"),)).live == ("channels_config.linq",)


PLAIN_KEYS = [
    key for table in tables() if not table.optional and "*" not in table.path and not table.path.startswith("tunnel.") for key in table.keys
]


def with_value(section: Section, path: list[str], value: object) -> Section:
    below = value if len(path) == 1 else with_value(getattr(section, path[0]), path[1:], value)
    return msgspec.structs.replace(section, **{path[0]: below})


@pytest.mark.parametrize("key", PLAIN_KEYS, ids=lambda key: key.path)
def test_every_key_is_compared(key: Key) -> None:
    new = with_value(PLAIN, key.path.split("."), "no value of any key")
    assert isinstance(new, Settings)
    assert changes(PLAIN, new) == (Changes(live=(key.path,)) if key.note.live else Changes(restart=(key.path,)))


# Masking

TEXT = "canary-0123456789abcdef"


def full() -> Settings:
    """Settings with the canary in every secret."""
    secret = Secret(TEXT)
    return Settings(
        api_key=secret,
        default_provider=f"custom:https://user:{TEXT}@host/v1",
        api_url=f"https://host/v1?key={TEXT}",
        gateway=GatewaySettings(paired_tokens=("a" * 64,), login=LoginSettings(username="me", password_hash=secret)),
        tunnel=TunnelSettings(ngrok=NgrokTunnel(auth_token=secret)),
        mcp_servers={"files": McpServer(command="m", args=("--token=" + TEXT,), env={"HOME_DIR": secret}, headers={"X": secret})},
        channels_config=ChannelsSettings(
            webhook=WebhookChannel(secret=secret),
            whatsapp=WhatsAppChannel(access_token=secret, app_secret=secret, verify_token=secret),
            linq=LinqChannel(api_token=secret, from_phone="+1", signing_secret=secret),
            wati=WatiChannel(api_token=secret, webhook_token=secret),
        ),
        provider_keys=(("openai", secret),),
        provider_api_keys={"gemini": secret},
    )


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, below in value.items():
            yield from leaves(below, f"{path}.{name}".strip("."))
    else:
        yield path, value


def test_no_secret_is_shown() -> None:
    shown = msgspec.json.encode(masked(full())).decode()
    assert TEXT not in shown
    assert "a" * 64 not in shown


def test_every_key_is_there_and_what_is_set_can_be_told_from_what_is_not() -> None:
    found = dict(leaves(masked(full())))
    secrets = [key.path for key in keys().values() if key.kind is Kind.SECRET and key.path in found]
    assert len(secrets) > 8
    assert {found[path] for path in secrets} <= {"", None}
    assert (found["api_key"], found["channels_config.whatsapp.access_token"], found["knowledge.vision_api_key"]) == ("", "", None)
    assert {key.path for table in tables() if not table.optional and "*" not in table.path for key in table.keys} <= {*found, "provider_api_keys"}


def test_counts_and_the_secrets_section_survive() -> None:
    found = dict(leaves(masked(full())))
    assert (found["gateway.rate_limit_max_keys"], found["gateway.idempotency_max_keys"], found["secrets.encrypt"]) == (10_000, 10_000, True)
    assert found["gateway.paired_tokens"] is None
    assert found["mcp_servers.files.env.HOME_DIR"] == ""


def test_instructions_are_shown_as_they_are() -> None:
    prompt = "Say token=abcdefgh and secret: nothing"
    assert masked(Settings(agent=AgentSettings(system_prompt=prompt)))["agent"]["system_prompt"] == prompt  # type: ignore[index]  # a table


@given(st.text(max_size=20))
def test_names_of_secrets_are_upstreams(name: str) -> None:
    for ending in ("_token", "_SECRET", "_Password", "_key"):
        assert is_secret_name(name + ending)
    assert is_secret_name(name + "Credential" + name)


def test_an_argument_after_one_that_announces_a_secret_is_masked() -> None:
    args = ("--verbose", "--password", "canary", "--api-key", "canary", "file", "--token=canary")
    shown = masked(Settings(mcp_servers={"files": McpServer(command="files", args=args)}))["mcp_servers"]
    assert shown["files"]["args"] == ["--verbose", "--password", "***", "--api-key", "***", "file", "--token=***"]  # type: ignore[index]  # a table
