"""Which writes share a commit (design §3, durable store)."""

from __future__ import annotations

from counting import Counting
from pytest_twisted import ensureDeferred
from twisted.internet.defer import gatherResults

from clawgate.domain.inbox import Item, State
from clawgate.testing.sqlite_stores import SqliteStores
from clawgate.testing.store_builders import NOW_MS, OWNER, an_item, completed, item_id


def unpromised(number: int) -> Item:
    """As the shortest way accepts it: running, with a caller who waits."""
    return an_item(number, promised=False, state=State.RUNNING, owner=OWNER, attempts=1)


@ensureDeferred
async def test_the_writes_of_one_moment_are_one_commit(opener: SqliteStores) -> None:
    meter = Counting()
    store = await opener.open(meter=meter)
    await gatherResults([store.inbox.accept(an_item(number)) for number in range(20)])
    assert meter.counted["store_commits_total"] == 1


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
