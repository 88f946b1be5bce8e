"""Store contract: what the tools of a turn did, and who was asked about them. Ring: testing. Source: ports/journal.py (`Journal`); domain/journal.py."""

# ruff: noqa: D103 (a case is named for the behaviour it shows)

from __future__ import annotations

import msgspec

from clawgate.domain.approvals import Pending
from clawgate.domain.errors import Conflict
from clawgate.domain.inbox import CallerLeft, Denied, Drop, Item, OwnerLost, Retry, State
from clawgate.domain.journal import StepState, ToolStep
from clawgate.domain.messages import TurnOptions
from clawgate.domain.turn import ToolCall
from clawgate.ports.stores import Store
from clawgate.testing.store_builders import NOW_MS, OWNER, OpenStore, an_item, refusal, run

_ASKED, _REFUSED, _PLANNED, _BEGUN, _DONE = StepState
_replace = msgspec.structs.replace


def _steps(item: Item, *states: StepState, number: int = 1, first: int = 1) -> list[ToolStep]:
    return [
        ToolStep(item_id=item.id, step=place, round=number, call=ToolCall(f"c{place}", "pay", '{"euros": 5}'), said="I pay.", state=state)
        for place, state in enumerate(states, first)
    ]


def _put(step: ToolStep, asked_ms: int = NOW_MS) -> ToolStep:
    return _replace(step, approval_id=f"question {step.step}", asked_ms=asked_ms, expires_ms=asked_ms + 300_000)


async def _running(store: Store, number: int = 1) -> Item:
    return await run(store, an_item(number, promised=False, principal="ann", options=TurnOptions(session="s")))


async def _asked(store: Store, item: Item, *states: StepState) -> tuple[ToolStep, ...]:
    """A round of which every asked step was put to somebody."""
    steps = [_put(step) if step.state is _ASKED else step for step in _steps(item, *states)]
    await store.journal.plan(OWNER, _steps(item, *states), NOW_MS)
    for step in steps:
        if step.state is _ASKED:
            await store.journal.ask(OWNER, step, NOW_MS)
    return tuple(steps)


async def _states(store: Store, item: Item) -> list[StepState]:
    return [step.state for step in await store.journal.steps(item.id)]


async def _stored(store: Store, item: Item) -> Item:
    stored = await store.inbox.get(item.id)
    assert stored is not None
    return stored


def _flags(item: Item) -> tuple[bool, bool]:
    return item.journalled, item.promised


async def a_round_that_is_allowed_marks_its_item_journalled(open_store: OpenStore) -> None:
    store = await open_store()
    item = await _running(store)
    steps = _steps(item, _PLANNED, _DONE)
    await store.journal.plan(OWNER, steps, NOW_MS)
    assert (tuple(steps), (True, False)) == (await store.journal.steps(item.id), _flags(await _stored(store, item)))


async def a_round_that_is_asked_about_may_still_be_given_up(open_store: OpenStore) -> None:
    store = await open_store()
    item = await _running(store)
    steps = _steps(item, _PLANNED, _ASKED)
    await store.journal.plan(OWNER, steps, NOW_MS)
    assert (tuple(steps), (False, False)) == (await store.journal.steps(item.id), _flags(await _stored(store, item)))
    assert await store.journal.questions(10) == ()
    await store.inbox.settle(item.id, CallerLeft(), NOW_MS)
    assert await _states(store, item) == [_PLANNED, _REFUSED]


async def a_question_is_found_by_its_id_and_in_the_list(open_store: OpenStore) -> None:
    store = await open_store()
    item = await _running(store)
    (step,) = await _asked(store, item, _ASKED)
    question = Pending(
        id="question 1",
        item_id=item.id,
        step=1,
        principal="ann",
        session="s",
        call=step.call,
        asked_ms=NOW_MS,
        expires_ms=NOW_MS + 300_000,
    )
    assert (question, (question,)) == (await store.journal.question("question 1"), await store.journal.questions(10))
    assert [await store.journal.question("question 2"), await store.journal.question("")] == [None, None]
    assert (step,) == await store.journal.steps(item.id)


async def questions_come_in_the_order_in_which_they_were_asked(open_store: OpenStore) -> None:
    store = await open_store()
    item = await run(store, an_item(1))
    steps = _steps(item, _ASKED, _ASKED, _ASKED)
    await store.journal.plan(OWNER, steps, NOW_MS)
    for step, asked_ms in zip(steps, (NOW_MS + 2, NOW_MS, NOW_MS + 1), strict=True):
        await store.journal.ask(OWNER, _put(step, asked_ms), NOW_MS)
    assert [question.step for question in await store.journal.questions(2)] == [2, 3]
    assert {""} == {question.session for question in await store.journal.questions(3)}


