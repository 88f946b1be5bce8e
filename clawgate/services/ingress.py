"""How a message is accepted, and how its caller gets the outcome. Ring: services. Source: design §1, §4.5, §4.6."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain import inbox
from clawgate.domain.delivery import Send
from clawgate.domain.errors import Conflict, Draining, NotFound, StoreUnavailable
from clawgate.domain.inbox import CallerLeft, Item, Promise, State
from clawgate.domain.messages import Inbound, MemoryEntry
from clawgate.ports.clock import Clock, Ids
from clawgate.ports.events import Meter
from clawgate.ports.stores import Accepted, FactKey, Inbox
from clawgate.services.deadlines import Expired, Watch, within
from clawgate.services.dispatch import Dispatch
from clawgate.services.shield import shielded
from clawgate.services.waiters import Waiters

_log = Logger()
_LANDING_SECONDS = 30.0
_PROMISE_SECONDS = 5.0
_T = TypeVar("_T")


class StoreHangs(StoreUnavailable):
    """The store has not said whether a commit happened."""


class Asked(msgspec.Struct, frozen=True):
    """What a waiting caller gets: the item, ended or (its wait being over) still open, and whether it is an earlier one under the same key."""

    item: Item
    is_duplicate: bool = False


class Ingress(msgspec.Struct, dict=True):
    """The one way into the inbox.

    Attributes:
        told: hears of each new message of a conversation, once, after its commit and before anything else can happen to it.
    """

    inbox: Inbox
    dispatch: Dispatch
    waiters: Waiters
    clock: Clock
    ids: Ids
    meter: Meter
    auto_save: bool
    told: Callable[[Item], None] = lambda item: None
    _closed: bool = False

    def __post_init__(self) -> None:
        self._commits = Watch(_LANDING_SECONDS, _hangs, self.clock)

    def close(self) -> None:
        """Takes nothing more: every later message is refused with `Draining`."""
        self._closed = True
        self._commits.close()

    async def accept(self, message: Inbound, *, spends: FactKey | None = None) -> Accepted:
        """Accepts a message whose sender is promised an outcome; fires after the commit. A sender that leaves before (cancellation) does not undo it.

        Args:
            spends: a fact that goes with the same commit.

        Raises:
            Conflict: the fact to be spent is gone.
            Draining, Overloaded, StoreUnavailable: nothing was accepted, or a store that hangs has not said so yet.
        """
        self._check_open()
        accepting = self.inbox.accept(self._new(message, promised=True), message.dedupe, self._memory(message), spends=spends)
        accepting.addCallback(self._woken)
        try:
            accepted = await self._commits.over(shielded(accepting))
        except (CancelledError, StoreHangs):
            accepting.addErrback(_nobody_waits)
            raise
        if not accepted.is_duplicate:
            return accepted
        self.meter.count("inbox_duplicates_total", message.source)
        return Accepted(await self._promised(accepted.item), True)

    async def answered(
        self, message: Inbound, answer: str, parts: Callable[[Item, str], Sequence[Send]], *, spends: FactKey | None = None
    ) -> Accepted:
        """Accepts a message together with its answer, which no agent is asked for: the reply's parts are in the outbox when this fires, and on their way.

        Args:
            parts: makes the parts of the reply to an item.

        Raises:
            As `accept`.
        """
        self._check_open()
        item = msgspec.structs.replace(self._new(message, promised=True), state=State.DONE, answer=answer, model="")
        storing = self.inbox.accept(item, message.dedupe, self._memory(message), sends=parts(item, answer), spends=spends)
        storing.addCallback(self._sent)
        try:
            accepted = await self._commits.over(shielded(storing))
        except (CancelledError, StoreHangs):
            storing.addErrback(_nobody_waits)
            raise
        if accepted.is_duplicate:
            self.meter.count("inbox_duplicates_total", message.source)
        return accepted

    def _woken(self, accepted: Accepted) -> Accepted:
        """Has it started also when its sender did not wait for the commit."""
        if not accepted.is_duplicate:
            self._tell(accepted.item)
            self.dispatch.wake()
        return accepted

    def _sent(self, accepted: Accepted) -> Accepted:
        """Has the reply go out also when its sender did not wait for the commit: a copy of the message would find it answered."""
        if not accepted.is_duplicate and accepted.item.reply is not None:
            self.dispatch.replied(accepted.item.reply.channel)
        return accepted

    def _tell(self, item: Item) -> None:
        if item.conversation is not None:
            self.told(item)

    async def ask(self, message: Inbound, wait_seconds: float, begun: Callable[[str], None] | None = None) -> Asked:
        """Accepts a message and waits for its outcome.

        A caller that goes away (cancellation) takes its item along unless a key points at it or a tool was called. A wait that runs out cuts nothing: the item
        is promised from then on.

        Args:
            begun: told the new item's id before anything happens to it.

        Raises:
            Draining, Overloaded, StoreUnavailable: no outcome was committed for this caller.
        """
        self._check_open()
        until = self.clock.monotonic() + wait_seconds
        item = self._new(message, promised=False)
        if begun is not None:
            begun(item.id)
        waiter = self.waiters.expect(item.id)
        accepting = self._accept_at_once(item, message) or Deferred.fromCoroutine(self._accept(item, message))
        try:
            accepted = await self._landed(accepting, wait_seconds)
            left_seconds = max(0.0, until - self.clock.monotonic())
            if accepted.is_duplicate:
                return await self._join(accepted.item, message.source, left_seconds)
            return Asked(await self._outcome(item, waiter, left_seconds))
        except (CancelledError, StoreHangs):
            accepting.addCallbacks(self._caller_left, lambda _: None)
            raise
        finally:
            self.dispatch.forget(item.id)
            self.waiters.forget(item.id, waiter)

    async def _landed(self, committing: Deferred[_T], wait_seconds: float) -> _T:
        """What became of a commit that is not interrupted. Raises StoreHangs when that takes longer than the caller waits."""
        if committing.called and not committing.paused:
            return await committing
        try:
            return await within(shielded(committing), wait_seconds, self.clock)
        except Expired:
            raise StoreHangs(detail=f"a commit took longer than {wait_seconds} s") from None

    def _accept_at_once(self, item: Item, message: Inbound) -> Deferred[Accepted] | None:
        """The hot path: nothing can recognise a copy and nothing stands before it, so its commit goes beside its turn (design §1)."""
        if message.dedupe is not None or message.conversation is not None or not self.dispatch.reserve():
            return None
        running, _ = inbox.step(item, inbox.Claimed(self.dispatch.owner), item.accepted_ms)
        self.dispatch.run(running, self.inbox.accept(running, None, self._memory(message)))
        return succeed(Accepted(running, False))

    async def _accept(self, item: Item, message: Inbound) -> Accepted:
        reserved = message.conversation is None and self.dispatch.reserve()
        if reserved:
            item, _ = inbox.step(item, inbox.Claimed(self.dispatch.owner), item.accepted_ms)
        try:
            accepted = await self.inbox.accept(item, message.dedupe, self._memory(message))
        except BaseException:
            if reserved:
                self.dispatch.release()
            raise
        if reserved and not accepted.is_duplicate:
            self.dispatch.run(item)
        elif reserved:
            self.dispatch.release()
        elif not accepted.is_duplicate:
            self._tell(item)
            self.dispatch.wake_for(item.id)
        return accepted

    async def _join(self, earlier: Item, source: str, wait_seconds: float) -> Asked:
        """Waits with whoever asked first under the same key."""
        self.meter.count("inbox_duplicates_total", source)
        waiter = self.waiters.expect(earlier.id)
        try:
            item = await self.inbox.get(earlier.id) or earlier
            return Asked(await self._outcome(item, waiter, wait_seconds) if item.is_open else item, True)
        finally:
            self.waiters.forget(earlier.id, waiter)

    async def _outcome(self, item: Item, waiter: Deferred[Item], wait_seconds: float) -> Item:
        """The ended item; when the wait runs out, the item as it is then, promised from now on."""
        started = self.clock.monotonic()
        try:
            ended = await within(waiter, wait_seconds, self.clock)
        except Expired:
            return await self._promised(item)
        self.meter.observe("request_latency_seconds", self.clock.monotonic() - started)
        return ended

    async def _promised(self, item: Item) -> Item:
        """The stored item, from now on promised; one that ended meanwhile is returned as it ended.

        Raises:
            StoreUnavailable: its accept, which went beside its turn, has failed: there is nothing to come back for.
        """
        promising = self.inbox.settle(item.id, Promise(), self.clock.wall_ms())
        try:
            return (await self._landed(promising, _PROMISE_SECONDS)).item
        except Conflict:
            return await self.inbox.get(item.id) or item
        except NotFound:
            if item.is_open:
                raise StoreUnavailable(detail=f"the accept of {item.id} was not committed") from None
            return item
        except (CancelledError, StoreHangs):
            promising.addErrback(_nobody_waits)
            raise

    def _caller_left(self, accepted: Accepted) -> None:
        if not accepted.is_duplicate:
            Deferred.fromCoroutine(self._abandon(accepted.item.id)).addErrback(
                lambda failure: _log.info("{item} was not abandoned: {problem}", item=accepted.item.id, problem=failure.getErrorMessage())
            )

    async def _abandon(self, item_id: str) -> None:
        settled = await self.inbox.settle(item_id, CallerLeft(), self.clock.wall_ms())
        if not settled.item.is_open:
            self.dispatch.perform(settled)

    def _check_open(self) -> None:
        if self._closed:
            raise Draining("the gateway is stopping")

    def _new(self, message: Inbound, *, promised: bool) -> Item:
        now_ms = self.clock.wall_ms()
        return Item(
            id=self.ids.next_id(),
            source=message.source,
            principal=message.principal,
            text=message.text,
            accepted_ms=now_ms,
            updated_ms=now_ms,
            conversation=message.conversation,
            reply=message.reply,
            promised=promised,
            keyed=message.dedupe is not None,
            options=message.options,
        )

    def _memory(self, message: Inbound) -> MemoryEntry | None:
        if not self.auto_save or message.memory_key is None:
            return None
        return MemoryEntry(
            key=message.memory_key,
            content=message.text,
            session=message.conversation,
            created_ms=self.clock.wall_ms(),
            principal=message.principal,
        )


def _nobody_waits(failure: Failure) -> None:
    _log.info("a commit failed, and nobody waits for it any more: {problem}", problem=failure.getErrorMessage())


def _hangs() -> StoreHangs:
    return StoreHangs(detail=f"a commit took longer than {_LANDING_SECONDS} s")
