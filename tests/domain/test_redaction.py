"""Secrets and lying lines stay out of logs (design §6)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.redaction import MASK, MAX_KNOWN, MAX_SCAN_CHARS, MAX_VALUE_CHARS, Redactor, cut, escaped, is_sensitive
from clawgate.domain.secret import Secret

HEX = "0123456789abcdef" * 4
CANARY = "S3cr3tCanaryValue"


@pytest.mark.parametrize(
    "key",
    [
        "token",
        "bot_token",
        "botToken",
        "X-Webhook-Secret",
        "authorization",
        "Proxy-Authorization",
        "password",
        "apiKey",
        "api_key",
        "API_KEY",
        "OPENAI_API_KEY",
        "cookie",
        "Set-Cookie",
        "pairing_code",
        "X-Pairing-Code",
        "signature",
        "X-Hub-Signature-256",
        "private_key",
        "accessKey",
        "credentials",
        "jwt",
        "apikey",
    ],
)
def test_sensitive_keys(key: str) -> None:
    assert is_sensitive(key)


@pytest.mark.parametrize(
    "key", ["", "key", "status_code", "code", "message", "tokenizer", "secretary", "author", "monkey", "path", "api", "item", "signed"]
)
def test_ordinary_keys(key: str) -> None:
    assert not is_sensitive(key)


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CANARY}",
        f"authorization: token {CANARY}",
        f"sent Bearer {CANARY}!",
        f"BEARER {CANARY}",
        f"Basic {CANARY}==",
        f"{{'Authorization': 'Bearer {CANARY}'}}",
        f"Cookie: a=1; session={CANARY}",
        f"X-Webhook-Secret: {CANARY}",
        f"GET /ws/chat?token={CANARY}&session_id=1",
        f"GET /x?a=1&access_token={CANARY} HTTP/1.1",
        f"https://example.com/v1?key={CANARY}",
        f"GET /whatsapp?hub.verify_token={CANARY}",
        f"/api/events?ticket={CANARY}",
        f"api_key={CANARY}",
        f"api-key='{CANARY} more {CANARY}'",
        f'{{"api_key": "{CANARY}"}}',
        f'{{"app_secret" : "a\\"{CANARY}"}}',
        f"{{'password': '{CANARY}'}}",
        f"postgres://clawgate:{CANARY}@db/x",
        f"key sk-proj-{CANARY}",
        f"xoxb-1234-{CANARY}",
        f"xoxp-1234-{CANARY}",
        f"ghp_{CANARY}{CANARY}",
        f"gho_{CANARY}{CANARY}",
        f"ghu_{CANARY}{CANARY}",
        f"github_pat_{CANARY}_{CANARY}",
        f"eyJhbGciOi.{CANARY}.sig",
        f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n-----END EC PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
    ],
)
def test_secrets_of_a_known_shape_are_hidden(text: str) -> None:
    shown = Redactor().text(text)
    assert CANARY not in shown
    assert MASK in shown


@pytest.mark.parametrize("prefix", ["zc_", "acme-"])
def test_gateway_tokens_are_hidden_and_so_are_halves_of_them(prefix: str) -> None:
    redactor = Redactor(token_prefixes=("acme-",))
    assert redactor.text(f"issued {prefix}{HEX} now") == f"issued {prefix}{MASK} now"
    assert redactor.text(f"cut {prefix}{HEX[:20]}") == f"cut {prefix}{MASK}"
    assert redactor.text(f"GET /{_percent(prefix)}{HEX}") == f"GET /{_percent(prefix)}{MASK}"
    assert redactor.text(f"GET /{_percent(prefix).upper()}{_percent(HEX)}") == f"GET /{_percent(prefix).upper()}{MASK}"


def _percent(text: str) -> str:
    return "".join(f"%{ord(char):02x}" for char in text)


@pytest.mark.parametrize(
    "text",
    [
        "item 123456 done",
        "port 3000",
        f"hash {HEX}",
        "task-12345678 ended",
        "the token was refused",
        "code=1009 reason=too big",
        "a=1&b=2",
        "http://127.0.0.1:3000/x",
        "Bearer",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert Redactor().text(text) == text


def test_a_registered_secret_is_hidden_wherever_it_stands() -> None:
    redactor = Redactor()
    redactor.register(Secret(" p@ss w/ord "))
    assert redactor.text("a=p@ss w/ord, b=p%40ss%20w%2Ford") == f"a={MASK}, b={MASK}"


def test_a_registered_pairing_code_is_hidden_and_other_numbers_are_not() -> None:
    redactor = Redactor()
    redactor.register(Secret("123456"))
    assert redactor.text("123456 654321") == f"{MASK} 654321"


def test_of_two_secrets_the_longer_is_hidden_whole() -> None:
    redactor = Redactor()
    for text in ("abcdef", "abcdefghij"):
        redactor.register(Secret(text))
    assert redactor.text("abcdefghij abcdef") == f"{MASK} {MASK}"


@pytest.mark.parametrize("text", ["", " ", "abc"])
def test_very_short_secrets_are_not_registered(text: str) -> None:
    redactor = Redactor()
    redactor.register(Secret(text))
    assert redactor.text("abc def") == "abc def"


def test_the_number_of_known_secrets_is_bounded_and_the_latest_stay() -> None:
    redactor = Redactor()
    for number in range(MAX_KNOWN + 10):
        redactor.register(Secret(f"canary{number:06d}"))
    assert redactor.text(f"canary{MAX_KNOWN + 9:06d}") == MASK
    assert redactor.text("canary000000") == "canary000000"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – übung", "plain – übung"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31m\x00\x7f", "\\x1b[31m\\x00\\x7f"),
        ("\u202eevil\u2028", "\\u202eevil\\u2028"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown


@given(st.text(st.characters()), st.integers(1, 300))
def test_untrusted_text_is_one_bounded_printable_line(text: str, limit: int) -> None:
    shown = Redactor().untrusted(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    assert shown.encode().decode() == shown


def test_cutting_marks_what_is_missing() -> None:
    assert (cut("abc", 3), cut("abcd", 3), cut("abcd", 0)) == ("abc", "ab…", "…")


def test_a_secret_across_the_cut_is_not_half_shown() -> None:
    redactor = Redactor()
    redactor.register(Secret(CANARY))
    assert CANARY[:6] not in redactor.untrusted("x" * (MAX_VALUE_CHARS - 10) + CANARY)


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("n", None, None),
        ("n", True, True),
        ("n", 1.5, 1.5),
        ("n", 7, 7),
        ("n", 1 << 80, "a very large number"),
        ("token_count", 7, 7),
        ("pairing_code", 123456, MASK),
        ("token", "abc", MASK),
        ("token", ["abc"], MASK),
        ("token", {"a": "b"}, MASK),
        ("s", "a\nb", "a\\nb"),
        ("s", b"a\xff\n", "a\\xff\\n"),
        ("s", Secret("abc"), "Secret('***')"),
        ("s", {"a": {"password": "x", "b": [1, "y"]}}, {"a": {"password": MASK, "b": [1, "y"]}}),
        ("s", ("a", 1), ["a", 1]),
    ],
)
def test_values_by_key_and_type(key: str, value: object, shown: object) -> None:
    assert Redactor().value(key, value) == shown


def test_deep_wide_and_long_values_are_bounded() -> None:
    deep: object = "x"
    for _ in range(50):
        deep = [deep]
    redactor = Redactor()
    assert len(str(redactor.value("s", deep))) < 2 * MAX_VALUE_CHARS
    assert len(redactor.value("s", list(range(1000)))) == 32  # type: ignore[arg-type] # a list comes back
    assert len(str(redactor.value("s", "x" * 10_000_000))) == MAX_VALUE_CHARS


def test_a_value_that_cannot_be_shown_does_not_raise() -> None:
    class Bad:
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert Redactor().value("s", Bad()) == "<Bad that cannot be shown>"


@pytest.mark.parametrize(
    "piece",
    [
        "x-",
        "eyJ",
        "a.",
        "token",
        "?key=",
        "'token':'",
        "://a:",
        "Bearer ",
        "sk-",
        "-----BEGIN PRIVATE KEY-----",
        "zc_",
        "authorization",
        '\\"',
        "x-secret:",
    ],
)
def test_hostile_text_is_scanned_in_linear_time(piece: str) -> None:
    text = piece * (MAX_SCAN_CHARS // len(piece))
    started = time.process_time()
    Redactor().text(text)
    assert time.process_time() - started < 2.0
