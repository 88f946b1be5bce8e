"""The page on compatibility names tests; each of them exists, and its rows are numbered without a gap."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "reference" / "compatibility.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if re.match(r"\| \d", line)]


def defined() -> set[str]:
    sources = [path for folder in ("tests", "clawgate/testing") for path in (ROOT / folder).rglob("*.py")]
    return {name for path in sources for name in re.findall(r"def (test_\w+)", path.read_text())}


DEFINED = defined()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", PAGE))))
def test_named_test_exists(name: str) -> None:
    assert name in DEFINED


def test_every_row_is_whole() -> None:
    assert sorted(int(row[0]) for row in ROWS) == list(range(1, len(ROWS) + 1))
    assert {len(row) for row in ROWS} == {6}
    assert [row[0] for row in ROWS if not all(row)] == []


def test_every_row_names_a_test() -> None:
    assert [row[0] for row in ROWS if not re.search(r"`test_\w+`", row[-1])] == []
