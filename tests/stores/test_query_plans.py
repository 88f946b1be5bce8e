"""What is asked often is answered from an index, however many rows there are."""

from __future__ import annotations

import re
import sqlite3

import pytest

from clawgate.stores import dedupe_rows, devices, inbox_rows, journal, memory, outbox_rows, session_rows, subscription_rows

_INDEXED = {
    "whether a line is empty": (inbox_rows.INSERT, "inbox_line"),
    "complete": (inbox_rows.COMPLETE, "INTEGER PRIMARY KEY"),
    "startable": (inbox_rows.STARTABLE, "inbox_startable"),
    "due": (inbox_rows.DUE, "inbox_due"),
    "next due": (inbox_rows.NEXT_DUE, "inbox_due"),
    "running in a line": (inbox_rows.BUSY, "inbox_busy"),
    "first of a line": (inbox_rows.FIRST_OPEN, "inbox_line"),
    "open in a line": (inbox_rows.OPEN_OF, "inbox_line"),
    "unready": (inbox_rows.UNREADY, "inbox_lead"),
    "page of a state": (inbox_rows.PAGE_OF_STATE, "inbox_state"),
    "history": (inbox_rows.HISTORY, "inbox_answered"),
    "counts": (inbox_rows.COUNT, "inbox_state"),
    "open": (inbox_rows.COUNT_OPEN, "inbox_state"),
    "oldest of a state": (inbox_rows.OLDEST_OF_STATE, "inbox_state"),
    "recovery": (inbox_rows.OF_STATE, "inbox_state"),
    "keys of an item": (dedupe_rows.BOUNDED_OF, "INTEGER PRIMARY KEY"),
    "what a key names": (dedupe_rows.FIND, "message_keys_named"),
    "keys that ran out": (dedupe_rows.RUN_OUT, "message_keys_expiry"),
    "oldest ended key": (dedupe_rows.OLDEST_ENDED, "message_keys_bounded"),
    "due parts": (outbox_rows.DUE, "outbox_startable"),
    "next due part": (outbox_rows.NEXT_DUE, "outbox_startable"),
    "part being sent": (outbox_rows.BUSY, "outbox_busy"),
    "parts being sent": (outbox_rows.SENDING, "outbox_busy"),
    "first part": (outbox_rows.FIRST, "outbox_line"),
    "parts of an item": (outbox_rows.OF_ITEM, "outbox_item"),
    "question by its id": (journal.QUESTION, "tool_steps_asked"),
    "device by hash": (devices.BY_HASH, "sqlite_autoindex_devices_2"),
    "newest memory": (memory.FIND.format(matches=memory.LIKE), "SCAN memory"),
    "how much is remembered": (memory.COUNT, "memory_kept"),
    "how much was said": (memory.COUNT_SAID, "memory_kept"),
    "any memory": (memory.ANY, "memory_kept"),
    "first memories": (memory.TRIM, "SCAN memory"),
    "page of memory": (memory.PAGE, "SCAN memory"),
    "page of a category": (memory.PAGE_OF, "memory_kept"),
    "how much of a category": (memory.TOTAL_OF, "memory_kept"),
    "page of what was said": (memory.PAGE_SAID, "SCAN memory"),
    "newest sessions": (session_rows.NEWEST, "sessions_newest"),
    "own sessions": (session_rows.NEWEST_OWN, "sessions_own"),
    "session by its beginning": (session_rows.BEGINNING, "sqlite_autoindex_sessions_1"),
    "head of a subscriber's line": (subscription_rows.ONE_LINE, "subscription_queue_line"),
    "attempts of a subscription": (subscription_rows.ATTEMPTS, "subscription_attempts_line"),
    "messages of a session": (session_rows.MESSAGES, "session_messages_line"),
}


@pytest.mark.parametrize("what", _INDEXED)
def test_query_uses_its_index_and_sorts_nothing(connection: sqlite3.Connection, what: str) -> None:
    sql, index = _INDEXED[what]
    wanted = max((int(number) for number in re.findall(r"\?(\d+)", sql)), default=sql.count("?"))
    plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, (1,) * wanted)]
    assert index in " ".join(plan)
    assert not [line for line in plan if "TEMP B-TREE" in line]
