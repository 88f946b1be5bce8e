"""What the operator reads when the daemon starts."""

from __future__ import annotations

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from clawgate.banner import code_block, fit, listening, local_url, outside_url, page_url, with_host
from clawgate.domain.settings.model import Settings
from clawgate.domain.settings.parse import build
from clawgate.qr import BLOCKS, qr_text

LOCAL = "http://127.0.0.1:3000"


def settings_of(**gateway: object) -> Settings:
    return build({"gateway": gateway}, environ={}, dotenv={}, config_path="/c/config.toml", state_dir="/c/state")


def test_the_banner_says_where_and_that_pairing_is_asked_for() -> None:
    text = listening(LOCAL, None, settings_of())
    assert f"listening on {LOCAL}\n" in text
    assert "🔒 Pairing: ACTIVE (bearer token required)" in text
    assert "Public URL" not in text
    assert text.endswith("Press Ctrl+C to stop.\n")


def test_the_banner_names_the_tunnel() -> None:
    assert "🌐 Public URL: https://x.example\n" in listening(LOCAL, "https://x.example", settings_of())


def test_without_pairing_the_banner_warns_and_gives_lines_that_work_without_a_token_exchange() -> None:
    text = listening(LOCAL, None, settings_of(require_pairing=False))
    assert "Pairing: DISABLED (all requests accepted)" in text
    assert f"curl -s {LOCAL}/webhook" in text
    assert f"curl -s {LOCAL}/health" in text


def test_routes_of_channels_appear_when_they_are_configured() -> None:
    document = {"channels_config": {"linq": {"api_token": "t", "from_phone": "+1"}}}
    with_linq = build(document, environ={}, dotenv={}, config_path="/c/config.toml", state_dir="/c/state")
    assert ("/linq" in listening(LOCAL, None, with_linq), "/linq" in listening(LOCAL, None, settings_of())) == (True, False)


def test_routes_carry_the_path_prefix_once() -> None:
    own = settings_of(path_prefix="/agents", require_pairing=False)
    for url in (LOCAL, LOCAL + "/agents"):
        text = listening(url, None, own)
        assert f"curl -s {LOCAL}/agents/health" in text
        assert "POST /agents/pair " in text


def test_the_code_stands_in_a_box_of_straight_edges() -> None:
    lines = code_block(LOCAL, "123456", False).splitlines()
    (at,) = [index for index, line in enumerate(lines) if "│" in line]
    box = [line.strip() for line in lines[at - 1 : at + 2]]
    assert box == ["┌──────────┐", "│  123456  │", "└──────────┘"]


def test_the_code_block_gives_three_lines_with_the_real_address_and_code() -> None:
    text = code_block(LOCAL, "123456", False)
    assert "Send: POST /pair with header X-Pairing-Code: 123456" in text
    assert f"curl -s -X POST {LOCAL}/pair -H 'X-Pairing-Code: 123456'" in text
    assert f"curl -s {LOCAL}/webhook" in text
    assert f"curl -s {LOCAL}/health" in text


def test_a_qr_is_drawn_only_where_another_machine_can_use_it() -> None:
    assert "█" not in code_block(LOCAL, "123456", False)
    drawn = code_block("https://x.example", "123456", True)
    assert qr_text("https://x.example/pair/page#123456") in drawn


def test_an_address_that_means_every_address_is_not_drawn_and_not_dialled() -> None:
    text = code_block("http://0.0.0.0:3000", "123456", True)
    assert ("█" in text, "http://0.0.0.0" in text) == (False, False)
    assert "this machine's address in place of 127.0.0.1" in text


def test_a_drawn_qr_holds_every_module_of_the_code() -> None:
    data = "https://x.example/pair/page#123456"
    lines = qr_text(data).splitlines()
    upper_dark, lower_dark = " ▄", " ▀"
    rows = [[char in dark for char in line] for line in lines for dark in (upper_dark, lower_dark)]
    matrix = [[bool(module) for module in row] for row in segno.make(data, micro=False, error="m").matrix]
    size = len(matrix)
    assert [row[2 : 2 + size] for row in rows[2 : 2 + size]] == matrix


def test_addresses_for_other_machines() -> None:
    assert outside_url(LOCAL, "10.0.0.5") is None
    assert outside_url("http://localhost:3000", "10.0.0.5") is None
    assert outside_url("http://0.0.0.0:3000", "10.0.0.5") == "http://10.0.0.5:3000"
    assert outside_url("http://0.0.0.0:3000", None) is None
    assert outside_url("http://[::]:3000/a", "2001:db8::7") == "http://[2001:db8::7]:3000/a"
    assert outside_url("https://x.example/", None) == "https://x.example"


def test_addresses_for_this_machine() -> None:
    assert local_url("http://0.0.0.0:3000/") == LOCAL
    assert local_url("http://[::]:3000") == "http://[::1]:3000"
    assert with_host("https://a.example/x/", "b.example") == "https://b.example/x"
    assert page_url("https://a.example/x/", "123456") == "https://a.example/x/pair/page#123456"


def test_a_stream_without_utf8_gets_plain_characters_and_no_drawing() -> None:
    text = listening(LOCAL, None, settings_of()) + code_block("https://x.example", "123456", True)
    plain = fit(text, "ascii")
    assert plain.isascii()
    assert "?" not in plain
    assert "|  123456  |" in plain
    assert not [line for line in plain.splitlines() if line and not line.strip()]
    assert fit(text, "utf-8") == text


def test_an_unknown_encoding_counts_as_ascii() -> None:
    assert fit("a—b", None) == fit("a—b", "no-such-encoding") == "a-b"


@given(st.text(alphabet=f"{BLOCKS} \n—🔐xé"), st.sampled_from(["ascii", "latin-1", "cp437", "utf-8"]))
def test_what_fits_can_be_written(text: str, encoding: str) -> None:
    assert fit(text, encoding).encode(encoding).decode(encoding) == fit(text, encoding)


@pytest.mark.parametrize(
    ("provider", "model", "who"),
    [
        ("offline", "", "the offline agent: set a provider's key in the environment, or default_provider"),
        ("openrouter", "", "openrouter"),
        ("anthropic", "claude", "anthropic (claude)"),
        ("local:/m/x.gguf", "", "local, /m/x.gguf"),
        ("custom:https://user:secret@host/v1", "", "custom"),
    ],
)
def test_the_banner_says_who_answers_and_no_url_that_may_hold_a_secret(provider: str, model: str, who: str) -> None:
    text = listening(LOCAL, None, Settings(default_provider=provider, default_model=model))
    assert f"  Answers come from {who}\n" in text
