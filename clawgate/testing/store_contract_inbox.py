"""Store contract: items, their outcomes, pages, recovery. Ring: testing. Source: ports/stores.py (`Inbox`)."""

# ruff: noqa: D103 (a case is named for the behaviour it shows)

from __future__ import annotations

from clawgate.domain import delivery, inbox
from clawgate.domain.errors import Conflict, NotFound, Overloaded
from clawgate.domain.inbox import Effect, State
from clawgate.domain.messages import ReplyTo
from clawgate.testing.store_builders import (
    NOW_MS,
    OWNER,
    OpenStore,
    a_key,
    a_send,
    an_entry,
    an_item,
    answered,
    completed,
    failed,
    item_id,
    refusal,
    run,
    state_of,
)

_DAY_MS = 24 * 3600 * 1000


async def an_accepted_item_is_found_as_it_was(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1, conversation="c", reply=ReplyTo("linq", "+49"), text="Grüße\0 🙂", keyed=True, principal="alice")
    accepted = await store.inbox.accept(item)
    assert (item, False) == (accepted.item, accepted.is_duplicate)
    assert item == await store.inbox.get(item.id)


async def an_unknown_or_malformed_id_is_nothing(open_store: OpenStore) -> None:
    store = await open_store()
    assert (await store.inbox.get(item_id(1)), await store.inbox.get("no id at all")) == (None, None)
    assert NotFound == await refusal(store.inbox.settle(item_id(1), inbox.Promise(), NOW_MS))
    assert NotFound == await refusal(store.inbox.settle("no id at all", inbox.Promise(), NOW_MS))


async def the_memory_entry_is_stored_with_the_item(open_store: OpenStore) -> None:
    store = await open_store()
    await store.inbox.accept(an_item(1), None, an_entry("k", "tea at five"))
    assert an_entry("k", "tea at five") == await store.memory.get("k")


async def an_item_id_is_accepted_once(open_store: OpenStore) -> None:
    store = await open_store()
    await store.inbox.accept(an_item(1))
    assert Conflict == await refusal(store.inbox.accept(an_item(1, text="another")))
    stored = await store.inbox.get(item_id(1))
    assert stored is not None and stored.text == "question 1"


async def above_high_water_new_items_are_refused_until_one_ends(open_store: OpenStore) -> None:
    store = await open_store(high_water=2)
    await run(store, an_item(1))
    await store.inbox.accept(an_item(2))
    assert Overloaded == await refusal(store.inbox.accept(an_item(3)))
    assert Overloaded == await refusal(store.inbox.accept(an_item(3, keyed=True), a_key("k")))
    await store.inbox.settle(item_id(1), completed(), NOW_MS)
    await store.inbox.accept(an_item(3))
    assert Overloaded == await refusal(store.inbox.accept(an_item(4)))


async def a_refused_accept_does_not_count_towards_high_water(open_store: OpenStore) -> None:
    store = await open_store(high_water=2)
    await store.inbox.accept(an_item(1, keyed=True), a_key("k"))
    for _ in range(3):
        assert Conflict == await refusal(store.inbox.accept(an_item(1)))
        assert (await store.inbox.accept(an_item(9, keyed=True), a_key("k"))).is_duplicate
    await store.inbox.accept(an_item(2))


async def at_high_water_a_copy_still_finds_its_item(open_store: OpenStore) -> None:
    store = await open_store(high_water=1)
    await store.inbox.accept(an_item(1, keyed=True), a_key("k"))
    accepted = await store.inbox.accept(an_item(2, keyed=True), a_key("k"))
    assert (item_id(1), True) == (accepted.item.id, accepted.is_duplicate)


async def claims_come_in_order_of_acceptance_and_never_twice(open_store: OpenStore) -> None:
    store = await open_store()
    for number in (3, 1, 2):
        await store.inbox.accept(an_item(number))
    first = await store.inbox.claim(OWNER, NOW_MS, 2)
    second = await store.inbox.claim(OWNER, NOW_MS, 2)
    assert [item_id(1), item_id(2)] == [item.id for item in first]
    assert [item_id(3)] == [item.id for item in second]
    assert {(State.RUNNING, OWNER, 1)} == {(item.state, item.owner, item.attempts) for item in (*first, *second)}
    assert await store.inbox.claim(OWNER, NOW_MS, 2) == ()


async def items_that_somebody_waits_for_are_claimed_first_and_on_top_of_the_limit(open_store: OpenStore) -> None:
    store = await open_store()
    for number in range(1, 5):
        await store.inbox.accept(an_item(number, conversation="c" if number > 2 else None))
    behind_another, unknown = item_id(4), item_id(9)
    claimed = await store.inbox.claim(OWNER, NOW_MS, 1, (behind_another, item_id(3), unknown))
    assert [item_id(3), item_id(1)] == [item.id for item in claimed]
    assert [item_id(2)] == [item.id for item in await store.inbox.claim(OWNER, NOW_MS, 0, (item_id(3), item_id(2)))]


