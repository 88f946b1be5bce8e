"""Who the agent says it is. Source: rantaiclaw.md §10 (Personality)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.errors import BadRequest
from clawgate.domain.personality import PRESETS, Change, Personality, changed, profile_of, system_text


def test_first_change_is_one_of_the_published_default() -> None:
    after = changed(None, Change(tone="dry"))
    assert after == Personality(tone="dry")
    assert (after.name, after.timezone, after.preset) == ("RantaiClawAgent", "UTC", "default")
    assert after.role == "general productivity and helpful assistance"


def test_presets_are_the_published_five_and_each_says_something_else() -> None:
    assert list(PRESETS) == ["default", "concise_pro", "friendly_companion", "research_analyst", "executive_assistant"]
    assert len({system_text(Personality(preset=preset)) for preset in PRESETS}) == 5


def test_what_is_not_named_stays() -> None:
    before = Personality(name="Ann", role="cook", avoid="salt", timezone="Asia/Jakarta", always_on_kbs=("k",))
    assert changed(before, Change(preset="concise_pro")) == Personality(
        preset="concise_pro", name="Ann", role="cook", avoid="salt", timezone="Asia/Jakarta", always_on_kbs=("k",)
    )


@pytest.mark.parametrize("avoid", ["", "  "])
def test_empty_avoid_clears(avoid: str) -> None:
    assert changed(Personality(avoid="salt"), Change(avoid=avoid)).avoid is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change(preset="pirate"), "unknown preset `pirate`"),
        (Change(name=" "), "name must not be empty"),
        (Change(role=""), "role must not be empty"),
        (Change(tone="\x00"), "tone must not be empty"),
        (Change(name="a" * 201), "name is longer than 200 characters"),
        (Change(avoid="a" * 4001), "avoid is longer than 4000 characters"),
        (Change(always_on_kbs=("a", "")), "always_on_kbs must not be empty"),
        (Change(always_on_kbs=tuple(map(str, range(65)))), "always_on_kbs names more than 64"),
    ],
)
def test_what_cannot_be_is_refused(change: Change, words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        changed(None, change)
    assert str(refused.value) == words


def test_text_tells_name_role_tone_and_what_to_avoid() -> None:
    text = system_text(Personality(name="Ann", role="cook", tone="dry", avoid="politics", timezone="Asia/Jakarta"))
    assert [words in text for words in ("You are Ann.", "cook", "dry", "Avoid: politics", "Asia/Jakarta")] == [True] * 5
    assert "Avoid" not in system_text(Personality())


@pytest.mark.parametrize(
    ("path", "profile"),
    [
        ("", "default"),
        ("/home/x/.rantaiclaw/profiles/work/config.toml", "work"),
        ("/home/x/.clawgate/config.toml", "default"),
        ("profiles/config.toml", "default"),
    ],
)
def test_profile_is_the_directory_below_profiles(path: str, profile: str) -> None:
    assert profile_of(path) == profile


@given(st.text(alphabet=st.characters(), min_size=1, max_size=50))
def test_any_name_is_refused_or_can_be_written_down(name: str) -> None:
    try:
        after = changed(None, Change(name=name))
    except BadRequest:
        return
    assert after.name.encode().decode() == after.name
