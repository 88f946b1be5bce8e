"""Who has asked too often (zeroclaw.md A1.7, A6, B2; construct-realtime.md §1.1, §2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.ratelimit import FailureLimiter, SlidingWindow, auth_limiter, pairing_limiter


def allowed(limiter: SlidingWindow, key: str, *moments: float) -> list[bool]:
    return [limiter.allow(key, now) for now in moments]


def fail(limiter: FailureLimiter, key: str, *moments: float) -> None:
    for now in moments:
        limiter.record_failure(key, now)


def test_the_request_over_the_limit_is_denied() -> None:
    assert allowed(SlidingWindow(2), "a", 0, 1, 2) == [True, True, False]


def test_keys_are_limited_independently() -> None:
    limiter = SlidingWindow(1)
    assert allowed(limiter, "a", 0, 1) == [True, False]
    assert limiter.allow("b", 1)


def test_two_limiters_do_not_share_counts() -> None:
    pair, webhook = SlidingWindow(1), SlidingWindow(1)
    assert (pair.allow("a", 0), webhook.allow("a", 0)) == (True, True)


def test_the_window_slides_and_its_edge_is_free() -> None:
    assert allowed(SlidingWindow(2), "a", 0, 30, 59.9, 60, 89.9, 90) == [True, True, False, True, False, True]


def test_a_denied_attempt_does_not_count() -> None:
    limiter = SlidingWindow(1)
    assert allowed(limiter, "a", 0, *range(1, 60), 60) == [True, *[False] * 59, True]


def test_a_burst_then_a_pause_starts_afresh() -> None:
    assert allowed(SlidingWindow(3), "a", 0, 0, 0, 0, 61, 61, 61, 61) == [True, True, True, False] * 2


def test_zero_is_unlimited_and_stores_nothing() -> None:
    limiter = SlidingWindow(0)
    assert all(allowed(limiter, "a", *[0.0] * 100))
    assert len(limiter) == 0


def test_at_the_bound_the_stalest_key_makes_room() -> None:
    limiter = SlidingWindow(1, max_keys=2)
    assert [limiter.allow(key, now) for now, key in enumerate("abc")] == [True, True, True]
    assert len(limiter) == 2
    assert [limiter.allow(key, 3) for key in "bc"] == [False, False]
    assert limiter.allow("a", 4)


def test_stalest_is_who_asked_last_longest_ago_and_not_who_came_first() -> None:
    limiter = SlidingWindow(2, max_keys=2)
    for now, key in enumerate("abac"):
        limiter.allow(key, now)
    assert allowed(limiter, "a", 5) == [False]


def test_at_the_bound_stale_keys_go_before_live_ones() -> None:
    limiter = SlidingWindow(1, max_keys=3)
    for key, now in [("a", 0), ("b", 1), ("c", 55), ("d", 61.5)]:
        limiter.allow(key, now)
    assert len(limiter) == 2
    assert not limiter.allow("c", 62)


def test_a_single_key_capacity_works() -> None:
    limiter = SlidingWindow(1, max_keys=1)
    assert [limiter.allow(key, 0) for key in "aab"] == [True, False, True]
    assert len(limiter) == 1


def test_a_sweep_after_300_seconds_keeps_the_active_key() -> None:
    limiter = SlidingWindow(10)
    for key, now in [("old", 0), ("active", 299), ("active", 301)]:
        limiter.allow(key, now)
    assert len(limiter) == 1


def test_max_keys_zero_means_ten_thousand() -> None:
    assert (SlidingWindow(1, 0).max_keys, FailureLimiter(attempts=1, window_seconds=1, max_keys=0).max_keys) == (10_000, 10_000)


@given(st.integers(1, 4), st.integers(1, 3), st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 40)), max_size=60))
def test_no_window_ever_holds_more_than_the_limit(limit: int, max_keys: int, steps: list[tuple[str, float]]) -> None:
    limiter, now, accepted = SlidingWindow(limit, max_keys), 0.0, list[tuple[str, float]]()
    for key, wait in steps:
        now += wait
        before = [moment for other, moment in accepted if other == key and moment > now - 60]
        if limiter.allow(key, now):
            accepted.append((key, now))
            assert len(before) < limit or len({name for name, _ in steps}) > max_keys
        assert len(limiter) <= max_keys


def test_nine_bad_credentials_are_forgiven_and_the_tenth_locks() -> None:
    limiter = auth_limiter()
    fail(limiter, "a", *range(9))
    assert limiter.locked_for("a", 9) == 0
    fail(limiter, "a", 9)
    assert limiter.locked_for("a", 9) == 300


def test_bad_credentials_spread_over_time_do_not_lock() -> None:
    limiter = auth_limiter()
    fail(limiter, "a", *range(0, 200, 7))
    assert limiter.locked_for("a", 200) == 0


def test_a_lock_concerns_one_client_only() -> None:
    limiter = pairing_limiter()
    fail(limiter, "a", *[0.0] * 5)
    assert (limiter.locked_for("a", 1), limiter.locked_for("b", 1)) == (299, 0)


@pytest.mark.parametrize(("now", "seconds"), [(0, 300), (0.5, 300), (1, 299), (299, 1), (299.9999, 1), (300, 0)])
def test_the_remaining_seconds_are_whole_and_at_least_one(now: float, seconds: int) -> None:
    limiter = pairing_limiter()
    fail(limiter, "a", *[0.0] * 5)
    assert limiter.locked_for("a", now) == seconds


@given(st.floats(0, 1e9))
def test_the_first_refusal_never_says_more_than_300(start: float) -> None:
    limiter = pairing_limiter()
    fail(limiter, "a", *[start] * 5)
    assert limiter.locked_for("a", start) == 300


@pytest.mark.parametrize("asked_before", [True, False])
def test_an_expired_lock_gives_all_attempts_back(asked_before: bool) -> None:
    limiter = pairing_limiter()
    fail(limiter, "a", *[0.0] * 5)
    if asked_before:
        assert limiter.locked_for("a", 300) == 0
    fail(limiter, "a", *[300.0] * 4)
    assert limiter.locked_for("a", 300) == 0
    fail(limiter, "a", 301)
    assert limiter.locked_for("a", 301) == 300


def test_a_success_clears_only_that_client() -> None:
    limiter = pairing_limiter()
    fail(limiter, "a", *[0.0] * 4)
    fail(limiter, "b", *[0.0] * 4)
    limiter.forget("a")
    fail(limiter, "a", 1)
    fail(limiter, "b", 1)
    assert (limiter.locked_for("a", 1), limiter.locked_for("b", 1)) == (0, 300)


def test_slow_guessing_of_codes_locks_all_the_same() -> None:
    limiter = pairing_limiter()
    fail(limiter, "a", 0, 800, 1600, 2400, 3200)
    assert limiter.locked_for("a", 3200) == 300


def test_900_idle_seconds_clear_wrong_codes() -> None:
    limiter = pairing_limiter()
    fail(limiter, "a", 0, 1, 2, 3)
    fail(limiter, "a", 903)
    assert limiter.locked_for("a", 903) == 0


def test_idle_clients_are_forgotten() -> None:
    limiter = pairing_limiter()
    fail(limiter, "a", 0)
    fail(limiter, "b", 899)
    assert len(limiter) == 2
    fail(limiter, "b", 901)
    assert len(limiter) == 1


def test_the_number_of_clients_is_bounded_and_the_latest_stay() -> None:
    limiter = pairing_limiter(max_keys=2)
    for key in "abc":
        fail(limiter, key, *[0.0] * 5)
    assert [limiter.locked_for(key, 1) for key in "abc"] == [0, 299, 299]
    assert len(limiter) == 2
