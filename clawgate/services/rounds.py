"""Rounds of tool calls within a turn: decided, written down, made, written down. Ring: services. Source: design §1; domain/journal.py, domain/approvals.py.

    the model asks for calls → each is allowed, to be asked about or refused → the round is journalled → who has to be asked is asked, one after the other
    → call by call: begun, made, done → the model reads the results

The round is on disk before the first question, and the last word before the first call: a repeated turn asks what is left to ask, and not the model. Until
everything is allowed the turn may be given up: who leaves while a question is open has refused, and nothing was called. Questions in a channel's chat are that
chat's (services/chat_approvals.py): they end the turn, and nothing of the round is journalled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from clawgate.domain.approvals import ToolPolicy, Verdict
from clawgate.domain.audit import Action, Deed, Outcome
from clawgate.domain.errors import GatewayError, ToolUncertain
from clawgate.domain.inbox import Completed, Denied, Item, ToolUnsettled
from clawgate.domain.journal import StepState, ToolStep
from clawgate.domain.messages import PLAIN, Attendance, TurnOptions
from clawgate.domain.tools import Tool, ToolContext, ToolResult, arguments_digest, bounded
from clawgate.domain.turn import Completion, ToolCall, ToolEnded, ToolSpec, ToolStarted
from clawgate.ports.audit import Recorder
from clawgate.ports.clock import Clock
from clawgate.ports.events import Meter
from clawgate.ports.journal import Journal
from clawgate.services.approvals import Approvals
from clawgate.services.audit import NOT_RECORDED
from clawgate.services.deadlines import Expired, within
from clawgate.services.streams import Streams
from clawgate.services.toolbox import Toolbox
from clawgate.services.turn_events import TurnEvents
from clawgate.services.writing import written

_log = Logger()
CALLS_AT_ONCE = 32
"""Calls of one round; further ones are left out of it, as if the model had not asked for them."""
_TOOL_RETURNS_SECONDS, _TOOL_POLL_SECONDS = 30.0, 0.5
"""How long a repeated turn waits for a tool that was there before."""
_UNKNOWN = "unknown"
AskInChat = Callable[[Item, Sequence[str]], Awaitable[str]]
"""Item, names of tools → the words that ask its person about them; remembers that they were asked."""


class TurnEnded(Exception):
    """The turn ends here, without another word of the model.

    Attributes:
        event: for the item's record.
    """

    def __init__(self, event: Completed | Denied | ToolUnsettled) -> None:
        super().__init__(type(event).__name__)
        self.event = event


class _Decided(msgspec.Struct, frozen=True):
    """What is to become of one call; `refusal` is what the model reads in place of a result."""

    call: ToolCall
    tool: Tool | None
    refusal: str = ""


class Rounds(msgspec.Struct, eq=False):
    """Carries out what a model asks for."""

    toolbox: Toolbox
    approvals: Approvals
    journal: Journal
    streams: Streams
    clock: Clock
    meter: Meter
    timeout_seconds: Callable[[], float]
    ask_in_chat: AskInChat
    tells: TurnEvents
    audit: Recorder = NOT_RECORDED
    _journalled: set[str] = set()
    _told: tuple[Mapping[str, Tool], ToolPolicy, tuple[ToolSpec, ...]] | None = None

    def has_journalled(self, item_id: str) -> bool:
        """Whether calls of the turn that has just ended are written down and allowed; asked once."""
        is_so = item_id in self._journalled
        self._journalled.discard(item_id)
        return is_so

    def offered(self, item: Item) -> tuple[ToolSpec, ...]:
        """The tools that the model is told of: those that are not refused anyway."""
        tools, policy = self.toolbox.tools(), self.approvals.policy()
        if item.options is not None:
            return self._not_refused(tools, item.options)
        if self._told is None or self._told[0] is not tools or self._told[1] is not policy:
            self._told = tools, policy, self._not_refused(tools, None)
        return self._told[2]

    def _not_refused(self, tools: Mapping[str, Tool], options: TurnOptions | None) -> tuple[ToolSpec, ...]:
        return tuple(tool.spec for tool in tools.values() if self.approvals.verdict(tool, options) is not Verdict.DENY)

    async def earlier(self, item: Item) -> tuple[ToolStep, ...]:
        """The steps of an earlier try, brought to an end: results are replayed, open questions asked again, what may be called again is.

        Raises:
            TurnEnded: a call was begun whose outcome nobody knows; or somebody refused.
        """
        if not item.journalled and item.attempts <= 1:
            return ()
        done = []
        for step in await self._allowed(item, await self.journal.steps(item.id)):
            if step.state is StepState.BEGUN and not step.is_idempotent:
                raise TurnEnded(ToolUnsettled(item.owner, step.name))
            done.append(step if step.state is StepState.DONE else await self._made_again(item, step))
        return tuple(done)

    async def carry(self, item: Item, completion: Completion, before: tuple[ToolStep, ...]) -> tuple[ToolStep, ...]:
        """The steps of one more round, all done.

        Args:
            completion: the answer that asks for the calls.
            before: the steps of the rounds before.

        Raises:
            TurnEnded: somebody refused or did not answer, somebody on a channel has to be asked, or nobody knows what a call did.
            Conflict: the item is no longer ours. StoreUnavailable: nobody was asked, and nothing was called.
        """
        decided = [self._decided(item, call) for call in completion.tool_calls[:CALLS_AT_ONCE]]
        await self._end_to_ask(item, decided, completion)
        number = before[-1].round + 1 if before else 1
        steps = [self._step(item, one, len(before) + place, number, completion.text if place == 1 else "") for place, one in enumerate(decided, 1)]
        await self.journal.plan(item.owner, steps, self.clock.wall_ms())
        self._tell_refusals(item, steps)
        allowed = await self._allowed(item, steps)
        return tuple([step if step.state is StepState.DONE else await self._made(item, step) for step in allowed])

    # --- the gate

    def _decided(self, item: Item, call: ToolCall) -> _Decided:
        tool = self.toolbox.tools().get(call.name)
        if tool is None:
            return _Decided(call, None, f"there is no tool named {call.name[:64]}")
        if self.approvals.verdict(tool, item.options) is Verdict.DENY:
            return _Decided(call, tool, "this tool needs an approval that nobody can give here")
        if not self.approvals.spend(tool):
            return _Decided(call, tool, "the hour's budget of actions is used up")
        return _Decided(call, tool)

    async def _end_to_ask(self, item: Item, decided: list[_Decided], completion: Completion) -> None:
        """Ends the turn of a channel's person who has to be asked first."""
        if (item.options or PLAIN).attendance is Attendance.CHAT and (gated := [one for one in decided if self._must_ask(item, one)]):
            words = await self.ask_in_chat(item, [one.call.name for one in gated])
            raise TurnEnded(Completed(item.owner, words, completion.model))

    async def _allowed(self, item: Item, steps: Sequence[ToolStep]) -> list[ToolStep]:
        """The steps once everybody who has to be asked has said yes; raises TurnEnded at the first no."""
        allowed = [await self._allowed_one(item, step) if step.state in (StepState.ASKED, StepState.REFUSED) else step for step in steps]
        if allowed:
            self._journalled.add(item.id)
        return allowed

    async def _allowed_one(self, item: Item, step: ToolStep) -> ToolStep:
        is_allowed = False
        if step.state is StepState.ASKED:
            is_allowed = await (self.approvals.allow(step) if self._is_granted(item, step) else self.approvals.ask(item, step))
        if not is_allowed:
            self.streams.tell(item.id, ToolEnded(step.call, False, "denied"))
            raise TurnEnded(Denied(item.owner, step.call.name))
        return msgspec.structs.replace(step, state=StepState.PLANNED)

    def _is_granted(self, item: Item, step: ToolStep) -> bool:
        """Whether nobody has to be asked any more: by an "always" for an earlier call of the round, or because the settings are others by now."""
        tool = self.toolbox.tools().get(step.call.name)  # None: its server is not back yet
        return tool is not None and self.approvals.verdict(tool, item.options) is Verdict.ALLOW

    def _must_ask(self, item: Item, one: _Decided) -> bool:
        return one.tool is not None and not one.refusal and self.approvals.verdict(one.tool, item.options) is Verdict.ASK

    def _step(self, item: Item, one: _Decided, step: int, number: int, said: str) -> ToolStep:
        planned = ToolStep(
            item_id=item.id,
            step=step,
            round=number,
            call=one.call,
            said=said,
            is_idempotent=one.tool is not None and one.tool.is_idempotent,
        )
        if one.refusal:
            return msgspec.structs.replace(planned, state=StepState.DONE, result=one.refusal, ok=False)
        return msgspec.structs.replace(planned, state=StepState.ASKED) if self._must_ask(item, one) else planned

    def _tell_refusals(self, item: Item, steps: Sequence[ToolStep]) -> None:
        for step in steps:
            if step.state is StepState.DONE:
                self.audit.attempt(Action.TOOL_REFUSED, item.principal, step.name, Outcome.REFUSED, tool=step.call.name, why=step.result)
                self.streams.tell(item.id, ToolStarted(step.call))
                self.streams.tell(item.id, ToolEnded(step.call, False, step.result or ""))

    # --- one call

    async def _made_again(self, item: Item, step: ToolStep) -> ToolStep:
        """A call of an earlier try; after a restart the server of its tool may still be starting, and is waited for."""
        until = self.clock.monotonic() + _TOOL_RETURNS_SECONDS
        while step.call.name not in self.toolbox.tools() and self.clock.monotonic() < until:
            await self.clock.sleep(_TOOL_POLL_SECONDS)
        return await self._made(item, step)

    async def _made(self, item: Item, step: ToolStep) -> ToolStep:
        tool = self.toolbox.tools().get(step.call.name)
        deed = self._deeds(item, step, tool)
        begun = deed(Action.TOOL_BEGUN, Outcome.OK)
        await written(lambda: self.journal.begin(item.owner, step, self.clock.wall_ms(), begun), self.clock)
        self.streams.tell(item.id, ToolStarted(step.call))
        label = step.call.name if tool is not None else _UNKNOWN
        self.tells.tool_started(item, label)
        started = self.clock.monotonic()
        result = await self._result(item, step)
        seconds = self.clock.monotonic() - started
        self.tells.tool_ended(item, label, seconds, ok=result.ok)
        self.meter.observe("tool_duration_seconds", seconds, label)
        self.meter.count("tool_calls_total", label, "true" if result.ok else "false")
        done = msgspec.structs.replace(step, state=StepState.DONE, result=bounded(result.text), ok=result.ok)
        ended = deed(Action.TOOL_ENDED, Outcome.OK if result.ok else Outcome.FAILED)
        await written(lambda: self.journal.finish(item.owner, done, self.clock.wall_ms(), ended), self.clock)
        self.streams.tell(item.id, ToolEnded(step.call, result.ok, done.result or ""))
        return done

    def _deeds(self, item: Item, step: ToolStep, tool: Tool | None) -> Callable[[Action, Outcome], Deed | None]:
        """What the audit log says of a call, its begin and its end: never its arguments, only their digest."""
        risk = None if tool is None else tool.risk.value
        about = {"tool": step.call.name, "risk": risk, "source": item.source, "arguments": arguments_digest(step.call)}
        return lambda action, outcome: self.audit.deed(action, item.principal, step.name, outcome, **about)

    async def _result(self, item: Item, step: ToolStep) -> ToolResult:
        tool = self.toolbox.tools().get(step.call.name)
        if tool is not None and self.approvals.verdict(tool, item.options) is Verdict.DENY:  # the settings, or the daemon, are others since the gate
            return ToolResult("not called: it is not allowed any more", ok=False)
        context = ToolContext(principal=item.principal, source=item.source, conversation=item.conversation, idempotency_key=step.name)
        try:
            return await within(self.toolbox.call(step.call.name, step.call.arguments, context), self.timeout_seconds(), self.clock)
        except CancelledError:
            raise
        except (ToolUncertain, Expired) as problem:
            return self._unknown(item, step, str(problem) or "it took too long")
        except GatewayError as problem:
            _log.warn("tool {tool} was not called: {problem} {detail}", tool=step.call.name, problem=str(problem), detail=problem.detail)
            return ToolResult(f"not called: {problem}", ok=False)
        except Exception as problem:
            _log.failure("tool {tool} broke its port", tool=step.call.name)
            return self._unknown(item, step, type(problem).__name__)

    def _unknown(self, item: Item, step: ToolStep, why: str) -> ToolResult:
        """A call that may or may not have had its effect: harmless if it is idempotent, else a person decides."""
        if step.is_idempotent:
            return ToolResult(f"no result: {why}", ok=False)
        _log.warn("tool call {step} of {tool} has no known outcome: {why}", step=step.name, tool=step.call.name, why=why)
        self.audit.attempt(Action.TOOL_ENDED, item.principal, step.name, Outcome.UNKNOWN, tool=step.call.name)
        raise TurnEnded(ToolUnsettled(item.owner, step.name))
