"""The control plane's messages and tokens, row by row (openclaw-enterprise.md §4.1)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain import control
from clawgate.domain.secret import Secret
from clawgate.system.jwt import Hs256

NOW = 1_800_000_000
KEY, OTHER_KEY = Hs256(Secret("k" * 40)), Hs256(Secret("o" * 40))
ID = "0123456789abcdef0123456789abcdef"
FAILED = "Unauthorised: Token validation failed: "


def claims(**changed: object) -> dict[str, object]:
    return {name: value for name, value in (control.claims(ID, NOW, 24) | changed).items() if value is not None}


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


GOOD = KEY.sign(claims())
HEAD, BODY, SIGNATURE = GOOD.split(".")

TOKENS: dict[str, tuple[object, str | None]] = {
    "good": (GOOD, None),
    "null": (None, FAILED + "jwt must be provided"),
    "empty": ("", FAILED + "jwt must be provided"),
    "zero": (0, FAILED + "jwt must be provided"),
    "number": (5, FAILED + "jwt must be a string"),
    "object": ({"a": 1}, FAILED + "jwt must be a string"),
    "list": (["x"], FAILED + "jwt must be a string"),
    "one part": ("abc", FAILED + "jwt malformed"),
    "four parts": (GOOD + ".x", FAILED + "jwt malformed"),
    "undecodable": ("a.b.c", FAILED + "invalid token"),
    "no base64": (f"{HEAD}.ä.{SIGNATURE}", FAILED + "invalid token"),
    "header is a list": (f"{part([])}.{BODY}.{SIGNATURE}", FAILED + "invalid token"),
    "unsigned": (f"{HEAD}.{BODY}.", FAILED + "jwt signature is required"),
    "unsigned none": (f"{part({'alg': 'none', 'typ': 'JWT'})}.{BODY}.", FAILED + "jwt signature is required"),
    "other algorithm": (f"{part({'alg': 'HS512', 'typ': 'JWT'})}.{BODY}.{SIGNATURE}", FAILED + "invalid algorithm"),
    "none with a signature": (f"{part({'alg': 'none', 'typ': 'JWT'})}.{BODY}.{SIGNATURE}", FAILED + "invalid algorithm"),
    "other key": (OTHER_KEY.sign(claims()), FAILED + "invalid signature"),
    "changed claims": (f"{HEAD}.{part(claims(jti='x'))}.{SIGNATURE}", FAILED + "invalid signature"),
    "not yet": (KEY.sign(claims(nbf=NOW + 1)), FAILED + "jwt not active"),
    "begins now": (KEY.sign(claims(nbf=NOW)), None),
    "expired": (KEY.sign(claims(exp=NOW)), FAILED + "jwt expired"),
    "expires in a second": (KEY.sign(claims(exp=NOW + 1)), None),
    "odd expiry": (KEY.sign(claims(exp="soon")), FAILED + "invalid exp value"),
    "odd beginning": (KEY.sign(claims(nbf=True)), FAILED + "invalid nbf value"),
    "other issuer": (KEY.sign(claims(iss="somebody")), FAILED + "jwt issuer invalid. expected: openclaw-gateway"),
    "no issuer": (KEY.sign(claims(iss=None)), FAILED + "jwt issuer invalid. expected: openclaw-gateway"),
    "other id": (KEY.sign(claims(jti="f" * 32)), "Unauthorised: Token JTI does not match active session — please use the current startup token"),
    "no id": (KEY.sign(claims(jti=None)), "Unauthorised: Token JTI does not match active session — please use the current startup token"),
    "expired and of another issuer": (KEY.sign(claims(exp=NOW - 1, iss="somebody")), FAILED + "jwt expired"),
}


def refusal(token: object, active_id: str = ID) -> str | None:
    return control.refusal(token, now_s=NOW, active_id=active_id, is_signed=KEY.is_signed)


@pytest.mark.parametrize("name", TOKENS)
def test_each_token_gets_its_sentence(name: str) -> None:
    token, expected = TOKENS[name]

    assert refusal(token) == expected


def test_a_token_says_what_upstreams_says() -> None:
    padded = BODY + "=" * (-len(BODY) % 4)

    assert json.loads(base64.urlsafe_b64decode(padded)) == {
        "iss": "openclaw-gateway",
        "iat": NOW,
        "exp": NOW + 24 * 3600,
        "jti": ID,
        "scope": ["provider:read", "provider:write", "gateway:admin"],
    }
    assert json.loads(base64.urlsafe_b64decode(HEAD + "==")) == {"alg": "HS256", "typ": "JWT"}


def test_a_short_key_signs_without_complaint() -> None:
    short = Hs256(Secret("s3cret"))

    assert short.is_signed(short.sign({"a": 1}))
    assert not KEY.is_signed(short.sign({"a": 1}))


REPLIES: dict[str, tuple[str, str]] = {
    "no command": ('{"token":"x"}', '{"ok":false,"cmd":"(auth)","error":"E"}'),
    "null command": ('{"cmd":null}', '{"ok":false,"cmd":"(auth)","error":"E"}'),
    "a command": ('{"cmd":"ping"}', '{"ok":false,"cmd":"ping","error":"E"}'),
    "a number for a command": ('{"cmd":7}', '{"ok":false,"cmd":7,"error":"E"}'),
    "a list": ("[1]", '{"ok":false,"cmd":"(auth)","error":"E"}'),
    "a number": ("5", '{"ok":false,"cmd":"(auth)","error":"E"}'),
    "a text": ('"x"', '{"ok":false,"cmd":"(auth)","error":"E"}'),
    "null": ("null", '{"ok":false,"cmd":"(auth)","error":"E"}'),
}


@pytest.mark.parametrize("name", REPLIES)
def test_a_refused_message_is_answered_under_its_command(name: str) -> None:
    sent, expected = REPLIES[name]
    message = control.read(sent)

    assert message is not None
    assert control.unauthorised(message, "E") == expected


@pytest.mark.parametrize("text", ["", "{", "ping", "[" * 5000, '{"a":1}x'])
def test_what_is_no_json_is_told_so(text: str) -> None:
    assert control.read(text) is None
    assert control.unreadable() == '{"ok":false,"cmd":"(parse error)","error":"Invalid JSON"}'


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ('{"cmd":"PING"}', "PING"),
        ("{}", "undefined"),
        ('{"cmd":null}', "null"),
        ('{"cmd":5.0}', "5"),
        ('{"cmd":true}', "true"),
        ('{"cmd":{"a":1}}', "[object Object]"),
        ('{"cmd":["a",null,1]}', "a,,1"),
        ('{"cmd":[[],[1,[2,null]],[[]]]}', ",1,2,,"),
        (f'{{"cmd":{"[" * 900}7{"]" * 900}}}', "7"),
    ],
)
def test_an_unknown_command_is_named_and_the_five_are_listed(sent: str, shown: str) -> None:
    message = control.read(sent)

    assert message is not None
    reply = json.loads(control.failed(message, control.unknown_command(message)))
    assert reply["error"] == f'Unknown command: "{shown}". Valid commands: ping, status, switch_provider, health_check, rotate_token'
    assert ("cmd" in reply) is (sent != "{}")


@pytest.mark.parametrize(
    ("data", "shown"), [(None, "(none)"), ({}, "(none)"), ({"provider": ""}, "(none)"), ({"provider": "GEMINI"}, "GEMINI"), ([], "(none)")]
)
def test_an_unknown_provider_is_refused_without_a_prefix(data: object, shown: str) -> None:
    assert control.vendor_of(data) == f'Invalid provider "{shown}". Valid options: gemini | kimi'


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON: Any = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(JSON, JSON)
def test_no_token_and_no_command_breaks_the_reading(token: object, command: object) -> None:
    message = control.read(json.dumps({"token": token, "cmd": command}))
    if message is not None:  # half surrogate pairs and numbers beyond all bounds are no JSON here
        error = refusal(message.token)
        assert error is not None
        assert json.loads(control.unauthorised(message, error))["error"].startswith("Unauthorised: ")
        assert control.unknown_command(message).startswith('Unknown command: "')


@given(st.integers(0, len(GOOD) - 1))
def test_a_cut_token_is_never_good(length: int) -> None:
    assert refusal(GOOD[:length]) is not None


@given(st.text(alphabet="abcDEF019-_.", max_size=60))
def test_garbage_is_never_good(token: str) -> None:
    assert (refusal(token) or "").startswith("Unauthorised: ")
