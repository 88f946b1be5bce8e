"""Replies on their way to channels (design §1: pending → sending → sent | uncertain)."""

from __future__ import annotations

from road import agent_of, gate, item, now, stop
from twisted.internet.defer import Deferred

from clawgate.domain.delivery import Send
from clawgate.domain.errors import AgentAuth, SendRefused, SendUnavailable, SendUncertain
from clawgate.domain.inbox import State
from clawgate.domain.messages import Inbound, ReplyTo
from clawgate.services.delivery import APOLOGY
from clawgate.testing.channels import RecordingChannel
from clawgate.testing.gateway import MemoryGateway


def arrive(road: MemoryGateway, text: str = "hi", *, target: str = "t", channel: str = "recording") -> str:
    """A message of a channel is accepted; the item's id."""
    reply = ReplyTo(channel, target)
    message = Inbound(source=channel, principal=f"channel:{channel}", text=text, conversation=f"{channel}:{target}", reply=reply)
    accepting = Deferred.fromCoroutine(road.gateway.ingress.accept(message))
    road.pump()
    return now(accepting).item.id


def parts(road: MemoryGateway, item_id: str) -> list[tuple[str, str]]:
    sends: tuple[Send, ...] = now(road.store.outbox.sends_of(item_id))
    return [(send.text, send.state) for send in sends]


def sent(channel: RecordingChannel) -> list[tuple[str, str]]:
    return [(one.target, one.text) for one in channel.sent]


def test_an_answer_goes_to_where_the_message_came_from() -> None:
    channel = RecordingChannel()
    road = gate(["hello"], channels={"recording": channel})
    told = arrive(road, target="alice")
    assert (sent(channel), item(road, told).state) == ([("alice", "hello")], State.DONE)


def test_a_part_that_waits_says_since_when() -> None:
    channel = RecordingChannel()
    channel.holds = True
    road = gate(["hello"], channels={"recording": channel})
    arrive(road, target="alice")
    waits = arrive(road, target="alice")
    sends: tuple[Send, ...] = now(road.store.outbox.sends_of(waits))
    assert [(send.state, send.updated_ms) for send in sends] == [("pending", road.clock.wall_ms())]


def test_a_long_answer_goes_out_in_order() -> None:
    channel = RecordingChannel(cap_chars=2)
    road = gate(["abcdef"], channels={"recording": channel})
    arrive(road)
    assert [text for _, text in sent(channel)] == ["ab", "cd", "ef"]


def test_the_key_of_a_send_is_its_own_at_every_try() -> None:
    channel = RecordingChannel()
    channel.holds = True
    road = gate(channels={"recording": channel})
    arrive(road)
    channel.waiting.pop().errback(SendUnavailable())
    road.clock.advance(10)
    assert len({one.idempotency_key for one in channel.sent}) == 1 < len(channel.sent)


def test_one_target_is_served_in_order_one_at_a_time() -> None:
    channel = RecordingChannel()
    channel.holds = True
    road = gate(lambda prompt: f"re {prompt.lines[-1].text}", channels={"recording": channel})
    for number in range(3):
        arrive(road, str(number))
    assert sent(channel) == [("t", "re 0")]
    for _ in range(3):
        channel.waiting.pop(0).callback("")
        road.pump()
    assert [text for _, text in sent(channel)] == ["re 0", "re 1", "re 2"]


def test_a_target_that_hangs_does_not_hold_up_another() -> None:
    channel = RecordingChannel()
    channel.holds = True
    road = gate(channels={"recording": channel})
    for name in ("a", "b", "c"):
        arrive(road, target=name)
    assert [target for target, _ in sent(channel)] == ["a", "b", "c"]


def test_a_target_that_hangs_does_not_delay_the_retry_of_another() -> None:
    channel = RecordingChannel()
    channel.holds = True
    road = gate(channels={"recording": channel})
    arrive(road, target="hangs")
    arrive(road, target="fails")
    channel.waiting.pop().errback(SendUnavailable())
    road.clock.advance(3)
    assert [target for target, _ in sent(channel)] == ["hangs", "fails", "fails"]


def test_one_channel_down_does_not_hold_up_another() -> None:
    down, well = RecordingChannel("down"), RecordingChannel("well")
    down.holds = True
    road = gate(channels={"down": down, "well": well})
    for number in range(20):
        arrive(road, channel="down", target=str(number))
    arrive(road, channel="well")
    assert len(down.sent) == 8
    assert len(well.sent) == 1


def test_an_unreachable_platform_is_tried_again_with_backoff_and_then_given_up() -> None:
    channel = RecordingChannel()
    channel.failures = [SendUnavailable() for _ in range(3)]
    road = gate(channels={"recording": channel}, sends=3)
    told = arrive(road)
    assert parts(road, told) == [("ok", "pending")]
    road.clock.advance(0.9)
    assert len(channel.failures) == 2
    road.clock.advance(60)
    assert (channel.failures, parts(road, told), item(road, told).state) == ([], [("ok", "dead")], State.DEAD)


def test_a_platform_that_is_down_for_an_hour_loses_no_reply_however_few_the_turns() -> None:
    channel = RecordingChannel()
    channel.failures = [SendUnavailable() for _ in range(100)]
    road = gate(channels={"recording": channel}, attempts=1)
    told = arrive(road)
    for _ in range(60):
        road.clock.advance(60)
    assert (parts(road, told), 5 < 100 - len(channel.failures) < 20) == ([("ok", "pending")], True)
    channel.failures.clear()
    road.clock.advance(900)  # the longest wait
    assert (parts(road, told), item(road, told).state) == ([("ok", "sent")], State.DONE)


