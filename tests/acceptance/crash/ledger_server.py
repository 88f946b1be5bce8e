"""An MCP server whose tools leave a mark in the world: `ledger_server.py LEDGER`. Nothing but the standard library: it is started with every daemon."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

_SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
_TOOLS = [{"name": name, "description": "Writes a line that stays", "inputSchema": _SCHEMA} for name in ("note", "pay")]

_WORKS_SECONDS = 0.05
"""After the mark is left and before the caller hears of it."""


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    match method:
        case "initialize":
            return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "ledger", "version": "1"}}
        case "tools/list":
            return {"tools": _TOOLS}
        case "tools/call":
            text = params["arguments"]["text"]
            with open(sys.argv[1], "a", encoding="utf-8") as ledger:
                ledger.write(f"{text}\n")
            time.sleep(_WORKS_SECONDS)
            return {"content": [{"type": "text", "text": f"noted {text}"}]}
    return {}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": answer(request["method"], request.get("params", {}))}) + "\n")
        sys.stdout.flush()
