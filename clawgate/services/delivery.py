"""Replies on their way to channels. Ring: services. Source: design §1 (delivery); rantaiclaw.md §7.

Each channel has a pump of its own with a few sends at once, so one that is down never holds up another. Order holds within a target: the store hands
out only the head of each target's line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain import delivery, inbox
from clawgate.domain.delivery import Send, SendState
from clawgate.domain.errors import Conflict, NotFound, SendRefused, SendUnavailable, SendUncertain, StoreUnavailable
from clawgate.domain.inbox import Item, RetryPolicy
from clawgate.ports.channels import Channel
from clawgate.ports.clock import Clock, Entropy, Ids
from clawgate.ports.events import ComponentHealth, Meter
from clawgate.ports.stores import Outbox

_log = Logger()
_AT_ONCE = 8
_RETRY_SECONDS = 1.0
_LAST_SENDS_SECONDS = 30.0
APOLOGY = "Sorry, I couldn't process your message right now."
"""What a sender is told when the agent gave up; the contract's text."""


class Delivery(msgspec.Struct):
    """The outbox at work."""

    outbox: Outbox
    channels: Mapping[str, Channel]
    clock: Clock
    entropy: Entropy
    ids: Ids
    meter: Meter
    health: ComponentHealth
    retry: RetryPolicy
    _pumps: dict[str, _Pump] = {}
    _former: dict[str, Channel] = {}
    """Channels that were removed while running: replies of turns that end later are split as theirs and wait in the outbox."""
    _ending: list[_Pump] = []
    """Pumps of removed channels that still send."""
    _is_running: bool = False

    async def start(self) -> None:
        """Settles what a lost process was sending, then begins."""
        safe = frozenset(name for name, channel in self.channels.items() if channel.retry_safe)
        await self.outbox.recover_sends(safe, self.clock.wall_ms())
        self._is_running = True
        self.follow()

    def follow(self) -> None:
        """Takes up `channels` as they are now: a new one is served at once, a removed one's parts stay in the outbox until it is back."""
        if not self._is_running:
            return
        for name, pump in tuple(self._pumps.items()):
            channel = self.channels.get(name)
            if channel is None:
                self._former[name] = pump.channel
                self._ending.append(self._pumps.pop(name))
                pump.stop()
            else:
                pump.channel = channel
        for name, channel in self.channels.items():
            self._former.pop(name, None)
            if name not in self._pumps:
                self._pumps[name] = _Pump(self, channel)
            self._pumps[name].wake()

    async def ended(self, channel: Channel) -> None:
        """Waits until nothing is being sent through this channel any more, half a minute at most."""
        deadline = self.clock.monotonic() + _LAST_SENDS_SECONDS
        while any(pump.is_using(channel) for pump in self._all_pumps()) and self.clock.monotonic() < deadline:
            await self.clock.sleep(0.05)
        self._ending = [pump for pump in self._ending if pump.sending]

    def _all_pumps(self) -> tuple[_Pump, ...]:
        return (*self._pumps.values(), *self._ending)

    async def stop(self, seconds: float) -> None:
        """Starts no more sends and waits for those under way; what then is still sending becomes uncertain at the next start."""
        self._is_running = False
        for pump in self._all_pumps():
            pump.stop()
        deadline = self.clock.monotonic() + seconds
        while any(pump.sending for pump in self._all_pumps()) and self.clock.monotonic() < deadline:
            await self.clock.sleep(0.05)
        for pump in self._all_pumps():
            pump.give_up()

    def wake(self, channel: str) -> None:
        """There is something for this channel."""
        pump = self._pumps.get(channel)
        if pump is not None:
            pump.wake()

    def replies(self, item: Item, event: inbox.Event) -> Sequence[Send]:
        """The parts of the reply to an item that `event` ends: the answer, or the apology when the agent gave up."""
        if item.reply is None:
            return ()
        ended, _ = inbox.step(item, event, self.clock.wall_ms())
        if ended.is_open:
            return ()
        return self.parts(item, ended.answer if ended.answer is not None else APOLOGY)

    def parts(self, item: Item, text: str) -> Sequence[Send]:
        """The parts in which a text goes back to who wrote an item; none when its channel is unknown.

        Those of a channel that was removed while running wait in the outbox until it is back.
        """
        if item.reply is None:
            return ()
        channel = self.channels.get(item.reply.channel) or self._former.get(item.reply.channel)
        if channel is None:
            return ()
        name, target, now_ms = item.reply.channel, item.reply.target, self.clock.wall_ms()
        return [
            Send(id=self.ids.next_id(), item_id=item.id, channel=name, target=target, text=part, part=number, updated_ms=now_ms)
            for number, part in enumerate(channel.split(text), 1)
        ]

    async def deliver(self, channel: Channel, send: Send) -> None:
        """Hands one part over and records what came of it; retries the record, never the send, while the store refuses."""
        event = await self._attempt(channel, send)
        while True:
            try:
                settled = await self.outbox.settle_send(send.id, event, self.clock.wall_ms())
            except StoreUnavailable:
                await self.clock.sleep(_RETRY_SECONDS)
            except (Conflict, NotFound) as problem:
                _log.warn("send {send}: {problem}", send=send.id, problem=str(problem))
                return
            else:
                self._report(settled)
                return

    async def _attempt(self, channel: Channel, send: Send) -> delivery.Event:
        try:
            receipt = await channel.send(send.target, send.text, send.id)
        except CancelledError:
            raise
        except SendRefused as problem:
            _log.warn("{channel} refused a reply: {problem} {detail}", channel=channel.name, problem=str(problem), detail=problem.detail)
            return delivery.Rejected("refused")
        except SendUnavailable as problem:
            self.health.failed(f"channel:{channel.name}", str(problem))
            return delivery.NotDelivered("unavailable", self._delay(send, problem.retry_after_seconds), self.retry.max_attempts)
        except SendUncertain as problem:
            self.health.failed(f"channel:{channel.name}", str(problem))
            return delivery.Unanswered(channel.retry_safe, self._delay(send), self.retry.max_attempts)
        except Exception:
            _log.failure("channel {channel} broke its port", channel=channel.name)
            return delivery.Unanswered(False)
        self.health.ok(f"channel:{channel.name}")
        self.meter.count("channel_messages_total", channel.name, "outbound")
        return delivery.Delivered(receipt)

    def _delay(self, send: Send, asked_for: float | None = None) -> float:
        return self.retry.delay_seconds(max(send.attempts, 1), self.entropy.jitter(), asked_for)

    def _report(self, send: Send) -> None:
        self.meter.count("sends_total", send.channel, send.state)
        if send.state is SendState.UNCERTAIN:
            _log.warn(
                "reply {send} to {channel} may or may not have arrived; decide with `clawgate inbox retry {item}` or `drop`",
                send=send.id,
                channel=send.channel,
                item=send.item_id,
            )


