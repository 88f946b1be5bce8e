"""Deliveries to subscribers: the whole table of steps, the schedule, which kinds, and what is sent."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.domain.errors import Conflict
from clawgate.domain.events import RULES
from clawgate.domain.subscription_payload import MOST_PAYLOAD_BYTES, payload
from clawgate.domain.subscriptions import (
    OUTCOMES,
    SCHEDULE,
    Answered,
    Condition,
    Delivery,
    Effect,
    Event,
    Paused,
    Resumed,
    Subscriber,
    Unreached,
    kinds_of,
    step,
    strangers,
)

NOW = 1_000_000
ACTIVE, PAUSED, STOPPED = Condition.ACTIVE, Condition.PAUSED, Condition.STOPPED
TABLE: list[tuple[Condition, Event, Condition, tuple[Effect, ...]]] = [
    (ACTIVE, Answered(200), ACTIVE, (Effect.NEXT,)),
    (ACTIVE, Answered(299), ACTIVE, (Effect.NEXT,)),
    (ACTIVE, Answered(301), ACTIVE, ()),
    (ACTIVE, Answered(199), ACTIVE, ()),
    (ACTIVE, Answered(500), ACTIVE, ()),
    (ACTIVE, Answered(410), STOPPED, (Effect.STOPPED,)),
    (ACTIVE, Unreached("timeout"), ACTIVE, ()),
    (ACTIVE, Paused(), PAUSED, (Effect.PAUSED,)),
    (ACTIVE, Resumed(), ACTIVE, ()),
    (PAUSED, Answered(200), PAUSED, (Effect.NEXT,)),
    (PAUSED, Answered(500), PAUSED, ()),
    (PAUSED, Answered(410), PAUSED, ()),
    (PAUSED, Unreached("timeout"), PAUSED, ()),
    (PAUSED, Paused(), PAUSED, ()),
    (PAUSED, Resumed(), ACTIVE, (Effect.RESUMED,)),
    (STOPPED, Answered(200), STOPPED, (Effect.NEXT,)),
    (STOPPED, Answered(500), STOPPED, ()),
    (STOPPED, Answered(410), STOPPED, ()),
    (STOPPED, Unreached("timeout"), STOPPED, ()),
    (STOPPED, Resumed(), ACTIVE, (Effect.RESUMED,)),
]


def a_subscriber(**fields: object) -> Subscriber:
    return msgspec.structs.replace(Subscriber(name="a"), **fields)


@pytest.mark.parametrize(("condition", "event", "after", "effects"), TABLE)
def test_a_step_leads_where_the_table_says(condition: Condition, event: Event, after: Condition, effects: tuple[Effect, ...]) -> None:
    found, said = step(a_subscriber(condition=condition), event, NOW)
    assert (found.condition, said) == (after, effects)


def test_a_stopped_one_cannot_be_paused() -> None:
    with pytest.raises(Conflict, match="a is stopped"):
        step(a_subscriber(condition=STOPPED), Paused(), NOW)


def test_the_published_schedule_is_kept_and_its_end_pauses() -> None:
    subscriber, waits = a_subscriber(), []
    while subscriber.condition is ACTIVE:
        now_ms = subscriber.due_ms
        subscriber, effects = step(subscriber, Answered(500), now_ms)
        waits.append((subscriber.due_ms - now_ms) // 1000)
    assert waits == [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400, 0]
    assert (subscriber.condition, subscriber.reason, effects) == (PAUSED, "schedule_exhausted", (Effect.PAUSED,))


@given(st.integers(1, len(SCHEDULE) - 1), st.floats(0, 1, exclude_max=True))
def test_jitter_makes_a_wait_at_most_a_tenth_longer(attempts: int, jitter: float) -> None:
    subscriber, _ = step(a_subscriber(attempts=attempts - 1), Unreached("timeout", jitter), NOW)
    assert SCHEDULE[attempts] * 1000 <= subscriber.due_ms - NOW <= SCHEDULE[attempts] * 1100


@pytest.mark.parametrize(("asked", "wait"), [(None, 5), (1.0, 5), (60.0, 60), (1e9, 86_400)])
def test_retry_after_makes_a_wait_longer_up_to_a_day(asked: float | None, wait: int) -> None:
    assert step(a_subscriber(), Answered(503, asked), NOW)[0].due_ms == NOW + wait * 1000


@pytest.mark.parametrize("status", [429, 502, 504])
def test_some_answers_slow_the_whole_subscriber_and_successes_quicken_it(status: int) -> None:
    slow = step(step(a_subscriber(), Answered(status), NOW)[0], Answered(status), NOW)[0]
    assert slow.pace_ms == 2_000
    quicker = step(slow, Answered(200), NOW)[0]
    assert (quicker.pace_ms, quicker.due_ms) == (1_000, NOW + 1_000)
    assert step(quicker, Answered(200), NOW)[0].pace_ms == 0
    assert step(a_subscriber(pace_ms=50_000), Answered(status), NOW)[0].pace_ms == 60_000
    assert step(a_subscriber(), Answered(500), NOW)[0].pace_ms == 0


def test_success_and_resume_begin_the_schedule_anew() -> None:
    failing = a_subscriber(attempts=4, failing_since_ms=5, last_error="timeout")
    done = step(failing, Answered(204), NOW)[0]
    assert (done.attempts, done.failing_since_ms, done.last_error, done.last_status, done.delivered) == (0, 0, "", 204, 1)
    resumed = step(msgspec.structs.replace(failing, condition=PAUSED, reason="schedule_exhausted"), Resumed(), NOW)[0]
    assert (resumed.attempts, resumed.due_ms, resumed.reason) == (0, 0, "")


@pytest.mark.parametrize(
    ("patterns", "kinds"),
    [
        (("message_*",), set(OUTCOMES)),
        (("message.dead",), {"message_dead"}),
        (("tool_call",), {"tool_call"}),
        (("canvas_*",), {"canvas_cleared"}),
        (("human*", "nothing_of_this_name"), {"human_approval_request", "human_approval_resolved"}),
        ((), set()),
        (("*",), {*OUTCOMES, *(kind for kind, rule in RULES.items() if rule.is_kept)}),
    ],
)
def test_patterns_name_kinds_and_what_is_frequent_comes_by_its_name_only(patterns: tuple[str, ...], kinds: set[str]) -> None:
    assert kinds_of(patterns) == kinds


def test_patterns_that_fit_nothing_are_named() -> None:
    assert strangers(("message_*", "mesage_done", "*")) == ("mesage_done",)


def a_delivery(data: object) -> Delivery:
    return Delivery(id="msg_1", subscription="a", kind="message_done", at_ms=1_500, data=msgspec.json.encode(data).decode())


def test_the_body_has_type_timestamp_and_data() -> None:
    assert payload(a_delivery({"id": "x"})) == b'{"type":"message_done","timestamp":"1970-01-01T00:00:01.500+00:00","data":{"id":"x"}}'


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=0, max_size=60), st.integers(1, 1_000))
def test_a_body_stays_below_its_bound_and_keeps_what_names_the_event(text: str, times: int) -> None:
    data = {"id": "x", "answer": text * times}
    body = payload(a_delivery(data))
    assert len(body) <= MOST_PAYLOAD_BYTES
    found = msgspec.json.decode(body)["data"]
    assert found["id"] == "x"
    assert (text * times).startswith(found["answer"])
    assert found.get("truncated", False) is (found["answer"] != text * times)


def test_data_without_an_answer_that_is_too_much_keeps_its_short_values() -> None:
    body = payload(a_delivery({"id": "x", "payload": {"a": "b" * 30_000}, "long": "c" * 30_000, "count": 3}))
    assert msgspec.json.decode(body)["data"] == {"id": "x", "count": 3, "truncated": True}
