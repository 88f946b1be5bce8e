"""Where tools come from. Ring: ports. Source: design §1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from clawgate.domain.tools import Tool, ToolContext, ToolResult


class ToolSource(Protocol):
    """A group of tools; tasks, memory, skills and each MCP server are one."""

    def tools(self) -> Sequence[Tool]:
        """What can be called now; free of I/O. Names are unique within the source."""

    def call(self, name: str, arguments: Mapping[str, object], context: ToolContext) -> Deferred[ToolResult]:
        """Calls one of `tools`. What the model did wrong (bad arguments, nothing found) is a result with `ok=False`.

        Raises (errback):
            ToolUncertain: the call was made and nobody knows what came of it.
            GatewayError: it was not made, and may be made again.
        """
