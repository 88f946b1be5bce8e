"""What is said to an MCP server and what it says back. Ring: system (pure codec). Source: MCP 2025-11-25 (and 2025-06-18), MCP 2026-07-28; rantaiclaw.md §15.

    sessions:    initialize → notifications/initialized → tools/list (pages) → tools/call …          `ping` both ways
    stateless:   server/discover → tools/list → tools/call …                                          `_meta` in every request

Everything a server says is bounded here: tools, pages, names, descriptions, schemas, results. A tool that does not fit is left out, not cut.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import Raw

from clawgate import __version__
from clawgate.domain.errors import BadRequest, GatewayError
from clawgate.domain.mcp import MAX_DESCRIPTION_CHARS, MAX_SCHEMA_BYTES, MAX_TOOL_NAME_CHARS, McpTool
from clawgate.domain.tools import RESULT_CHARS, ToolResult, bounded

SESSION_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Versions with `initialize`, newest first: the first is asked for, any is taken."""
STATELESS_VERSION = "2026-07-28"
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022
MAX_PAGES, MAX_CURSOR_CHARS, MAX_CONTENT_ITEMS = 16, 4096, 256
INITIALIZE, DISCOVER, LIST, CALL, PING = "initialize", "server/discover", "tools/list", "tools/call", "ping"
INITIALIZED, CANCELLED, LIST_CHANGED = "notifications/initialized", "notifications/cancelled", "notifications/tools/list_changed"
_T = TypeVar("_T")
_META = "io.modelcontextprotocol/"
_CLIENT = {"name": "clawgate", "title": "clawgate", "version": __version__}
_PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
_STRANGE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_NO_OBJECT = '{"type":"object"}'


class Refused(GatewayError):
    """The server understood a request and refuses it.

    Attributes:
        code: JSON-RPC's, or the server's own.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(clean(message))
        self.code = code


class Agreed(msgspec.Struct, frozen=True):
    """What both sides agreed on."""

    version: str
    has_tools: bool
    is_stateless: bool = False


class _Capabilities(msgspec.Struct):
    tools: Raw = Raw()

    @property
    def has_tools(self) -> bool:
        return bytes(self.tools) not in (b"", b"null")


class _Initialized(msgspec.Struct, rename="camel"):
    protocol_version: str
    capabilities: _Capabilities


class _Discovered(msgspec.Struct, rename="camel"):
    supported_versions: tuple[str, ...]
    capabilities: _Capabilities


class _Tool(msgspec.Struct, rename="camel"):
    name: str
    description: str | None = None
    input_schema: Raw = Raw()


class _Page(msgspec.Struct, rename="camel"):
    tools: tuple[Raw, ...]
    next_cursor: str | None = None


class _Resource(msgspec.Struct, rename="camel"):
    uri: str = ""
    mime_type: str | None = None
    text: str | None = None


class _Content(msgspec.Struct, rename="camel"):
    type: str
    text: str = ""
    mime_type: str | None = None
    data: str = ""
    uri: str = ""
    resource: _Resource | None = None


class _Called(msgspec.Struct, rename="camel"):
    content: tuple[_Content, ...] = ()
    structured_content: Raw = Raw()
    is_error: bool = False
    result_type: str = "complete"


class _Schema(msgspec.Struct):
    type: str = "object"


def clean(text: str, limit: int = 300) -> str:
    """A stranger's text made fit for one line."""
    return _STRANGE.sub(" ", text)[:limit].strip()


def initialize_params() -> bytes:
    """Of `initialize`."""
    return msgspec.json.encode({"protocolVersion": SESSION_VERSIONS[0], "capabilities": {}, "clientInfo": _CLIENT})


def initialized(result: bytes) -> Agreed:
    """What `initialize` came to. Raises BadRequest for garbage or a version nobody here speaks."""
    read = _decoded(result, _Initialized)
    if read.protocol_version not in SESSION_VERSIONS:
        raise BadRequest(f"the server speaks MCP {clean(read.protocol_version, 32)!r}, which is not known here")
    return Agreed(read.protocol_version, read.capabilities.has_tools)


