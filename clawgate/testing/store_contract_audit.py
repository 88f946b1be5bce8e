"""Store contract: the audit log. Ring: testing. Source: ports/audit.py; domain/audit.py; `deed` of ports/stores.py and ports/journal.py."""

# ruff: noqa: D103 (a case is named for the behaviour it shows)

from __future__ import annotations

from clawgate.domain import audit
from clawgate.domain.audit import Action, Deed, Link, chained, deed, pruned
from clawgate.domain.devices import Device
from clawgate.domain.errors import BadRequest, Conflict
from clawgate.domain.journal import StepState, ToolStep
from clawgate.domain.turn import ToolCall
from clawgate.ports.stores import Store
from clawgate.testing.store_builders import NOW_MS, OWNER, OpenStore, an_item, refusal, run

_ALL: frozenset[str] = frozenset()


def _deed(number: int, action: Action = Action.COMMAND) -> Deed:
    return deed(NOW_MS + number, action, "ann", f"thing {number}", detail={"number": number})


async def _filled(store: Store, count: int) -> list[Link]:
    return [await store.audit.append(_deed(number)) for number in range(1, count + 1)]


async def _subjects(store: Store) -> list[str]:
    return [entry.subject for entry in await store.audit.page(0, _ALL, 0, 100)]


async def an_empty_log_is_intact_and_begins_at_nothing(open_store: OpenStore) -> None:
    store = await open_store()
    verdict = await store.audit.verify(None)
    assert (await store.audit.head(), verdict.broken, verdict.entries, verdict.anchor) == (Link(), None, 0, Link())


async def entries_follow_on_each_other(open_store: OpenStore) -> None:
    store = await open_store()
    links = await _filled(store, 3)
    first = chained(_deed(1), Link())
    second = chained(_deed(2), first.link)
    assert (links[:2], await store.audit.head()) == ([first.link, second.link], links[2])
    assert (await store.audit.page(0, _ALL, 0, 10))[1:] == (second, first)
    verdict = await store.audit.verify(links[1])
    assert (verdict.broken, verdict.entries, verdict.head) == (None, 3, links[2])


async def a_page_is_filtered_and_goes_on_where_it_ended(open_store: OpenStore) -> None:
    store = await open_store()
    for number, action in enumerate((Action.LOGIN, Action.COMMAND, Action.LOGIN, Action.TOOL_BEGUN), 1):
        await store.audit.append(_deed(number, action))

    async def numbers(since_ms: int = 0, actions: frozenset[str] = _ALL, before: int = 0, limit: int = 10) -> list[int]:
        return [entry.seq for entry in await store.audit.page(since_ms, actions, before, limit)]

    assert await numbers(limit=2) == [4, 3]
    assert await numbers(before=3) == [2, 1]
    assert await numbers(actions=frozenset({"login"})) == [3, 1]
    assert await numbers(actions=frozenset({"login", "tool_begun"}), before=4) == [3, 1]
    assert await numbers(since_ms=NOW_MS + 3) == [4, 3]


async def a_noted_head_of_another_log_is_found(open_store: OpenStore) -> None:
    store = await open_store()
    await _filled(store, 3)
    verdict = await store.audit.verify(Link(2, "1" * 64))
    assert verdict.broken is not None
    assert verdict.broken.seq == 2


async def the_end_is_checked_from_any_place(open_store: OpenStore) -> None:
    store = await open_store()
    links = await _filled(store, 3)
    for count in (1, 2, 3, 4):
        verdict = await store.audit.check_end(count)
        assert (verdict.broken, verdict.entries, verdict.head) == (None, min(count, 3), links[2])


async def old_entries_go_from_the_front_and_the_log_stays_intact(open_store: OpenStore) -> None:
    store = await open_store()
    links = await _filled(store, 4)
    assert await store.audit.prune(NOW_MS + 3, NOW_MS + 9, 100) == 2
    verdict = await store.audit.verify(None)
    assert (verdict.anchor, verdict.broken, verdict.entries) == (links[1], None, 3)
    assert await _subjects(store) == [str(links[1]), "thing 4", "thing 3"]
    assert (await store.audit.verify(links[3])).broken is None
    assert await refusal(store.audit.verify(links[0])) == BadRequest
    assert await store.audit.prune(NOW_MS + 3, NOW_MS + 9, 100) == 0


async def a_whole_log_can_go_but_for_the_entry_that_says_so(open_store: OpenStore) -> None:
    store = await open_store()
    links = await _filled(store, 2)
    assert await store.audit.prune(NOW_MS + 100, NOW_MS + 200, 100) == 2
    assert await store.audit.head() == chained(pruned(NOW_MS + 200, links[1], 2), links[1]).link
    assert (await store.audit.verify(None)).broken is None


async def pruning_stops_at_its_bound_and_at_the_first_young_entry(open_store: OpenStore) -> None:
    store = await open_store()
    for moment in (1, 2, 50, 3):
        await store.audit.append(_deed(moment))
    assert await store.audit.prune(NOW_MS + 10, NOW_MS + 60, 1) == 1
    assert await store.audit.prune(NOW_MS + 10, NOW_MS + 60, 100) == 1
    assert await store.audit.prune(NOW_MS + 10, NOW_MS + 60, 100) == 0
    assert (await store.audit.verify(None)).broken is None


async def a_device_and_its_entry_are_one_commit(open_store: OpenStore) -> None:
    store = await open_store()
    device = Device(id="d", token_hash="0" * 64, paired_ms=NOW_MS)
    await store.devices.add(device, _deed(1))
    assert await refusal(store.devices.add(device, _deed(2))) == Conflict
    await store.devices.replace(device, _deed(3))
    await store.devices.replace(device)
    assert await _subjects(store) == ["thing 3", "thing 1"]


async def a_tool_call_and_its_entries_are_one_commit(open_store: OpenStore) -> None:
    store = await open_store()
    item = await run(store, an_item(1))
    step = ToolStep(item_id=item.id, step=1, round=1, call=ToolCall("c", "pay", "{}"), state=StepState.ASKED)
    await store.journal.plan(OWNER, [step], NOW_MS)
    await store.journal.ask(OWNER, step, NOW_MS, _deed(1))
    assert await store.journal.answer(item.id, 1, NOW_MS, approve=True, deed=_deed(2))
    assert not await store.journal.answer(item.id, 1, NOW_MS, approve=False, deed=_deed(3))
    await store.journal.begin(OWNER, step, NOW_MS, _deed(4))
    assert await refusal(store.journal.begin("somebody else", step, NOW_MS, _deed(5))) == Conflict
    await store.journal.finish(OWNER, step, NOW_MS, _deed(6))
    assert await _subjects(store) == ["thing 6", "thing 4", "thing 2", "thing 1"]
    assert (await store.audit.verify(None)) == audit.Verdict(Link(), await store.audit.head(), 4)
