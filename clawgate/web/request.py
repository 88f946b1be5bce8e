"""One request and its answer, without the work that nobody asked for. Ring: web (edge). Source: design §3, §8; reference/libraries.md §13.

The stock request decodes the path, parses the query and sets headers one by one before anything is known about the request. Ours keeps the raw
path, parses the query when `args` is first read, never parses a body, and sends the head and the first piece of the body in one write.

Private API of Twisted (each pinned by tests/web/test_site_pins.py): Headers._rawHeaders, http.Request._disconnected, server.Request._encoder
and _inFakeHead.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from io import BytesIO
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure
from twisted.web import http, server

from clawgate.web.at_once import write_at_once
from clawgate.web.channel import ChannelSite, GatewayChannel
from clawgate.web.http_wire import default_refusal

_NO_BODY = frozenset(http.NO_BODY_CODES)
REASONS: dict[int, bytes] = {status.value: status.phrase.encode() for status in HTTPStatus} | http.RESPONSES
"""Twisted has no words for some, such as 429."""
_STATUS_LINES = {code: b"HTTP/1.1 %d %b\r\nServer: clawgate\r\nDate: " % (code, text) for code, text in REASONS.items()}
_OURS = frozenset((b"Server", b"Date", b"Transfer-Encoding"))
_UNSAFE = b"\r\n\x00"


def raw_headers(request: http.Request) -> dict[bytes, list[bytes]]:
    """The headers of a request, ours or Twisted's own, by canonical name (`X-Forwarded-For`); without a copy, so nobody changes them."""
    return request.requestHeaders._rawHeaders


