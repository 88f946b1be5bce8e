"""Store contract: events for subscribers. Ring: testing. Source: ports/subscriptions.py, domain/subscriptions.py."""

# ruff: noqa: D103 (a case is named for the behaviour it shows)

from __future__ import annotations

from typing import Any

import msgspec

from clawgate.domain import inbox
from clawgate.domain.delivery import Delivered, Rejected, Send
from clawgate.domain.errors import Conflict, NotFound, Overloaded
from clawgate.domain.inbox import State
from clawgate.domain.subscriptions import (
    ATTEMPTS_KEPT,
    MISSED,
    OUTCOMES,
    Answered,
    Attempt,
    Condition,
    Delivery,
    Effect,
    Paused,
    Resumed,
    Unreached,
    Wish,
)
from clawgate.ports.stores import Store
from clawgate.ports.subscriptions import Moved
from clawgate.testing.store_builders import NOW_MS, OWNER, OpenStore, a_key, a_send, an_item, answered, completed, failed, item_id, refusal, run

_OUTCOMES = frozenset(OUTCOMES)


def _wish(*kinds: str, has_answer: bool = False, most: int = 100) -> Wish:
    return Wish(frozenset(kinds) or _OUTCOMES, has_answer, most)


async def _head(store: Store, name: str = "a") -> Delivery | None:
    line = await store.subscriptions.line(name)
    assert line is not None
    return line.head


async def _answered(store: Store, status: int = 200, name: str = "a") -> Moved:
    head = await _head(store, name)
    assert head is not None
    attempt = Attempt(id=head.id, kind=head.kind, at_ms=NOW_MS, duration_ms=3, status=status)
    return await store.subscriptions.settle(name, Answered(status), NOW_MS, attempt)


async def _taken(store: Store, name: str = "a") -> list[tuple[str, Any]]:  # Any: JSON
    """Kind and data of everything in line, taken out of it."""
    found = []
    while (head := await _head(store, name)) is not None:
        found.append((head.kind, msgspec.json.decode(head.data)))
        await _answered(store, name=name)
    return found


async def _kinds(store: Store, name: str = "a") -> list[str]:
    return [kind for kind, _ in await _taken(store, name)]


async def an_outcome_is_in_line_with_what_it_is(open_store: OpenStore) -> None:
    store = await open_store()
    await store.subscriptions.configure({"a": _wish(), "b": _wish("message_done", has_answer=True)})
    item = an_item(1, conversation='"x"')
    await answered(store, item)
    head = await _head(store)
    assert head is not None
    assert (head.kind, head.at_ms, head.subscription) == ("message_done", NOW_MS, "a")
    expected = {
        "id": item.id,
        "state": "done",
        "source": "webhook",
        "conversation": '"x"',
        "accepted_at": "2027-01-15T08:00:00.000+00:00",
        "attempts": 1,
        "model": "model-1",
        "error": None,
    }
    assert await _taken(store) == [("message_done", expected)]
    assert await _taken(store, "b") == [("message_done", expected | {"answer": "an answer"})]


async def ids_on_the_wire_are_their_own_and_have_no_dot(open_store: OpenStore) -> None:
    store = await open_store()
    await store.subscriptions.configure({"a": _wish(), "b": _wish()})
    await answered(store, an_item(1))
    await answered(store, an_item(2))
    heads = [await _head(store, "a"), await _head(store, "b")]
    await _answered(store)
    ids = {head.id for head in [*heads, await _head(store, "a")] if head is not None}
    assert len(ids) == 3
    assert not any("." in id_ for id_ in ids)


async def every_way_to_an_outcome_puts_it_into_line(open_store: OpenStore) -> None:
    store = await open_store()
    await store.subscriptions.configure({"a": _wish()})
    plain = await run(store, an_item(1))
    await store.inbox.complete(plain, completed(), NOW_MS)
    await run(store, an_item(2))
    await store.inbox.settle(item_id(2), failed(), NOW_MS)
    await run(store, an_item(3))
    await store.inbox.settle(item_id(3), inbox.Denied(OWNER, "pay"), NOW_MS)
    await run(store, an_item(4))
    await store.inbox.settle(item_id(4), inbox.ToolUnsettled(OWNER, "0.1"), NOW_MS)
    await store.inbox.accept(an_item(5))
    await store.inbox.settle(item_id(5), inbox.Drop(), NOW_MS)
    await store.inbox.accept(an_item(6, promised=False))
    await store.inbox.recover("boot-2", NOW_MS)
    reply = an_item(7, state=State.DONE, answer="at once")
    await store.inbox.accept(reply, sends=[a_send(8, reply)])
    states = ["done", "dead", "dropped", "uncertain", "dropped", "dropped", "done"]
    assert [data["state"] for _, data in await _taken(store)] == states