async def concurrent_claims_share_the_items(open_store: OpenStore) -> None:
    store = await open_store()
    for number in range(10):
        await store.inbox.accept(an_item(number))
    under_way = [store.inbox.claim(f"owner-{number}", NOW_MS, 3) for number in range(5)]
    claimed = [item.id for claim in under_way for item in await claim]
    assert [item_id(number) for number in range(10)] == sorted(claimed)


async def a_waiting_item_is_claimed_when_it_is_due(open_store: OpenStore) -> None:
    store = await open_store()
    await run(store, an_item(1))
    settled = await store.inbox.settle(item_id(1), failed(retryable=True, delay_seconds=2), NOW_MS)
    assert (settled.item.state, settled.effects) == (State.WAITING, ())
    assert await store.inbox.next_due_ms() == NOW_MS + 2000
    assert await store.inbox.claim(OWNER, NOW_MS + 1999, 5) == ()
    (again,) = await store.inbox.claim(OWNER, NOW_MS + 2000, 5)
    assert (item_id(1), 2) == (again.id, again.attempts)
    assert await store.inbox.next_due_ms() is None


async def a_wait_that_a_clock_ahead_began_goes_on_from_now(open_store: OpenStore) -> None:
    store = await open_store()
    later_ms = NOW_MS + 3 * 86_400_000
    await run(store, an_item(1))
    await store.inbox.settle(item_id(1), failed(retryable=True, delay_seconds=2), later_ms)
    assert await store.inbox.mend_waits(later_ms) == 0
    assert await store.inbox.next_due_ms() == later_ms + 2_000
    assert await store.inbox.mend_waits(NOW_MS) == 1
    assert await store.inbox.next_due_ms() == NOW_MS + 2_000
    assert await store.inbox.mend_waits(NOW_MS) == 0
    assert await store.inbox.claim(OWNER, NOW_MS + 1_999, 5) == ()
    assert [item_id(1)] == [item.id for item in await store.inbox.claim(OWNER, NOW_MS + 2_000, 5)]


async def mending_waits_changes_nothing_else(open_store: OpenStore) -> None:
    store = await open_store()
    later_ms = NOW_MS + 3_600_000
    await run(store, an_item(1))
    await store.inbox.settle(item_id(1), failed(retryable=True, delay_seconds=2), NOW_MS)
    await run(store, an_item(2))
    await store.inbox.settle(item_id(2), completed(), later_ms)
    await store.inbox.accept(an_item(3, at_ms=later_ms))
    before = (await store.inbox.page(frozenset(), 0, "", 9)).items
    assert await store.inbox.mend_waits(NOW_MS) == 0
    assert (await store.inbox.page(frozenset(), 0, "", 9)).items == before


async def a_due_item_is_not_starved_by_newer_ones(open_store: OpenStore) -> None:
    store = await open_store()
    await run(store, an_item(1))
    await store.inbox.settle(item_id(1), failed(retryable=True, delay_seconds=0), NOW_MS)
    for number in (2, 3, 4):
        await store.inbox.accept(an_item(number))
    assert [item_id(1), item_id(2)] == [item.id for item in await store.inbox.claim(OWNER, NOW_MS, 2)]


async def an_item_accepted_as_running_is_not_claimed(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1, state=State.RUNNING, owner=OWNER, attempts=1)
    assert item == (await store.inbox.accept(item)).item
    assert await store.inbox.claim("another", NOW_MS, 5) == ()
    settled = await store.inbox.complete(item, completed(), NOW_MS)
    assert settled.item.state == State.DONE


async def completing_stores_the_answer_and_the_reply_together(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1)
    settled = await answered(store, item, a_send(10, item), a_send(11, item, part=2))
    assert (settled.item.state, settled.item.answer, settled.item.model, settled.item.owner) == (State.DONE, "an answer", "model-1", "")
    assert settled.effects == (Effect.ANSWER, Effect.HOLD_KEY, Effect.NEXT_IN_LINE)
    assert settled.item == await store.inbox.get(item.id)
    assert (a_send(10, item), a_send(11, item, part=2)) == await store.outbox.sends_of(item.id)


async def a_failed_end_may_have_a_reply_too(open_store: OpenStore) -> None:
    store = await open_store()
    item = await run(store, an_item(1))
    await store.inbox.settle(item.id, failed(), NOW_MS, [a_send(10, item)])
    assert (a_send(10, item),) == await store.outbox.sends_of(item.id)


