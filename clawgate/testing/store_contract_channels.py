"""Store contract: items that are answered as they are accepted, and facts spent with them. Ring: testing. Source: ports/stores.py (`Inbox.accept`, `find`)."""

# ruff: noqa: D103 (a case is named for the behaviour it shows)

from __future__ import annotations

from clawgate.domain.errors import Conflict
from clawgate.domain.inbox import Item, State
from clawgate.ports.stores import FactKey
from clawgate.testing.store_builders import NOW_MS, OWNER, OpenStore, a_key, a_send, an_item, item_id, refusal

_QUESTION = FactKey("question", "chat", "1")


def _answered(number: int) -> Item:
    return an_item(number, state=State.DONE, answer="Welcome", model="", keyed=True)


async def an_answered_item_is_accepted_with_the_parts_of_its_reply(open_store: OpenStore) -> None:
    store = await open_store()
    item = _answered(1)
    accepted = await store.inbox.accept(item, a_key("k"), sends=[a_send(10, item)])
    assert (accepted.item, accepted.is_duplicate) == (item, False)
    assert [send.text for send in await store.outbox.claim_sends("linq", NOW_MS, 9)] == ["part 1"]
    assert await store.inbox.claim(OWNER, NOW_MS, 9) == ()


async def a_copy_of_an_answered_item_sends_nothing(open_store: OpenStore) -> None:
    store = await open_store()
    await store.inbox.accept(_answered(1), a_key("k"), sends=[a_send(10, _answered(1))])
    again = await store.inbox.accept(_answered(2), a_key("k"), sends=[a_send(20, _answered(2))])
    assert (again.item.id, again.is_duplicate) == (item_id(1), True)
    assert len(await store.outbox.claim_sends("linq", NOW_MS, 9)) == 1


async def an_answered_item_is_taken_above_the_high_water_mark_and_counts_for_nothing(open_store: OpenStore) -> None:
    store = await open_store(high_water=1)
    for number in (1, 2):
        await store.inbox.accept(_answered(number), a_key(f"k{number}"))
    await store.inbox.accept(an_item(3))
    assert not (await store.inbox.accept(_answered(4), a_key("k4"))).is_duplicate


async def a_fact_is_spent_with_the_item_and_once(open_store: OpenStore) -> None:
    store = await open_store()
    await store.facts.put("question", "chat", "1")
    await store.inbox.accept(an_item(1, keyed=True), a_key("k"), spends=_QUESTION)
    assert await store.facts.get("question", "chat", NOW_MS) is None
    assert Conflict == await refusal(store.inbox.accept(an_item(2, keyed=True), a_key("l"), spends=_QUESTION))
    assert (await store.inbox.get(item_id(2)), await store.inbox.find(a_key("l"), NOW_MS)) == (None, None)


async def a_fact_that_has_another_value_by_now_is_not_spent(open_store: OpenStore) -> None:
    store = await open_store()
    await store.facts.put("question", "chat", "2")
    assert Conflict == await refusal(store.inbox.accept(an_item(1), spends=_QUESTION))
    assert await store.facts.get("question", "chat", NOW_MS) == "2"


async def a_copy_spends_nothing(open_store: OpenStore) -> None:
    store = await open_store()
    await store.inbox.accept(an_item(1, keyed=True), a_key("k"))
    await store.facts.put("question", "chat", "1")
    assert (await store.inbox.accept(an_item(2, keyed=True), a_key("k"), spends=_QUESTION)).is_duplicate
    assert await store.facts.get("question", "chat", NOW_MS) == "1"


async def a_refused_accept_does_not_count_as_open(open_store: OpenStore) -> None:
    store = await open_store(high_water=1)
    for number in range(3):
        assert Conflict == await refusal(store.inbox.accept(an_item(number), spends=_QUESTION))
    assert not (await store.inbox.accept(an_item(9))).is_duplicate


async def a_key_is_found_while_it_counts(open_store: OpenStore) -> None:
    store = await open_store()
    assert await store.inbox.find(a_key("k"), NOW_MS) is None
    item = _answered(1)
    await store.inbox.accept(item, a_key("k"))
    assert await store.inbox.find(a_key("k"), NOW_MS + 299_999) == item
    assert await store.inbox.find(a_key("k", "key:bob"), NOW_MS) is None
    assert await store.inbox.find(a_key("k"), NOW_MS + 300_000) is None
