"""Which accepted items run, and when. Ring: services. Source: design §1 ("dispatch yields to intake").

    slots           at most `slots` turns at once; the backlog on disk gets at most three quarters of them, so that somebody who waits never stands behind
                    ten thousand who do not
    one start       per reactor turn: between two starts everything that has arrived is read and accepted
    the backlog     is claimed from the store in small pages; what is in memory is what runs

An item leaves its slot only when its outcome is committed. While the store refuses, the slot stays taken: that is the back-pressure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain.delivery import Send
from clawgate.domain.errors import AgentUnavailable, Conflict, Draining, GatewayError, NotFound, StoreUnavailable
from clawgate.domain.inbox import Completed, Effect, Event, Item, OwnerLost
from clawgate.ports.clock import Clock
from clawgate.ports.events import Meter
from clawgate.ports.stores import Accepted, Inbox, Settled
from clawgate.services.turns import Turns
from clawgate.services.waiters import Waiters

_log = Logger()
_STORE_RETRY_SECONDS = 1.0
_PAGE = 32
_DRAIN_POLL_SECONDS = 0.05


@define
class Dispatch:
    """Starts turns, commits their outcomes, tells who waits.

    Attributes:
        owner: the boot id; items running under another one belong to a process that is gone.
        replies: makes the parts of the reply for an event that ends an item.
        replied: called with a channel's name when parts for it were committed.
    """

    inbox: Inbox
    turns: Turns
    waiters: Waiters
    clock: Clock
    meter: Meter
    owner: str
    slots: int
    replies: Callable[[Item, Event], Sequence[Send]]
    replied: Callable[[str], None]
    _running: dict[str, Deferred[None]] = field(factory=dict, init=False)
    _from_backlog: set[str] = field(factory=set, init=False)
    _claimed: deque[Item] = field(factory=deque, init=False)
    _reserved: int = field(default=0, init=False)
    _pending: bool = field(default=False, init=False)
    _claiming: bool = field(default=False, init=False)
    _paused: bool = field(default=True, init=False)
    _pump_call: IDelayedCall | None = field(default=None, init=False)
    _due_call: IDelayedCall | None = field(default=None, init=False)

    # --- the backlog

    def start(self) -> None:
        """Begins to work off the backlog."""
        self._paused = False
        self.wake()

    def wake(self) -> None:
        """Something may be startable."""
        self._pending = True
        self._schedule()

    def _schedule(self) -> None:
        if self._pump_call is None and not self._paused:
            self._pump_call = self.clock.call_later(0, self._pump)

    def _pump(self) -> None:
        self._pump_call = None
        if self._paused:
            return
        if self._claimed:
            item = self._claimed.popleft()
            self._from_backlog.add(item.id)
            self._begin(item)
            self._schedule()
        elif self._pending and not self._claiming and (room := self._room()) > 0:
            self._pending, self._claiming = False, True
            Deferred.fromCoroutine(self._claim(room)).addErrback(self._claim_failed)

    def _room(self) -> int:
        backlog_slots = max(1, self.slots * 3 // 4)
        return min(backlog_slots - len(self._from_backlog), self.slots - len(self._running) - self._reserved, _PAGE)

    async def _claim(self, limit: int) -> None:
        items = await self.inbox.claim(self.owner, self.clock.wall_ms(), limit)
        self._claiming = False
        self._claimed.extend(items)
        if len(items) == limit:
            self._pending = True
        else:
            await self._arm_due()
        self._schedule()

    def _claim_failed(self, failure: Failure) -> None:
        self._claiming = False
        if not failure.check(StoreUnavailable):
            _log.failure("the backlog could not be claimed", failure)
        self.clock.call_later(_STORE_RETRY_SECONDS, self.wake)

    async def _arm_due(self) -> None:
        due_ms = await self.inbox.next_due_ms()
        if self._due_call is not None and self._due_call.active():
            self._due_call.cancel()
        if due_ms is not None and not self._paused:
            self._due_call = self.clock.call_later(max(0.0, (due_ms - self.clock.wall_ms()) / 1000), self.wake)

    # --- one item

    def reserve(self) -> bool:
        """Takes a slot for an item that is about to be accepted as running; `run` or `release` gives it back."""
        if self._paused or len(self._running) + len(self._claimed) + self._reserved >= self.slots:
            return False
        self._reserved += 1
        return True

    def release(self) -> None:
        """Gives a reserved slot back unused."""
        self._reserved -= 1
        self._schedule()

    def run(self, item: Item, accepted: Deferred[Accepted] | None = None) -> None:
        """Starts an item on a reserved slot.

        Args:
            accepted: the commit of the accept that is still under way beside the turn; if it fails, so do the turn and its caller.
        """
        self._reserved -= 1
        self._begin(item)
        if accepted is not None:
            accepted.addErrback(self._not_accepted, item.id)

    def cancel(self, item_id: str) -> None:
        """Ends the turn of an item whose record says already that it will not finish."""
        turn = self._running.get(item_id)
        if turn is not None:
            turn.cancel()

    def _not_accepted(self, failure: Failure, item_id: str) -> None:
        error = failure.value if isinstance(failure.value, GatewayError) else StoreUnavailable(detail=str(failure.value))
        self.waiters.fail(item_id, error)
        self.cancel(item_id)

    def _begin(self, item: Item) -> None:
        turn = Deferred.fromCoroutine(self._carry(item))
        self._running[item.id] = turn
        self.meter.gauge("turns_running", len(self._running))
        turn.addErrback(self._broke, item)
        turn.addBoth(self._ended, item.id)

    def _ended(self, _: None, item_id: str) -> None:
        self._running.pop(item_id, None)
        self._from_backlog.discard(item_id)
        self.meter.gauge("turns_running", len(self._running))
        self._schedule()

    def _broke(self, failure: Failure, item: Item) -> None:
        if not failure.check(CancelledError):
            _log.failure("item {item} was not carried to its end", failure, item=item.id)
            self.waiters.fail(item.id, StoreUnavailable(detail=str(failure.value)))

    async def _carry(self, item: Item) -> None:
        try:
            event: Event = await self.turns.run(item)
        except StoreUnavailable as problem:
            event = self.turns.failed(item, AgentUnavailable("the history could not be read", detail=problem.detail))
        await self._commit(item, event)

    async def _commit(self, item: Item, event: Event) -> None:
        while True:
            try:
                settled = await self._settle(item, event)
            except StoreUnavailable as problem:
                self.waiters.fail(item.id, problem)
                await self.clock.sleep(_STORE_RETRY_SECONDS)
            except (Conflict, NotFound) as problem:
                _log.info("the outcome of {item} came too late: {problem}", item=item.id, problem=str(problem))
                return
            else:
                self.perform(settled)
                return

    def _settle(self, item: Item, event: Event) -> Deferred[Settled]:
        now_ms = self.clock.wall_ms()
        if isinstance(event, Completed) and item.reply is None and item.conversation is None:
            return self.inbox.complete(item, event, now_ms)
        return self.inbox.settle(item.id, event, now_ms, self.replies(item, event))

    def perform(self, settled: Settled) -> None:
        """Does what follows from a committed transition, whoever made it."""
        item, effects = settled.item, settled.effects
        self.meter.count("inbox_items_total", item.state)
        if Effect.CANCEL_TURN in effects:
            self.cancel(item.id)
        if Effect.ANSWER in effects:
            self.waiters.answer(item)
        if item.reply is not None:
            self.replied(item.reply.channel)
        if item.is_open or (Effect.NEXT_IN_LINE in effects and item.conversation is not None):
            self.wake()

    # --- the end

    async def drain(self, seconds: float) -> None:
        """Starts nothing more, lets turns finish for `seconds`, then parks the rest: what must finish is received again at the next start."""
        self._paused = True
        for call in (self._pump_call, self._due_call):
            if call is not None and call.active():
                call.cancel()
        await self._wait_for_turns(seconds)
        left = [*self._running, *(item.id for item in self._claimed)]
        for item_id in left:
            self.cancel(item_id)
            try:
                await self.inbox.settle(item_id, OwnerLost(), self.clock.wall_ms())
            except GatewayError as problem:
                _log.info("item {item} is left to recovery: {problem}", item=item_id, problem=str(problem))
        self.waiters.fail_all(Draining("the gateway is stopping"))
        if left:
            _log.info("{count} turns parked", count=len(left))

    async def _wait_for_turns(self, seconds: float) -> None:
        deadline = self.clock.monotonic() + seconds
        while self._running and self.clock.monotonic() < deadline:
            await self.clock.sleep(_DRAIN_POLL_SECONDS)
