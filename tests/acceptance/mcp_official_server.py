"""A server made of the official `mcp` package: `mcp_official_server.py stdio|http PORT [stateless]`. Run as a child of the tests."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError


async def refuse_sessions(context: Any, call_next: Any) -> Any:  # Any: the package's own generics
    if context.method == "initialize":
        raise MCPError(-32601, "Method not found")
    return await call_next(context)


is_stateless = "stateless" in sys.argv
server = MCPServer("counterpart", middleware=[refuse_sessions] if is_stateless else [])


@server.tool()
def add(a: int, b: int) -> str:
    """Adds two numbers"""
    return str(a + b)


@server.tool()
def pid() -> str:
    """The process id"""
    return str(os.getpid())


@server.tool()
def variables() -> str:
    """The names of the environment"""
    return " ".join(sorted(os.environ))


@server.tool()
def fail() -> str:
    """Fails"""
    raise ValueError("out of luck")


@server.tool()
async def sleep() -> str:
    """Takes long"""
    await asyncio.sleep(600)
    return "awake"


@server.tool()
async def grow(context: Context) -> str:
    """Offers one tool more"""
    server.add_tool(lambda: "new", name="grown", description="Grown later")
    await context.session.send_tool_list_changed()
    return "grown"


if sys.argv[1] == "stdio":
    server.run("stdio")
else:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]), json_response="json" in sys.argv)
