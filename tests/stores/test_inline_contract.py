"""The store without threads passes the contract of sessions, memory, the journal and subscriptions as the threaded one does."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

import pytest
from twisted.internet.defer import Deferred

from clawgate.testing import store_contract_journal, store_contract_sessions, store_contract_subscriptions
from clawgate.testing.clock import ManualClock
from clawgate.testing.store import InlineStore

CASES = [
    case
    for module in (store_contract_sessions, store_contract_journal, store_contract_subscriptions)
    for name, case in vars(module).items()
    if inspect.iscoroutinefunction(case) and name[0] != "_" and case.__module__ == module.__name__
]


async def open_store(*, idempotency_max_keys: int = 100, high_water: int = 1_000) -> InlineStore:
    store = InlineStore(ManualClock(), idempotency_max_keys=idempotency_max_keys, high_water=high_water)
    await store.start()
    return store


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_inline_contract(case: Callable[[object], Awaitable[None]]) -> None:
    done: list[object] = []
    Deferred.fromCoroutine(case(open_store)).addBoth(done.append)  # type: ignore[arg-type]  # the cases are coroutine functions
    assert done == [None]


def test_every_case_is_run() -> None:
    assert len(CASES) > 25
