"""Every row of the table of `domain.inbox`, and everything that is not in it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.errors import Conflict
from clawgate.domain.inbox import OPEN, Claimed, Completed, Effect, Event, Item, RetryPolicy, State, ToolUnsettled, step
from clawgate.testing.inbox_table import EVENTS, REFUSED, ROWS, Row
from clawgate.testing.store_builders import NOW_MS, OWNER, an_item


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_row_of_the_table(row: Row) -> None:
    after, effects = step(row.item, row.event, NOW_MS)
    assert (row.state, row.effects) == (after.state, effects)
    expected = msgspec.structs.replace(row.item, **row.changes)
    assert expected == msgspec.structs.replace(after, updated_ms=row.item.updated_ms)


@pytest.mark.parametrize(("item", "event"), REFUSED, ids=lambda part: part.state if isinstance(part, Item) else type(part).__name__)
def test_what_is_not_in_the_table_is_refused(item: Item, event: Event) -> None:
    with pytest.raises(Conflict, match=f"{item.id} is {item.state}: {type(event).__name__} does not apply"):
        step(item, event, NOW_MS)


def test_the_table_and_what_it_refuses_are_every_pair() -> None:
    in_table = {(row.item.state, type(row.event)) for row in ROWS.values()}
    refused = {(item.state, type(event)) for item, event in REFUSED}
    assert {(state, type(event)) for state in State for event in EVENTS} == in_table | refused


def test_every_kind_of_event_is_tried() -> None:
    assert set(Event.__args__) == {type(event) for event in EVENTS}


_owners = st.sampled_from(["", OWNER, "boot-2"])
_events = st.one_of(
    st.sampled_from(EVENTS),
    st.builds(Claimed, _owners),
    st.builds(Completed, _owners, st.just("another"), st.just("m")),
    st.builds(ToolUnsettled, _owners, st.just("s")),
)
_items = st.builds(
    lambda number, promised, keyed, journalled, conversation: an_item(
        number, promised=promised, keyed=keyed, journalled=journalled, conversation=conversation
    ),
    st.integers(0, 9),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "c"]),
)


@given(_items, st.lists(_events, max_size=30))
def test_no_sequence_of_events_breaks_a_promise(item: Item, events: list[Event]) -> None:
    for number, event in enumerate(events):
        try:
            after, effects = step(item, event, NOW_MS + number)
        except Conflict:
            continue
        _check_record(after)
        _check_step(item, after, effects)
        item = after


def _check_record(item: Item) -> None:
    assert item.is_open == (item.state in OPEN)
    assert item.is_open or item.owner == ""
    assert item.state is State.RUNNING or item.owner == ""
    assert item.attempts >= 0
    assert (item.state is State.DONE) <= (item.answer is not None)
    assert (item.state is State.WAITING) <= item.promised
    assert not (item.is_open and item.answer is not None)


def _check_step(before: Item, after: Item, effects: tuple[Effect, ...]) -> None:
    has_ended = before.is_open and not after.is_open
    assert has_ended == (Effect.NEXT_IN_LINE in effects)
    assert not {Effect.HOLD_KEY, Effect.RELEASE_KEY} <= set(effects)
    assert has_ended <= bool({Effect.HOLD_KEY, Effect.RELEASE_KEY} & set(effects))
    assert before.promised <= after.promised
    assert before.answer is None or before.answer == after.answer
    fixed = ("id", "source", "principal", "text", "accepted_ms", "conversation", "reply", "keyed")
    assert [getattr(before, name) for name in fixed] == [getattr(after, name) for name in fixed]
    assert before.journalled <= after.journalled
    if before.state is State.RUNNING and before.must_finish and after.state is State.DROPPED:
        assert Effect.ANSWER in effects


@given(st.integers(1, 2_000), st.floats(0, 1, exclude_max=True), st.one_of(st.none(), st.floats(0, 1e9)))
def test_a_wait_is_bounded_and_never_shorter_than_asked(attempts: int, jitter: float, asked_for: float | None) -> None:
    policy = RetryPolicy(initial_seconds=2.0, factor=3.0, max_seconds=300.0)
    wait = policy.delay_seconds(attempts, jitter, asked_for)
    assert 1.0 <= wait <= 3_000.0
    assert wait >= min(asked_for or 0.0, 3_000.0)


@pytest.mark.parametrize(("attempts", "shortest", "longest"), [(1, 1.0, 2.0), (2, 3.0, 6.0), (3, 9.0, 18.0), (9, 150.0, 300.0)])
def test_waits_grow_exponentially_up_to_the_longest(attempts: int, shortest: float, longest: float) -> None:
    policy = RetryPolicy(initial_seconds=2.0, factor=3.0, max_seconds=300.0)
    assert [policy.delay_seconds(attempts, 0.0), policy.delay_seconds(attempts, 1 - 1e-12)] == pytest.approx([shortest, longest])
