"""Which accepted items run, and when. Ring: services. Source: design §1 ("dispatch yields to intake").

    slots           at most `slots` turns at once; the backlog on disk gets at most three quarters of them, so that somebody who waits never stands behind
                    ten thousand who do not
    who waits       is claimed before the backlog, and on any slot
    one start       per reactor turn: between two starts everything that has arrived is read and accepted
    the backlog     is claimed from the store in small pages; what is in memory is what runs

An item leaves its slot only when its outcome is committed. While the store refuses, the slot stays taken: that is the back-pressure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain.delivery import Send
from clawgate.domain.errors import AgentUnavailable, Conflict, Draining, GatewayError, NotFound, StoreUnavailable
from clawgate.domain.inbox import Completed, Effect, Event, Failed, Item, OwnerLost
from clawgate.ports.clock import Clock
from clawgate.ports.events import Meter
from clawgate.ports.stores import Accepted, Inbox, Settled
from clawgate.services.shield import shielded
from clawgate.services.turns import Turns
from clawgate.services.waiters import Waiters

_log = Logger()
_STORE_RETRY_SECONDS = 1.0
_PAGE = 32
_LEFT_FREE = 8
"""Slots that callers who wait for theirs are left, at most: some wait for another message of their conversation, and need none yet."""
_FEW, _PAUSE_SECONDS = 8, 0.005
"""While half a page of the backlog runs, fewer free places than this wait so long for others: a claim costs as much as a message, for one place or for many."""
_DRAIN_POLL_SECONDS = 0.05
UNRECORDABLE = "unrecordable"
"""The error of an item whose outcome no store or channel could take."""


class Dispatch(msgspec.Struct):
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
    _running: dict[str, Deferred[None]] = {}
    _from_backlog: set[str] = set()
    _claimed: deque[Item] = msgspec.field(default_factory=deque)
    _asked: dict[str, None] = {}
    _reserved: int = 0
    _backlog_pending: bool = False
    _asked_pending: bool = False
    _claiming: bool = False
    _paused: bool = True
    _is_over: bool = False
    _pump_call: IDelayedCall | None = None
    _due_call: IDelayedCall | None = None
    _pause_call: IDelayedCall | None = None
    _has_paused: bool = False

    # --- the backlog

    def start(self) -> None:
        """Begins to work off the backlog."""
        self._paused = False
        self.wake()

    def wake(self) -> None:
        """Something may be startable."""
        self._backlog_pending = self._asked_pending = True
        self._schedule()

    def wake_for(self, item_id: str) -> None:
        """This item may be startable, and somebody waits for it: it goes before the backlog until `forget`."""
        self._asked[item_id] = None
        self.wake()

    def forget(self, item_id: str) -> None:
        """Nobody waits for this item any more."""
        self._asked.pop(item_id, None)

    def _schedule(self) -> None:
        if self._pump_call is None and not self._paused and (self._claimed or self._backlog_pending or self._asked_pending):
            self._pump_call = self.clock.call_later(0, self._pump)

    def _pump(self) -> None:
        self._pump_call = None
        if self._paused or self._free <= 0:
            return
        if self._claimed:
            self._begin(self._claimed.popleft())
            self._schedule()
        elif not self._claiming:
            asked = tuple(islice(self._asked, _PAGE)) if self._asked_pending else ()
            room = self._room() if self._backlog_pending else 0
            if not asked and 0 < room < _FEW and len(self._from_backlog) >= _PAGE // 2 and not self._has_paused:
                self._pause()
            elif asked or room > 0:
                self._claiming, self._asked_pending, self._has_paused = True, False, False
                self._backlog_pending = self._backlog_pending and room <= 0
                Deferred.fromCoroutine(self._claim(max(room, 0), asked)).addErrback(self._claim_failed)

    def _pause(self) -> None:
        if self._pause_call is None:
            self._pause_call = self.clock.call_later(_PAUSE_SECONDS, self._pause_over)

    def _pause_over(self) -> None:
        self._pause_call, self._has_paused = None, True
        self._schedule()

    @property
    def _free(self) -> int:
        return self.slots - len(self._running) - self._reserved

    def _room(self) -> int:
        backlog_slots = max(1, self.slots * 3 // 4)
        return min(backlog_slots - len(self._from_backlog), self._free, _PAGE)

    async def _claim(self, limit: int, asked: tuple[str, ...]) -> None:
        items = await self.inbox.claim(self.owner, self.clock.wall_ms(), limit, asked)
        self._claiming = False
        first = [item for item in items if item.id in asked]
        backlog = [item for item in items if item.id not in asked]
        self._claimed.extend((*first, *backlog))
        self._from_backlog.update(item.id for item in backlog)
        self._look_again_later(asked, {item.id for item in first})
        self._asked_pending = self._asked_pending or (bool(first) and bool(self._asked))
        self._backlog_pending = self._backlog_pending or len(backlog) == limit > 0
        self._schedule()
        if len(backlog) < limit:
            await self._arm_due()

    def _look_again_later(self, asked: tuple[str, ...], claimed: set[str]) -> None:
        """Those that were startable are no longer asked for; the others stand behind another of their conversation, and queue up again."""
        for item_id in asked:
            if item_id in self._asked:
                del self._asked[item_id]
                if item_id not in claimed:
                    self._asked[item_id] = None

    def _claim_failed(self, failure: Failure) -> None:
        self._claiming = False
        if not failure.check(StoreUnavailable):
            _log.failure("the backlog could not be claimed", failure)
        self._wake_in(_STORE_RETRY_SECONDS)

    async def _arm_due(self) -> None:
        due_ms = await self.inbox.next_due_ms()
        if due_ms is not None:
            self._wake_in((due_ms - self.clock.wall_ms()) / 1000)

    def _wake_in(self, seconds: float) -> None:
        if self._due_call is not None and self._due_call.active():
            self._due_call.cancel()
        if not self._paused:
            self._due_call = self.clock.call_later(max(0.0, seconds), self.wake)

    # --- one item

    def reserve(self) -> bool:
        """Takes a slot for an item about to be accepted as running; `run` or `release` gives it back. Who waits for one already is not overtaken."""
        if self._paused or self._free - len(self._claimed) <= min(len(self._asked), _LEFT_FREE):
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
        is_refused = accepted is not None and isinstance(getattr(accepted, "result", None), Failure)
        if accepted is not None:
            accepted.addErrback(self._not_accepted, item.id)
        if self._is_over:
            self.waiters.fail(item.id, Draining("the gateway is stopping"))
        elif is_refused:
            self._schedule()
        else:
            self._begin(item)

    def cancel(self, item_id: str) -> None:
        """Ends the turn of an item whose record says already that it will not finish; a commit under way is not interrupted."""
        turn = self._running.get(item_id)
        if turn is not None:
            turn.cancel()
        elif any(item.id == item_id for item in self._claimed):
            self._claimed = deque(item for item in self._claimed if item.id != item_id)
            self._from_backlog.discard(item_id)

    def _not_accepted(self, failure: Failure, item_id: str) -> None:
        error = failure.value if isinstance(failure.value, GatewayError) else StoreUnavailable(detail=str(failure.value))
        self.waiters.fail(item_id, error)
        self.cancel(item_id)

    def _begin(self, item: Item) -> None:
        turn = Deferred.fromCoroutine(self._carry(item))
        self._running[item.id] = turn
        self.meter.gauge("turns_running", len(self._running))
        turn.addErrback(self._broke, item)
        turn.addBoth(self._ended, item.id, turn)

    def _ended(self, _: None, item_id: str, turn: Deferred[None]) -> None:
        if self._running.get(item_id) is turn:
            del self._running[item_id]
            self._from_backlog.discard(item_id)
        self.meter.gauge("turns_running", len(self._running))
        self._schedule()

    def _broke(self, failure: Failure, item: Item) -> None:
        if not failure.check(CancelledError):
            _log.failure("item {item} was not carried to its end", failure, item=item.id)
            self.waiters.fail(item.id, StoreUnavailable(detail=str(failure.value)))

    async def _carry(self, item: Item) -> None:
        event: Event
        try:
            item, event = await self.turns.run(item)
        except Conflict as problem:
            _log.info("the turn of {item} ended, it is no longer ours: {problem}", item=item.id, problem=str(problem))
            return
        except StoreUnavailable as problem:
            event = self.turns.failed(item, AgentUnavailable("the history could not be read", detail=problem.detail))
        await self._commit(item, event)

    async def _commit(self, item: Item, event: Event) -> None:
        while True:
            try:
                settled = await self._settled(item, event)
            except CancelledError:
                raise
            except StoreUnavailable as problem:
                self.waiters.fail(item.id, problem)
                await self.clock.sleep(_STORE_RETRY_SECONDS)
            except (Conflict, NotFound) as problem:
                _log.info("the outcome of {item} came too late: {problem}", item=item.id, problem=str(problem))
                return
            except Exception as problem:
                event = self._unrecordable(item, event, problem)
            else:
                self.perform(settled)
                return

    def _unrecordable(self, item: Item, event: Event, problem: Exception) -> Event:
        """What is recorded instead of an outcome that no store or channel can take, so that nothing runs for ever.

        Raises:
            Exception: `problem`, when that was tried before.
        """
        if isinstance(event, Failed) and event.code == UNRECORDABLE:
            raise problem
        _log.failure("the outcome of {item} cannot be recorded", item=item.id)
        return Failed(item.owner, UNRECORDABLE, retryable=False, delay_seconds=0.0, max_attempts=0)

    async def _settled(self, item: Item, event: Event) -> Settled:
        """The committed record. A cancelled turn leaves its commit to finish: whatever comes of that is performed."""
        committing = self._settle(item, event)
        try:
            return await shielded(committing)
        except CancelledError:
            committing.addCallbacks(self.perform, lambda _: None)
            raise

    def _settle(self, item: Item, event: Event) -> Deferred[Settled]:
        now_ms = self.clock.wall_ms()
        if isinstance(event, Completed) and item.reply is None and item.conversation is None:
            return self.inbox.complete(item, event, now_ms)
        is_unrecordable = isinstance(event, Failed) and event.code == UNRECORDABLE
        return self.inbox.settle(item.id, event, now_ms, () if is_unrecordable else self.replies(item, event))

    def perform(self, settled: Settled) -> None:
        """Does what follows from a committed transition, whoever made it."""
        item, effects = settled.item, settled.effects
        self.meter.count("inbox_items_total", item.state)
        if settled.attempt is not None:
            self.meter.count("turn_attempts_total", settled.attempt)
        if not item.is_open:
            self.forget(item.id)
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
        for call in (self._pump_call, self._due_call, self._pause_call):
            if call is not None and call.active():
                call.cancel()
        stopping = Draining("the gateway is stopping")
        for item_id in tuple(self._asked):
            self.waiters.fail(item_id, stopping)
        try:
            await self._wait_for_turns(seconds)
            self._is_over = True
            await self._park()
        finally:
            self._is_over = True
            self.waiters.fail_all(stopping)

    async def _park(self) -> None:
        left = [*self._running, *(item.id for item in self._claimed)]
        self._claimed.clear()
        for item_id in left:
            self.cancel(item_id)
            try:
                await self.inbox.settle(item_id, OwnerLost(), self.clock.wall_ms())
            except GatewayError as problem:
                _log.info("item {item} is left to recovery: {problem}", item=item_id, problem=str(problem))
        if left:
            _log.info("{count} turns parked", count=len(left))

    async def _wait_for_turns(self, seconds: float) -> None:
        deadline = self.clock.monotonic() + seconds
        while (self._running or self._reserved) and self.clock.monotonic() < deadline:
            await self.clock.sleep(_DRAIN_POLL_SECONDS)