async def complete_is_settle_in_short(open_store: OpenStore) -> None:
    store = await open_store()
    items = [an_item(number, state=State.RUNNING, owner=OWNER, attempts=1) for number in range(20)]
    for item in items:
        await store.inbox.accept(item)
    under_way = [store.inbox.complete(item, completed(), NOW_MS + 5) for item in items]
    for done in under_way:
        settled = await done
        assert settled.item == await store.inbox.get(settled.item.id)
        assert (settled.item.state, settled.item.updated_ms, settled.item.answer) == (State.DONE, NOW_MS + 5, "an answer")
    assert (await store.inbox.counts())[State.DONE] == 20


async def a_lost_owners_completion_is_discarded(open_store: OpenStore) -> None:
    store = await open_store()
    lost = await run(store, an_item(1))
    await store.inbox.settle(lost.id, inbox.OwnerLost(), NOW_MS)
    (now_running,) = await store.inbox.claim("boot-2", NOW_MS, 1)
    assert Conflict == await refusal(store.inbox.complete(lost, completed(), NOW_MS))
    assert Conflict == await refusal(store.inbox.settle(lost.id, completed(), NOW_MS, [a_send(10, lost)]))
    assert now_running == await store.inbox.get(lost.id)
    assert await store.outbox.sends_of(lost.id) == ()


async def one_bad_completion_among_many_fails_alone(open_store: OpenStore) -> None:
    store = await open_store()
    items = [an_item(number, state=State.RUNNING, owner=OWNER, attempts=1) for number in range(5)]
    for item in items[:4]:
        await store.inbox.accept(item)
    await store.inbox.settle(items[1].id, inbox.Drop(), NOW_MS)
    under_way = [store.inbox.complete(item, completed(), NOW_MS) for item in items]
    outcomes = [await refusal(done) if number in (1, 4) else (await done).item.state for number, done in enumerate(under_way)]
    assert [State.DONE, Conflict, State.DONE, State.DONE, NotFound] == outcomes
    assert (await store.inbox.counts())[State.DONE] == 3


async def two_completions_of_one_item_have_one_winner(open_store: OpenStore) -> None:
    store = await open_store()
    item = await run(store, an_item(1))
    first, second = store.inbox.complete(item, completed(answer="first"), NOW_MS), store.inbox.complete(item, completed(answer="second"), NOW_MS)
    assert (await first).item.answer == "first"
    assert Conflict == await refusal(second)
    assert getattr(await store.inbox.get(item.id), "answer", None) == "first"


async def what_does_not_apply_changes_nothing(open_store: OpenStore) -> None:
    store = await open_store()
    item = (await answered(store, an_item(1))).item
    for event in (inbox.Drop(), inbox.Retry(), inbox.Promise(), inbox.CallerLeft(), completed(), inbox.Claimed(OWNER)):
        assert Conflict == await refusal(store.inbox.settle(item.id, event, NOW_MS + 1))
    assert item == await store.inbox.get(item.id)


async def a_page_is_newest_first_and_goes_on_at_its_cursor(open_store: OpenStore) -> None:
    store = await open_store()
    for number in range(5):
        await store.inbox.accept(an_item(number))
    first = await store.inbox.page(frozenset(), 0, "", 2)
    second = await store.inbox.page(frozenset(), 0, first.cursor, 2)
    third = await store.inbox.page(frozenset(), 0, second.cursor, 2)
    assert [[int(item.id, 16) & 0xFF for item in page.items] for page in (first, second, third)] == [[4, 3], [2, 1], [0]]
    assert third.cursor == ""


async def a_page_shows_the_states_and_the_time_asked_for(open_store: OpenStore) -> None:
    store = await open_store()
    await answered(store, an_item(1))
    await run(store, an_item(2, at_ms=NOW_MS + 1000))
    await store.inbox.accept(an_item(3, at_ms=NOW_MS + 2000))

    async def ids(states: frozenset[State], since_ms: int) -> list[int]:
        page = await store.inbox.page(states, since_ms, "", 10)
        assert page.cursor == ""
        return [int(item.id, 16) & 0xFF for item in page.items]

    assert await ids(frozenset({State.RECEIVED}), 0) == [3]
    assert await ids(frozenset({State.RECEIVED, State.DONE}), 0) == [3, 1]
    assert await ids(frozenset(), NOW_MS + 1000) == [3, 2]
    assert await ids(frozenset({State.RUNNING, State.DONE}), NOW_MS + 1) == [2]
    assert await ids(frozenset({State.DEAD}), 0) == []


async def history_is_the_last_answered_items_oldest_first(open_store: OpenStore) -> None:
    store = await open_store()
    for number in range(4):
        await answered(store, an_item(number, conversation="c"))
    await answered(store, an_item(4, conversation="another"))
    await run(store, an_item(5, conversation="c"))
    assert [item_id(1), item_id(2)] == [item.id for item in await store.inbox.history("c", item_id(3), 2)]
    assert [item_id(2), item_id(3)] == [item.id for item in await store.inbox.history("c", item_id(5), 2)]
    assert await store.inbox.history("nobody", item_id(5), 2) == ()


