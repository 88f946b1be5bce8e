"""Which writes share a commit (design §3, durable store)."""

from __future__ import annotations

import pytest
from counting import Counting
from pytest_twisted import ensureDeferred
from twisted.internet.defer import gatherResults

from clawgate.domain.errors import Conflict
from clawgate.domain.inbox import Item, State
from clawgate.domain.messages import DedupeKey
from clawgate.testing.sqlite_stores import SqliteStores
from clawgate.testing.store_builders import NOW_MS, OWNER, an_item, completed, item_id


def unpromised(number: int) -> Item:
    """As the shortest way accepts it: running, with a caller who waits."""
    return an_item(number, promised=False, state=State.RUNNING, owner=OWNER, attempts=1)


def delivery(number: int) -> DedupeKey:
    return DedupeKey("hook:ci", f"digest:{number}", 3600)


@ensureDeferred
async def test_the_writes_of_one_moment_are_one_commit(opener: SqliteStores) -> None:
    meter = Counting()
    store = await opener.open(meter=meter)
    await gatherResults([store.inbox.accept(an_item(number)) for number in range(20)])
    assert meter.counted["store_commits_total"] == 1


@ensureDeferred
async def test_repeats_among_the_writes_of_one_moment_cost_no_commit_of_their_own(opener: SqliteStores) -> None:
    meter = Counting()
    store = await opener.open(meter=meter)
    await store.inbox.accept(an_item(1), delivery(1))
    before = meter.counted["store_commits_total"]
    keys = [delivery(number) for number in (1, 2, 3, 2, 2, 4)]  # the first is of an earlier moment
    accepted = await gatherResults([store.inbox.accept(an_item(10 + at), key) for at, key in enumerate(keys)])
    assert [found.item.id for found in accepted] == [item_id(number) for number in (1, 11, 12, 11, 11, 15)]
    assert [found.is_duplicate for found in accepted] == [True, False, False, True, True, False]
    assert meter.counted["store_commits_total"] - before == 1
    assert (await store.inbox.counts())[State.RECEIVED] == 4


@ensureDeferred
async def test_a_repeat_beside_a_write_that_fails_is_still_no_new_message(opener: SqliteStores) -> None:
    store = await opener.open(meter=Counting())
    await store.inbox.accept(an_item(1))
    wrong = store.inbox.accept(an_item(1), delivery(7))  # an id that is taken: the row breaks the batch
    first, second, other = (
        store.inbox.accept(an_item(2), delivery(2)),
        store.inbox.accept(an_item(3), delivery(2)),
        store.inbox.accept(an_item(4), delivery(7)),
    )
    accepted = [await deferred for deferred in (first, second, other)]
    assert [(found.item.id, found.is_duplicate) for found in accepted] == [(item_id(2), False), (item_id(2), True), (item_id(4), False)]
    with pytest.raises(Conflict):
        await wrong


@ensureDeferred
async def test_an_outcome_that_somebody_else_settled_costs_the_others_no_commit(opener: SqliteStores) -> None:
    meter = Counting()
    store = await opener.open(meter=meter)
    await gatherResults([store.inbox.accept(unpromised(number)) for number in (1, 2, 3)])
    await store.inbox.complete(unpromised(2), completed(), NOW_MS)
    before = meter.counted["store_commits_total"]
    completing = [store.inbox.complete(unpromised(number), completed(), NOW_MS) for number in (1, 2, 3)]
    assert [(await completing[at]).item.state for at in (0, 2)] == [State.DONE, State.DONE]
    with pytest.raises(Conflict):
        await completing[1]
    assert meter.counted["store_commits_total"] - before == 1


@ensureDeferred
async def test_an_accept_that_nobody_was_promised_goes_with_its_outcome(opener: SqliteStores) -> None:
    meter = Counting()
    store = await opener.open(meter=meter)
    item = unpromised(1)
    accepting = store.inbox.accept(item)
    settled = await store.inbox.complete(item, completed(), NOW_MS)
    assert (settled.item.state, accepting.called, meter.counted["store_commits_total"]) == (State.DONE, True, 1)


@ensureDeferred
async def test_it_waits_for_nothing_that_does_not_come(opener: SqliteStores) -> None:
    store = await opener.open(meter=Counting())
    await store.inbox.accept(unpromised(1))
    found = await store.inbox.get(item_id(1))
    assert found is not None and found.state is State.RUNNING


@ensureDeferred
async def test_a_store_that_stops_at_once_has_written_it(opener: SqliteStores) -> None:
    store = await opener.open(meter=Counting())
    accepting = store.inbox.accept(unpromised(1))
    await store.stop()
    await accepting
    again = await opener.open(meter=Counting())
    assert await again.inbox.get(item_id(1)) is not None
