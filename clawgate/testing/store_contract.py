"""What every store must do. Ring: testing, public. Source: ports/stores.py, sentence by sentence; design §1.

A store passes when each case of `CONTRACT` passes::

    @pytest.mark.parametrize("case", CONTRACT, ids=name_of)
    @ensureDeferred
    async def test_contract(case, open_store):
        await case(open_store)

A case opens its own empty store (`OpenStore`).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from types import ModuleType

from clawgate.testing import (
    store_contract_audit,
    store_contract_channels,
    store_contract_dedupe,
    store_contract_inbox,
    store_contract_journal,
    store_contract_lines,
    store_contract_outbox,
    store_contract_rest,
    store_contract_sessions,
    store_contract_subscriptions,
    store_contract_tasks,
)
from clawgate.testing.store_builders import OpenStore

Case = Callable[[OpenStore], Awaitable[None]]


def _cases(module: ModuleType) -> list[Case]:
    return [
        case for name, case in vars(module).items() if inspect.iscoroutinefunction(case) and case.__module__ == module.__name__ and name[0] != "_"
    ]


CONTRACT: tuple[Case, ...] = tuple(
    case
    for module in (
        store_contract_inbox,
        store_contract_lines,
        store_contract_dedupe,
        store_contract_outbox,
        store_contract_rest,
        store_contract_sessions,
        store_contract_tasks,
        store_contract_channels,
        store_contract_journal,
        store_contract_subscriptions,
        store_contract_audit,
    )
    for case in _cases(module)
)


def name_of(case: Case) -> str:
    """What the case shows."""
    return getattr(case, "__name__", "case")