class GatewayRequest(server.Request):
    """A request that has arrived completely."""

    channel: GatewayChannel
    site: ChannelSite  # type: ignore[assignment]  # ours, of which the channel knows the part it needs
    _args: dict[bytes, list[bytes]] | None = None
    _is_bodyless = False
    is_live = False
    """Pieces go to the socket at once (`web.at_once`): many others are sent theirs at the same moment."""
    query_string = b""
    """Everything after the first "?", raw."""

    # -- in

    def fill(self, headers: dict[bytes, list[bytes]], body: bytes) -> None:
        """Takes what the channel has read: headers by canonical name, and the whole body."""
        self.requestHeaders._rawHeaders = headers
        self.content = BytesIO(body)
        if b"Cookie" in headers:
            self.parseCookies()  # type: ignore[no-untyped-call]  # untyped upstream

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Begins to process.

        Args:
            command: the method, a token.
            path: the target as it came, beginning with "/".
            version: b"HTTP/1.1" or b"HTTP/1.0".
        """
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, self.query_string = path.partition(b"?")
        self.process()

    @property
    def args(self) -> dict[bytes, list[bytes]]:
        """Query parameters, percent-decoded, in order; never anything from the body."""
        if self._args is None:
            self._args = _parse_query(self.query_string)
        return self._args

    @args.setter
    def args(self, value: dict[bytes, list[bytes]] | None) -> None:
        self._args = value

    def isSecure(self) -> bool:
        """Whether it came by TLS, or `setHost` says so."""
        channel = getattr(self, "channel", None)  # gone after the answer
        return bool(self._forceSSL) or (channel is not None and channel.is_secure)

    def process(self) -> None:
        """Renders the site's resource: straight if it reads raw paths (`renders_raw_path`), else through Twisted's traversal."""
        site = self.channel.site
        self.site = site
        if not getattr(site.resource, "renders_raw_path", False):
            super().process()  # type: ignore[no-untyped-call]  # untyped upstream
            return
        self.prepath, self.postpath = [], []
        try:
            self.render(site.resource)  # type: ignore[no-untyped-call]  # untyped upstream
        except Exception:
            self.processingFailed(Failure())

    def processingFailed(self, reason: Failure) -> Failure:
        """Answers 500, or cuts the connection when an answer has begun: its reader must not take it for whole."""
        self._log.failure("A resource failed to render {path}", reason, path=self.path)
        if self._disconnected or self.finished:
            return reason
        if self.startedWriting:
            self.channel.forceAbortClient()
        else:
            content_type, body = default_refusal(500)
            self.responseHeaders._rawHeaders.clear()
            self.cookies.clear()
            self.setResponseCode(500)
            self.answer((*self.site.refusal_headers(), (b"Content-Type", content_type)), body)
        return reason

    # -- out

    def answer(self, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, common: bytes = b"") -> None:
        """Sends a whole answer in one write and finishes; the status is `code`.

        Args:
            headers: sent as they are, after those of `responseHeaders`; Content-Length is added here.
            body: left out for HEAD.
            common: further header lines, whole, of which nothing comes from outside.

        Raises:
            ValueError: a value holds CR, LF or NUL; nothing was sent.
        """
        extra = [common]
        for name, value in headers:
            if len(value.translate(None, _UNSAFE)) != len(value):
                raise ValueError(f"header {name!r} would break the answer's head")
            extra.append(b"%b: %b\r\n" % (name, value))
        if self._disconnected:
            return
        if self.code in _NO_BODY:
            self._is_bodyless, body = True, b""
        else:
            extra.append(b"Content-Length: %d\r\n" % len(body))
        if self.method == b"HEAD":
            self._is_bodyless, body = True, b""
        self.startedWriting = 1
        self.sentLength = len(body)
        self.channel.site.together.write(self.channel.transport, self._head(extra) + body)
        self.finish()  # type: ignore[no-untyped-call]  # untyped upstream

    def write(self, data: bytes) -> None:
        """Sends a piece of the body, with the head before the first."""
        if self.finished:
            raise RuntimeError("write called after finish")
        if self._disconnected or self._inFakeHead:
            return
        if self._encoder is not None:
            data = self._encoder.encode(data)
        head = b""
        if not self.startedWriting:
            self.startedWriting = 1
            head = self._head(self._framing())
        if self._is_bodyless:
            data = b""
        if data:
            self.sentLength += len(data)
            if self.chunked:
                data = b"%x\r\n%b\r\n" % (len(data), data)
        if head or data:
            if self.is_live:
                write_at_once(self.channel.transport, head + data)
            else:
                self.channel.write(head + data)  # type: ignore[no-untyped-call]  # untyped upstream

    def _framing(self) -> list[bytes]:
        raw = self.responseHeaders._rawHeaders
        if self.method == b"HEAD" or self.code in _NO_BODY:
            self._is_bodyless = True
            return []
        lines = []
        if b"Content-Type" not in raw and self.defaultContentType is not None and raw.get(b"Content-Length") != [b"0"]:
            lines.append(b"Content-Type: %b\r\n" % self.defaultContentType)
        if b"Content-Length" not in raw:
            if self.clientproto == b"HTTP/1.1":
                self.chunked = 1
                lines.append(b"Transfer-Encoding: chunked\r\n")
            else:
                self.channel.persistent = False
        return lines

    def _head(self, extra: list[bytes]) -> bytes:
        channel = self.channel
        raw = self.responseHeaders._rawHeaders
        if self.cookies:
            self.responseHeaders.setRawHeaders(b"Set-Cookie", self.cookies)
        if self.etag is not None:
            self.responseHeaders.setRawHeaders(b"ETag", [self.etag])
        if self.lastModified is not None and b"Last-Modified" not in raw:
            raw[b"Last-Modified"] = [http.datetimeToString(self.lastModified)]
        pieces = [self._status_line(), channel.site.date_header(), b"\r\n"]
        for name, values in raw.items():
            if name == b"Connection":
                channel.persistent = channel.persistent and not any(b"close" in value.lower() for value in values)
            elif name not in _OURS:
                pieces += [b"%b: %b\r\n" % (name, value) for value in values]
        pieces += extra
        if not channel.persistent or channel.site.is_draining:
            channel.persistent = False
            pieces.append(b"Connection: close\r\n")
        elif b"Connection" in raw:
            pieces += [b"Connection: %b\r\n" % value for value in raw[b"Connection"]]
        pieces.append(b"\r\n")
        return b"".join(pieces)

    def _status_line(self) -> bytes:
        known = _STATUS_LINES.get(self.code)
        reason = self.code_message
        if known is not None and reason is REASONS[self.code]:
            return known
        return b"HTTP/1.1 %d %b\r\nServer: clawgate\r\nDate: " % (self.code, b" ".join(reason.replace(b"\x00", b" ").splitlines()))

    def take_over(self, successor: IProtocol) -> None:
        """Gives the connection to another protocol instead of answering; see `GatewayChannel.take_over`.

        Raises:
            RuntimeError: an answer has begun, or the client has gone.
        """
        if self.startedWriting or self.finished or self._disconnected:
            raise RuntimeError("this request can no longer be taken over")
        self.startedWriting = self.finished = 1
        self.channel.take_over(successor)
        waiting, self.notifications = self.notifications, []
        for deferred in waiting:
            deferred.callback(None)


def _parse_query(raw: bytes) -> dict[bytes, list[bytes]]:
    # Not Twisted's parse_qs: it drops a name without "=" and splits at ";", where proxies and signers do not.
    found: dict[bytes, list[bytes]] = {}
    for field in raw.split(b"&"):
        if field:
            name, _, value = field.replace(b"+", b" ").partition(b"=")
            found.setdefault(unquote_to_bytes(name), []).append(unquote_to_bytes(value))
    return found
