"""Routes of triggers, and the prompts they make. Source: rantaiclaw.md §8; design §4.2."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clawgate.domain.errors import TooLarge
from clawgate.domain.triggers import MOST_PROMPT_CHARS, NoTrigger, TriggerRoute, fill, find, parsed, prompt, read_body

ROUTES = (TriggerRoute("/ci/done", "ci", "one"), TriggerRoute("ci/done", "ci", "two"), TriggerRoute("//Odd", "s", "three"))
TEXT = st.text(max_size=8)
LEAF = st.none() | st.booleans() | st.integers(-(2**64), 2**64) | TEXT
JSON = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6)


@pytest.mark.parametrize(("path", "message"), [("ci/done", "one"), ("///ci/done", "one"), ("Odd", "three")])
def test_leading_slashes_do_not_matter_and_the_first_route_wins(path: str, message: str) -> None:
    assert find(ROUTES, path).message == message


@pytest.mark.parametrize("path", ["ci", "ci/done/", "ci/Done", "odd", "", "ci/done/x", "c*"])
def test_nothing_else_matches(path: str) -> None:
    with pytest.raises(NoTrigger) as missing:
        find(ROUTES, path)
    assert missing.value.available == ("/ci/done", "ci/done", "//Odd")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("{repo} by {who}", "clawgate by {repo}"),
        ("{n} {yes} {f} {text}", "3 true 1.5 words"),
        ("{unknown} {nothing} {list} {payload}", "{unknown} {nothing} {list} {payload}"),
        ("{{repo}} {} { repo } {repo", "{clawgate} {} { repo } {repo"),
        ("no names", "no names"),
    ],
)
def test_placeholders_come_from_the_query_then_from_the_bodys_scalars(message: str, expected: str) -> None:
    query = {"repo": "clawgate", "who": "{repo}"}
    body: dict[str, object] = {"repo": "not this", "n": 3, "yes": True, "f": 1.5, "text": "words", "nothing": None, "list": [1], "payload": {}}
    assert fill(message, query, body) == expected


def test_a_prompt_names_its_skill_and_carries_the_payload_sorted_and_compact() -> None:
    route = TriggerRoute("x", "deploy", "Ship {repo}")
    assert prompt(route, {"repo": "a"}, {}) == "[Webhook Trigger: deploy] Ship a"
    body: dict[str, object] = {"payload": {"b": [1, 2], "a": "é"}}
    assert prompt(route, {}, body) == '[Webhook Trigger: deploy] Ship {repo}\n\nPayload: {"a":"é","b":[1,2]}'
    assert prompt(route, {}, {"payload": None}) == "[Webhook Trigger: deploy] Ship {repo}"


def test_a_message_cannot_multiply_what_is_sent() -> None:
    route = TriggerRoute("x", "s", "{v}" * 100)
    with pytest.raises(TooLarge):
        prompt(route, {"v": "x" * 10_000}, {})
    with pytest.raises(TooLarge):
        prompt(TriggerRoute("x", "s", "m"), {}, {"payload": "x" * MOST_PROMPT_CHARS})


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[1]", b'"x"', b"\xff", b'{"a":NaN}', b'{"a":1e999}', b'{"a":"\\ud800"}', b"[" * 100_000, b'{"a":' + b"9" * 9_000 + b"}"]
)
def test_what_is_no_object_is_no_body(raw: bytes) -> None:
    assert read_body(raw) == {}


@settings(deadline=None)
@given(st.dictionaries(TEXT, JSON, max_size=3))
def test_every_object_is_read_and_every_truncation_is_no_body(found: dict[str, object]) -> None:
    raw = json.dumps(found, ensure_ascii=False).encode()
    assert read_body(raw) == found
    assert all(read_body(raw[:length]) == {} for length in range(len(raw)))


@given(st.text(alphabet=r'"\ud83de0[]{}:,1-.eaNnulI' + "\n\x1fé\x00", max_size=12))
@example('"\\ud83d\\ude00"')
@example('{"a":1,"b":2,"a":3}')
@example("[-0,-0.0,18446744073709551616,1e-400,0.1]")
def test_what_is_read_is_what_json_says(text: str) -> None:
    try:
        expected: object = json.loads(text)
        text.encode(), json.dumps(expected, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        with pytest.raises(ValueError):
            parsed(text.encode())
    else:
        assert repr(parsed(text.encode())) == repr(expected)


@given(st.text(alphabet="{}ab.", max_size=60), st.dictionaries(st.sampled_from(["a", "b", "ab"]), st.text(max_size=5)))
def test_filling_in_never_fails_and_without_values_changes_nothing(message: str, query: dict[str, str]) -> None:
    assert fill(message, {}, {}) == message
    assert fill(message, {name: f"{{{name}}}" for name in query}, {}) == message
