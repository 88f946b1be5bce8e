"""One turn: a prompt built, an agent asked, an event for the inbox. Ring: services. Source: design §1, §4.15, §5; zeroclaw.md A3 (/metrics: what moves)."""

from __future__ import annotations

from attrs import define
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from clawgate.domain.errors import AgentError, AgentTimeout
from clawgate.domain.inbox import Completed, Failed, Item, RetryPolicy
from clawgate.domain.prompts import PromptPolicy, build_prompt
from clawgate.domain.turn import Completion, Prompt, ToolCall, Usage
from clawgate.ports.agents import AgentBackend
from clawgate.ports.clock import Clock, Entropy
from clawgate.ports.events import Meter
from clawgate.ports.stores import Inbox
from clawgate.services.deadlines import Expired, within

_log = Logger()


class _Progress:
    """The sink of one turn: keeps the last count of tokens; pieces of the answer reach the completion by themselves."""

    def __init__(self) -> None:
        self.counted = Usage()

    def delta(self, text: str) -> None:
        """A piece came; nobody watches this door yet."""

    def tool_call(self, call: ToolCall) -> None:
        """A call came; the completion carries it."""

    def usage(self, usage: Usage) -> None:
        """The last count stands."""
        self.counted = usage


@define
class Turns:
    """Runs turns against the configured agent."""

    backend: AgentBackend
    inbox: Inbox
    clock: Clock
    entropy: Entropy
    meter: Meter
    retry: RetryPolicy
    prompts: PromptPolicy
    turn_timeout_seconds: float

    async def run(self, item: Item) -> Completed | Failed:
        """What became of one turn of `item`, as the event for its record.

        Cancelling it ends the call to the agent. It raises nothing else but what the store raises while the history is read.
        """
        history = await self.inbox.history(item.conversation, item.id, self.prompts.history_items) if item.conversation else ()
        prompt = build_prompt(item, history, self.prompts)
        model = prompt.model or self.backend.default_model
        started = self.clock.monotonic()
        progress = _Progress()
        self.meter.count("agent_starts_total", self.backend.name, model)
        try:
            completion = await self._within_deadline(prompt, progress)
        except CancelledError:
            raise
        except AgentError as problem:
            return self.failed(item, problem)
        except Exception:
            _log.failure("the agent {agent} broke its port", agent=self.backend.name)
            return self.failed(item, AgentError("internal error"))
        finally:
            elapsed = self.clock.monotonic() - started
            self.meter.observe("agent_duration_seconds", elapsed, self.backend.name, model)
        self._counted(completion, progress.counted, model)
        return Completed(item.owner, completion.text, self.prompts.model or completion.model or model)

    async def _within_deadline(self, prompt: Prompt, progress: _Progress) -> Completion:
        try:
            return await within(self.backend.run(prompt, progress), self.turn_timeout_seconds, self.clock)
        except Expired:
            raise AgentTimeout("the turn's deadline passed") from None

    def failed(self, item: Item, problem: AgentError) -> Failed:
        """The event of a turn that ended without an answer; logs it once."""
        _log.warn(
            "turn {item} failed on try {attempt}: {code}: {problem} {detail}",
            item=item.id,
            attempt=item.attempts,
            code=problem.code,
            problem=str(problem),
            detail=problem.detail,
        )
        self.meter.count("errors_total", "gateway")
        delay_seconds = self.retry.delay_seconds(max(item.attempts, 1), self.entropy.jitter(), problem.retry_after_seconds)
        return Failed(item.owner, problem.code, problem.retryable, delay_seconds, self.retry.max_attempts)

    def _counted(self, completion: Completion, streamed: Usage, model: str) -> None:
        usage = completion.usage if completion.usage != Usage() else streamed
        self.meter.count("llm_requests_total", self.backend.name, model)
        self.meter.gauge("tokens_used_last", usage.input_tokens + usage.output_tokens)
        self.meter.count("tokens_total", self.backend.name, "input", by=usage.input_tokens)
        self.meter.count("tokens_total", self.backend.name, "output", by=usage.output_tokens)
