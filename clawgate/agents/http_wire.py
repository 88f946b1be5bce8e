r"""The bytes of HTTP/1.1 as a client: a request's head, an answer however it is cut. Ring: agents, under the domain rule. Source: RFC 9110, RFC 9112.

    answer   = *interim head body          interim = a head with status 1xx, passed over
    head     = "HTTP/1." ( "0" / "1" ) SP 3DIGIT [ SP reason ] CRLF *( field-name ":" field-value CRLF ) CRLF
    body     = nothing (204, 304) / chunks / as many bytes as announced / everything until the connection ends
    chunked  = *( 1*16HEXDIG [ ";" extension ] CRLF data CRLF ) 1*16"0" [ ";" extension ] CRLF *( trailer CRLF ) CRLF

Stricter than the RFC wherever a reader could be led to take one answer's end for the next one's beginning: one length only, never a length beside a coding,
no coding but `chunked` and none in HTTP/1.0, no folded lines, no bare CR or LF, no control characters, no space before a colon. Everything is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from clawgate.domain.errors import AgentError, AgentProtocol, AgentUnavailable

HEAD_CAP_BYTES = 64 * 1024
"""Most bytes before a body: interim answers and the head."""
TRAILER_CAP_BYTES = 8 * 1024

_START = b"HTTP/1."
_CRLF = b"\r\n"
_END = b"\r\n\r\n"
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")
_FIELDS = re.compile(r"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)*")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_LENGTH = re.compile(r"[0-9]{1,18}")
# The line end of the data before belongs to a size: where one is missing, the sizes are not where they seem to be.
_SIZE = re.compile(rb"\r\n([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e]{0,256})?\r\n")
_PARTIAL_SIZE = re.compile(rb"(?:\r(?:\n(?:[0-9A-Fa-f]{1,16}(?:;[\t\x20-\x7e]{0,256})?\r?)?)?)?")
_ONLY_ONCE = frozenset({"content-length", "transfer-encoding"})
_SWITCHING_PROTOCOLS, _FINAL = 101, 200
_WITHOUT_BODY = frozenset({204, 304})


def request_bytes(start: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """A whole request.

    Args:
        start: the request line and what is the same for every request, each line with its end.
        body: None for a method that has none.

    Raises:
        AgentProtocol: a header would not be exactly one line.
    """
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    fields = "".join(lines)
    if fields.count("\n") != len(lines) or not _FIELDS.fullmatch(fields):
        raise AgentProtocol("a header of the request cannot be sent", detail=f"one of {', '.join(headers)!r} has a control character")
    if body is None:
        return f"{start}{fields}\r\n".encode()
    return f"{start}{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body


class AnswerHead(msgspec.Struct, frozen=True, gc=False):
    """An answer's status and headers.

    Attributes:
        fields: lower-case name to value; of a name that is there twice the first one.
        length: bytes of the body; None = chunked, or until the connection ends.
        keeps: whether the server would take another request on this connection.
    """

    status: int
    fields: dict[str, str]
    length: int | None
    is_chunked: bool
    keeps: bool

    def header(self, name: str) -> str | None:
        """The value of a header, its name in any case."""
        return self.fields.get(name.lower())


def parse_head(raw: bytes) -> AnswerHead:
    """The head of an answer.

    Args:
        raw: its lines, each with its end, without the empty line.

    Raises:
        AgentProtocol: it is none, or does not say clearly where its body ends.
    """
    text = raw.decode("latin-1")
    first = _STATUS_LINE.match(text)
    if first is None or not _FIELDS.fullmatch(text, first.end()):
        raise not_http("a malformed head")
    is_modern, status = first[1] == "1", int(first[2])
    fields: dict[str, str] = {}
    keeps = is_modern
    for line in text[first.end() :].split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if name == "connection" and "close" in value.lower():
            keeps = False  # any word with "close" in it: the worst that comes of it is another connection
        if name not in fields:
            fields[name] = value
        elif name in _ONLY_ONCE:
            raise not_http(f"more than one {name}")
    length = _length(fields, is_modern)
    if status < _FINAL or status in _WITHOUT_BODY:
        return AnswerHead(status, fields, 0, False, keeps)
    return AnswerHead(status, fields, length, "transfer-encoding" in fields, keeps)


def _length(fields: dict[str, str], is_modern: bool) -> int | None:
    length, coding = fields.get("content-length"), fields.get("transfer-encoding")
    if coding is not None and (length is not None or not is_modern or coding.lower() != "chunked"):
        raise not_http("an unclear transfer coding")
    if length is None:
        return None
    if not _LENGTH.fullmatch(length):
        raise not_http("an unclear length")
    return int(length)


def not_http(what: str) -> AgentProtocol:
    """The error of an answer that is none."""
    return AgentProtocol("the provider's answer is not HTTP", detail=what)


class AnswerParser:
    """One answer that is fed as it arrives; where it is cut makes no difference.

    Attributes:
        head: once it is whole.
        is_over: whether the body is whole.
        problem: what is wrong; what came before it has been handed out. The parser is of no use afterwards.
    """

    __slots__ = ("_has_rest", "_is_trailing", "_kept", "_missing", "_spent", "head", "is_over", "problem")

    def __init__(self) -> None:
        self.head: AnswerHead | None = None
        self.is_over = False
        self.problem: AgentError | None = None
        self._kept = bytearray()
        self._spent = self._missing = 0
        self._is_trailing = self._has_rest = False

    @property
    def keeps(self) -> bool:
        """Whether the connection may carry another request: the answer is whole, nothing followed it, and the server does not close."""
        return self.is_over and not self._has_rest and self.head is not None and self.head.keeps

    @property
    def ends_with_connection(self) -> bool:
        """Whether only the end of the connection ends the body."""
        return self.head is not None and self.head.length is None and not self.head.is_chunked

    def feed(self, data: bytes) -> bytes:
        """The bytes of the body that `data` adds."""
        if self.head is None:
            data = self._read_head(data)
        if self.head is None or self.problem is not None:
            return b""
        if self.is_over:
            self._has_rest |= bool(data)
            return b""
        if self.head.is_chunked:
            return self._read_chunked(data)
        return data if self.head.length is None else self._read_counted(data)

    def _read_head(self, data: bytes) -> bytes:
        """What follows the head."""
        kept, seen = self._kept, len(self._kept)
        if seen:
            kept += data
        unread: bytes | bytearray = kept if seen else data
        while True:
            end = unread.find(_END, max(0, seen - len(_END)))
            spent = self._spent + (len(unread) if end < 0 else end + len(_END))
            if spent > HEAD_CAP_BYTES:
                self.problem = AgentUnavailable("the head of the provider's answer is over its cap", detail=f"more than {HEAD_CAP_BYTES} bytes")
                return b""
            if end < 0:
                if not _START.startswith(unread[: len(_START)]) or _BARE_LF.search(unread, seen):
                    self.problem = not_http("a malformed head")
                if not seen:
                    kept += unread
                return b""
            rest = bytes(unread[end + len(_END) :])
            if self._takes_head(bytes(unread[: end + len(_CRLF)])):
                return rest
            kept.clear()
            self._spent, seen, unread = spent, 0, rest

    def _takes_head(self, raw: bytes) -> bool:
        """Whether these lines were the last head; those of an interim answer are passed over."""
        try:
            head = parse_head(raw)
            if head.status == _SWITCHING_PROTOCOLS:
                raise not_http("a change of protocol nobody asked for")
        except AgentProtocol as problem:
            self.problem = problem
            return True
        if head.status < _FINAL:
            return False
        self.head = head
        self._missing = head.length or 0
        self._kept = bytearray(_CRLF) if head.is_chunked else self._kept
        return True

    def _read_counted(self, data: bytes) -> bytes:
        self._missing -= len(data)
        if self._missing > 0:
            return data
        self.is_over, self._has_rest = True, self._missing < 0
        return data[: self._missing] if self._has_rest else data

    def _read_chunked(self, data: bytes) -> bytes:
        if self._kept:
            data = bytes(self._kept) + data
            self._kept.clear()
        if self._is_trailing:
            self._read_trailer(data)
            return b""
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            if self._missing:
                piece = data[at : at + self._missing]
                pieces.append(piece)
                at += len(piece)
                self._missing -= len(piece)
                continue
            size = _SIZE.match(data, at)
            if size is None:
                self._keep_size(data, at)
                break
            at = size.end()
            self._missing = int(size[1], 16)
            if not self._missing:
                self._is_trailing = True
                self._read_trailer(data[at:])
                break
        return b"".join(pieces)

    def _keep_size(self, data: bytes, at: int) -> None:
        if _PARTIAL_SIZE.fullmatch(data, at):
            self._kept += data[at:]
        else:
            self.problem = not_http("a malformed chunk")

    def _read_trailer(self, data: bytes) -> None:
        """Trailers are checked and dropped."""
        if data.startswith(_CRLF):
            self.is_over, self._has_rest = True, len(data) > len(_CRLF)
            return
        end = data.find(_END, 0, TRAILER_CAP_BYTES)
        if end >= 0 and _FIELDS.fullmatch(data[: end + len(_CRLF)].decode("latin-1")):
            self.is_over, self._has_rest = True, len(data) > end + len(_END)
        elif end >= 0 or len(data) >= TRAILER_CAP_BYTES:
            self.problem = not_http("malformed trailers")
        else:
            self._kept += data
