"""Memory as tools of an agent. Ring: services. Source: rantaiclaw.md §10 (memory), §13 (`memory_recall` runs unasked).

An agent remembers for the principal it works for, finds that principal's own and everybody's, and forgets that principal's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.errors import BadRequest, Conflict
from clawgate.domain.memory import CORE, checked_key
from clawgate.domain.tools import Risk, Tool, ToolContext, ToolResult
from clawgate.services.memory import Memory

_DEFAULT_HITS, _MOST_HITS = 5, 20

STORE = Tool(
    name="memory_store",
    description="Remember a fact, a preference or a decision for later conversations.",
    parameters=(
        '{"type":"object","properties":{"content":{"type":"string","description":"What to remember, in a sentence"},'
        '"key":{"type":"string","description":"Name to find or replace it by; left out = a new one"},'
        '"category":{"type":"string","description":"core (the default), daily, or any other name"}},"required":["content"]}'
    ),
    risk=Risk.WRITE,
    is_idempotent=True,
)
RECALL = Tool(
    name="memory_recall",
    description="Search what was remembered.",
    parameters=(
        '{"type":"object","properties":{"query":{"type":"string","description":"Words to look for"},'
        '"limit":{"type":"integer","description":"At most so many, 1 to 20; left out = 5"}},"required":["query"]}'
    ),
    risk=Risk.READ,
    is_idempotent=True,
)
FORGET = Tool(
    name="memory_forget",
    description="Forget what is remembered under a key.",
    parameters='{"type":"object","properties":{"key":{"type":"string"}},"required":["key"]}',
    risk=Risk.WRITE,
    is_idempotent=True,
)


class MemoryTools(msgspec.Struct, eq=False):
    """A `ports.tools.ToolSource`; empty while memory is off."""

    memory: Memory

    def tools(self) -> Sequence[Tool]:
        """Storing, recalling, forgetting."""
        return (STORE, RECALL, FORGET) if self.memory.is_on else ()

    def call(self, name: str, arguments: Mapping[str, object], context: ToolContext) -> Deferred[ToolResult]:
        """`ports.tools.ToolSource.call`."""
        return Deferred.fromCoroutine(self._call(name, arguments, context))

    async def _call(self, name: str, arguments: Mapping[str, object], context: ToolContext) -> ToolResult:
        try:
            if name == STORE.name:
                return await self._store(arguments, context)
            if name == RECALL.name:
                return await self._recall(arguments, context)
            return await self._forget(arguments, context)
        except (BadRequest, Conflict) as refusal:
            return ToolResult(str(refusal), ok=False)

    async def _store(self, arguments: Mapping[str, object], context: ToolContext) -> ToolResult:
        key = _text(arguments, "key")
        # The same call made again after a crash replaces what it stored.
        chosen = checked_key(key) if key else f"memory_{context.idempotency_key.replace(':', '_')}"
        own = context.principal
        stored = await self.memory.store(_text(arguments, "content"), chosen, _text(arguments, "category") or CORE, owner=own, writer=own)
        return ToolResult("; ".join((f"remembered as {stored.key}", *stored.notes)))

    async def _recall(self, arguments: Mapping[str, object], context: ToolContext) -> ToolResult:
        wanted = arguments.get("limit", _DEFAULT_HITS)
        limit = min(max(wanted, 1), _MOST_HITS) if isinstance(wanted, int) else _DEFAULT_HITS
        found = await self.memory.search(context.principal, _text(arguments, "query"), None, limit, 0)
        return ToolResult("\n".join(f"{hit.entry.key}: {hit.entry.content}" for hit in found.hits) or "nothing found")

    async def _forget(self, arguments: Mapping[str, object], context: ToolContext) -> ToolResult:
        key = _text(arguments, "key")
        is_removed = await self.memory.remove(context.principal, key)
        return ToolResult(f"forgotten: {key}" if is_removed else f"nothing of yours is remembered as {key}", ok=is_removed)


def _text(arguments: Mapping[str, object], name: str) -> str:
    value = arguments.get(name)
    return value if isinstance(value, str) else ""