def test_the_platforms_retry_after_is_honoured() -> None:
    channel = RecordingChannel()
    channel.failures = [SendUnavailable(retry_after_seconds=100.0)]
    road = gate(channels={"recording": channel})
    arrive(road)
    road.clock.advance(99)
    assert channel.sent == []
    road.clock.advance(2)
    assert len(channel.sent) == 1


def test_a_refused_reply_is_dead_and_the_next_one_goes_out() -> None:
    channel = RecordingChannel()
    channel.failures = [SendRefused()]
    road = gate(channels={"recording": channel})
    refused, following = arrive(road), arrive(road)
    assert [item(road, told).state for told in (refused, following)] == [State.DEAD, State.DONE]


def test_a_send_without_an_answer_is_uncertain_until_a_person_decides() -> None:
    channel = RecordingChannel()
    channel.failures = [SendUncertain()]
    road = gate(channels={"recording": channel})
    told = arrive(road)
    assert (item(road, told).state, channel.sent) == (State.UNCERTAIN, [])
    road.client.post(f"/api/inbox/{told}/retry", peer="operator")
    road.pump()
    assert (item(road, told).state, sent(channel), agent_of(road).calls) == (State.DONE, [("t", "ok")], 1)


def test_a_channel_that_takes_a_key_is_asked_again_after_no_answer() -> None:
    channel = RecordingChannel(retry_safe=True)
    channel.failures = [SendUncertain()]
    road = gate(channels={"recording": channel})
    told = arrive(road)
    road.clock.advance(5)
    assert (item(road, told).state, len(channel.sent)) == (State.DONE, 1)


def test_the_sender_of_a_dead_letter_is_told() -> None:
    channel = RecordingChannel()
    road = gate([AgentAuth()], channels={"recording": channel})
    arrive(road)
    assert sent(channel) == [("t", APOLOGY)]


def test_the_record_is_tried_again_and_never_the_send() -> None:
    channel = RecordingChannel()
    channel.holds = True
    road = gate(channels={"recording": channel})
    told = arrive(road)
    road.store.break_writes("disk full")
    channel.waiting.pop().callback("receipt")
    road.clock.advance(10)
    road.store.break_writes("")
    road.clock.advance(1)
    assert (parts(road, told), len(channel.sent)) == ([("ok", "sent")], 1)


def test_what_was_being_sent_at_a_kill_is_uncertain() -> None:
    channel = RecordingChannel()
    channel.holds = True
    road = gate(channels={"recording": channel})
    told = arrive(road)
    channel.holds = False
    after = road.restart(kill=True)
    assert (parts(after, told), item(after, told).state, len(channel.sent)) == ([("ok", "uncertain")], State.UNCERTAIN, 1)


def test_what_was_being_sent_at_a_kill_is_sent_again_where_that_is_harmless() -> None:
    channel = RecordingChannel(retry_safe=True)
    channel.holds = True
    road = gate(channels={"recording": channel})
    told = arrive(road)
    channel.holds = False
    after = road.restart(kill=True)
    after.clock.advance(5)
    assert (parts(after, told), len(channel.sent)) == ([("ok", "sent")], 2)


def test_what_was_queued_at_a_kill_is_sent() -> None:
    channel = RecordingChannel()
    channel.failures = [SendUnavailable()]
    road = gate(channels={"recording": channel})
    told = arrive(road)
    after = road.restart(kill=True)
    after.clock.advance(10)
    assert parts(after, told) == [("ok", "sent")]


def test_stopping_waits_for_a_send_and_then_no_longer() -> None:
    channel = RecordingChannel()
    channel.holds = True
    road = gate(channels={"recording": channel})
    arrive(road)
    stop(road)
    assert [call for call in road.clock.reactor.getDelayedCalls() if call.active()] == []
    assert channel.stopped


def test_stopping_while_the_store_refuses_the_record_ends() -> None:
    channel = RecordingChannel()
    channel.holds = True
    road = gate(channels={"recording": channel})
    arrive(road)
    road.store.break_writes("disk full")
    channel.waiting.pop().callback("receipt")
    stop(road)
    road.clock.advance(60)
    assert [call for call in road.clock.reactor.getDelayedCalls() if call.active()] == []


def test_the_outbox_goes_on_when_the_store_is_well_again() -> None:
    channel = RecordingChannel()
    channel.failures = [SendUnavailable()]
    road = gate(channels={"recording": channel})
    arrive(road)
    road.store.break_writes("disk full")
    road.clock.advance(20)
    assert channel.sent == []
    road.store.break_writes("")
    road.clock.advance(2)
    assert len(channel.sent) == 1


def test_a_channel_that_breaks_its_port_makes_its_reply_uncertain() -> None:
    class Broken(RecordingChannel):
        def send(self, target: str, text: str, idempotency_key: str) -> Deferred[str]:
            raise RuntimeError("broken")

    road = gate(channels={"recording": Broken()})
    assert item(road, arrive(road)).state is State.UNCERTAIN


def test_a_thousand_queued_replies_go_out() -> None:
    channel = RecordingChannel()
    channel.failures = [SendUnavailable()]
    road = gate(channels={"recording": channel})
    for number in range(300):
        arrive(road, str(number))
    road.clock.advance(10)
    assert len(channel.sent) == 300
