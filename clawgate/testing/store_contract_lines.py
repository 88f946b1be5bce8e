"""Store contract: order within a conversation. Ring: testing. Source: design §1, ports/stores.py (`Inbox.claim`)."""

# ruff: noqa: D103 (a case is named for the behaviour it shows)

from __future__ import annotations

from clawgate.domain import inbox
from clawgate.domain.inbox import State
from clawgate.ports.stores import Store
from clawgate.testing.store_builders import NOW_MS, OWNER, OpenStore, an_item, answered, completed, failed, item_id, run


async def a_conversation_runs_one_at_a_time_in_order(open_store: OpenStore) -> None:
    store = await open_store()
    for number in (1, 2, 3):
        await store.inbox.accept(an_item(number, conversation="c"))
    await store.inbox.accept(an_item(4, conversation="another"))
    await store.inbox.accept(an_item(5))
    assert await _claim(store) == [1, 4, 5]
    assert await _claim(store) == []
    await store.inbox.settle(item_id(1), completed(), NOW_MS)
    assert await _claim(store) == [2]
    await store.inbox.settle(item_id(2), failed(), NOW_MS)
    assert await _claim(store) == [3]


async def what_is_open_in_a_conversation_is_told_oldest_first(open_store: OpenStore) -> None:
    store = await open_store()
    for number in (1, 2, 3, 4):
        await store.inbox.accept(an_item(number, conversation="c"))
    await store.inbox.accept(an_item(5, conversation="another"))
    await store.inbox.accept(an_item(6))
    await _claim(store)
    await store.inbox.settle(item_id(1), completed(), NOW_MS)
    assert [item.id for item in await store.inbox.open_in("c", 10)] == [item_id(2), item_id(3), item_id(4)]
    assert [item.id for item in await store.inbox.open_in("c", 2)] == [item_id(2), item_id(3)]
    assert await store.inbox.open_in("nobody's", 10) == ()


async def items_accepted_at_once_still_form_one_line(open_store: OpenStore) -> None:
    store = await open_store()
    under_way = [store.inbox.accept(an_item(number, conversation=f"c{number % 3}")) for number in range(30)]
    for accepted in under_way:
        await accepted
    order: list[int] = []
    while claimed := await _claim(store):
        assert len(claimed) == 3
        order += claimed
        for number in claimed:
            await store.inbox.settle(item_id(number), completed(), NOW_MS)
    assert [[*range(line, 30, 3)] for line in range(3)] == [[number for number in order if number % 3 == line] for line in range(3)]


async def a_waiting_head_holds_up_its_own_conversation_only(open_store: OpenStore) -> None:
    store = await open_store()
    await run(store, an_item(1, conversation="c"))
    await store.inbox.settle(item_id(1), failed(retryable=True, delay_seconds=60), NOW_MS)
    await store.inbox.accept(an_item(2, conversation="c"))
    await store.inbox.accept(an_item(3, conversation="another"))
    assert await _claim(store) == [3]
    assert await _claim(store, NOW_MS + 60_000) == [1]


async def a_dropped_head_lets_the_next_one_go(open_store: OpenStore) -> None:
    store = await open_store()
    for number in (1, 2, 3):
        await store.inbox.accept(an_item(number, conversation="c"))
    await store.inbox.settle(item_id(2), inbox.Drop(), NOW_MS)
    await store.inbox.settle(item_id(1), inbox.Drop(), NOW_MS)
    assert await _claim(store) == [3]


async def a_line_that_ran_empty_starts_again(open_store: OpenStore) -> None:
    store = await open_store()
    await answered(store, an_item(1, conversation="c"))
    await store.inbox.accept(an_item(2, conversation="c"))
    assert await _claim(store) == [2]


async def others_wait_behind_an_item_accepted_as_running(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1, conversation="c", state=State.RUNNING, owner=OWNER, attempts=1)
    await store.inbox.accept(item)
    await store.inbox.accept(an_item(2, conversation="c"))
    assert await _claim(store) == []
    await store.inbox.complete(item, completed(), NOW_MS)
    assert await _claim(store) == [2]


async def an_item_accepted_as_running_goes_before_those_who_wait(open_store: OpenStore) -> None:
    store = await open_store()
    await store.inbox.accept(an_item(1, conversation="c"))
    await store.inbox.accept(an_item(2, conversation="c", state=State.RUNNING, owner=OWNER, attempts=1))
    assert await _claim(store) == []
    await store.inbox.settle(item_id(2), completed(), NOW_MS)
    assert await _claim(store) == [1]


async def a_retried_item_waits_for_the_running_one_then_goes_first(open_store: OpenStore) -> None:
    store = await open_store()
    await run(store, an_item(1, conversation="c"))
    await store.inbox.settle(item_id(1), failed(), NOW_MS)
    for number in (2, 3):
        await store.inbox.accept(an_item(number, conversation="c"))
    assert await _claim(store) == [2]
    await store.inbox.settle(item_id(1), inbox.Retry(), NOW_MS)
    assert await _claim(store) == []
    await store.inbox.settle(item_id(2), completed(), NOW_MS)
    assert await _claim(store) == [1]
    await store.inbox.settle(item_id(1), completed(), NOW_MS)
    assert await _claim(store) == [3]


async def a_retried_item_goes_before_a_waiting_one_that_is_newer(open_store: OpenStore) -> None:
    store = await open_store()
    await run(store, an_item(1, conversation="c"))
    await store.inbox.settle(item_id(1), failed(), NOW_MS)
    await run(store, an_item(2, conversation="c"))
    await store.inbox.settle(item_id(2), failed(retryable=True, delay_seconds=0), NOW_MS)
    await store.inbox.settle(item_id(1), inbox.Retry(), NOW_MS)
    assert await store.inbox.next_due_ms() is None
    assert await _claim(store) == [1]
    await store.inbox.settle(item_id(1), completed(), NOW_MS)
    assert await store.inbox.next_due_ms() == NOW_MS
    assert await _claim(store) == [2]


async def recovery_keeps_the_order_of_a_conversation(open_store: OpenStore) -> None:
    store = await open_store()
    await store.inbox.accept(an_item(1, conversation="c", state=State.RUNNING, owner="lost", attempts=1, promised=False))
    for number in (2, 3):
        await store.inbox.accept(an_item(number, conversation="c", promised=number == 3))
    assert await store.inbox.recover(OWNER, NOW_MS) == {State.DROPPED: 2}
    assert await _claim(store) == [3]


async def _claim(store: Store, now_ms: int = NOW_MS) -> list[int]:
    return [int(item.id, 16) & 0xFF for item in await store.inbox.claim(OWNER, now_ms, 10)]