def discovered(result: bytes) -> Agreed:
    """What `server/discover` came to. Raises BadRequest as `initialized`."""
    read = _decoded(result, _Discovered)
    if STATELESS_VERSION not in read.supported_versions:
        raise BadRequest(f"the server does not speak MCP {STATELESS_VERSION}")
    return Agreed(STATELESS_VERSION, read.capabilities.has_tools, is_stateless=True)


def with_meta(params: bytes) -> bytes:
    """Params of a stateless request: the client's version and abilities go with each."""
    meta = {f"{_META}protocolVersion": STATELESS_VERSION, f"{_META}clientInfo": _CLIENT, f"{_META}clientCapabilities": {}}
    fields: dict[str, Raw] = msgspec.json.decode(params or b"{}", type=dict[str, Raw])
    return msgspec.json.encode({**fields, "_meta": meta})


def list_params(cursor: str | None) -> bytes:
    """Of `tools/list`: b"" for the first page."""
    return msgspec.json.encode({"cursor": cursor}) if cursor is not None else b""


def page(result: bytes) -> tuple[tuple[McpTool, ...], int, str | None]:
    """One page of tools, how many were left out because they do not fit, and where the next page begins.

    Raises:
        BadRequest: it is no page.
    """
    read = _decoded(result, _Page)
    fitting = [tool for raw in read.tools if (tool := _tool(bytes(raw))) is not None]
    cursor = read.next_cursor or None
    if cursor is not None and len(cursor) > MAX_CURSOR_CHARS:
        raise BadRequest("the cursor of the next page is too long")
    return tuple(fitting), len(read.tools) - len(fitting), cursor


def _tool(raw: bytes) -> McpTool | None:
    try:
        read = _decoded(raw, _Tool)
        schema = bytes(read.input_schema) or _NO_OBJECT.encode()
        is_object = _decoded(schema, _Schema).type == "object"
        compact = msgspec.json.format(schema, indent=-1).decode()
    except (BadRequest, UnicodeDecodeError):
        return None
    if not is_object or len(schema) > MAX_SCHEMA_BYTES or not 0 < len(read.name) <= MAX_TOOL_NAME_CHARS:
        return None
    return McpTool(read.name, (read.description or "")[:MAX_DESCRIPTION_CHARS], compact)


def call_params(name: str, arguments: Mapping[str, object]) -> bytes:
    """Of `tools/call`."""
    return msgspec.json.encode({"name": name, "arguments": dict(arguments)})


def called(result: bytes) -> ToolResult:
    """What a tool answered: its texts, and a word for everything that is none.

    Raises:
        BadRequest: it is no result.
    """
    read = _decoded(result, _Called)
    if read.result_type != "complete":
        return ToolResult(f"the tool answers {clean(read.result_type, 40)!r}, which is not supported here", ok=False)
    parts = [_shown(item) for item in read.content[:MAX_CONTENT_ITEMS]]
    if len(read.content) > MAX_CONTENT_ITEMS:
        parts.append(f"[{len(read.content) - MAX_CONTENT_ITEMS} more]")
    if not parts and bytes(read.structured_content) not in (b"", b"null"):
        parts = [bytes(read.structured_content)[: 4 * RESULT_CHARS].decode("utf-8", "replace")]
    return ToolResult(bounded("\n".join(parts)), ok=not read.is_error)


def _shown(item: _Content) -> str:
    if item.type == "text":
        return item.text
    if item.type == "resource" and item.resource is not None:
        return item.resource.text if item.resource.text is not None else f"[resource {clean(item.resource.uri)}]"
    if item.type == "resource_link":
        return f"[link {clean(item.uri)}]"
    kind = clean(item.mime_type or "unknown type", 80)
    return f"[{clean(item.type, 40)} {kind}, {len(item.data) * 3 // 4} bytes]"


def cancelled_params(number: int, reason: str) -> bytes:
    """Of `notifications/cancelled`."""
    return msgspec.json.encode({"requestId": number, "reason": reason})


def header_value(text: str) -> str:
    """A name as it stands in `Mcp-Name`: plain ASCII as it is, anything else in base64."""
    if _PLAIN.match(text) and not text.startswith("=?base64?"):
        return text
    return f"=?base64?{base64.b64encode(text.encode('utf-8', 'replace')).decode()}?="


def _decoded(data: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("the server's answer does not have the shape of MCP") from None
