"""Keys of before they were kept in the order of items. Source: stores/sql/0012_keys.sql."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from clawgate.domain.idempotency import from_signature
from clawgate.domain.inbox import Item
from clawgate.stores import inbox_rows
from clawgate.stores.dedupe_rows import COUNT_BOUNDED
from clawgate.stores.migrations import migrate, shipped
from clawgate.testing.clock import ManualClock
from clawgate.testing.store import InlineStore
from clawgate.testing.store_builders import NOW_MS, a_key, an_item

OLD = "INSERT INTO dedupe (scope, key, item_id, expires_ms, bounded) VALUES (?, ?, ?, ?, ?)"


DIGEST = bytes(range(32))
KEYS = {
    ("key:open", "c"): a_key("c", "key:open"),
    ("channel:linq", "body:digest:1"): a_key("body:digest:1", "channel:linq"),
    ("hook:h", f"digest:{DIGEST.hex()}"): from_signature("h", signed_id="", digest=DIGEST, tolerance_seconds=None),
    ("hook:h", f"id:digest:{DIGEST.hex()}"): from_signature("h", signed_id=f"digest:{DIGEST.hex()}", digest=DIGEST, tolerance_seconds=None),
    ("hook:a", "id:1"): from_signature("a", signed_id="1", digest=DIGEST, tolerance_seconds=None),
}
"""Scope and key as they were stored, and how the same message is named now."""


def test_keys_of_the_older_schema_recognise_a_second_copy() -> None:
    items = [an_item(number, keyed=True) for number in range(len(KEYS))]
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, ":memory:", shipped()[:11], 0, 0)
        for item, (scope, key) in zip(items, KEYS, strict=True):
            connection.execute(*inbox_rows.insertion(item))
            connection.execute(OLD, (scope, key, int(item.id, 16), NOW_MS + 1000, int(scope.startswith("key:"))))
        image = connection.serialize()
        migrate(connection, ":memory:", shipped(), 0, 0)
        assert connection.execute(COUNT_BOUNDED).fetchone() == (1,)
    store = InlineStore(ManualClock(NOW_MS), image=image)
    store.start()
    found: list[Item] = []
    for named in KEYS.values():
        store.inbox.accept(an_item(9, keyed=True), named).addCallback(lambda accepted: found.append(accepted.item))
    assert found == items
