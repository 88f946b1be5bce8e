"""What skills are called, when they may be used, and in which order they stand. Source: rantaiclaw.md §10 (Skills), §21."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.errors import BadRequest
from clawgate.domain.skills import (
    Kind,
    Manifest,
    Origin,
    Reference,
    Skill,
    checked_slug,
    find,
    in_order,
    lacks,
    parse_reference,
    slug_of,
    system_name,
)


def skill(name: str, slug: str = "", **more: object) -> Skill:
    return Skill(slug=slug or name.lower(), manifest=Manifest(name=name), content="", **more)  # type: ignore[arg-type]  # fields of Skill


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My Skill", "my-skill"),
        ("  --A__b--  ", "a-b"),
        ("Ünïcode 9", "n-code-9"),
        ("a" * 70, "a" * 64),
        ("a" * 63 + " b", "a" * 63),
        ("C++ / C#", "c-c"),
    ],
)
def test_slug_is_made_of_the_name(name: str, slug: str) -> None:
    assert slug_of(name) == slug


@pytest.mark.parametrize("name", ["", "   ", "日本語", "!!!", "Install", "-install-"])
def test_name_without_a_usable_slug_is_refused(name: str) -> None:
    with pytest.raises(BadRequest):
        slug_of(name)


@given(st.text())
def test_every_slug_is_short_plain_and_its_own_slug(name: str) -> None:
    try:
        slug = slug_of(name)
    except BadRequest:
        return
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert (len(slug) <= 64, slug_of(slug), checked_slug(slug)) == (True, slug, slug)


@pytest.mark.parametrize("text", ["", ".", "..", "a..b", "a/b", "a b", "ä", "a\n", "a%", "a" * 129])
def test_slug_of_a_path_is_plain(text: str) -> None:
    with pytest.raises(BadRequest):
        checked_slug(text)


@pytest.mark.parametrize(
    ("text", "reference", "written"),
    [
        ("tool", Reference("", "tool"), "tool"),
        (" bob/tool ", Reference("bob", "tool"), "@bob/tool"),
        ("@bob/tool", Reference("bob", "tool"), "@bob/tool"),
        ("@b.o-b_1/My_Tool", Reference("b.o-b_1", "My_Tool"), "@b.o-b_1/My_Tool"),
    ],
)
def test_reference_is_a_slug_with_or_without_its_owner(text: str, reference: Reference, written: str) -> None:
    assert (parse_reference(text), str(reference)) == (reference, written)


@pytest.mark.parametrize("text", ["", "@", "@tool", "/tool", "bob/", "a/b/c", "../x", "bob/..", "a b", "http://x/y", "tool\nx", "install", "é"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_reference(text)


def test_reasons_have_the_published_words_and_disabled_comes_first() -> None:
    manifest = Manifest(name="x", systems=("macos", "windows"), binaries=("jq", "rg"), variables=("KEY",))
    found = lacks(manifest, "linux", ["jq"], ["KEY"])
    assert found == ("wrong OS: requires macos or windows (this is linux)", "missing binary `jq`", "env `KEY` not set")
    off = skill("x", lacks=found, enabled=False)
    assert (off.reasons, off.is_active) == (("disabled in config.toml", *found), False)


@pytest.mark.parametrize(("systems", "is_fine"), [((), True), (("linux",), True), (("macos", "linux"), True), (("windows",), False)])
def test_system_must_be_among_those_required(systems: tuple[str, ...], is_fine: bool) -> None:
    assert (lacks(Manifest(name="x", systems=systems), "linux", [], []) == ()) is is_fine


@pytest.mark.parametrize(("name", "usual"), [("Darwin", "macos"), (" mac ", "macos"), ("win32", "windows"), ("Linux", "linux"), ("haiku", "haiku")])
def test_systems_have_one_name_each(name: str, usual: str) -> None:
    assert system_name(name) == usual


def test_active_skills_stand_first_then_by_name() -> None:
    every = [skill("a", enabled=False), skill("C"), skill("b"), skill("D", lacks=("no",))]
    assert [each.name for each in in_order(every)] == ["b", "C", "a", "D"]


def test_skill_is_found_by_slug_in_any_case_before_any_name() -> None:
    first, second = skill("two", "one"), skill("one", "two")
    assert [find([first, second], wanted) for wanted in ("ONE", "Two", "three")] == [first, second, None]
    assert find([skill("My Skill", "x")], "my skill") == skill("My Skill", "x")


@pytest.mark.parametrize(
    ("origin", "reference"),
    [
        (Origin(kind=Kind.CLAWHUB, owner="bob", slug="t"), Reference("bob", "t")),
        (Origin(kind=Kind.CLAWHUB, slug="t"), Reference("", "t")),
        (Origin(kind=Kind.LOCAL, owner="bob", slug="t"), None),
    ],
)
def test_only_what_came_from_a_marketplace_has_its_reference(origin: Origin, reference: Reference | None) -> None:
    assert origin.reference == reference
