"""RFC 3339 to the millisecond, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.times import parse_rfc3339, retry_after, rfc3339, rfc3339_or_none


def test_the_form_of_health_and_device_answers() -> None:
    assert rfc3339(1_800_000_000_007) == "2027-01-15T08:00:00.007+00:00"


def test_none_stays_none() -> None:
    assert (rfc3339_or_none(None), rfc3339_or_none(0)) == (None, "1970-01-01T00:00:00.000+00:00")


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_every_millisecond_survives_the_round_trip(ms: int) -> None:
    assert parse_rfc3339(rfc3339(ms)) == ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2027-01-15T08:00:00Z", 1_800_000_000_000),
        ("2027-01-15t08:00:00.007999999z", 1_800_000_000_007),
        ("2027-01-15T10:00:00.007+02:00", 1_800_000_000_007),
        ("2027-01-15 08:00:00.123456789-00:00", 1_800_000_000_123),
    ],
)
def test_other_spellings_are_read(text: str, ms: int) -> None:
    assert parse_rfc3339(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2027-01-15",
        "2027-01-15T08:00:00",
        "2027-W02-5T08:00:00Z",
        "20270115T080000Z",
        "2027-13-01T00:00:00Z",
        "2027-01-15T08:00:60Z",
        "2027-01-15T08:00:00+25:00",
        "٢027-01-15T08:00:00Z",
    ],
)
def test_what_is_no_time_with_a_zone_is_none(text: str) -> None:
    assert parse_rfc3339(text) is None


@given(st.text(max_size=40))
def test_hostile_text_never_raises(text: str) -> None:
    assert parse_rfc3339(text) is None or text[:4].isdigit()


@pytest.mark.parametrize("length", range(24))
def test_a_truncated_time_is_none(length: int) -> None:
    assert parse_rfc3339("2027-01-15T08:00:00.007Z"[:length]) is None


DATE = "Fri, 15 Jan 2027 08:01:00 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), (" 1.5 ", 1.5), ("999999", 3600), (DATE, 60), (DATE.replace("GMT", "-0000"), 60), ("Fri, 15 Jan 2026 08:01:00 GMT", 0), ("nan", None)],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after(value, 1_800_000_000, 3600) == seconds


def test_date_cut_short_asks_for_nothing_wild() -> None:
    found = [retry_after(DATE[:length], 1_800_000_000, 3600) for length in range(len(DATE))]
    assert all(seconds is None or 0 <= seconds <= 3600 for seconds in found)


@given(st.none() | st.text() | st.from_regex(r"[A-Za-z]{3}, [0-9]{1,3} [A-Za-z]{3} [0-9]{1,6} [0-9:]{1,9} [A-Z0-9+-]{1,6}"))
def test_any_retry_after_is_in_bounds_or_none(value: str | None) -> None:
    seconds = retry_after(value, 1_800_000_000, 3600)
    assert seconds is None or 0 <= seconds <= 3600
