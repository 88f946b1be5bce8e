"""Keys of before they were kept in the order of items. Source: stores/sql/0012_keys.sql."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from clawgate.domain.inbox import Item
from clawgate.stores import inbox_rows
from clawgate.stores.dedupe_rows import COUNT_BOUNDED
from clawgate.stores.migrations import migrate, shipped
from clawgate.testing.clock import ManualClock
from clawgate.testing.store import InlineStore
from clawgate.testing.store_builders import NOW_MS, a_key, an_item

OLD = "INSERT INTO dedupe (scope, key, item_id, expires_ms, bounded) VALUES (?, ?, ?, ?, ?)"


def test_keys_of_the_older_schema_recognise_a_second_copy() -> None:
    items = [an_item(number, keyed=True) for number in range(3)]
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, ":memory:", shipped()[:11], 0, 0)
        for item, key in zip(items, ("c", "a", "b"), strict=True):
            connection.execute(*inbox_rows.insertion(item))
            connection.execute(OLD, ("key:open", key, int(item.id, 16), NOW_MS + 1000, 1))
        image = connection.serialize()
        migrate(connection, ":memory:", shipped(), 0, 0)
        assert connection.execute(COUNT_BOUNDED).fetchone() == (3,)
    store = InlineStore(ManualClock(NOW_MS), image=image)
    store.start()
    found: list[Item] = []
    for key in ("c", "a", "b"):
        store.inbox.accept(an_item(9, keyed=True), a_key(key, "key:open")).addCallback(lambda accepted: found.append(accepted.item))
    assert found == items
