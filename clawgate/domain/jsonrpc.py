"""JSON-RPC 2.0, one message at a time. Ring: domain. Source: the JSON-RPC 2.0 specification; MCP 2025-06-18 and later (no batches).

    message = request (id, method) / notification (method) / success (id, result) / failure (id or null, error)

Params and results stay raw JSON: whoever knows the method decodes them. Nothing here reads more than it was given, so whoever frames the messages bounds them.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from clawgate.domain.errors import BadRequest

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND = -32700, -32600, -32601
MAX_MESSAGE_CHARS = 2000
"""Longest text of an error that is kept."""

Id = int | str


class Malformed(BadRequest):
    """These bytes are no JSON-RPC message.

    Attributes:
        code: PARSE_ERROR when they are not JSON, else INVALID_REQUEST.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Request(msgspec.Struct, frozen=True):
    """Wants an answer under its id; `params` is a JSON object or array, b"" when there are none."""

    id: Id
    method: str
    params: bytes = b""


class Notification(msgspec.Struct, frozen=True):
    """Wants no answer."""

    method: str
    params: bytes = b""


class Success(msgspec.Struct, frozen=True):
    """The answer to a request: raw JSON."""

    id: Id
    result: bytes


class Problem(msgspec.Struct, frozen=True):
    """The refusal of a request; without an id when the other side could not even read which.

    Attributes:
        data: raw JSON, b"" when there is none.
    """

    id: Id | None
    code: int
    message: str
    data: bytes = b""


Message = Request | Notification | Success | Problem


class _Error(msgspec.Struct):
    code: int
    message: str = ""
    data: Raw = Raw()


class _Envelope(msgspec.Struct):
    jsonrpc: str
    id: Id | UnsetType | None = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: _Error | UnsetType | None = UNSET


_DECODER = msgspec.json.Decoder(_Envelope)


def decode(data: bytes) -> Message:
    """The message in `data`.

    Raises:
        Malformed: it is none.
    """
    try:
        read = _DECODER.decode(data)
    except msgspec.ValidationError:
        raise Malformed("not a JSON-RPC message", INVALID_REQUEST) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed("not JSON", PARSE_ERROR) from None
    if read.jsonrpc != "2.0":
        raise Malformed("not JSON-RPC 2.0", INVALID_REQUEST)
    return _asked(read) if isinstance(read.method, str) else _answered(read)


def _asked(read: _Envelope) -> Message:
    params = b"" if isinstance(read.params, UnsetType) else bytes(read.params)
    if params[:1] not in (b"", b"{", b"["):
        raise Malformed("params are neither an object nor an array", INVALID_REQUEST)
    method = str(read.method)
    if isinstance(read.id, UnsetType):
        return Notification(method, params)
    if read.id is None:
        raise Malformed("a request without an id of its own", INVALID_REQUEST)
    return Request(read.id, method, params)


def _answered(read: _Envelope) -> Message:
    number = None if isinstance(read.id, UnsetType) else read.id
    if isinstance(read.error, _Error) and isinstance(read.result, UnsetType):
        return Problem(number, read.error.code, read.error.message[:MAX_MESSAGE_CHARS], bytes(read.error.data))
    if isinstance(read.result, Raw) and not isinstance(read.error, _Error) and number is not None:
        return Success(number, bytes(read.result))
    raise Malformed("neither a question nor an answer", INVALID_REQUEST)


def encode(message: Message) -> bytes:
    """The message as JSON, without a line feed anywhere in it."""
    fields: dict[str, object] = {"jsonrpc": "2.0"}
    if isinstance(message, Request):
        fields |= {"id": message.id, "method": message.method}
    elif isinstance(message, Notification):
        fields["method"] = message.method
    elif isinstance(message, Success):
        fields |= {"id": message.id, "result": Raw(message.result)}
    else:
        data = {"data": Raw(message.data)} if message.data else {}
        fields |= {"id": message.id, "error": {"code": message.code, "message": message.message, **data}}
    if isinstance(message, Request | Notification) and message.params:
        fields["params"] = Raw(message.params)
    return msgspec.json.encode(fields).replace(b"\n", b" ")
