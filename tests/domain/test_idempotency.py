"""When two requests are one (zeroclaw.md A1.8; design §4.5; rantaiclaw.md §20.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.idempotency import MAX_KEY_CHARS, from_header, from_platform
from clawgate.domain.messages import DedupeKey

DAY = 24 * 3600


@pytest.mark.parametrize("value", [None, "", "   ", "\t"])
def test_blank_or_missing_is_no_key(value: str | None) -> None:
    assert from_header(value, "d1", 300) is None


def test_a_key_is_trimmed_and_belongs_to_its_caller() -> None:
    assert from_header("  k1 ", "d1", 300) == DedupeKey("key:d1", "k1", 300)
    assert from_header("k1", "d2", 300) != from_header("k1", "d1", 300)


@pytest.mark.parametrize(("ttl", "kept"), [(0, 1), (-5, 1), (1, 1), (300, 300)])
def test_a_key_lives_at_least_a_second(ttl: int, kept: int) -> None:
    assert from_header("k", "d", ttl) == DedupeKey("key:d", "k", kept)


def test_a_caller_cannot_claim_a_platforms_id() -> None:
    key, platform = from_header("wamid.1", "channel:whatsapp", 300), from_platform("whatsapp", "wamid.1")
    assert key is not None
    assert platform is not None
    assert key.scope != platform.scope


@pytest.mark.parametrize(("tolerance", "kept"), [(0, DAY), (300, DAY), (DAY // 2, DAY), (DAY, 2 * DAY)])
def test_platform_ids_outlive_a_day_and_twice_the_tolerance(tolerance: int, kept: int) -> None:
    assert from_platform("linq", "m1", tolerance) == DedupeKey("channel:linq", "m1", kept)


@pytest.mark.parametrize("message_id", ["", " "])
def test_messages_without_an_id_are_not_copies_of_each_other(message_id: str) -> None:
    assert from_platform("linq", message_id) is None


@given(st.text(min_size=1, max_size=40).map(lambda text: "x" + text), st.integers(1, 40))
def test_every_key_is_bounded_and_can_be_stored(text: str, times: int) -> None:
    key = from_platform("c", text * times)
    assert key is not None
    assert 0 < len(key.key) <= MAX_KEY_CHARS
    assert key.key.encode()


@pytest.mark.parametrize("key", ["k" * (MAX_KEY_CHARS + 1), "k\ud800"])
def test_a_long_or_unstorable_key_is_still_one_key(key: str) -> None:
    first, other = from_header(key, "d", 300), from_header(key + "x", "d", 300)
    assert first == from_header(key, "d", 300)
    assert first != other
    assert first is not None
    assert first.key.startswith("sha256:")
