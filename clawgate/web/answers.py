"""What goes back: status, body, headers. Ring: edge (web). Source: zeroclaw.md A1.5, B2 (security headers).

Every answer has an explicit content type, and every one carries the security headers: a route cannot forget them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import msgspec
from twisted.web.server import Request

from clawgate.web.request import REASONS, GatewayRequest

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
HTML = b"text/html; charset=utf-8"

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"no-referrer"),
    (
        b"Content-Security-Policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
        b"connect-src 'self' ws: wss:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"X-Permitted-Cross-Domain-Policies", b"none"),
    (b"Permissions-Policy", b"geolocation=(), microphone=(), camera=()"),
    (b"Cache-Control", b"no-store"),
)
TRANSPORT_SECURITY = (b"Strict-Transport-Security", b"max-age=63072000; includeSubDomains")
_LINES = b"".join(b"%b: %b\r\n" % header for header in SECURITY_HEADERS)
_SECURE_LINES = _LINES + b"%b: %b\r\n" % TRANSPORT_SECURITY
_encode = msgspec.json.Encoder(order="sorted").encode


class Answer(msgspec.Struct, frozen=True):
    """One whole response."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


def json_answer(status: int, value: Mapping[str, object] | msgspec.Struct | Sequence[Mapping[str, object]], *headers: tuple[bytes, bytes]) -> Answer:
    """A JSON answer: compact, keys sorted, non-ASCII as it is, no charset parameter (zeroclaw.md A5)."""
    return Answer(status, encoded(value), JSON, headers)


def encoded(value: object) -> bytes:
    """JSON as every answer, stream and chat frame carries it: compact, keys sorted."""
    try:
        return _encode(value)
    except UnicodeEncodeError:  # half a surrogate pair, out of JSON of a model's: as an escape it can be told
        return json.dumps(msgspec.to_builtins(value), sort_keys=True, separators=(",", ":")).encode()


def text_answer(status: int, text: str, *headers: tuple[bytes, bytes]) -> Answer:
    """A plain text answer."""
    return Answer(status, text.encode(), TEXT, headers)


def empty_answer(status: int, *headers: tuple[bytes, bytes]) -> Answer:
    """An answer without a body."""
    return Answer(status, b"", TEXT, headers)


def retry_after(seconds: float) -> tuple[bytes, bytes]:
    """The header that says when to try again; whole seconds, at least 1."""
    return b"Retry-After", b"%d" % max(1, round(seconds))


def common_headers(request_id: bytes, *, secure: bool = False) -> tuple[tuple[bytes, bytes], ...]:
    """What every answer carries, whoever words it."""
    return (*SECURITY_HEADERS, *((TRANSPORT_SECURITY,) if secure else ()), (b"X-Request-Id", request_id))


def open_head(request: Request, status: int, content_type: bytes, request_id: bytes, *, secure: bool = False) -> None:
    """Sets the head of an answer whose body comes piece by piece; it goes out with the first piece."""
    request.setResponseCode(status, REASONS.get(status))
    for name, value in (*common_headers(request_id, secure=secure), (b"Content-Type", content_type), (b"X-Accel-Buffering", b"no")):
        request.responseHeaders.setRawHeaders(name, [value])


def send(request: Request, answer: Answer, request_id: bytes, *, secure: bool = False) -> None:
    """Writes the answer to a request that has not been answered. A client that has gone gets nothing, silently."""
    headers = ((b"Content-Type", answer.content_type), *answer.headers)
    if isinstance(request, GatewayRequest):
        request.code, request.code_message = answer.status, REASONS.get(answer.status, b"Unknown Status")
        request.answer(headers, answer.body, common=b"%bX-Request-Id: %b\r\n" % (_SECURE_LINES if secure else _LINES, request_id))
        return
    request.setResponseCode(answer.status, REASONS.get(answer.status))
    for name, value in (*common_headers(request_id, secure=secure), *headers):
        request.responseHeaders.setRawHeaders(name, [value])
    request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % len(answer.body)])
    if request.method != b"HEAD":
        request.write(answer.body)
    request.finish()
