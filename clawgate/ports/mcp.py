"""Conversations with MCP servers. Ring: ports. Source: rantaiclaw.md §15; MCP 2025-11-25."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from twisted.internet.defer import Deferred

from clawgate.domain.mcp import McpTool
from clawgate.domain.settings.model import McpServer
from clawgate.domain.tools import ToolResult


class McpConnection(Protocol):
    """One conversation: connect once, then list and call, close at the end."""

    def connect(self) -> Deferred[None]:
        """Starts or reaches the server and agrees on a version. Cancelling gives up; `close` is still needed.

        Raises (errback):
            Unavailable: there is no such server, or none that speaks MCP.
        """

    def list_tools(self) -> Deferred[tuple[McpTool, ...]]:
        """All tools that fit the bounds of `domain.mcp`, in the server's order. Raises (errback) Unavailable."""

    def call(self, name: str, arguments: Mapping[str, object]) -> Deferred[ToolResult]:
        """Calls a tool by the server's own name for it. Cancelling tells the server.

        Raises (errback):
            Unavailable: the call was not sent.
            ToolUncertain: it was sent, and no answer came in time or before the connection ended.
        """

    def changed(self) -> Deferred[None]:
        """Fires when the list of tools may have changed since it was last asked for. Raises (errback) Unavailable once the connection has ended."""

    def close(self) -> Deferred[None]:
        """Ends it and fires when nothing of it is left; idempotent, never fails."""


class McpConnector(Protocol):
    """Makes connections."""

    def open(self, name: str, server: McpServer) -> McpConnection:
        """A connection to what the settings describe; nothing happens before its `connect`."""