async def many_completed_at_once_are_all_in_line_in_order(open_store: OpenStore) -> None:
    store = await open_store()
    await store.subscriptions.configure({"a": _wish()})
    items = [an_item(number) for number in range(1, 31)]
    for item in items:
        await store.inbox.accept(item)
    running = await store.inbox.claim(OWNER, NOW_MS, 30)
    for waiting in [store.inbox.complete(item, completed(), NOW_MS) for item in running]:
        await waiting
    assert [data["id"] for _, data in await _taken(store)] == [item.id for item in items]


async def what_becomes_of_sends_is_an_outcome_too(open_store: OpenStore) -> None:
    store = await open_store()
    await store.subscriptions.configure({"a": _wish()})
    for number, event in ((1, Rejected("refused")), (3, Delivered("r"))):
        item = an_item(number)
        await answered(store, item, a_send(number + 1, item))
        (send,) = await store.outbox.claim_sends("linq", NOW_MS, 1)
        assert isinstance(send, Send)
        await store.outbox.settle_send(send.id, event, NOW_MS)
    await store.inbox.settle(item_id(1), inbox.Retry(), NOW_MS)
    assert await _kinds(store) == ["message_done", "message_dead", "message_done", "message_done"]


async def what_is_no_new_outcome_is_not_in_line(open_store: OpenStore) -> None:
    store = await open_store()
    await store.subscriptions.configure({"a": _wish()})
    key = a_key("k")
    await store.inbox.accept(an_item(1), key)
    await store.inbox.accept(an_item(2), key)
    await store.inbox.claim(OWNER, NOW_MS, 5)
    await store.inbox.settle(item_id(1), inbox.Promise(), NOW_MS)
    assert Conflict == await refusal(store.inbox.settle(item_id(1), completed("somebody else"), NOW_MS))
    assert await _kinds(store) == []


async def only_what_is_asked_for_comes(open_store: OpenStore) -> None:
    store = await open_store()
    await store.subscriptions.configure({"a": _wish("message_dead", "task_created"), "b": _wish("task_created")})
    await answered(store, an_item(1))
    await run(store, an_item(2))
    await store.inbox.settle(item_id(2), failed(), NOW_MS)
    await store.subscriptions.publish("task_created", 5, '{"id":"t"}')
    await store.subscriptions.publish("task_deleted", 6, '{"id":"t"}')
    assert await _kinds(store, "a") == ["message_dead", "task_created"]
    assert await _taken(store, "b") == [("task_created", {"id": "t"})]


async def the_last_configuration_counts_and_what_waits_stays(open_store: OpenStore) -> None:
    store = await open_store()
    await store.subscriptions.configure({"a": _wish(), "b": _wish()})
    await answered(store, an_item(1))
    await store.subscriptions.configure({"b": _wish("message_dead")})
    await answered(store, an_item(2))
    await store.subscriptions.configure({})
    await answered(store, an_item(3))
    assert [await _kinds(store, name) for name in "ab"] == [["message_done"], ["message_done"]]
    assert [line.subscriber.name for line in await store.subscriptions.lines()] == ["a", "b"]


async def a_full_line_misses_what_comes_and_tells_once_there_is_room(open_store: OpenStore) -> None:
    store = await open_store()
    await store.subscriptions.configure({"a": _wish(most=2), "b": _wish(most=9)})
    for number in range(1, 6):
        await answered(store, an_item(number))
    assert Overloaded == await refusal(store.subscriptions.add("a", "subscription_test", 5, "{}"))
    line = await store.subscriptions.line("a")
    assert line is not None
    assert (line.subscriber.depth, line.subscriber.missed) == (2, 3)
    found = await _taken(store)
    assert [kind for kind, _ in found] == ["message_done", "message_done", MISSED]
    assert found[-1][1] == {"count": 3}
    assert len(await _kinds(store, "b")) == 5


