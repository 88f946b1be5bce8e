"""Store contract: the parts of replies and what becomes of their items. Ring: testing. Source: ports/stores.py (`Outbox`), domain/delivery.py."""

# ruff: noqa: D103 (a case is named for the behaviour it shows)

from __future__ import annotations

import msgspec

from clawgate.domain import delivery, inbox
from clawgate.domain.delivery import Delivered, NotDelivered, Rejected, SendState, Unanswered
from clawgate.domain.errors import Conflict, NotFound
from clawgate.domain.inbox import Effect, Item, State
from clawgate.ports.stores import Store
from clawgate.testing.store_builders import NOW_MS, OWNER, OpenStore, a_send, an_item, answered, completed, failed, item_id, refusal, run, state_of


async def parts_to_one_target_go_out_one_by_one_in_order(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1)
    await answered(store, item, *(a_send(number, item, part=number) for number in (1, 2, 3)))
    for number in (1, 2, 3):
        assert [number] == await _claim(store)
        assert await _claim(store) == []
        settled = await store.outbox.settle_send(item_id(number), Delivered(f"r{number}"), NOW_MS)
        assert (SendState.SENT, f"r{number}", 1) == (settled.state, settled.receipt, settled.attempts)
    assert await _claim(store) == []


async def targets_and_channels_do_not_wait_for_each_other(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1)
    sends = [a_send(1, item), a_send(2, item), a_send(3, item, target="+492"), a_send(4, item, channel="wati"), a_send(5, item, target="+493")]
    await answered(store, item, *sends)
    assert await _claim(store, limit=2) == [1, 3]
    assert await _claim(store) == [5]
    assert await _claim(store, channel="wati") == [4]


async def order_holds_over_several_items(open_store: OpenStore) -> None:
    store = await open_store()
    first, second = an_item(1), an_item(2)
    await answered(store, first, a_send(10, first))
    await answered(store, second, a_send(20, second))
    assert await _claim(store) == [10]
    await store.outbox.settle_send(item_id(10), NotDelivered("busy", 5.0, 3), NOW_MS)
    assert await _claim(store) == []
    assert await store.outbox.next_send_due_ms("linq") == NOW_MS + 5_000
    assert await store.outbox.next_send_due_ms("wati") is None
    assert await _claim(store, now_ms=NOW_MS + 5_000) == [10]
    await store.outbox.settle_send(item_id(10), Delivered(), NOW_MS)
    assert await _claim(store) == [20]


async def a_part_that_a_clock_ahead_put_off_is_due_after_its_own_wait(open_store: OpenStore) -> None:
    store = await open_store()
    item, later_ms = an_item(1), NOW_MS + 3_600_000
    await answered(store, item, a_send(10, item), a_send(20, item), a_send(30, item, channel="wati"))
    assert await _claim(store, now_ms=later_ms) == [10]
    await store.outbox.settle_send(item_id(10), NotDelivered("busy", 5.0, 3), later_ms)
    assert await store.outbox.mend_waits(NOW_MS) == 1
    assert await store.outbox.next_send_due_ms("linq") == NOW_MS + 5_000
    assert await store.outbox.next_send_due_ms("wati") == 0
    assert await store.outbox.mend_waits(NOW_MS) == 0
    assert await _claim(store, now_ms=NOW_MS + 5_000) == [10]


async def an_uncertain_or_dead_head_does_not_hold_up_the_rest(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1)
    await answered(store, item, *(a_send(number, item) for number in (1, 2, 3)))
    await _claim(store)
    await store.outbox.settle_send(item_id(1), Unanswered(), NOW_MS)
    assert await _claim(store) == [2]
    await store.outbox.settle_send(item_id(2), Rejected("refused"), NOW_MS)
    assert await _claim(store) == [3]


