"""Store contract: a second copy of a message is recognised. Ring: testing. Source: ports/stores.py (`Inbox.accept`), design §1, §4.5."""

# ruff: noqa: D103 (a case is named for the behaviour it shows)

from __future__ import annotations

from clawgate.domain import inbox
from clawgate.domain.errors import Overloaded
from clawgate.domain.inbox import State
from clawgate.domain.messages import DedupeKey
from clawgate.ports.stores import Store
from clawgate.testing.store_builders import NOW_MS, OWNER, OpenStore, a_key, an_entry, an_item, completed, failed, item_id, refusal

_LATER_MS = NOW_MS + 300_000
"""When a key of 300 seconds has run out."""


async def a_copy_finds_the_first_item_as_it_is_now(open_store: OpenStore) -> None:
    store = await open_store()
    assert not await _is_copy(store, 1, a_key("k"))
    done = await _complete(store, 1)
    accepted = await store.inbox.accept(an_item(2, text="changed"), a_key("k"), an_entry("memory", "of the copy"))
    assert (done, True) == (accepted.item, accepted.is_duplicate)
    assert (await store.inbox.get(item_id(2)), await store.memory.get("memory")) == (None, None)


async def keys_of_different_scopes_do_not_meet(open_store: OpenStore) -> None:
    store = await open_store()
    scopes = ("key:alice", "key:bob", "channel:linq")
    assert [await _is_copy(store, number, a_key("k", scope)) for number, scope in enumerate(scopes)] == [False] * 3
    assert [await _is_copy(store, number + 10, a_key("k", scope)) for number, scope in enumerate(scopes)] == [True] * 3


async def twins_at_the_same_moment_are_one_item(open_store: OpenStore) -> None:
    store = await open_store()
    under_way = [store.inbox.accept(an_item(number, keyed=True), a_key("k")) for number in range(20)]
    accepted = [await one for one in under_way]
    assert [one.is_duplicate for one in accepted] == [False] + [True] * 19
    assert {item_id(0)} == {one.item.id for one in accepted}
    assert (await store.inbox.counts())[State.RECEIVED] == 1


async def a_key_runs_out_after_its_retention(open_store: OpenStore) -> None:
    store = await open_store()
    await _is_copy(store, 1, a_key("k"))
    await _complete(store, 1)
    assert await _is_copy(store, 2, a_key("k"), _LATER_MS - 1)
    assert not await _is_copy(store, 3, a_key("k"), _LATER_MS)
    assert await _is_copy(store, 4, a_key("k"), _LATER_MS + 1)


async def a_key_does_not_run_out_while_its_item_is_open(open_store: OpenStore) -> None:
    store = await open_store()
    await _is_copy(store, 1, a_key("k"))
    assert await _is_copy(store, 2, a_key("k"), 2 * _LATER_MS)
    await store.inbox.claim(OWNER, NOW_MS, 1)
    assert await _is_copy(store, 3, a_key("k"), 2 * _LATER_MS)
    assert await store.inbox.purge(2 * _LATER_MS, 0) == 0
    await store.inbox.settle(item_id(1), completed(), NOW_MS)
    assert not await _is_copy(store, 4, a_key("k"), 2 * _LATER_MS)


async def failed_work_releases_its_key(open_store: OpenStore) -> None:
    store = await open_store()
    await _is_copy(store, 1, a_key("k"))
    await store.inbox.claim(OWNER, NOW_MS, 1)
    await store.inbox.settle(item_id(1), failed(), NOW_MS)
    assert not await _is_copy(store, 2, a_key("k"))
    await store.inbox.settle(item_id(2), inbox.Drop(), NOW_MS)
    assert not await _is_copy(store, 3, a_key("k"))


async def uncertain_work_holds_its_key(open_store: OpenStore) -> None:
    store = await open_store()
    await _is_copy(store, 1, a_key("k"))
    await store.inbox.claim(OWNER, NOW_MS, 1)
    await store.inbox.settle(item_id(1), inbox.ToolUnsettled(OWNER, "pay"), NOW_MS)
    assert await _is_copy(store, 2, a_key("k"))