class _Pump(msgspec.Struct, eq=False):
    """One channel's share of the outbox."""

    delivery: Delivery
    channel: Channel
    sending: int = 0
    _under_way: dict[Deferred[None], Channel] = {}
    _pending: bool = False
    _claiming: bool = False
    _stopped: bool = False
    _timer: IDelayedCall | None = None
    _pump_call: IDelayedCall | None = None

    def wake(self) -> None:
        self._pending = True
        if self._pump_call is None and not self._stopped:
            self._pump_call = self.delivery.clock.call_later(0, self._pump)

    def stop(self) -> None:
        self._stopped = True
        for call in (self._timer, self._pump_call):
            if call is not None and call.active():
                call.cancel()

    def is_using(self, channel: Channel) -> bool:
        """Whether something is being sent through it, or is about to be."""
        return channel in self._under_way.values() or (self._claiming and self.channel is channel)

    def give_up(self) -> None:
        """Waits for nothing more: a record that says "sending" is settled at the next start."""
        for send in tuple(self._under_way):
            send.cancel()

    def _pump(self) -> None:
        self._pump_call = None
        if self._pending and not self._claiming and not self._stopped and self.sending < _AT_ONCE:
            self._pending, self._claiming = False, True
            Deferred.fromCoroutine(self._claim(_AT_ONCE - self.sending)).addErrback(self._failed)

    async def _claim(self, limit: int) -> None:
        clock, outbox = self.delivery.clock, self.delivery.outbox
        sends = await outbox.claim_sends(self.channel.name, clock.wall_ms(), limit)
        self._claiming = False
        self.sending += len(sends)
        for send in sends:
            self._begin(send)
        if len(sends) == limit:
            self.wake()
        else:
            due_ms = await outbox.next_send_due_ms(self.channel.name)
            if due_ms is not None:
                self._again((due_ms - clock.wall_ms()) / 1000)

    def _begin(self, send: Send) -> None:
        work = Deferred.fromCoroutine(self.delivery.deliver(self.channel, send))
        self._under_way[work] = self.channel
        work.addErrback(self._broke).addBoth(self._done, work)

    def _done(self, _: object, work: Deferred[None]) -> None:
        self._under_way.pop(work, None)
        self.sending -= 1
        self.wake()

    def _broke(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("a send of {channel} was not recorded", failure, channel=self.channel.name)

    def _failed(self, failure: Failure) -> None:
        self._claiming = False
        if not failure.check(StoreUnavailable):
            _log.failure("the outbox of {channel} could not be read", failure, channel=self.channel.name)
        self._again(_RETRY_SECONDS)

    def _again(self, seconds: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if not self._stopped:
            self._timer = self.delivery.clock.call_later(max(seconds, 0.01), self.wake)
