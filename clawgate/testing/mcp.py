"""MCP servers in memory. Ring: testing; implements `ports.mcp`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from twisted.internet.defer import Deferred, fail, succeed

from clawgate.domain.errors import GatewayError, ToolUncertain, Unavailable
from clawgate.domain.mcp import McpTool
from clawgate.domain.settings.model import McpServer
from clawgate.domain.tools import ToolResult

ECHO = McpTool("echo", "Says what it is told", '{"type":"object","properties":{"text":{"type":"string"}}}')


class ScriptedConnection(msgspec.Struct, eq=False):
    """One conversation that a test leads."""

    script: ScriptedMcp
    name: str
    server: McpServer
    is_open: bool = False
    is_closed: bool = False
    _waiting: list[Deferred[ToolResult]] = []
    _watch: Deferred[None] | None = None

    def connect(self) -> Deferred[None]:
        """Comes up, fails, or hangs, as the script says."""
        if self.script.hangs:
            return Deferred()
        problem = self.script.problems.get(self.name, self.script.problem)
        if problem is not None:
            return fail(problem)
        self.is_open = True
        return succeed(None)

    def list_tools(self) -> Deferred[tuple[McpTool, ...]]:
        """The script's tools."""
        return succeed(tuple(self.script.tools))

    def call(self, name: str, arguments: Mapping[str, object]) -> Deferred[ToolResult]:
        """Kept in `script.calls`; answered with the arguments, or when the test says so."""
        if not self.is_open:
            return fail(Unavailable(f"MCP server '{self.name}' is not connected"))
        self.script.calls.append((self.name, name, dict(arguments)))
        if self.script.answers_at_once:
            return succeed(ToolResult(f"{name}: {dict(arguments)}"))
        waiting: Deferred[ToolResult] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def changed(self) -> Deferred[None]:
        """Fires on `change`, errbacks on `drop`."""
        self._watch = Deferred()
        return self._watch

    def close(self) -> Deferred[None]:
        """Ends it."""
        self.is_open, self.is_closed = False, True
        self._fail_calls("was stopped")
        return succeed(None)

    def change(self) -> None:
        """The server says that its tools have changed."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.callback(None)

    def drop(self, why: str = "the program ended with signal 9") -> None:
        """The server dies."""
        self.is_open = False
        self._fail_calls(why)
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.errback(Unavailable(f"MCP server '{self.name}': {why}"))

    def answer(self, result: ToolResult) -> None:
        """The oldest call's answer."""
        self._waiting.pop(0).callback(result)

    def _fail_calls(self, why: str) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(ToolUncertain(f"MCP server '{self.name}': {why}"))


class ScriptedMcp(msgspec.Struct, eq=False):
    """A connector to servers that behave as a test says.

    Attributes:
        tools: of every server.
        problem: what connecting fails with; None = it works.
        problems: the same, of single servers.
        hangs: connecting never ends.
        answers_at_once: off = `connection.answer` gives each result.
        opened: every connection ever made, oldest first.
        calls: (server, tool, arguments) in the order they came.
    """

    tools: tuple[McpTool, ...] = (ECHO,)
    problem: GatewayError | None = None
    hangs: bool = False
    answers_at_once: bool = True
    opened: list[ScriptedConnection] = []
    calls: list[tuple[str, str, dict[str, object]]] = []
    problems: dict[str, GatewayError] = {}

    def open(self, name: str, server: McpServer) -> ScriptedConnection:
        """One more conversation."""
        self.opened.append(ScriptedConnection(self, name, server))
        return self.opened[-1]
