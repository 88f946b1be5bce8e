"""Every row of the table of `domain.inbox`, applied by the store."""

from __future__ import annotations

import msgspec
import pytest
from pytest_twisted import ensureDeferred

from clawgate.domain.errors import Conflict
from clawgate.domain.inbox import Effect, step
from clawgate.testing.inbox_table import REFUSED, ROWS, Row
from clawgate.testing.sqlite_stores import SqliteStores
from clawgate.testing.store_builders import NOW_MS, a_key, an_item, refusal


@pytest.mark.parametrize("conversation", [None, "c"])
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@ensureDeferred
async def test_row_of_the_table_is_stored(row: Row, conversation: str | None, opener: SqliteStores) -> None:
    store = await opener()
    item = msgspec.structs.replace(row.item, conversation=conversation)
    await store.inbox.accept(item, a_key("k"))
    settled = await store.inbox.settle(item.id, row.event, NOW_MS)
    assert (step(item, row.event, NOW_MS)) == (settled.item, settled.effects)
    assert settled.item == await store.inbox.get(item.id)
    copy = await store.inbox.accept(an_item(2), a_key("k"))
    assert (Effect.RELEASE_KEY not in row.effects) == copy.is_duplicate


@ensureDeferred
async def test_what_is_not_in_the_table_is_refused(opener: SqliteStores) -> None:
    store = await opener.open()
    for number, (item, event) in enumerate(REFUSED):
        stored = msgspec.structs.replace(item, id=an_item(number).id)
        await store.inbox.accept(stored)
        assert Conflict == await refusal(store.inbox.settle(stored.id, event, NOW_MS))
        assert stored == await store.inbox.get(stored.id)
