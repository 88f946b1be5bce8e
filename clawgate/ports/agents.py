"""What answers. Ring: ports. Source: design §5."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from clawgate.domain.turn import Completion, Prompt, ToolCall, Usage


class Sink(Protocol):
    """Where a running answer goes, piece by piece. All methods are called in the reactor's thread, in the order of the pieces."""

    def delta(self, text: str) -> None:
        """The next piece of the answer, never empty."""

    def thought(self, text: str) -> None:
        """The next piece of the model's reasoning, never empty; not part of the answer."""

    def tool_call(self, call: ToolCall) -> None:
        """A complete tool call."""

    def usage(self, usage: Usage) -> None:
        """Token counts so far; may be called more than once, the last one counts."""


class AgentBackend(Protocol):
    """One way to get answers.

    Attributes:
        name: the provider's label in metrics and health, such as "openai".
        default_model: what `Prompt.model == ""` stands for; shown as the answer's model when the vendor names none.
        reads_context: personality, skills and memories are worth sending.
        takes_tools: it can be told of tools and ask for them.
    """

    name: str
    default_model: str
    reads_context: bool
    takes_tools: bool

    def run(self, prompt: Prompt, sink: Sink) -> Deferred[Completion]:
        """Answers `prompt`, streaming into `sink` meanwhile. Cancelling the Deferred ends the call to the vendor at once.

        Raises (errback):
            AgentError: one of its kinds; never a vendor's or Twisted's own exception.
        """

    def start(self) -> Deferred[None]:
        """Makes it ready (starts a child, warms a pool)."""

    def stop(self) -> Deferred[None]:
        """Closes connections and ends children; idempotent."""


class ModelCatalog(Protocol):
    """Which models vendors have."""

    def models(self, provider: str) -> Deferred[tuple[str, ...]]:
        """What the vendor lists now, sorted; `provider` is an id of `domain.providers_catalog`.

        Raises (errback):
            AgentError: it cannot be asked, or did not answer with a list.
        """
