"""The SQLite store passes the contract of stores."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred

from clawgate.testing.sqlite_stores import SqliteStores
from clawgate.testing.store_contract import CONTRACT, Case, name_of


@pytest.mark.parametrize("case", CONTRACT, ids=name_of)
@ensureDeferred
async def test_contract(case: Case, opener: SqliteStores) -> None:
    await case(opener)


def test_the_contract_is_not_empty() -> None:
    assert len(CONTRACT) > 60
