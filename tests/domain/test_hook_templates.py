"""What a delivery's body says, and the messages and conversations that are made of it. Source: design §4.2; RFC 6901; webhook-signatures.md §1."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.domain.errors import BadRequest, TooLarge, UnsupportedMedia
from clawgate.domain.hooks import Template, at, conversation, is_pointer, prompt, read
from clawgate.domain.idempotency import MIN_PLATFORM_RETENTION_SECONDS, from_signature
from clawgate.domain.triggers import MOST_PROMPT_CHARS

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAME = st.text("ab_./~0", min_size=1, max_size=6)
LEAF = st.none() | st.booleans() | st.integers(-(2**64), 2**64) | TEXT
VALUE = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME | TEXT, inner, max_size=3), max_leaves=8)


# --- bodies --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", "application/cloudevents+json"])
def test_json_of_any_shape_is_read(content_type: str) -> None:
    assert read(b'[{"a": 1}]', content_type) == [{"a": 1}]


def test_a_form_is_read_and_of_a_name_that_is_there_twice_the_first_counts() -> None:
    assert read(b"Body=caf%C3%A9+au+lait&From=%2B1&From=%2B2&Empty=", FORM) == {"Body": "café au lait", "From": "+1", "Empty": ""}


@pytest.mark.parametrize(("payload", "read_as"), [('{"a": [1]}', {"a": [1]}), ("{not json", "{not json"), ("plain", "plain")])
def test_the_json_in_a_forms_payload_is_read(payload: str, read_as: object) -> None:
    assert read(urlencode({"payload": payload}).encode(), FORM) == {"payload": read_as}


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/jsonx", "multipart/form-data; boundary=x", "application/xml"])
def test_another_content_type_is_not_guessed_at(content_type: str) -> None:
    with pytest.raises(UnsupportedMedia):
        read(b"{}", content_type)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b"NaN", b'{"a": 1e999}', b'"\\ud800"', b"[" * 100_000, b"9" * 60_000, b'{"a":1} x'], ids=lambda raw: raw[:12].hex()
)
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        read(raw, JSON)


@pytest.mark.parametrize("raw", [b"a", b"a=%ff", b"\xff=1", b"&".join(b"a=1" for _ in range(1001))], ids=["no =", "not utf-8", "raw", "too many"])
def test_what_is_no_form_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        read(raw, FORM)


@given(VALUE, st.integers(0, 40))
def test_a_cut_body_is_refused_or_is_another_whole_value(value: object, cut: int) -> None:
    whole = json.dumps(value).encode()
    assert read(whole, JSON) == value
    try:
        assert json.dumps(read(whole[:cut], JSON)) is not None
    except BadRequest:
        pass


@given(st.binary(max_size=60), st.sampled_from([JSON, FORM]))
def test_bytes_are_read_or_refused(raw: bytes, content_type: str) -> None:
    try:
        json.dumps(read(raw, content_type), ensure_ascii=False).encode()
    except BadRequest:
        pass


# --- pointers ------------------------------------------------------------------------------------------------------------------------------

RFC = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8}


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        ("", RFC),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_a_pointer_leads_where_rfc_6901_says(pointer: str, expected: object) -> None:
    assert is_pointer(pointer)
    assert at(RFC, pointer) == expected


@pytest.mark.parametrize(
    "pointer", ["/foo/2", "/foo/-", "/foo/01", "/foo/-1", "/foo/+0", "/foo/0/x", "/foo/9999999999", "/nothing", "/a/b", "/foo/٠"]
)
def test_a_pointer_to_nothing_finds_nothing(pointer: str) -> None:
    assert at(RFC, pointer) is None


@pytest.mark.parametrize("text", ["a", "a/b", "/~", "/~2", "/a~", "$.a", "/" * 513])
def test_what_is_no_pointer_is_known(text: str) -> None:
    assert not is_pointer(text)


def escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


@given(st.lists(NAME | TEXT, max_size=5), LEAF.filter(lambda leaf: leaf is not None))
def test_every_name_can_be_pointed_at(names: list[str], leaf: object) -> None:
    body = leaf
    for name in reversed(names):
        body = {name: body}
    pointer = "".join("/" + escaped(name) for name in names)
    assert is_pointer(pointer)
    assert at(body, pointer) == leaf


# --- messages ------------------------------------------------------------------------------------------------------------------------------

PUSH = {"repository": {"full_name": "acme/web"}, "action": "opened", "labels": ["b", {"z": 1, "a": 2}], "n": 3, "private": False}
FIELDS = {"repo": "/repository/full_name", "labels": "/labels", "gone": "/nothing/there"}


def test_a_message_takes_fields_first_and_then_the_bodys_scalars() -> None:
    template = Template(message="{repo} {action} {n} {private} {labels} {gone} {repository}", fields=FIELDS)
    assert prompt("gh", template, PUSH) == '[Hook: gh] acme/web opened 3 false ["b",{"a":2,"z":1}] {gone} {repository}'


def test_without_a_message_every_field_that_is_there_is_a_line() -> None:
    assert prompt("gh", Template(fields=FIELDS), PUSH) == '[Hook: gh] repo: acme/web\nlabels: ["b",{"a":2,"z":1}]'


@pytest.mark.parametrize("template", [Template(), Template(message=" "), Template(fields={"a": "/nothing"}), Template(message="{blank}")])
def test_nothing_to_ask_is_a_bad_request(template: Template) -> None:
    with pytest.raises(BadRequest):
        prompt("gh", template, {"blank": " "})


def test_what_was_filled_in_is_not_filled_in_again() -> None:
    body = {"a": "{secret} {b}", "b": "{a}", "secret": "no"}
    assert prompt("x", Template(message="{a}{b}"), body) == "[Hook: x] {secret} {b}{a}"


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), TEXT | st.sampled_from(["{a}", "{b}", "{{c}}", "}{"]), min_size=3))
def test_each_name_is_replaced_once_and_nothing_else_is(values: dict[str, str]) -> None:
    body = {name: value or "-" for name, value in values.items()}
    assert prompt("x", Template(message="<{a}|{b}|{c}>"), body) == f"[Hook: x] <{body['a']}|{body['b']}|{body['c']}>"


def test_a_message_has_an_end() -> None:
    with pytest.raises(TooLarge):
        prompt("x", Template(message="{v}" * 100), {"v": "x" * 10_000})
    with pytest.raises(TooLarge):
        prompt("x", Template(fields={"v": "/v"}), {"v": "x" * MOST_PROMPT_CHARS})


@pytest.mark.parametrize("body", [[1, 2], "text", 3, None, True])
def test_a_body_that_is_no_object_still_has_pointers(body: object) -> None:
    template = Template(message="got {all}", fields={"all": "", "first": "/0"})
    expected = "{all}" if body is None else body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
    assert prompt("x", template, body) == f"[Hook: x] got {expected}"


# --- conversations -------------------------------------------------------------------------------------------------------------------------


def test_a_conversation_is_made_of_the_same_names_and_belongs_to_its_hook() -> None:
    template = Template(conversation="{repo}:{n}", fields=FIELDS)
    assert conversation("gh", template, PUSH) == "hook:gh:acme/web%3A3"
    assert conversation("other", template, PUSH) == "hook:other:acme/web%3A3"


@pytest.mark.parametrize("text", ["", " ", "{gone}", "{repo} {nowhere}", "{blank}"])
def test_a_gap_in_the_conversation_is_a_conversation_of_its_own(text: str) -> None:
    assert conversation("gh", Template(conversation=text, fields=FIELDS), {**PUSH, "blank": " "}) is None


def test_a_long_conversation_is_named_by_its_digest() -> None:
    template = Template(conversation="{v}")
    found = [conversation("x", template, {"v": letter * 201}) for letter in "aab"]
    assert found[0] == found[1] != found[2]
    assert all(name is not None and name.startswith("hook:x:sha256-") and len(name) < 100 for name in found)


# --- copies --------------------------------------------------------------------------------------------------------------------------------


def test_a_delivery_is_known_by_its_signed_id_or_else_by_what_was_signed() -> None:
    by_id = from_signature("gh", signed_id="msg_1", digest=b"\x01", tolerance_seconds=300)
    assert by_id == from_signature("gh", signed_id="msg_1", digest=b"\x02", tolerance_seconds=300)
    without = [from_signature("gh", signed_id=blank, digest=b"\x01", tolerance_seconds=300) for blank in ("", " ")]
    assert without[0] == without[1] != from_signature("gh", signed_id="", digest=b"\x02", tolerance_seconds=300)
    assert len({by_id.key, without[0].key, from_signature("gh", signed_id=b"\x01".hex(), digest=b"", tolerance_seconds=0).key}) == 3
    assert by_id.scope != from_signature("other", signed_id="msg_1", digest=b"\x01", tolerance_seconds=300).scope


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_a_copy_is_known_for_a_day_and_for_twice_the_tolerance(tolerance: int) -> None:
    found = from_signature("gh", signed_id="a", digest=b"", tolerance_seconds=tolerance)
    assert found.retention_seconds == max(MIN_PLATFORM_RETENTION_SECONDS, 2 * tolerance)


def test_a_copy_without_a_signed_time_is_known_for_a_week() -> None:
    assert from_signature("gh", signed_id="a", digest=b"", tolerance_seconds=None).retention_seconds == 7 * 24 * 3600
