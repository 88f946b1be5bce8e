"""Tools that do what a test says. Ring: testing; public, for embedders' tests too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from twisted.internet.defer import Deferred, fail, succeed

from clawgate.domain.tools import Risk, Tool, ToolContext, ToolResult

Outcome = ToolResult | Exception | None
"""None = the call never ends."""


class ScriptedTools(msgspec.Struct, eq=False):
    """A `ToolSource`.

    Attributes:
        offered: what can be called.
        outcomes: by name; a name without one answers "ok".
        calls: what was called: name, arguments, idempotency key.
    """

    offered: list[Tool] = msgspec.field(default_factory=lambda: [Tool(name="pay", description="Pays.", risk=Risk.OUTSIDE)])
    outcomes: dict[str, Outcome] = {}
    calls: list[tuple[str, Mapping[str, object], str]] = []

    def tools(self) -> Sequence[Tool]:
        """What can be called."""
        return self.offered

    def call(self, name: str, arguments: Mapping[str, object], context: ToolContext) -> Deferred[ToolResult]:
        """As scripted."""
        self.calls.append((name, arguments, context.idempotency_key))
        outcome = self.outcomes.get(name, ToolResult("ok"))
        if outcome is None:
            return Deferred()
        return succeed(outcome) if isinstance(outcome, ToolResult) else fail(outcome)
