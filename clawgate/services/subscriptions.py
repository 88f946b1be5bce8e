"""Events for subscribers: put into line, sent, tried again. Ring: services. Source: domain/subscriptions.py; Standard Webhooks spec.

    outcomes of messages   are put into line by the store, in the commit that makes them outcomes
    events of the bus      are put into line here, as they are published: a process that is killed in the milliseconds between loses them

Each subscriber has one send at a time, in the order of its line; subscribers do not wait for each other, up to `AT_ONCE`. A process that ends between a send
and its record sends again with the same id: at least once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain.errors import NoSecret, NotFound, StoreUnavailable
from clawgate.domain.events import RULES, BusEvent
from clawgate.domain.settings.model import SubscriptionSettings
from clawgate.domain.settings.subscriptions import wishes
from clawgate.domain.signing.outgoing import signature, signing_keys
from clawgate.domain.subscription_payload import payload
from clawgate.domain.subscriptions import (
    Answered,
    Attempt,
    Condition,
    Delivery,
    Effect,
    Event,
    Line,
    Unreached,
    kinds_of,
)
from clawgate.ports.clock import Clock, Entropy
from clawgate.ports.events import Meter
from clawgate.ports.subscriptions import Moved, Outgoing, Poster, SubscriptionRows
from clawgate.services.events import Events
from clawgate.services.writing import written

_log = Logger()
AT_ONCE = 16
_RETRY_SECONDS = 1.0
_TOLD = {
    Effect.PAUSED: "subscription_paused",
    Effect.STOPPED: "subscription_stopped",
    Effect.RESUMED: "subscription_resumed",
}


class Subscriptions(msgspec.Struct, eq=False):
    """What `[subscriptions.*]` says, at work."""

    rows: SubscriptionRows
    poster: Poster
    clock: Clock
    entropy: Entropy
    events: Events
    meter: Meter
    configured: Callable[[], Mapping[str, SubscriptionSettings]]
    agent: str = "clawgate"
    _sending: dict[str, Deferred[None]] = {}
    _missed: dict[str, int] = {}
    _end_watch: Callable[[], None] | None = None
    _following: Deferred[None] | None = None
    _looking: Deferred[None] | None = None
    _is_wanted: bool = False
    _call: IDelayedCall | None = None
    _timer: IDelayedCall | None = None
    _is_running: bool = False

    async def start(self) -> None:
        """What happens from now on is put into line; what waits there is sent."""
        self._is_running = True
        await self.rows.configure(wishes(self.configured()))
        self._watch()
        self.rows.told = self.wake
        self.wake()

    async def stop(self, seconds: float) -> None:
        """Sends nothing more, and waits for what is under way; what then has no record is sent again at the next start."""
        self._is_running = False
        if self._end_watch is not None:
            self._end_watch()
        for call in (self._call, self._timer):
            if call is not None and call.active():
                call.cancel()
        deadline = self.clock.monotonic() + seconds
        while self._sending and self.clock.monotonic() < deadline:
            await self.clock.sleep(0.05)
        for work in (*self._sending.values(), *filter(None, (self._looking, self._following))):
            work.cancel()

    def follow(self) -> None:
        """Takes up the subscriptions as they are configured now."""
        if self._is_running:
            self._watch()
            if self._following is not None:
                self._following.cancel()
            following = self._following = Deferred.fromCoroutine(self._configure())
            following.addErrback(_only_cancelled, "the subscriptions could not be taken up")

    async def _configure(self) -> None:
        await written(lambda: self.rows.configure(wishes(self.configured())), self.clock)
        self.wake()

    async def settle(self, name: str, event: Event) -> None:
        """Somebody's decision takes effect. Raises NotFound, Conflict."""
        self._tell(await self._settle(name, event))
        self.wake()

    # --- into line

    def _watch(self) -> None:
        if self._end_watch is not None:
            self._end_watch()
        asked = [kinds_of(own.events) for own in self.configured().values() if own.enabled]
        self._end_watch = self.events.watch_kinds(frozenset().union(*asked) & RULES.keys(), self._happened)

    def _happened(self, event: BusEvent) -> None:
        data = msgspec.json.encode(event.data).decode()
        self.rows.publish(event.kind, event.at_ms, data).addErrback(self._lost, event.kind)

    def _lost(self, failure: Failure, kind: str) -> None:
        self.meter.count("subscription_missed_total")
        _log.error("subscribers missed a {kind}: {problem}", kind=kind, problem=failure.getErrorMessage())

    # --- out of it

    def wake(self) -> None:
        """There may be something to send."""
        self._is_wanted = True
        if self._is_running and self._call is None and self._looking is None:
            self._call = self.clock.call_later(0, self._look)

    def _look(self) -> None:
        self._call, self._is_wanted = None, False
        looking = self._looking = Deferred.fromCoroutine(self._send_what_is_due(frozenset(self._sending)))
        looking.addErrback(self._look_failed).addBoth(self._looked)

    def _look_failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError, StoreUnavailable):
            _log.failure("the lines of subscribers could not be read", failure)
        self._wake_in(_RETRY_SECONDS)

    def _looked(self, _: object) -> None:
        self._looking = None
        if self._is_wanted:
            self.wake()

    def _wake_in(self, seconds: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._is_running:
            self._timer = self.clock.call_later(max(seconds, 0.01), self.wake)

    async def _send_what_is_due(self, were_sending: frozenset[str]) -> None:
        """Begins what may be sent.

        Args:
            were_sending: when the lines were asked for; what was read of these may be older than what came of their sends.
        """
        lines = await self.rows.lines()
        self._measure(lines)
        configured, now_ms = self.configured(), self.clock.wall_ms()
        waits: list[int] = []
        for line in sorted(lines, key=_last_tried):
            subscriber, own = line.subscriber, configured.get(line.subscriber.name)
            is_idle = subscriber.name not in were_sending and subscriber.name not in self._sending
            if own is None or not own.enabled or line.head is None or subscriber.condition is not Condition.ACTIVE or not is_idle:
                continue
            if subscriber.due_ms > now_ms:
                waits.append(subscriber.due_ms - now_ms)
            elif self._is_running and len(self._sending) < AT_ONCE:
                self._begin(subscriber.name, own, line.head)
        if waits:
            self._wake_in(min(waits) / 1000)

    def _measure(self, lines: Iterable[Line]) -> None:
        depth = 0
        for subscriber in (line.subscriber for line in lines):
            depth += subscriber.depth
            more = subscriber.missed - self._missed.get(subscriber.name, subscriber.missed)
            self._missed[subscriber.name] = subscriber.missed
            if more > 0:
                self.meter.count("subscription_missed_total", by=more)
                _log.error("the line of subscription {name} is full: it missed {more} events", name=subscriber.name, more=more)
        self.meter.gauge("subscription_queue_depth", depth)

    def _begin(self, name: str, own: SubscriptionSettings, head: Delivery) -> None:
        work = Deferred.fromCoroutine(self._deliver(name, own, head))
        if not work.called:
            self._sending[name] = work
        work.addErrback(_only_cancelled, "a delivery was not recorded").addBoth(self._delivered, name)

    def _delivered(self, _: object, name: str) -> None:
        self._sending.pop(name, None)
        self.wake()

    async def _deliver(self, name: str, own: SubscriptionSettings, head: Delivery) -> None:
        """One attempt and its record; the record is tried again while the store refuses, the send is not."""
        began, at_ms = self.clock.monotonic(), self.clock.wall_ms()
        event = await self._attempt(own, head, at_ms)
        status, error = (event.status, "") if isinstance(event, Answered) else (None, event.error)
        duration_ms = round((self.clock.monotonic() - began) * 1000)
        attempt = Attempt(id=head.id, kind=head.kind, at_ms=at_ms, duration_ms=duration_ms, status=status, error=error)
        try:
            moved = await self._recorded(name, event, attempt)
        except NotFound:
            return
        self.meter.count("subscription_deliveries_total", _outcome(moved))
        self._tell(moved)

    def _settle(self, name: str, event: Event, attempt: Attempt | None = None) -> Deferred[Moved]:
        return self.rows.settle(name, event, self.clock.wall_ms(), attempt)

    async def _recorded(self, name: str, event: Answered | Unreached, attempt: Attempt) -> Moved:
        """What came of an attempt, on record: without that, the head would be sent again at once, and again. Raises NotFound."""
        while True:
            try:
                return await written(partial(self._settle, name, event, attempt), self.clock)
            except (CancelledError, NotFound):
                raise
            except Exception:
                _log.failure("what came of a delivery to subscription {name} cannot be recorded", name=name)
                event = Unreached("internal_error", event.jitter)
                attempt = msgspec.structs.replace(attempt, status=None, error=event.error)
                await self.clock.sleep(_RETRY_SECONDS)

    async def _attempt(self, own: SubscriptionSettings, head: Delivery, at_ms: int) -> Answered | Unreached:
        try:
            outgoing = self._outgoing(own, head, at_ms // 1000)
            event = await self.poster.post(outgoing)
        except CancelledError:
            raise
        except NoSecret as problem:
            _log.error("nothing is sent to subscription {name}: {problem}", name=head.subscription, problem=str(problem))
            event = Unreached("no_secret")
        except Exception:
            _log.failure("a delivery to subscription {name} broke", name=head.subscription)
            event = Unreached("internal_error")
        return msgspec.structs.replace(event, jitter=self.entropy.jitter())

    def _outgoing(self, own: SubscriptionSettings, head: Delivery, timestamp: int) -> Outgoing:
        body = payload(head)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": self.agent,
            "webhook-id": head.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(signing_keys(own.secret), head.id, timestamp, body),
        }
        return Outgoing(url=own.url.reveal(), headers=headers, body=body, timeout_seconds=own.timeout_secs, allow_private=own.allow_private)

    def _tell(self, moved: Moved) -> None:
        subscriber = moved.subscriber
        for effect in moved.effects:
            kind = _TOLD.get(effect)
            if kind is not None:
                log = _log.info if effect is Effect.RESUMED else _log.warn
                log("{kind}: {name} ({reason} {error})", kind=kind, name=subscriber.name, reason=subscriber.reason, error=subscriber.last_error)
                self.events.publish(kind, {"name": subscriber.name, "reason": subscriber.reason, "queued": subscriber.depth})


def _last_tried(line: Line) -> int:
    return line.subscriber.last_attempt_ms


def _outcome(moved: Moved) -> str:
    if Effect.NEXT in moved.effects:
        return "delivered"
    return "gone" if Effect.STOPPED in moved.effects else "failed"


def _only_cancelled(failure: Failure, what: str) -> None:
    if not failure.check(CancelledError):
        _log.failure("{what}", failure, what=what)