async def concurrent_claims_never_send_twice(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1)
    await answered(store, item, *(a_send(number, item, target=f"t{number % 4}") for number in range(12)))
    under_way = [store.outbox.claim_sends("linq", NOW_MS, 2) for _ in range(5)]
    claimed = [int(send.id, 16) & 0xFF for claim in under_way for send in await claim]
    assert sorted(claimed) == [0, 1, 2, 3]


async def a_part_that_is_unknown_or_elsewhere_is_refused(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1)
    await answered(store, item, a_send(1, item))
    assert Conflict == await refusal(store.outbox.settle_send(item_id(1), Delivered(), NOW_MS))
    assert NotFound == await refusal(store.outbox.settle_send(item_id(2), Delivered(), NOW_MS))
    assert NotFound == await refusal(store.outbox.settle_send("nonsense", Delivered(), NOW_MS))
    assert await store.outbox.sends_of("nonsense") == ()


async def an_unanswered_part_makes_its_item_uncertain(open_store: OpenStore) -> None:
    store, item = await _sending(open_store, Unanswered())
    assert await state_of(store, item) == State.UNCERTAIN


async def a_part_whose_tries_run_out_makes_its_item_dead(open_store: OpenStore) -> None:
    store, item = await _sending(open_store, NotDelivered("busy", 1.0, 1))
    stored = await store.inbox.get(item.id)
    assert stored is not None and (stored.state, stored.error, stored.answer) == (State.DEAD, "busy", "an answer")


async def a_delivered_part_leaves_its_item_done(open_store: OpenStore) -> None:
    store, item = await _sending(open_store, Delivered("r"))
    stored = await store.inbox.get(item.id)
    assert stored is not None and (stored.state, stored.updated_ms) == (State.DONE, NOW_MS)


async def a_retried_reply_is_sent_again_and_settles(open_store: OpenStore) -> None:
    store, item = await _sending(open_store, Unanswered())
    settled = await store.inbox.settle(item.id, inbox.Retry(), NOW_MS)
    assert (settled.item.state, settled.effects) == (State.DONE, (Effect.RESEND,))
    (send,) = await store.outbox.claim_sends("linq", NOW_MS, 5)
    assert (send.state, send.attempts) == (SendState.SENDING, 1)
    await store.outbox.settle_send(send.id, Delivered("r"), NOW_MS)
    assert await state_of(store, item) == State.DONE


async def an_item_is_settled_by_its_last_part(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1)
    await answered(store, item, a_send(1, item), a_send(2, item))
    for number in (1, 2):
        await _claim(store)
        await store.outbox.settle_send(item_id(number), Unanswered(), NOW_MS)
    for number, expected in ((1, State.UNCERTAIN), (2, State.DONE)):
        await store.outbox.settle_send(item_id(number), delivery.Resend(), NOW_MS)
        assert [number] == await _claim(store)
        await store.outbox.settle_send(item_id(number), Delivered(), NOW_MS)
        assert expected == await state_of(store, item)


async def a_resent_part_waits_for_the_one_being_sent(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1)
    await answered(store, item, *(a_send(number, item) for number in (1, 2, 3)))
    await _claim(store)
    await store.outbox.settle_send(item_id(1), Unanswered(), NOW_MS)
    assert await _claim(store) == [2]
    await store.outbox.settle_send(item_id(1), delivery.Resend(), NOW_MS)
    assert await _claim(store) == []
    await store.outbox.settle_send(item_id(2), Delivered(), NOW_MS)
    assert await _claim(store) == [1]


async def dropping_an_item_gives_up_what_is_pending(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1)
    await answered(store, item, a_send(1, item), a_send(2, item))
    await _claim(store)
    await store.outbox.settle_send(item_id(1), Unanswered(), NOW_MS)
    await store.inbox.settle(item.id, inbox.Drop(), NOW_MS)
    assert [send.state for send in await store.outbox.sends_of(item.id)] == [SendState.UNCERTAIN, SendState.DEAD]
    assert await state_of(store, item) == State.DROPPED
    await store.inbox.settle(item.id, inbox.Retry(), NOW_MS)
    assert await _claim(store) == [1]


