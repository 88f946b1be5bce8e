"""Time-ordered ids never repeat and never go back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain import ids

NOW = 1_800_000_000_000


@given(st.lists(st.tuples(st.integers(0, 2**43 - 1), st.integers(0, 0xFFFF)), min_size=2, max_size=50))
def test_ids_rise_whatever_the_clock_does(moments: list[tuple[int, int]]) -> None:
    made, previous = [], 0
    for now_ms, noise in moments:
        previous = ids.next_id(previous, now_ms, noise)
        made.append(ids.to_text(previous))
    assert made == sorted(set(made))


def test_an_id_tells_its_millisecond() -> None:
    assert ids.first_of(NOW) < ids.next_id(0, NOW, 0xFFFF) < ids.first_of(NOW + 1)


def test_ids_of_one_millisecond_count_up() -> None:
    first = ids.next_id(0, NOW, 5)
    assert ids.next_id(first, NOW, 5) == first + 1


def test_a_clock_that_stepped_back_counts_on() -> None:
    first = ids.next_id(0, NOW, 5)
    assert ids.next_id(first, NOW - 60_000, 9) == first + 1


@given(st.integers(0, 2**63 - 1))
def test_text_and_number_are_one(number: int) -> None:
    text = ids.to_text(number)
    assert len(text) == 16
    assert ids.to_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "0" * 15, "0" * 17, "g" * 16, "A" * 16, "f" * 16, "0x00000000000000", "+000000000000001", "٠" * 16, "0_00000000000001"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    assert ids.to_number(text) is None


@given(st.text(max_size=20))
def test_any_text_is_an_id_or_none(text: str) -> None:
    number = ids.to_number(text)
    assert number is None or ids.to_text(number) == text