async def counts_name_every_state(open_store: OpenStore) -> None:
    store = await open_store()
    assert dict.fromkeys(State, 0) == await store.inbox.counts()
    await answered(store, an_item(1))
    await run(store, an_item(2))
    await store.inbox.accept(an_item(3))
    assert dict.fromkeys(State, 0) | {State.DONE: 1, State.RUNNING: 1, State.RECEIVED: 1} == await store.inbox.counts()
    assert await store.inbox.counts((State.DEAD, State.RUNNING)) == {State.DEAD: 0, State.RUNNING: 1}


async def the_oldest_open_item_says_how_far_behind_we_are(open_store: OpenStore) -> None:
    store = await open_store()
    assert await store.inbox.oldest_open_ms() is None
    await answered(store, an_item(1))
    await run(store, an_item(2, at_ms=NOW_MS + 7))
    await store.inbox.accept(an_item(3, at_ms=NOW_MS + 9))
    assert await store.inbox.oldest_open_ms() == NOW_MS + 7


async def recovery_takes_everything_from_lost_owners(open_store: OpenStore) -> None:
    store = await open_store()
    kept = {
        "promised": an_item(1, state=State.RUNNING, owner="lost", attempts=1),
        "keyed": an_item(2, state=State.RUNNING, owner="lost", attempts=1, promised=False, keyed=True),
        "queued for a key": an_item(3, promised=False, keyed=True),
        "queued": an_item(4),
    }
    gone = {"running": an_item(5, state=State.RUNNING, owner="lost", attempts=1, promised=False), "held": an_item(6, promised=False)}
    ours = an_item(7, state=State.RUNNING, owner=OWNER, attempts=1, promised=False)
    for item in (*kept.values(), *gone.values(), ours):
        await store.inbox.accept(item)
    assert await store.inbox.recover(OWNER, NOW_MS) == {State.RECEIVED: 3, State.DROPPED: 2}
    assert [await state_of(store, item) for item in kept.values()] == [State.RECEIVED] * 4
    assert [await state_of(store, item) for item in gone.values()] == [State.DROPPED] * 2
    assert ours == await store.inbox.get(ours.id)
    assert await store.inbox.recover(OWNER, NOW_MS) == {}
    claimed = await store.inbox.claim(OWNER, NOW_MS, 10)
    assert [item.id for item in kept.values()] == [item.id for item in claimed]
    assert all(item.promised for item in claimed)


async def recovery_of_more_than_one_chunk_is_complete(open_store: OpenStore) -> None:
    store = await open_store(high_water=2_000)
    under_way = [store.inbox.accept(an_item(number, state=State.RUNNING, owner="lost", attempts=1)) for number in range(1_203)]
    for accepted in under_way:
        await accepted
    assert await store.inbox.recover(OWNER, NOW_MS) == {State.RECEIVED: 1_203}


async def purge_forgets_old_ended_items_with_their_parts(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1)
    await answered(store, item, a_send(10, item))
    await store.outbox.claim_sends("linq", NOW_MS, 1)
    await store.outbox.settle_send(item_id(10), delivery.Delivered("receipt"), NOW_MS)
    await store.inbox.accept(an_item(2))
    assert await store.inbox.purge(NOW_MS + _DAY_MS, 24 * 3600) == 0
    assert await store.inbox.purge(NOW_MS + _DAY_MS + 1, 24 * 3600) == 1
    assert (await store.inbox.get(item.id), await store.outbox.sends_of(item.id)) == (None, ())
    assert await state_of(store, an_item(2)) == State.RECEIVED


async def purge_keeps_an_item_whose_reply_is_still_on_its_way(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1)
    await answered(store, item, a_send(10, item))
    assert await store.inbox.purge(NOW_MS + 2 * _DAY_MS, 3600) == 0
    assert await state_of(store, item) == State.DONE


async def purge_keeps_an_item_while_a_key_names_it(open_store: OpenStore) -> None:
    store = await open_store()
    await store.inbox.accept(an_item(1, keyed=True), a_key("k", "channel:linq", 24 * 3600))
    await store.inbox.claim(OWNER, NOW_MS, 1)
    await store.inbox.settle(item_id(1), completed(), NOW_MS)
    assert await store.inbox.purge(NOW_MS + 7_200_000, 3600) == 0
    assert (await store.inbox.accept(an_item(2, at_ms=NOW_MS + 7_200_000), a_key("k", "channel:linq"))).is_duplicate
    assert await store.inbox.purge(NOW_MS + _DAY_MS, 3600) == 2