async def a_part_settled_after_its_item_was_dropped_changes_only_itself(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1)
    await answered(store, item, a_send(1, item), a_send(2, item, target="+492"))
    assert await _claim(store) == [1, 2]
    await store.outbox.settle_send(item_id(1), Unanswered(), NOW_MS)
    await store.inbox.settle(item.id, inbox.Drop(), NOW_MS)
    settled = await store.outbox.settle_send(item_id(2), Rejected("refused"), NOW_MS)
    assert (settled.state, await state_of(store, item)) == (SendState.DEAD, State.DROPPED)


async def what_becomes_of_an_apology_does_not_change_the_outcome(open_store: OpenStore) -> None:
    for event in (Unanswered(), Rejected("refused"), Delivered()):
        store = await open_store()
        item = await run(store, an_item(1))
        dead = (await store.inbox.settle(item.id, failed(), NOW_MS, [a_send(1, item)])).item
        await _claim(store)
        await store.outbox.settle_send(item_id(1), event, NOW_MS)
        assert dead == await store.inbox.get(item.id)


async def a_retried_item_takes_its_undelivered_apology_back(open_store: OpenStore) -> None:
    store = await open_store()
    item = await run(store, an_item(1))
    await store.inbox.settle(item.id, failed(), NOW_MS, [a_send(1, item), a_send(2, item)])
    await _claim(store)
    await store.outbox.settle_send(item_id(1), Delivered("r"), NOW_MS)
    await store.inbox.settle(item.id, inbox.Retry(), NOW_MS)
    assert await _claim(store) == []
    await store.inbox.claim(OWNER, NOW_MS, 1)
    await store.inbox.settle(item.id, completed(), NOW_MS, [a_send(3, item)])
    assert [item_id(1), item_id(3)] == [send.id for send in await store.outbox.sends_of(item.id)]
    assert await _claim(store) == [3]


async def recovery_settles_what_was_being_sent(open_store: OpenStore) -> None:
    store = await open_store()
    careful, careless, waiting = an_item(1), an_item(2), an_item(3)
    await answered(store, careful, a_send(10, careful))
    await answered(store, careless, a_send(20, careless, channel="wati"))
    await answered(store, waiting, a_send(30, waiting))
    assert [*await _claim(store), *await _claim(store, channel="wati")] == [10, 20]
    assert await store.outbox.recover_sends(frozenset({"wati"}), NOW_MS) == 2
    assert await store.outbox.recover_sends(frozenset({"wati"}), NOW_MS) == 0
    assert [await state_of(store, item) for item in (careful, careless, waiting)] == [State.UNCERTAIN, State.DONE, State.DONE]
    assert [*await _claim(store), *await _claim(store, channel="wati")] == [30, 20]


async def stored_parts_come_back_as_they_were(open_store: OpenStore) -> None:
    store = await open_store()
    item = an_item(1)
    send = msgspec.structs.replace(a_send(1, item, part=7), text="Grüße 🙂", due_ms=NOW_MS + 1, error="busy", receipt="r", attempts=2, updated_ms=3)
    await answered(store, item, send)
    assert (send,) == await store.outbox.sends_of(item.id)


async def _sending(open_store: OpenStore, event: delivery.Event) -> tuple[Store, Item]:
    store = await open_store()
    item = an_item(1)
    await answered(store, item, a_send(1, item))
    assert await _claim(store) == [1]
    await store.outbox.settle_send(item_id(1), event, NOW_MS)
    return store, item


async def _claim(store: Store, channel: str = "linq", now_ms: int = NOW_MS, limit: int = 10) -> list[int]:
    return [int(send.id, 16) & 0xFF for send in await store.outbox.claim_sends(channel, now_ms, limit)]
