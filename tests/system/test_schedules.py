"""When a schedule is due, also when clocks are changed. Source: rantaiclaw.md §12; design §3 (DST-correct)."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.cron import AtSchedule, CronSchedule, EverySchedule
from clawgate.domain.errors import BadRequest
from clawgate.system.schedules import SystemSchedules

SCHEDULES = SystemSchedules()


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def ticks(expr: str, after: str, count: int, tz: str | None = None) -> list[str]:
    found, moment = [], ms(after)
    for _ in range(count):
        next_ms = SCHEDULES.next_ms(CronSchedule(expr, tz), moment)
        assert next_ms is not None
        moment = next_ms
        found.append(datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    return found


def test_five_fields_in_utc() -> None:
    assert ticks("*/15 9 * * 1-5", "2026-01-02T09:40:30Z", 3) == ["2026-01-02T09:45:00", "2026-01-05T09:00:00", "2026-01-05T09:15:00"]


@pytest.mark.parametrize("sunday", ["0", "7", "SUN", "sun"])
def test_sunday_is_zero_and_seven(sunday: str) -> None:
    assert ticks(f"0 12 * * {sunday}", "2026-01-01T00:00:00Z", 1) == ["2026-01-04T12:00:00"]


@pytest.mark.parametrize(
    ("alias", "expected"),
    [
        ("@hourly", "2026-03-03T05:00:00"),
        ("@daily", "2026-03-04T00:00:00"),
        ("@weekly", "2026-03-08T00:00:00"),
        ("@monthly", "2026-04-01T00:00:00"),
        ("@YEARLY", "2027-01-01T00:00:00"),
    ],
)
def test_aliases(alias: str, expected: str) -> None:
    assert ticks(alias, "2026-03-03T04:05:06Z", 1) == [expected]


def test_six_fields_have_seconds_and_a_seventh_is_a_year_that_says_nothing() -> None:
    assert ticks("*/20 30 8 * * *", "2026-01-01T08:29:59Z", 4)[:3] == ["2026-01-01T08:30:00", "2026-01-01T08:30:20", "2026-01-01T08:30:40"]
    assert ticks("5 0 0 1 1 * *", "2026-01-01T00:00:05Z", 1) == ["2027-01-01T00:00:05"]


def test_the_moment_itself_is_not_after_it() -> None:
    assert ticks("0 0 * * *", "2026-01-01T00:00:00Z", 1) == ["2026-01-02T00:00:00"]
    assert SCHEDULES.next_ms(CronSchedule("0 0 * * *"), ms("2026-01-01T00:00:00Z") - 1) == ms("2026-01-01T00:00:00Z")


def test_time_that_the_clocks_jump_over_runs_right_after_the_jump() -> None:
    assert ticks("30 2 * * *", "2026-03-28T12:00:00Z", 2, "Europe/Berlin") == ["2026-03-29T01:00:00", "2026-03-30T00:30:00"]


def test_time_that_comes_twice_runs_once() -> None:
    assert ticks("30 2 * * *", "2026-10-24T12:00:00Z", 2, "Europe/Berlin") == ["2026-10-25T00:30:00", "2026-10-26T01:30:00"]


def test_every_hour_means_every_real_hour_through_both_changes() -> None:
    for day in ("2026-03-28T22:00:00Z", "2026-10-24T22:00:00Z"):
        moments = [ms(text + "Z") for text in ticks("0 * * * *", day, 8, "Europe/Berlin")]
        assert {later - earlier for earlier, later in pairwise(moments)} == {3_600_000}


def test_zone_moves_the_hour() -> None:
    assert ticks("0 9 * * *", "2026-01-01T00:00:00Z", 1, "Asia/Tokyo") == ["2026-01-02T00:00:00"]


@pytest.mark.parametrize(
    "expr",
    [
        *("", "* * * *", "* * * * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *", "5-1 * * * *"),
        *("0 0 30 2 *", "@reboot", "@", "a b c d e", "0 0 1 1 * * 2027", "* * * * 1#6", "* * * * L", "١ * * * *", "1," * 200 + "1 * * * *"),
    ],
)
def test_expression_that_is_none_is_refused(expr: str) -> None:
    with pytest.raises(BadRequest, match="schedule"):
        SCHEDULES.next_ms(CronSchedule(expr), 0)


@pytest.mark.parametrize("zone", ["Mars/Base", "../../etc/passwd", "/etc/localtime", "Europe", "\0", "x" * 5000, "Europe/Berlin\n"])
def test_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(BadRequest, match="IANA"):
        SCHEDULES.next_ms(CronSchedule("* * * * *", zone), 0)


def test_at_is_due_once_and_every_again_and_again() -> None:
    assert [SCHEDULES.next_ms(AtSchedule(10), after) for after in (9, 10, 11)] == [10, None, None]
    assert SCHEDULES.next_ms(EverySchedule(7), 10) == 17


def test_far_future_has_no_tick() -> None:
    assert SCHEDULES.next_ms(CronSchedule("* * * * *"), ms("9999-12-31T23:59:30Z")) is None
    assert SCHEDULES.next_ms(CronSchedule("* * * * *"), 10**18) is None


@given(st.text(alphabet="0123456789*/,-#LW@ SUNa", max_size=30), st.integers(0, 4_000_000_000_000))
def test_any_text_is_a_schedule_or_refused(expr: str, after_ms: int) -> None:
    try:
        found = SCHEDULES.next_ms(CronSchedule(expr), after_ms)
    except BadRequest:
        return
    assert found is None or found > after_ms
