"""All tools an agent may call, whoever offers them. Ring: services. Source: design §1; rantaiclaw.md §10."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, islice

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from clawgate.domain.tools import Tool, ToolContext, ToolResult
from clawgate.ports.tools import ToolSource

_log = Logger()
MOST_TOOLS = 128
"""What one prompt names at most; vendors refuse more."""


class Toolbox(msgspec.Struct, eq=False):
    """Tools by name; of two of one name the source that was added first has it."""

    _sources: list[ToolSource] = []
    _offered: tuple[Tool, ...] = ()
    _found: Mapping[str, Tool] = {}

    def add(self, source: ToolSource) -> None:
        """One more source, for good; what it offers may change."""
        self._sources.append(source)

    def tools(self) -> Mapping[str, Tool]:
        """What can be called now, at most `MOST_TOOLS`, in the order of the sources; the very same as before while it has not changed."""
        offered = tuple(chain.from_iterable(source.tools() for source in self._sources))
        if offered != self._offered:
            found: dict[str, Tool] = {}
            for tool in offered:
                found.setdefault(tool.name, tool)
            self._offered, self._found = offered, dict(islice(found.items(), MOST_TOOLS))
        return self._found

    def call(self, name: str, arguments: str, context: ToolContext) -> Deferred[ToolResult]:
        """Calls a tool; one that does not exist, or arguments that are no JSON object, are results that say so.

        Args:
            arguments: JSON text as the model wrote it; "" counts as an empty object.

        Raises (errback):
            ToolUncertain, GatewayError: as `ToolSource.call`.
        """
        source = next((source for source in self._sources if any(tool.name == name for tool in source.tools())), None)
        if source is None:
            return succeed(ToolResult(f"there is no tool named {name[:64]}", ok=False))
        parsed = _object(arguments)
        if parsed is None:
            return succeed(ToolResult("the arguments are not a JSON object", ok=False))
        return source.call(name, parsed, context)


def _object(arguments: str) -> Mapping[str, object] | None:
    try:
        found = msgspec.json.decode(arguments or "{}")  # half a surrogate pair, or NaN, could be passed on to nobody
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
