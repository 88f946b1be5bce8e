"""An MCP server whose one tool leaves a mark in the world: `mcp_ledger_server.py LEDGER`. While `LEDGER.hold` exists, it does not answer."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mcp.server import MCPServer

ledger = Path(sys.argv[1])
hold = Path(sys.argv[1] + ".hold")
server = MCPServer("ledger")


@server.tool()
async def note(text: str) -> str:
    """Writes a line that stays"""
    with ledger.open("a") as file:
        file.write(text + "\n")
    while hold.exists():
        await asyncio.sleep(0.05)
    return f"noted {text}"


server.run("stdio")
