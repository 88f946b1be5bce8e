"""MCP servers as sources of tools: started, supervised, asked. Ring: services; implements `ports.tools.ToolSource`. Source: rantaiclaw.md §15; design §1.

    Stopped --connected and listed--> Running --ended--> Error --again after 2, 4, 8 … 60 s--> Running
       |                                                   ^
       +--could not be reached---------------------------- +            (never given up; upstream gives up after five)

Each server is the component `mcp:<name>`. While one is restarted for the first time its tools stay on offer and a call is `Unavailable`: an agent that was
told of a tool learns why it does not work. Once a restart has failed they are withdrawn until it is back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.logger import Logger

from clawgate.domain.errors import Conflict, GatewayError, NotFound, Overloaded, Unavailable
from clawgate.domain.mcp import MOST_SERVERS, ServerState, offered
from clawgate.domain.settings.model import McpServer
from clawgate.domain.tools import Tool, ToolContext, ToolResult
from clawgate.ports.clock import Clock
from clawgate.ports.mcp import McpConnection, McpConnector
from clawgate.services.deadlines import Expired, within
from clawgate.services.supervisor import Ready, Supervisor

_log = Logger()
MAX_IN_FLIGHT, MAX_WAITING = 8, 32
"""Calls to one server at once, and in line for it."""
RELIST_SECONDS = 1.0
"""Between two looks at a list that keeps changing."""


class _Server(msgspec.Struct, eq=False):
    """One server and its present life."""

    name: str
    settings: McpServer
    tools: dict[str, tuple[Tool, str]] = {}
    connection: McpConnection | None = None
    error: str | None = None
    slots: DeferredSemaphore = msgspec.field(default_factory=lambda: DeferredSemaphore(MAX_IN_FLIGHT))
    waiter: Deferred[None] | None = None

    @property
    def state(self) -> ServerState:
        if self.connection is not None:
            return ServerState.RUNNING
        return ServerState.STOPPED if self.error is None else ServerState.ERROR

    def settle(self, problem: GatewayError | None, clock: Clock) -> None:
        """Tells whoever waits for the first outcome; a moment later, because they may end the very life that tells them."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None and problem is None:
            clock.call_later(0, waiter.callback, None)
        elif waiter is not None:
            clock.call_later(0, waiter.errback, problem)


class McpServers(msgspec.Struct, eq=False):
    """All configured MCP servers."""

    connector: McpConnector
    supervisor: Supervisor
    clock: Clock
    _servers: dict[str, _Server] = {}

    def status(self) -> dict[str, tuple[str, str | None]]:
        """Each server's state ("Running", "Stopped", "Error") and, in error, why."""
        return {name: (held.state.value, held.error if held.state is ServerState.ERROR else None) for name, held in self._servers.items()}

    async def start_all(self, servers: Mapping[str, McpServer]) -> None:
        """Starts the configured ones without waiting for any; what cannot be started is logged."""
        for name, server in servers.items():
            try:
                await self.start(name, server)
            except GatewayError as problem:
                _log.error("MCP server {name} is not started: {problem}", name=name, problem=str(problem))

    async def start(self, name: str, server: McpServer) -> None:
        """Has a server started and supervised from now on; returns before it is ready.

        Raises:
            Conflict: the limit is reached, or the name is in use.
        """
        self._begin(name, server)

    async def try_start(self, name: str, server: McpServer, seconds: float) -> None:
        """As `start`, and returns when its tools can be called. On failure, or when cancelled, nothing of it is left.

        Args:
            seconds: how long it may take.

        Raises:
            Conflict: as `start`.
            Unavailable: why it did not come up.
        """
        first: Deferred[None] = Deferred()
        self._begin(name, server, first)
        try:
            await within(first, seconds, self.clock)
        except Expired:
            await self._end(name)
            raise Unavailable(f"MCP server '{name}' was not ready within {seconds:g} s") from None
        except BaseException:
            await self._end(name)
            raise

    async def stop(self, name: str) -> None:
        """Ends a server and withdraws its tools.

        Raises:
            NotFound: there is none of this name.
        """
        if name not in self._servers:
            raise NotFound(f"MCP server '{name}' not found")
        await self._end(name)

    async def stop_all(self) -> None:
        """Ends every server, all at once."""
        ending = [Deferred.fromCoroutine(self._end(name)) for name in tuple(self._servers)]
        for each in ending:
            await each

    # --- ToolSource

    def tools(self) -> Sequence[Tool]:
        """The tools on offer, server by server."""
        return [tool for held in self._servers.values() for tool, _ in held.tools.values()]

    def call(self, name: str, arguments: Mapping[str, object], context: ToolContext) -> Deferred[ToolResult]:
        """Calls a tool at its server.

        Raises (errback):
            Unavailable: it was not sent (Overloaded: too many calls wait for this server).
            ToolUncertain: it was sent, and what came of it is unknown.
        """
        return Deferred.fromCoroutine(self._call(name, arguments))

    async def _call(self, name: str, arguments: Mapping[str, object]) -> ToolResult:
        held = next((held for held in self._servers.values() if name in held.tools), None)
        if held is None:
            return ToolResult(f"there is no tool named {name[:64]}", ok=False)
        if len(held.slots.waiting) >= MAX_WAITING:
            raise Overloaded(f"too many calls wait for MCP server '{held.name}'")
        async with held.slots:
            if held.connection is None or name not in held.tools:
                raise Unavailable(f"MCP server '{held.name}' is not connected")
            return await held.connection.call(held.tools[name][1], arguments)

    # --- lives

    def _begin(self, name: str, server: McpServer, first: Deferred[None] | None = None) -> None:
        if name in self._servers:
            raise Conflict(f"MCP server '{name}' is there already")
        if len(self._servers) >= MOST_SERVERS:
            raise Conflict(f"MCP server limit reached (max {MOST_SERVERS})")
        held = self._servers[name] = _Server(name, server, waiter=first)
        self.supervisor.start(_component(name), lambda ready: self._live(held, ready))

    async def _end(self, name: str) -> None:
        held = self._servers.pop(name, None)
        if held is not None:
            held.tools = {}
            await self.supervisor.stop(_component(name))

    async def _live(self, held: _Server, ready: Ready) -> None:
        """One life, whose end is remembered."""
        was_ready = False

        def works() -> None:
            nonlocal was_ready
            was_ready = True
            held.error = None
            ready()
            held.settle(None, self.clock)

        try:
            await self._converse(held, works)
        except CancelledError:
            raise
        except Exception as problem:
            held.error = str(problem) if isinstance(problem, GatewayError) else f"internal error ({type(problem).__name__})"
            if not was_ready:
                held.tools = {}
            held.settle(problem if isinstance(problem, GatewayError) else Unavailable(held.error), self.clock)
            raise

    async def _converse(self, held: _Server, works: Ready) -> None:
        connection = self.connector.open(held.name, held.settings)
        try:
            await connection.connect()
            while True:
                tools = await connection.list_tools()
                held.tools = offered(held.name, tools, held.settings.read_only_tools)
                held.connection = connection
                works()
                await connection.changed()
                await self.clock.sleep(RELIST_SECONDS)
        finally:
            held.connection = None
            await connection.close()


def _component(name: str) -> str:
    return f"mcp:{name}"
