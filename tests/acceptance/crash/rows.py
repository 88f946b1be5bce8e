"""The inbox as the file has it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import NamedTuple

from tests.acceptance.crash.house import House
from tests.acceptance.crash.peers import bare


class Row(NamedTuple):
    """An item as the file has it."""

    id: str
    text: str
    state: str
    answer: str | None
    error: str | None
    source: str
    conversation: str | None


def rows(house: House) -> list[Row]:
    """Every item, in order, from the file itself."""
    with closing(sqlite3.connect(f"file:{house.database}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT id, text, state, answer, error, source, conversation FROM inbox ORDER BY id")
        return [Row(f"{number:016x}", bare(text), *rest) for number, text, *rest in found]