async def a_late_release_leaves_the_keys_new_item_alone(open_store: OpenStore) -> None:
    store = await open_store()
    await _is_copy(store, 1, a_key("k"))
    await store.inbox.claim(OWNER, NOW_MS, 1)
    await store.inbox.settle(item_id(1), failed(), NOW_MS)
    await _is_copy(store, 2, a_key("k"))
    await store.inbox.settle(item_id(1), inbox.Drop(), NOW_MS)
    assert await _is_copy(store, 3, a_key("k"))


async def at_the_bound_the_oldest_finished_key_makes_room(open_store: OpenStore) -> None:
    store = await open_store(idempotency_max_keys=3)
    for number in (1, 2, 3):
        await _is_copy(store, number, a_key(f"k{number}"))
    await store.inbox.claim(OWNER, NOW_MS, 3)
    for number in (3, 2):
        await store.inbox.settle(item_id(number), completed(), NOW_MS)
    assert not await _is_copy(store, 4, a_key("k4", "key:bob"))
    assert [await _is_copy(store, 9, key) for key in (a_key("k1"), a_key("k3"), a_key("k4", "key:bob"))] == [True, True, True]
    assert not await _is_copy(store, 5, a_key("k2"))


async def a_key_that_ran_out_makes_room_first(open_store: OpenStore) -> None:
    store = await open_store(idempotency_max_keys=2)
    await _is_copy(store, 1, a_key("long", retention_seconds=3_600))
    await _is_copy(store, 2, a_key("short"))
    await store.inbox.claim(OWNER, NOW_MS, 2)
    for number in (1, 2):
        await store.inbox.settle(item_id(number), completed(), NOW_MS)
    assert not await _is_copy(store, 3, a_key("new"), _LATER_MS)
    assert await _is_copy(store, 4, a_key("long"), _LATER_MS)


async def at_the_bound_of_running_keys_a_new_one_is_refused_until_one_ends(open_store: OpenStore) -> None:
    store = await open_store(idempotency_max_keys=2)
    for number in (1, 2):
        await _is_copy(store, number, a_key(f"k{number}"))
    for _ in range(2):
        assert Overloaded == await refusal(store.inbox.accept(an_item(3), a_key("k3")))
    assert await store.inbox.get(item_id(3)) is None
    assert not await _is_copy(store, 4, a_key("k", "channel:linq"))
    assert not (await store.inbox.accept(an_item(5))).is_duplicate
    await _complete(store, 1)
    assert not await _is_copy(store, 6, a_key("k3"))


async def released_keys_make_room(open_store: OpenStore) -> None:
    store = await open_store(idempotency_max_keys=1)
    for number in range(1, 5):
        assert not await _is_copy(store, number, a_key(f"k{number}"))
        await store.inbox.settle(item_id(number), inbox.Drop(), NOW_MS)


async def purge_forgets_keys_that_ran_out(open_store: OpenStore) -> None:
    store = await open_store(idempotency_max_keys=1)
    await _is_copy(store, 1, a_key("k"))
    await _complete(store, 1)
    assert await store.inbox.purge(_LATER_MS - 1, 3_600) == 0
    assert await store.inbox.purge(_LATER_MS, 3_600) == 1
    assert not await _is_copy(store, 2, a_key("k2"), _LATER_MS)


async def _is_copy(store: Store, number: int, key: DedupeKey, at_ms: int = NOW_MS) -> bool:
    return (await store.inbox.accept(an_item(number, at_ms=at_ms, keyed=True), key)).is_duplicate


async def _complete(store: Store, number: int) -> inbox.Item:
    await store.inbox.claim(OWNER, NOW_MS, 100)
    return (await store.inbox.settle(item_id(number), completed(), NOW_MS)).item
