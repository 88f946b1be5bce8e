"""A provider whose address clawgate does not know: the door stays open, and every turn says what to do. Ring: agents. Source: design §4.13."""

from __future__ import annotations

import msgspec
from twisted.internet.defer import Deferred, fail, succeed

from clawgate.domain.errors import AgentUnavailable
from clawgate.domain.settings.providers import ADDRESS_REMEDY
from clawgate.domain.turn import Completion, Prompt
from clawgate.ports.agents import Sink


class UnknownBackend(msgspec.Struct):
    """An `AgentBackend` that never answers."""

    name: str
    default_model: str
    reads_context: bool = False
    takes_tools: bool = False

    def run(self, prompt: Prompt, sink: Sink) -> Deferred[Completion]:
        """Errbacks with AgentUnavailable; its detail has the remedy."""
        return fail(AgentUnavailable(f"clawgate knows no address of {self.name}", detail=ADDRESS_REMEDY))

    def start(self) -> Deferred[None]:
        """Nothing to do."""
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """Nothing to do."""
        return succeed(None)
