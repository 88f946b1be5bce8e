"""Tools that wait for somebody's word. Ring: services. Source: rantaiclaw.md §10 (sync skipped the gate, flaw §20.9), §13; domain/approvals.py.

    the turn asks → the question is written down → whoever watches is told → a word → it is written down → the turn goes on or ends

A question is a fact of the store (domain/journal.py): after a restart it is listed and answered as before, also while its turn has yet to begin again. A word
is on disk before whoever gave it is told so. Who leaves, and who does not answer in time, has refused. What lives in memory, and no longer than the process, is
"always" for the rest of a session.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from functools import partial

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from clawgate.domain import approvals
from clawgate.domain.approvals import Pending, ToolPolicy, Verdict
from clawgate.domain.audit import GATEWAY, NOBODY, Action, Deed, Outcome
from clawgate.domain.caller import Caller
from clawgate.domain.errors import NotFound
from clawgate.domain.inbox import Item
from clawgate.domain.journal import StepState, ToolStep
from clawgate.domain.messages import PLAIN, TurnOptions
from clawgate.domain.tools import Risk, Tool, arguments_digest
from clawgate.domain.turn import ApprovalAsked
from clawgate.ports.audit import Recorder
from clawgate.ports.clock import Clock, Ids
from clawgate.ports.journal import Journal
from clawgate.services.audit import NOT_RECORDED
from clawgate.services.deadlines import Expired, within
from clawgate.services.events import Events
from clawgate.services.shield import shielded
from clawgate.services.streams import Streams
from clawgate.services.writing import written

_log = Logger()
MOST_PENDING = 1_000
MOST_OF_ONE = 32
"""Open questions of one principal: a turn that waits for a word takes the place of another, and half of the places are left to others."""
MOST_SESSIONS = 1_000
_HOUR_SECONDS = 3600.0
_NOT_PENDING = "no pending approval with that id"


class Resolved(msgspec.Struct, frozen=True):
    """What became of a question."""

    id: str
    approved: bool
    always: bool


class Approvals(msgspec.Struct, eq=False):
    """Verdicts on tool calls, and the questions that are open.

    Attributes:
        policy, timeout_seconds, most_actions_per_hour: the live settings; 0 actions = unlimited.
    """

    journal: Journal
    clock: Clock
    ids: Ids
    events: Events
    streams: Streams
    policy: Callable[[], ToolPolicy]
    timeout_seconds: Callable[[], float]
    most_actions_per_hour: Callable[[], int]
    audit: Recorder = NOT_RECORDED
    _waiting: dict[str, tuple[Pending, Deferred[bool]]] = {}
    _asking: Counter[str] = msgspec.field(default_factory=Counter)
    _granted: OrderedDict[str, frozenset[str]] = msgspec.field(default_factory=OrderedDict)
    _actions: deque[float] = msgspec.field(default_factory=deque)

    def verdict(self, tool: Tool, options: TurnOptions | None) -> Verdict:
        """The policy's word on a tool in a turn."""
        options = options or PLAIN
        granted = self._granted.get(options.session, frozenset()) if options.session else frozenset()
        return approvals.verdict(tool, self.policy(), options, granted)

    def spend(self, tool: Tool) -> bool:
        """Counts one call against the hour's budget; False = it is used up. Looking is free."""
        most, now = self.most_actions_per_hour(), self.clock.monotonic()
        if tool.risk is Risk.READ or most == 0:
            return True
        while self._actions and self._actions[0] <= now - _HOUR_SECONDS:
            self._actions.popleft()
        if len(self._actions) >= most:
            return False
        self._actions.append(now)
        return True

    async def ask(self, item: Item, step: ToolStep) -> bool:
        """Whether somebody allows the step; waits for the word until the question's deadline. Too many open questions, in all or of the
        item's principal, refuse at once.

        Args:
            step: one that is asked about; with the id and the deadline of its question if it was put to somebody before a restart.

        Raises:
            Conflict: the item is no longer ours. StoreUnavailable: it is not known whether the question is still open.
        """
        if not step.approval_id and (len(self._waiting) >= MOST_PENDING or self._asking[item.principal] >= MOST_OF_ONE):
            _log.info("{tool} is refused: too many questions of {principal} are open", tool=step.call.name, principal=item.principal)
            return False
        self._asking[item.principal] += 1
        try:
            return await self._asked(item, step)
        finally:
            self._asking[item.principal] -= 1
            if not self._asking[item.principal]:
                del self._asking[item.principal]

    async def _asked(self, item: Item, step: ToolStep) -> bool:
        pending = _pending(item, step if step.approval_id else await self._put(item, step))
        word: Deferred[bool] = Deferred()
        self._waiting[pending.id] = (pending, word)
        try:
            # Of a question that was put before, somebody's word may have been written down since its turn read the journal.
            is_open = not step.approval_id or await self.journal.question(pending.id) is not None
            return await (self._heard(pending, word) if is_open else self._earlier_word(pending, word))
        except CancelledError:
            told = Deferred.fromCoroutine(self._given_up(pending))
            told.addErrback(lambda failure: _log.info("question {id} may be open: {problem}", id=pending.id, problem=failure.getErrorMessage()))
            raise
        finally:
            self._waiting.pop(pending.id, None)

    async def allow(self, step: ToolStep) -> bool:
        """Writes down that nobody has to be asked about a step any more; False = somebody has refused it meanwhile."""
        deed = self.audit.deed(Action.APPROVAL_ANSWERED, GATEWAY, step.name, Outcome.APPROVED, tool=step.call.name, why="granted before")
        has_counted = await written(lambda: self.journal.answer(step.item_id, step.step, self.clock.wall_ms(), approve=True, deed=deed), self.clock)
        return has_counted or await self._is_allowed(step.item_id, step.step)

    async def resolve(self, approval_id: str, caller: Caller, *, approve: bool, always: bool) -> Resolved:
        """Gives the word on a question; it is on disk when this returns.

        Args:
            always: with `approve`, the tool is allowed for the rest of the session too, as long as this process lives.

        Raises:
            NotFound: no such question is open, somebody was quicker, or it is not the caller's to answer.
            StoreUnavailable: the word is not written down.
        """
        pending = await self.journal.question(approval_id)
        if pending is None or self._is_over(pending) or not caller.may_see(pending.principal):
            raise NotFound(_NOT_PENDING)
        resolved = Resolved(approval_id, approve, approve and always)
        deed = self._deed(pending, caller.principal, Outcome.APPROVED if approve else Outcome.DENIED, always=resolved.always or None)
        answering = self._word(pending, deed, approve=True) if approve else self._denied(pending, deed)
        answering.addCallback(self._answered, pending, resolved)
        try:
            has_counted = await shielded(answering)
        except CancelledError:
            answering.addErrback(lambda failure: _log.info("not written down for somebody who left: {problem}", problem=failure.getErrorMessage()))
            raise
        if not has_counted:
            raise NotFound(_NOT_PENDING)
        return resolved

    async def pending(self, caller: Caller) -> tuple[Pending, ...]:
        """The open questions that the caller may answer, oldest first; also those whose turn has yet to begin again."""
        found = await self.journal.questions(MOST_PENDING)
        return tuple(pending for pending in found if not self._is_over(pending) and caller.may_see(pending.principal))

    def open_in(self, session: str) -> tuple[Pending, ...]:
        """The questions of a session whose turns wait for the word at this moment, oldest first."""
        return tuple(pending for pending, word in self._waiting.values() if not word.called and pending.session == session)

    def forget_grants(self) -> None:
        """Takes back every "always" (rantaiclaw.md §11: a change of the autonomy does)."""
        self._granted.clear()

    def _grant(self, session: str, tool: str) -> None:
        self._granted[session] = self._granted.pop(session, frozenset()) | {tool}
        if len(self._granted) > MOST_SESSIONS:
            self._granted.popitem(last=False)

    # --- one question

    async def _put(self, item: Item, step: ToolStep) -> ToolStep:
        now_ms = self.clock.wall_ms()
        expires_ms = now_ms + int(self.timeout_seconds() * 1000)
        asked = msgspec.structs.replace(step, approval_id=self.ids.uuid(), asked_ms=now_ms, expires_ms=expires_ms)
        about = {"id": asked.approval_id, "tool": asked.call.name, "arguments": arguments_digest(asked.call)}
        deed = self.audit.deed(Action.APPROVAL_ASKED, item.principal, asked.name, Outcome.ASKED, **about)
        await written(lambda: self.journal.ask(item.owner, asked, now_ms, deed), self.clock)
        return asked

    def _word(self, pending: Pending, deed: Deed | None, *, approve: bool) -> Deferred[bool]:
        return self.journal.answer(pending.item_id, pending.step, self.clock.wall_ms(), approve=approve, deed=deed)

    def _denied(self, pending: Pending, deed: Deed | None) -> Deferred[bool]:
        """A no counts also when it cannot be recorded."""
        return self.audit.despite(deed, partial(self._word, pending, approve=False))

    def _deed(self, pending: Pending, by: str, outcome: Outcome, always: bool | None = None) -> Deed | None:
        return self.audit.deed(
            Action.APPROVAL_ANSWERED, by, f"{pending.item_id}:{pending.step}", outcome, id=pending.id, tool=pending.call.name, always=always
        )

    async def _heard(self, pending: Pending, word: Deferred[bool]) -> bool:
        """The word; silence is a no, unless somebody's word was written down first."""
        # The clock may have been set back since the question was asked: nobody waits longer than for a new one.
        seconds = min(pending.seconds_left(self.clock.wall_ms()), self.timeout_seconds())
        if seconds > 0:
            self.streams.tell(pending.item_id, ApprovalAsked(pending.id, pending.call, round(seconds)))
            self.events.publish("approval_requested", _about(pending), pending.principal)
            try:
                return await within(shielded(word), seconds, self.clock)
            except Expired:
                pass
        deed = self._deed(pending, NOBODY, Outcome.EXPIRED)
        if not await written(lambda: self._denied(pending, deed), self.clock):
            return await self._earlier_word(pending, word)
        self.events.publish("approval_expired", _about(pending), pending.principal)
        return False

    async def _earlier_word(self, pending: Pending, word: Deferred[bool]) -> bool:
        return await word if word.called else await self._is_allowed(pending.item_id, pending.step)

    async def _is_allowed(self, item_id: str, number: int) -> bool:
        return any(step.step == number and step.state is StepState.PLANNED for step in await self.journal.steps(item_id))

    async def _given_up(self, pending: Pending) -> None:
        """Tells whoever watches that the question is over with its turn, unless the next process asks it again."""
        if await self.journal.question(pending.id) is None:
            about = f"{pending.item_id}:{pending.step}"
            await self.audit.attempt(
                Action.APPROVAL_ANSWERED, NOBODY, about, Outcome.EXPIRED, id=pending.id, tool=pending.call.name, why="turn ended"
            )
            self.events.publish("approval_expired", _about(pending), pending.principal)

    def _answered(self, has_counted: bool, pending: Pending, resolved: Resolved) -> bool:
        """The word is written down: the turn hears it, if it waits already."""
        if has_counted:
            if resolved.always and pending.session:
                self._grant(pending.session, pending.call.name)
            self.events.publish("approval_resolved", _about(pending) | {"approved": resolved.approved}, pending.principal)
            _, word = self._waiting.get(pending.id, (None, None))
            if word is not None:
                word.callback(resolved.approved)
        return has_counted

    def _is_over(self, pending: Pending) -> bool:
        """Whether its time is over; while a turn waits for it that is the turn's to say."""
        return pending.id not in self._waiting and pending.expires_ms <= self.clock.wall_ms()


def _pending(item: Item, step: ToolStep) -> Pending:
    return Pending(
        id=step.approval_id,
        item_id=item.id,
        step=step.step,
        principal=item.principal,
        session=(item.options or PLAIN).session,
        call=step.call,
        asked_ms=step.asked_ms,
        expires_ms=step.expires_ms,
    )


def _about(pending: Pending) -> dict[str, object]:
    return {"id": pending.id, "tool": pending.call.name, "item": pending.item_id}
