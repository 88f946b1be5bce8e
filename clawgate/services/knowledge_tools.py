"""The knowledge base as an agent's tool. Ring: services; implements `ports.tools.ToolSource`. Source: rantaiclaw.md §14."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.knowledge import DEFAULT_TOP, MOST_TOP, context
from clawgate.domain.tools import Risk, Tool, ToolContext, ToolResult, bounded
from clawgate.services.knowledge import Knowledge

SEARCH = Tool(
    name="knowledge_search",
    description="Search the documents of the knowledge base. Returns the passages that fit best, each under its document's title.",
    parameters=(
        '{"type":"object","properties":{"query":{"type":"string","description":"Words to look for"},'
        '"top":{"type":"integer","minimum":1,"maximum":50,"description":"How many passages, 5 by default"}},"required":["query"]}'
    ),
    risk=Risk.READ,
    is_idempotent=True,
)


class KnowledgeTools(msgspec.Struct):
    """One tool, offered while the knowledge base is switched on."""

    knowledge: Knowledge

    def tools(self) -> Sequence[Tool]:
        """`ports.tools.ToolSource.tools`."""
        return (SEARCH,) if self.knowledge.is_enabled else ()

    def call(self, name: str, arguments: Mapping[str, object], context: ToolContext) -> Deferred[ToolResult]:
        """`ports.tools.ToolSource.call`."""
        return Deferred.fromCoroutine(self._search(arguments))

    async def _search(self, arguments: Mapping[str, object]) -> ToolResult:
        query, top = arguments.get("query"), arguments.get("top", DEFAULT_TOP)
        if not isinstance(query, str) or not query.strip():
            return ToolResult("query must be a text", ok=False)
        if not isinstance(top, int) or not 1 <= top <= MOST_TOP:
            return ToolResult(f"top must be a number from 1 to {MOST_TOP}", ok=False)
        hits = await self.knowledge.search(query, top=top)
        return ToolResult(bounded(context(hits)) if hits else "nothing was found")
