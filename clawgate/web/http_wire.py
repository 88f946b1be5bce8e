"""The bytes of an HTTP/1.1 request: head, chunked body, refusals. Ring: web, under the domain rule. Source: RFC 9110, RFC 9112.

    head     = request-line *( field-name ":" OWS field-value OWS CRLF ) CRLF
    request  = token SP origin-form SP ( "HTTP/1.1" / "HTTP/1.0" ) CRLF
    chunked  = *( 1*16HEXDIG CRLF data CRLF ) 1*16"0" CRLF *( trailer CRLF ) CRLF

Stricter than the RFC wherever two readers could disagree about where a request ends, since this is how requests are smuggled past a proxy:
no folded lines, no bare CR or LF, no chunk extensions, no transfer coding but `chunked`, one length only, one Host only, and no target
but a path (advisories.md §3.2: CVE-2020-10108, CVE-2020-10109, CVE-2022-24801).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from clawgate.domain.errors import BadRequest

END_OF_HEAD = b"\r\n\r\n"
CRLF = b"\r\n"

REASONS: dict[int, bytes] = {
    400: b"Bad Request",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}
SENTENCES: dict[int, str] = {
    400: "Malformed HTTP request",
    408: "Request took too long to arrive",
    413: "Request body too large",
    414: "Request target too long",
    431: "Request headers too large",
    500: "Internal server error",
    503: "Too many connections",
}

_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (/[\x21-\x7e]*) HTTP/1\.([01])")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:%\[\]\-]*")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")
_PARTIAL_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}\r?")
_LONGEST_CHUNK_LINE = 16 + len(CRLF)
# What no line of a head may hold: everything below space except HTAB, and DEL.
_CONTROLS = bytes(code for code in range(32) if code not in b"\t") + b"\x7f"
_MOST_LENGTH_DIGITS = 18

# Header names seen so far in the form twisted.web files them under. Clients choose them, so the table stops growing, and long ones have no place in it.
_NAMES: dict[bytes, bytes] = {}
_MOST_NAMES, _LONGEST_NAME = 2_000, 64
_ODD_NAMES = {
    b"Content-Md5": b"Content-MD5",
    b"Dnt": b"DNT",
    b"Etag": b"ETag",
    b"P3p": b"P3P",
    b"Te": b"TE",
    b"Www-Authenticate": b"WWW-Authenticate",
    b"X-Xss-Protection": b"X-XSS-Protection",
}


class Unreadable(BadRequest):
    """The bytes on the wire will not become a request.

    Attributes:
        status: 400, 413, 414 or 431.
        event: the reason as it is counted.
    """

    def __init__(self, status: int, event: str) -> None:
        super().__init__(event)
        self.status, self.event = status, event


class Head(msgspec.Struct, frozen=True, gc=False):
    """A request's first line and headers.

    Attributes:
        target: raw path and query, visible ASCII, beginning with "/".
        headers: canonical name to values in order of arrival.
        length: bytes of the body; None = chunked.
        keep_alive: whether the client would send another request on this connection.
        expects_continue: whether it waits for a 100 before sending the body.
    """

    method: bytes
    target: bytes
    version: bytes
    headers: dict[bytes, list[bytes]]
    length: int | None
    keep_alive: bool
    expects_continue: bool


def malformed() -> Unreadable:
    """The refusal for bytes that are no HTTP request."""
    return Unreadable(400, "malformed")


def check_partial(start: bytes, *, max_bytes: int, max_headers: int) -> None:
    """Refuse the beginning of a head as soon as no continuation can make it good.

    Args:
        start: at least one byte, without the end of the head.
        max_bytes: of the whole head.
        max_headers: number of lines after the first.

    Raises:
        Unreadable: 400, 414 (the first line alone is too long) or 431.
    """
    line, found, _ = start.partition(CRLF)
    if len(start) > max_bytes:
        raise _head_too_large(start, max_bytes)
    breaks = start.count(b"\n")
    if not _TOKEN.match(start) or breaks != start.count(CRLF):
        raise malformed()
    if found and not _REQUEST_LINE.fullmatch(line):
        raise malformed()
    if breaks > max_headers + 1:
        raise Unreadable(431, "headers_too_large")


def _head_too_large(start: bytes, max_bytes: int) -> Unreadable:
    if start.find(CRLF, 0, max_bytes) < 0:
        return Unreadable(414, "target_too_long")
    return Unreadable(431, "headers_too_large")


def parse_head(raw: bytes, *, max_bytes: int, max_headers: int) -> Head:
    """The request that a complete head announces.

    Args:
        raw: everything before the empty line, without the CRLF CRLF that ends it.
        max_bytes: of the head including its end.
        max_headers: number of header lines.

    Raises:
        Unreadable: 400, 413 (a length nobody could mean), 414 or 431.
    """
    if len(raw) + len(END_OF_HEAD) > max_bytes:
        raise _head_too_large(raw, max_bytes)
    lines = raw.split(CRLF)
    breaks = len(lines) - 1
    first = _REQUEST_LINE.fullmatch(lines[0])
    if first is None or len(raw.translate(None, _CONTROLS)) != len(raw) - breaks * len(CRLF):
        raise malformed()
    if breaks > max_headers:
        raise Unreadable(431, "headers_too_large")
    method, target, minor = first.groups()
    headers = _headers(lines)
    is_modern = minor == b"1"
    _check_host(headers.get(b"Host"), required=is_modern)
    return Head(
        method,
        target,
        b"HTTP/1.1" if is_modern else b"HTTP/1.0",
        headers,
        _body_length(headers, is_modern),
        is_modern and not _has_token(headers.get(b"Connection"), b"close"),
        is_modern and _has_token(headers.get(b"Expect"), b"100-continue"),
    )


def _headers(lines: list[bytes]) -> dict[bytes, list[bytes]]:
    headers: dict[bytes, list[bytes]] = {}
    del lines[0]
    for line in lines:
        raw_name, colon, value = line.partition(b":")
        name = _NAMES.get(raw_name) or canonical_name(raw_name)
        if not colon:
            raise malformed()
        if name in headers:
            headers[name].append(value.strip(b" \t"))
        else:
            headers[name] = [value.strip(b" \t")]
    return headers


def canonical_name(raw: bytes) -> bytes:
    """A header name as `twisted.web.http_headers.Headers` files it.

    Raises:
        Unreadable: it is no token; a folded line and a space before the colon end here too.
    """
    if not _TOKEN.fullmatch(raw):
        raise malformed()
    name = b"-".join([word.capitalize() for word in raw.split(b"-")])
    name = _ODD_NAMES.get(name, name)
    if len(_NAMES) < _MOST_NAMES and len(raw) <= _LONGEST_NAME:
        _NAMES[raw] = name
    return name


def _check_host(hosts: list[bytes] | None, *, required: bool) -> None:
    if hosts is None:
        if required:
            raise malformed()
    elif len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        raise malformed()


def _body_length(headers: dict[bytes, list[bytes]], is_modern: bool) -> int | None:
    lengths, codings = headers.get(b"Content-Length"), headers.get(b"Transfer-Encoding")
    if codings is not None:
        if lengths is not None or not is_modern or len(codings) != 1 or codings[0].lower() != b"chunked":
            raise malformed()
        return None
    if lengths is None:
        return 0
    if len(lengths) != 1 or not lengths[0].isdigit():
        raise malformed()
    if len(lengths[0]) > _MOST_LENGTH_DIGITS:
        raise Unreadable(413, "body_too_large")
    return int(lengths[0])


def _has_token(values: list[bytes] | None, token: bytes) -> bool:
    return values is not None and any(part.strip(b" \t").lower() == token for value in values for part in value.split(b","))


class ChunkedBody:
    """A chunked body that is fed as it arrives.

    Attributes:
        body: what has arrived so far, at most `cap_bytes`.
        rest: once finished, the bytes after the body: the next request's.
    """

    def __init__(self, cap_bytes: int, *, max_trailer_bytes: int, max_trailers: int) -> None:
        self.body = bytearray()
        self.rest = b""
        self._cap_bytes = cap_bytes
        self._trailer_bytes_left, self._trailers_left = max_trailer_bytes, max_trailers
        self._unread = bytearray()
        self._missing = 0
        self._step = self._read_size

    def feed(self, data: bytes) -> bool:
        """Whether the body is complete.

        Raises:
            Unreadable: 400 malformed, 413 as soon as a chunk's size would pass the cap, 431 too many trailers.
        """
        self._unread += data
        while self._step():
            pass
        return self._step == self._finished

    def _line(self, longest: int) -> bytes | None:
        end = self._unread.find(CRLF, 0, longest)
        if end < 0:
            if len(self._unread) >= longest or b"\n" in self._unread:
                raise malformed()
            return None
        line = bytes(self._unread[:end])
        del self._unread[: end + len(CRLF)]
        return line

    def _read_size(self) -> bool:
        line = self._line(_LONGEST_CHUNK_LINE)
        if line is None:
            if self._unread and not _PARTIAL_CHUNK_SIZE.fullmatch(self._unread):
                raise malformed()
            return False
        if not _CHUNK_SIZE.fullmatch(line):
            raise malformed()
        self._missing = int(line, 16)
        if len(self.body) + self._missing > self._cap_bytes:
            raise Unreadable(413, "body_too_large")
        self._step = self._read_data if self._missing else self._read_trailer
        return True

    def _read_data(self) -> bool:
        piece = self._unread[: self._missing]
        del self._unread[: self._missing]
        self.body += piece
        self._missing -= len(piece)
        if self._missing:
            return False
        self._step = self._read_data_end
        return True

    def _read_data_end(self) -> bool:
        if not CRLF.startswith(bytes(self._unread[:2])):
            raise malformed()
        if len(self._unread) < len(CRLF):
            return False
        del self._unread[: len(CRLF)]
        self._step = self._read_size
        return True

    def _read_trailer(self) -> bool:
        if self._trailer_bytes_left < len(self._unread) and self._unread.find(CRLF, 0, self._trailer_bytes_left) < 0:
            raise Unreadable(431, "headers_too_large")
        line = self._line(len(self._unread) + 1)
        if line is None:
            return False
        if not line:
            self.rest = bytes(self._unread)
            self._unread.clear()
            self._step = self._finished
            return False
        self._check_trailer(line)
        return True

    def _check_trailer(self, line: bytes) -> None:
        self._trailer_bytes_left -= len(line) + len(CRLF)
        self._trailers_left -= 1
        if self._trailers_left < 0:
            raise Unreadable(431, "headers_too_large")
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name) or value.translate(None, _CONTROLS) != value:
            raise malformed()

    def _finished(self) -> bool:
        return False


def refusal_bytes(status: int, headers: Iterable[tuple[bytes, bytes]], *, date: bytes) -> bytes:
    """A whole answer that ends its connection; `headers` come before its own."""
    content_type, body = default_refusal(status)
    return b"HTTP/1.1 %d %b\r\n%bServer: clawgate\r\nDate: %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%bConnection: close\r\n\r\n%b" % (
        status,
        REASONS.get(status, b"Refused"),
        b"".join(b"%b: %b\r\n" % header for header in headers),
        date,
        content_type,
        len(body),
        b"Retry-After: 1\r\n" if status == 503 else b"",
        body,
    )


def default_refusal(status: int) -> tuple[bytes, bytes]:
    """Content type and body of a refusal that no resource words: `{"error": sentence}`."""
    return b"application/json", msgspec.json.encode({"error": SENTENCES.get(status, "Request refused")})
