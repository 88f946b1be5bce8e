"""What nodes can do, as agents reach it. Ring: services; implements `ports.tools.ToolSource`. Source: construct-realtime.md §5.

Upstream lets the model itself say `approved: true` for cameras, screens and places. Here that argument means nothing: such a tool always asks a person, like
one of `[autonomy] always_ask`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.messages import is_storable
from clawgate.domain.nodes import NoNode, offered
from clawgate.domain.tools import Tool, ToolContext, ToolResult
from clawgate.services.nodes import Nodes


class NodeTools(msgspec.Struct):
    """A tool for each capability of each connected node."""

    nodes: Nodes

    def tools(self) -> Sequence[Tool]:
        """`ports.tools.ToolSource.tools`."""
        return [tool for tool, _, _ in offered(self.nodes.connected()).values()]

    def call(self, name: str, arguments: Mapping[str, object], context: ToolContext) -> Deferred[ToolResult]:
        """`ports.tools.ToolSource.call`."""
        return Deferred.fromCoroutine(self._call(name, arguments))

    async def _call(self, name: str, arguments: Mapping[str, object]) -> ToolResult:
        found = offered(self.nodes.connected()).get(name)
        if found is None:
            return ToolResult(f"there is no tool named {name[:64]}", ok=False)
        _, node_id, capability = found
        text = json.dumps({key: value for key, value in arguments.items() if key != "approved"}, ensure_ascii=False)
        if not is_storable(text):
            return ToolResult("the arguments are not valid Unicode", ok=False)
        try:
            result = await self.nodes.invoke(node_id, capability, text)
        except NoNode as problem:
            return ToolResult(str(problem), ok=False)
        return ToolResult(result.output if result.success else result.error or result.output, ok=result.success)
