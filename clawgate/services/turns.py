"""One turn: a prompt built, an agent asked, tools called, an event for the inbox. Ring: services.

Source: design §1, §4.15, §5; zeroclaw.md A3 (/metrics: what moves); rantaiclaw.md §10, §13.

    context → prompt → agent → text: completed
                     ↖ results ← tools ←┘ calls: a round (services/rounds.py), then the agent again

An earlier try's rounds are in the journal and go into the first prompt. The time for the whole turn runs while the agent answers and while tools work; a
person's time to think does not count.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from clawgate.domain import journal
from clawgate.domain.errors import AgentBadRequest, AgentError, AgentOverloaded, AgentTimeout, BadRequest, GatewayError, Overloaded, Refusal
from clawgate.domain.inbox import Completed, Denied, Failed, Item, RetryPolicy, ToolUnsettled
from clawgate.domain.messages import PLAIN
from clawgate.domain.prompts import PromptPolicy, Surroundings, build_prompt, trimmed
from clawgate.domain.turn import Completion, Counted, Delta, Prompt, Recalled, Thought, ToolCall, Usage
from clawgate.ports.agents import AgentBackend
from clawgate.ports.clock import Clock, Entropy
from clawgate.ports.events import Meter
from clawgate.services.backends import Backends, Lease
from clawgate.services.context import Context
from clawgate.services.deadlines import Expired, within
from clawgate.services.rounds import Rounds, TurnEnded
from clawgate.services.streams import Streams
from clawgate.services.turn_events import TurnEvents

_log = Logger()
Outcome = Completed | Failed | Denied | ToolUnsettled


class TurnPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn takes from the settings, as they are when it begins."""

    prompts: PromptPolicy
    turn_timeout_seconds: float
    offers_tools: bool = True


class _Sink:
    """The sink of one call: keeps the last count of tokens, and passes pieces on to whoever watches."""

    def __init__(self, streams: Streams, item_id: str) -> None:
        self._streams, self._item_id = streams, item_id
        self.counted = Usage()

    def delta(self, text: str) -> None:
        """A piece for whoever watches; the completion carries the whole."""
        self._streams.tell(self._item_id, Delta(text))

    def thought(self, text: str) -> None:
        """A piece of the reasoning for whoever watches; nobody keeps it."""
        self._streams.tell(self._item_id, Thought(text))

    def tool_call(self, call: ToolCall) -> None:
        """A call came; the completion carries it."""

    def usage(self, usage: Usage) -> None:
        """The last count stands."""
        self.counted = usage


