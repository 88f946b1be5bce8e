"""What a marketplace is asked and may answer. Source: docs/howto/skills.md."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.skills import Candidate, Reference, SkillSourceFailed
from clawgate.system.marketplace_wire import MOST_MATCHES, archive_url, decode_matches, look_up_url

BASE = "https://market.example/api"
TOOL = Reference("", "tool")


@pytest.mark.parametrize(
    ("base", "wanted", "url"),
    [
        (BASE, TOOL, "https://market.example/api/skills/tool"),
        (BASE + "/", Reference("bob", "tool"), "https://market.example/api/skills/bob/tool"),
    ],
)
def test_names_are_looked_up_below_the_base(base: str, wanted: Reference, url: str) -> None:
    assert look_up_url(base, wanted) == url


def test_matches_are_those_of_the_name_asked_for() -> None:
    answer = {
        "matches": [
            {"owner": "bob", "slug": "Tool", "url": "a"},
            {"slug": "other", "url": "b"},
            {"owner": "eve", "slug": "tool", "url": "c", "downloads": 3},
        ],
        "x": 1,
    }
    body = json.dumps(answer).encode()
    bob = Candidate(owner="bob", slug="Tool", reference="@bob/Tool", url="a")
    eve = Candidate(owner="eve", slug="tool", reference="@eve/tool", url="c", downloads=3)
    assert decode_matches(body, TOOL) == (bob, eve)
    assert decode_matches(body, Reference("EVE", "tool")) == (eve,)
    assert decode_matches(b"{}", TOOL) == ()


def test_matches_have_a_bound() -> None:
    assert len(decode_matches(json.dumps({"matches": [{"slug": "tool", "url": "a"}] * 100}).encode(), TOOL)) == MOST_MATCHES


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"matches":1}', b'{"matches":[{}]}', b'{"matches":[{"slug":"tool"}]}', b"\xff", b"[" * 9999])
def test_another_answer_is_a_failure(body: bytes) -> None:
    with pytest.raises(SkillSourceFailed):
        decode_matches(body, TOOL)


@given(st.binary())
def test_any_bytes_are_matches_or_a_failure(body: bytes) -> None:
    try:
        assert isinstance(decode_matches(body, TOOL), tuple)
    except SkillSourceFailed:
        pass


WHOLE = json.dumps({"matches": [{"slug": "tool", "url": "a"}]}).encode()


def test_every_truncation_is_a_failure() -> None:
    for end in range(len(WHOLE)):
        with pytest.raises(SkillSourceFailed):
            decode_matches(WHOLE[:end], TOOL)


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("/a.zip", "https://market.example/a.zip"),
        ("a.zip", "https://market.example/api/a.zip"),
        ("https://market.example:443/a.zip?x=1", "https://market.example:443/a.zip?x=1"),
    ],
)
def test_archive_is_on_the_same_server(url: str, whole: str) -> None:
    assert archive_url(BASE, url) == whole


@pytest.mark.parametrize(
    "url",
    [
        "http://market.example/a.zip",
        "https://evil.example/a.zip",
        "//evil.example/a",
        "https://market.example:444/a",
        "file:///etc/passwd",
        "https://market.example@evil.example/a",
        "https://market.example:x/a",
        "https://[/a",
        "/a\r\nX: y\x7f",
        "/ä",
    ],
)
def test_archive_elsewhere_is_not_fetched(url: str) -> None:
    with pytest.raises(SkillSourceFailed, match="another server"):
        archive_url(BASE, url)
