"""Tools that other people's MCP servers offer. Ring: domain. Source: rantaiclaw.md §15; MCP 2025-11-25 (server/tools).

What a server says about its own tools (annotations) is never believed: a tool reaches outside unless the operator wrote it into `read_only_tools`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum

import msgspec

from clawgate.domain.tools import Risk, Tool, hashed_name, is_name

MOST_SERVERS, MOST_TOOLS = 10, 64
MAX_SCHEMA_BYTES, MAX_DESCRIPTION_CHARS = 32 * 1024, 4096
MAX_TOOL_NAME_CHARS = 256
"""As the server calls it; the names that models see are shorter."""


class McpTool(msgspec.Struct, frozen=True):
    """A tool as its server describes it; `schema` is a JSON Schema of an object, as JSON text."""

    name: str
    description: str
    schema: str


class ServerState(StrEnum):
    """How a server is, in the words of `GET /config/mcp-servers`."""

    RUNNING = "Running"
    STOPPED = "Stopped"
    """It has not come up yet."""
    ERROR = "Error"


def tool_name(server: str, tool: str) -> str:
    """`<server>__<tool>`; where characters have to go, or where the seam could be read in two ways, with a hash (`tools.hashed_name`)."""
    plain = f"{server}__{tool}"
    is_plain = is_name(plain) and "__" not in server and not server.endswith("_")
    return plain if is_plain else hashed_name(plain, server, tool)


def offered(server: str, tools: Iterable[McpTool], read_only: Collection[str]) -> dict[str, tuple[Tool, str]]:
    """What agents may call, by the names they see, each with the server's own name for it; at most `MOST_TOOLS`."""
    found: dict[str, tuple[Tool, str]] = {}
    for tool in tools:
        if len(found) >= MOST_TOOLS:
            break
        is_read = tool.name in read_only
        seen = Tool(
            name=tool_name(server, tool.name),
            description=tool.description,
            parameters=tool.schema,
            risk=Risk.READ if is_read else Risk.OUTSIDE,
            is_idempotent=is_read,
        )
        found.setdefault(seen.name, (seen, tool.name))
    return found
