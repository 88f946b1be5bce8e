"""`docs/explanation/promises.md` says what the long run found, and names tests that there are."""

from __future__ import annotations

import re

from tests.acceptance.crash.house import ROOT
from tests.acceptance.crash.results import BEGIN, END, PAGE, read, table


def test_the_table_is_that_of_the_last_long_run() -> None:
    found = re.search(f"{re.escape(BEGIN)}\n\n(.*)\n{re.escape(END)}", PAGE.read_text(), re.DOTALL)
    assert found is not None
    assert found[1] == table(read())


def test_the_long_run_lost_and_doubled_nothing() -> None:
    broken = ("lost", "untrue", "twice", "replays", "sent_twice", "unsent", "called_twice", "uncalled", "disorder", "credentials")
    broken += ("unheard", "misheard", "unrecorded")
    assert {name: read()[name] for name in broken if read()[name]} == {}


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE.read_text())
    assert len(named) > 10
    missing = [(path, name) for path, name in named if not (ROOT / path).exists() or (f"def {name}(" not in (ROOT / path).read_text() and name)]
    assert missing == []