async def a_delivery_stays_until_it_is_taken(open_store: OpenStore) -> None:
    store = await open_store()
    await store.subscriptions.configure({"a": _wish()})
    await answered(store, an_item(1))
    first = await _head(store)
    moved = await _answered(store, 500)
    assert (moved.subscriber.attempts, moved.subscriber.depth, moved.effects) == (1, 1, ())
    assert await _head(store) == first
    moved = await _answered(store)
    assert (moved.subscriber.attempts, moved.subscriber.depth, moved.subscriber.delivered, moved.effects) == (0, 0, 1, (Effect.NEXT,))
    assert await _head(store) is None
    attempts = await store.subscriptions.attempts("a", 5)
    assert [(attempt.status, attempt.number, attempt.duration_ms) for attempt in attempts] == [(200, 2, 3), (500, 1, 3)]


async def attempts_are_kept_up_to_a_bound(open_store: OpenStore) -> None:
    store = await open_store()
    await store.subscriptions.configure({"a": _wish()})
    await answered(store, an_item(1))
    for _ in range(ATTEMPTS_KEPT + 5):
        await _answered(store, 500)
    assert len(await store.subscriptions.attempts("a", 1_000)) == ATTEMPTS_KEPT


async def conditions_last_and_stop_nothing_from_waiting(open_store: OpenStore) -> None:
    store = await open_store()
    await store.subscriptions.configure({"a": _wish()})
    await answered(store, an_item(1))
    assert (await _answered(store, 410)).effects == (Effect.STOPPED,)
    await answered(store, an_item(2))
    await store.subscriptions.configure({"a": _wish()})
    line = await store.subscriptions.line("a")
    assert line is not None
    assert (line.subscriber.condition, line.subscriber.depth) == (Condition.STOPPED, 2)
    assert Conflict == await refusal(store.subscriptions.settle("a", Paused(), NOW_MS))
    resumed = await store.subscriptions.settle("a", Resumed(), NOW_MS)
    assert (resumed.subscriber.condition, resumed.effects) == (Condition.ACTIVE, (Effect.RESUMED,))


async def an_attempt_at_what_is_no_longer_in_line_changes_nothing(open_store: OpenStore) -> None:
    store = await open_store()
    await store.subscriptions.configure({"a": _wish()})
    await answered(store, an_item(1))
    head = await _head(store)
    assert head is not None
    assert await store.subscriptions.drop("a", is_last=False) == 1
    await answered(store, an_item(2))
    attempt = Attempt(id=head.id, kind=head.kind, at_ms=NOW_MS, duration_ms=3, error="timeout")
    moved = await store.subscriptions.settle("a", Unreached("timeout"), NOW_MS, attempt)
    assert (moved.subscriber.attempts, moved.subscriber.depth, moved.effects) == (0, 1, ())
    assert len(await store.subscriptions.attempts("a", 5)) == 1


async def a_subscriber_that_is_dropped_for_good_is_gone(open_store: OpenStore) -> None:
    store = await open_store()
    await store.subscriptions.configure({"a": _wish()})
    await answered(store, an_item(1))
    await _answered(store, 500)
    await store.subscriptions.configure({})
    assert await store.subscriptions.drop("a", is_last=True) == 1
    assert [await store.subscriptions.lines(), await store.subscriptions.attempts("a", 5), await store.subscriptions.line("a")] == [(), (), None]
    for refused in (
        store.subscriptions.drop("a", is_last=True),
        store.subscriptions.settle("a", Resumed(), NOW_MS),
        store.subscriptions.add("a", "subscription_test", 5, "{}"),
    ):
        assert NotFound == await refusal(refused)


async def a_head_that_a_clock_ahead_put_off_is_due_after_its_own_wait(open_store: OpenStore) -> None:
    store = await open_store()
    later_ms = NOW_MS + 3_600_000
    await store.subscriptions.configure({"a": _wish("message_done"), "b": _wish("message_done")})
    await answered(store, an_item(1))
    for name, at_ms in (("a", later_ms), ("b", NOW_MS)):
        head = await _head(store, name)
        assert head is not None
        attempt = Attempt(id=head.id, kind=head.kind, at_ms=at_ms, duration_ms=3, status=500)
        await store.subscriptions.settle(name, Answered(500), at_ms, attempt)
    assert await store.subscriptions.mend_waits(NOW_MS) == 1
    for _ in range(2):
        lines = await store.subscriptions.lines()
        assert [(line.subscriber.due_ms, line.subscriber.attempts) for line in lines] == [(NOW_MS + 5_000, 1)] * 2
        assert await store.subscriptions.mend_waits(NOW_MS) == 0