class Turns(msgspec.Struct):
    """Runs turns.

    Attributes:
        policy: the settings that count from the next turn on.
    """

    backends: Backends
    context: Context
    rounds: Rounds
    streams: Streams
    clock: Clock
    entropy: Entropy
    meter: Meter
    retry: RetryPolicy
    policy: Callable[[], TurnPolicy]
    tells: TurnEvents

    async def run(self, item: Item) -> tuple[Item, Outcome]:
        """What became of one turn of `item`: the item as the turn leaves it (journalled or not), and the event for its record.

        Cancelling it ends the call to the agent. It raises nothing else but what the store raises (`StoreUnavailable`; `Conflict` when the item is no longer
        ours).
        """
        try:
            outcome = await self._outcome(item)
        finally:  # asked also when nobody hears it, so that nothing of the turn is kept
            is_journalled = self.rounds.has_journalled(item.id)
        return (msgspec.structs.replace(item, journalled=True) if is_journalled else item), outcome

    async def _outcome(self, item: Item) -> Outcome:
        try:
            return await self._answer(item, self.policy())
        except (CancelledError, Refusal):
            raise
        except TurnEnded as end:
            return end.event
        except AgentError as problem:
            return self.failed(item, problem)
        except GatewayError:
            raise
        except Exception:
            _log.failure("the turn of {item} broke", item=item.id)
            return self.failed(item, AgentError("internal error"))

    async def _answer(self, item: Item, policy: TurnPolicy) -> Completed | Failed:
        lease = await self._lease(item)
        try:
            return await self._answer_with(item, lease, policy)
        except AgentError as problem:
            return self.failed(item, problem, lease)
        finally:
            lease.release()

    async def _lease(self, item: Item) -> Lease:
        options = item.options or PLAIN
        if not options.provider:
            return self.backends.lease(options.model)
        try:
            return await self.backends.named(options.provider, options.model)
        except BadRequest as problem:
            raise AgentBadRequest(str(problem)) from problem
        except Overloaded as problem:
            raise AgentOverloaded(str(problem)) from problem

    async def _answer_with(self, item: Item, lease: Lease, policy: TurnPolicy) -> Completed:
        backend, model = lease.backend, lease.model or lease.backend.default_model
        around = await self.context.of(item, policy.prompts, for_model=backend.reads_context)
        if around.recalled:
            self.streams.tell(item.id, Recalled(tuple(entry.key for entry in around.recalled)))
        cut = trimmed(around, policy.prompts)
        if cut is not None:
            self.streams.tell(item.id, cut)
        self.meter.count("agent_starts_total", backend.name, model)
        self.tells.started(item, backend.name, model)
        started = self.clock.monotonic()
        try:
            completion = await self._rounds(item, lease, policy, around)
        except TurnEnded:
            self.tells.ended(item, backend.name, model, self.clock.monotonic() - started, 0)
            raise
        finally:
            self.meter.observe("agent_duration_seconds", self.clock.monotonic() - started, backend.name, model)
        told = lease.model or completion.model or model
        usage = completion.usage
        self.tells.ended(item, backend.name, told, self.clock.monotonic() - started, usage.input_tokens + usage.output_tokens)
        return Completed(item.owner, completion.text, told, backend.name)

    async def _rounds(self, item: Item, lease: Lease, policy: TurnPolicy, around: Surroundings) -> Completion:
        """Asks until the agent answers without wanting a tool; after the last round it is asked without tools."""
        takes_tools = policy.offers_tools and lease.backend.takes_tools
        steps = await self.rounds.earlier(item)
        left_seconds, call = policy.turn_timeout_seconds, 0
        while True:
            rounds = steps[-1].round if steps else 0
            tools = self.rounds.offered(item) if takes_tools and rounds < policy.prompts.tool_rounds else ()
            prompt = build_prompt(item, around, policy.prompts, model=lease.model, tools=tools, told=journal.lines(steps), call=call)
            started = self.clock.monotonic()
            completion = await self._asked(item, lease.backend, prompt, left_seconds)
            left_seconds -= self.clock.monotonic() - started
            if not completion.tool_calls or not tools:
                return completion
            steps = (*steps, *await self.rounds.carry(item, completion, steps))
            call += 1

    async def _asked(self, item: Item, backend: AgentBackend, prompt: Prompt, seconds: float) -> Completion:
        """One call to the agent.

        Raises:
            AgentError: it failed, or the turn's time is over.
        """
        sink = _Sink(self.streams, item.id)
        self.tells.asked(item, backend.name, prompt.model or backend.default_model)
        try:
            completion = await within(backend.run(prompt, sink), max(seconds, 0.0), self.clock)
        except Expired:
            raise AgentTimeout("the turn's deadline passed") from None
        self._counted(item, backend, completion, sink.counted, prompt.model or backend.default_model)
        return completion

    def failed(self, item: Item, problem: AgentError, lease: Lease | None = None) -> Failed:
        """The event of a turn that ended without an answer; logs it once.

        Args:
            lease: who was asked, None when it did not come to that.
        """
        _log.warn(
            "turn {item} failed on try {attempt}: {code}: {problem} {detail}",
            item=item.id,
            attempt=item.attempts,
            code=problem.code,
            problem=str(problem),
            detail=problem.detail,
        )
        self.meter.count("errors_total", "gateway")
        self.tells.failed(item, problem.code)
        delay_seconds = self.retry.delay_seconds(max(item.attempts, 1), self.entropy.jitter(), problem.retry_after_seconds)
        asked = (lease.backend.name, lease.model or lease.backend.default_model) if lease is not None else ("", "")
        return Failed(item.owner, problem.code, problem.retryable, delay_seconds, self.retry.max_attempts, *asked)

    def _counted(self, item: Item, backend: AgentBackend, completion: Completion, streamed: Usage, model: str) -> None:
        usage = completion.usage if completion.usage != Usage() else streamed
        self.streams.tell(item.id, Counted(completion.model or model, usage))
        self.meter.count("llm_requests_total", backend.name, model)
        self.meter.gauge("tokens_used_last", usage.input_tokens + usage.output_tokens)
        self.meter.count("tokens_total", backend.name, "input", by=usage.input_tokens)
        self.meter.count("tokens_total", backend.name, "output", by=usage.output_tokens)
