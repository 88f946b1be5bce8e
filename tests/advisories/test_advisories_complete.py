"""Every advisory has its test, or says why there is nothing to test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.advisories import rows, test_advisories_credentials, test_advisories_intake, test_advisories_stack

GATEWAY_MODULES = (test_advisories_credentials, test_advisories_intake)


def rows_in(*modules: ModuleType) -> Iterator[tuple[str, Any]]:
    """Names, after `test_`, and functions."""
    for module in modules:
        for name, function in vars(module).items():
            if name.startswith("test_") and getattr(function, "__module__", "") == module.__name__:
                yield name.removeprefix("test_"), function


def is_skipped(function: Any) -> bool:
    return any(mark.name in ("skip", "skipif", "xfail") for mark in getattr(function, "pytestmark", ()))


@pytest.mark.parametrize(("table", "modules"), [(rows.GATEWAYS, GATEWAY_MODULES), (rows.STACK, (test_advisories_stack,))], ids=["gateways", "stack"])
def test_every_advisory_has_its_test_or_a_named_skip(table: tuple[rows.Row, ...], modules: tuple[ModuleType, ...]) -> None:
    found = list(rows_in(*modules))
    assert Counter(name for name, _ in found) == Counter(row.name for row in table)
    assert {name for name, function in found if is_skipped(function)} == {row.name for row in table if row.skip}
    assert all(bool(row.threat) and bool(row.defence) != bool(row.skip) for row in table)


def test_there_are_as_many_rows_as_advisories_were_read() -> None:
    assert (len(rows.GATEWAYS), len(rows.STACK)) == (42, 20)