async def the_last_yes_of_a_round_marks_its_item_and_promises_it(open_store: OpenStore) -> None:
    store = await open_store()
    item = await _running(store)
    await _asked(store, item, _ASKED, _ASKED)
    assert await store.journal.answer(item.id, 1, NOW_MS, approve=True)
    assert (await _states(store, item), _flags(await _stored(store, item))) == ([_PLANNED, _ASKED], (False, False))
    assert await store.journal.answer(item.id, 2, NOW_MS, approve=True)
    assert (await _states(store, item), _flags(await _stored(store, item))) == ([_PLANNED, _PLANNED], (True, True))
    assert await store.journal.questions(10) == ()


async def a_no_is_kept_and_promises_nothing(open_store: OpenStore) -> None:
    store = await open_store()
    item = await _running(store)
    await _asked(store, item, _ASKED)
    assert await store.journal.answer(item.id, 1, NOW_MS, approve=False)
    assert (await _states(store, item), _flags(await _stored(store, item))) == ([_REFUSED], (False, False))
    assert None is await store.journal.question("question 1")


async def of_two_words_at_once_the_first_counts(open_store: OpenStore) -> None:
    for first in (True, False):
        store = await open_store()
        item = await _running(store)
        await _asked(store, item, _ASKED)
        words = [store.journal.answer(item.id, 1, NOW_MS, approve=first), store.journal.answer(item.id, 1, NOW_MS, approve=not first)]
        assert [await word for word in words] == [True, False]
        assert [_PLANNED if first else _REFUSED] == await _states(store, item)


async def a_word_on_what_nobody_asks_does_not_count(open_store: OpenStore) -> None:
    store = await open_store()
    item = await _running(store)
    await store.journal.plan(OWNER, _steps(item, _PLANNED), NOW_MS)
    for item_id, step in ((item.id, 1), (item.id, 2), (an_item(9).id, 1)):
        assert not await store.journal.answer(item_id, step, NOW_MS, approve=False)
    assert await _states(store, item) == [_PLANNED]


async def a_word_counts_before_the_turn_begins_again(open_store: OpenStore) -> None:
    store = await open_store()
    item = await run(store, an_item(1, conversation="chat:s"))
    await _asked(store, item, _ASKED)
    assert (await store.inbox.settle(item.id, OwnerLost(), NOW_MS)).item.state == State.RECEIVED
    assert await store.journal.answer(item.id, 1, NOW_MS, approve=True)
    (again,) = await store.inbox.claim("boot-2", NOW_MS, 10)
    assert (again.attempts, await _states(store, item)) == (2, [_PLANNED])


async def an_item_that_ends_asks_nothing_any_more(open_store: OpenStore) -> None:
    ends = (Drop(), CallerLeft(), OwnerLost(), Denied(OWNER, "pay"))
    for end in ends:
        store = await open_store()
        item = await _running(store)
        await _asked(store, item, _ASKED)
        assert (await store.inbox.settle(item.id, end, NOW_MS)).item.state == State.DROPPED
        assert (await store.journal.questions(10), await store.journal.question("question 1")) == ((), None)
        assert not await store.journal.answer(item.id, 1, NOW_MS, approve=True)


async def an_item_that_is_tried_again_is_asked_about_anew(open_store: OpenStore) -> None:
    store = await open_store()
    item = await _running(store)
    first, second = _steps(item, _PLANNED), _steps(item, _PLANNED, _ASKED, number=2, first=2)
    await store.journal.plan(OWNER, first, NOW_MS)
    await store.journal.begin(OWNER, first[0], NOW_MS)
    await store.journal.plan(OWNER, second, NOW_MS)
    await store.inbox.settle(item.id, Drop(), NOW_MS)
    await store.inbox.settle(item.id, Retry(), NOW_MS)
    assert tuple(first) == await store.journal.steps(item.id)


async def nothing_is_written_for_an_owner_that_lost_the_item(open_store: OpenStore) -> None:
    store = await open_store()
    item = await _running(store)
    (step,) = await _asked(store, item, _ASKED)
    later = _steps(item, _PLANNED, number=2, first=2)
    journal = store.journal
    for write in (
        journal.plan("boot-2", later, NOW_MS),
        journal.ask("boot-2", step, 1),
        journal.begin("boot-2", step, 1),
        journal.finish("", step, 1),
    ):
        assert Conflict == await refusal(write)
    assert (step,) == await store.journal.steps(item.id)


async def a_call_is_begun_and_done(open_store: OpenStore) -> None:
    store = await open_store()
    item = await _running(store)
    (step,) = _steps(item, _PLANNED)
    await store.journal.plan(OWNER, [step], NOW_MS)
    await store.journal.begin(OWNER, step, NOW_MS)
    assert await _states(store, item) == [_BEGUN]
    done = _replace(step, state=_DONE, result="receipt", ok=True)
    await store.journal.finish(OWNER, done, NOW_MS)
    assert (done,) == await store.journal.steps(item.id)
