"""Tools that wait for somebody's word. Ring: services. Source: rantaiclaw.md §10 (sync skipped the gate, flaw §20.9), §13; domain/approvals.py.

A question lives as long as its turn waits: after a restart the turn is repeated and asks anew. Who leaves, and who does not answer in time, has refused.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

import msgspec
from attrs import define, field
from twisted.internet.defer import Deferred

from clawgate.domain import approvals
from clawgate.domain.approvals import ToolPolicy, Verdict
from clawgate.domain.caller import Caller
from clawgate.domain.errors import NotFound
from clawgate.domain.inbox import Item
from clawgate.domain.messages import TurnOptions
from clawgate.domain.tools import Risk, Tool
from clawgate.domain.turn import ApprovalAsked, ToolCall
from clawgate.ports.clock import Clock, Ids
from clawgate.services.deadlines import Expired, within
from clawgate.services.events import Events
from clawgate.services.streams import Streams

MOST_PENDING = 1_000
MOST_SESSIONS = 1_000
_HOUR_SECONDS = 3600.0
PLAIN = TurnOptions()


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """One question; times are wall-clock milliseconds."""

    id: str
    item_id: str
    principal: str
    session: str
    call: ToolCall
    asked_ms: int
    expires_ms: int


class Resolved(msgspec.Struct, frozen=True):
    """What became of a question."""

    id: str
    approved: bool
    always: bool


@define(eq=False)
class Approvals:
    """Verdicts on tool calls, and the questions that are open.

    Attributes:
        policy, timeout_seconds, most_actions_per_hour: the live settings; 0 actions = unlimited.
    """

    clock: Clock
    ids: Ids
    events: Events
    streams: Streams
    policy: Callable[[], ToolPolicy]
    timeout_seconds: Callable[[], float]
    most_actions_per_hour: Callable[[], int]
    _pending: dict[str, tuple[Pending, Deferred[bool]]] = field(factory=dict, init=False)
    _granted: OrderedDict[str, frozenset[str]] = field(factory=OrderedDict, init=False)
    _actions: deque[float] = field(factory=deque, init=False)

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

    async def ask(self, item: Item, call: ToolCall) -> bool:
        """Whether somebody allows the call; waits for the word, at most `timeout_seconds`. Too many open questions refuse at once."""
        if len(self._pending) >= MOST_PENDING:
            return False
        now_ms, seconds = self.clock.wall_ms(), self.timeout_seconds()
        session = item.options.session if item.options is not None else ""
        pending = Pending(
            id=self.ids.uuid(),
            item_id=item.id,
            principal=item.principal,
            session=session,
            call=call,
            asked_ms=now_ms,
            expires_ms=now_ms + int(seconds * 1000),
        )
        word: Deferred[bool] = Deferred()
        self._pending[pending.id] = (pending, word)
        self.streams.tell(item.id, ApprovalAsked(pending.id, call))
        self.events.publish("approval_requested", {"id": pending.id, "tool": call.name, "item": item.id}, item.principal)
        try:
            return await within(word, seconds, self.clock)
        except Expired:
            self.events.publish("approval_expired", {"id": pending.id, "tool": call.name, "item": item.id}, item.principal)
            return False
        finally:
            self._pending.pop(pending.id, None)

    def resolve(self, approval_id: str, caller: Caller, *, approve: bool, always: bool) -> Resolved:
        """Gives the word on a question.

        Args:
            always: with `approve`, the tool is allowed for the rest of the session too.

        Raises:
            NotFound: no such question is open, or it is not the caller's to answer.
        """
        pending, word = self._pending.get(approval_id, (None, None))
        if pending is None or word is None or word.called or not caller.may_see(pending.principal):
            raise NotFound("no pending approval with that id")
        if approve and always and pending.session:
            self._grant(pending.session, pending.call.name)
        resolved = Resolved(approval_id, approve, approve and always)
        data = {"id": approval_id, "tool": pending.call.name, "item": pending.item_id, "approved": approve}
        self.events.publish("approval_resolved", data, pending.principal)
        word.callback(approve)
        return resolved

    def pending(self, caller: Caller) -> tuple[Pending, ...]:
        """The open questions that the caller may answer, oldest first."""
        return tuple(pending for pending, word in self._pending.values() if not word.called and caller.may_see(pending.principal))

    def open_in(self, session: str) -> tuple[Pending, ...]:
        """The open questions of a session, oldest first."""
        return tuple(pending for pending, word in self._pending.values() if not word.called and pending.session == session)

    def forget_grants(self) -> None:
        """Takes back every "always" (rantaiclaw.md §11: a change of the autonomy does)."""
        self._granted.clear()

    def _grant(self, session: str, tool: str) -> None:
        self._granted[session] = self._granted.pop(session, frozenset()) | {tool}
        if len(self._granted) > MOST_SESSIONS:
            self._granted.popitem(last=False)
