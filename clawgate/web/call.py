"""One request as a handler sees it: guarded, decoded on demand. Ring: edge (web)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from twisted.web.server import Request

from clawgate.domain.caller import Caller, Peer
from clawgate.domain.errors import BadRequest, UnsupportedMedia
from clawgate.domain.times import parse_rfc3339
from clawgate.web.dialects.extractor_wire import NO_JSON, bad_query, wrong_shape
from clawgate.web.http_wire import canonical_name
from clawgate.web.request import raw_headers

Shape = TypeVar("Shape")
_VISIBLE = re.compile(rb"[\t -~]*")
canonical = lru_cache(maxsize=256)(lambda name: canonical_name(name.encode()))
"""The name under which a header is filed. Raises Unreadable."""
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Everything that hostile JSON makes msgspec raise (reference/libraries.md §6)."""


class Call(msgspec.Struct, eq=False):
    """A request, who sends it and the values of its path.

    Attributes:
        caller: set before the handler runs; on public and signed routes a caller without scopes.
        body: the raw bytes, within the cap; empty once nobody needs them any more.
        values: the path's converters.
        base: raw path of the gateway's root in the URL, "" for "/": where it is mounted, then `gateway.path_prefix`.
    """

    request: Request
    peer: Peer
    caller: Caller
    body: bytes
    values: Mapping[str, Any]  # werkzeug converters make str, int or uuid
    request_id: bytes
    base: str = ""

    def forget_body(self) -> None:
        """Lets go of the body: who waits for an answer may wait for minutes, and the memory is the next request's, still warm."""
        self.body = b""
        if self.request.content is not None:
            self.request.content.close()

    def header(self, name: str) -> str | None:
        """The first value of a header, or None; one with bytes outside visible ASCII, space and tab counts as absent (zeroclaw.md, stack facts)."""
        values = raw_headers(self.request).get(canonical(name))
        if not values:
            return None
        return values[0].decode("ascii") if _VISIBLE.fullmatch(values[0]) else None

    def query(self, name: str) -> str | None:
        """The one value of a query parameter, or None.

        Raises:
            BadRequest: it is there twice, or is not UTF-8.
        """
        values = self.queries().get(name, [])
        if len(values) > 1:
            raise bad_query(f"duplicate field `{name}`")
        return values[0] if values else None

    def queries(self) -> dict[str, list[str]]:
        """All query parameters. Raises BadRequest when they are not UTF-8."""
        try:
            return {name.decode("utf-8"): [value.decode("utf-8") for value in values] for name, values in (self.request.args or {}).items()}
        except UnicodeDecodeError:
            raise bad_query("invalid UTF-8") from None

    def is_json(self) -> bool:
        """Whether the content type is application/json or application/*+json, whatever its parameters and case."""
        media = (self.header("content-type") or "").partition(";")[0].strip().lower()
        return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))

    def number(self, name: str, default: int, *, most: int) -> int:
        """A query parameter that is a whole number from 0; more than `most` counts as `most`.

        Raises:
            BadRequest: it is no such number, or is there twice.
        """
        text = self.query(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise bad_query(f"{name}: invalid digit found in string")
        return min(int(text), most)

    def moment(self, name: str) -> int:
        """A query parameter that is a time, RFC 3339 or seconds since 1970; milliseconds, 0 = absent.

        Raises:
            BadRequest: it is neither, or is there twice.
        """
        text = self.query(name)
        if not text:
            return 0
        found_ms = int(text) * 1000 if text.isascii() and text.isdigit() and len(text) < 13 else parse_rfc3339(text)
        if found_ms is None:
            raise BadRequest(f"{name}: use RFC 3339 with a zone, or seconds since 1970")
        return found_ms

    def flag(self, name: str) -> bool:
        """A query parameter that is `true` or `false`; absent is False. Raises BadRequest for anything else, and when it is there twice."""
        text = self.query(name)
        if text not in (None, "true", "false"):
            raise bad_query(f"{name}: provided string was not `true` or `false`")
        return text == "true"

    def json(self, shape: type[Shape]) -> Shape:
        """The body as `shape`, with upstream's statuses for each way to be wrong (rantaiclaw.md §1).

        Raises:
            UnsupportedMedia: the content type is not JSON. BadRequest: it is no JSON. WrongShape: it is JSON of another shape.
        """
        if not self.is_json():
            raise UnsupportedMedia("Expected request with `Content-Type: application/json`")
        try:
            return msgspec.json.decode(self.body, type=shape)
        except msgspec.ValidationError as problem:
            raise wrong_shape(problem) from None
        except DECODE_ERRORS as problem:
            raise BadRequest(NO_JSON, detail=str(problem)) from None

    def decode(self, shape: type[Shape], expected: str) -> Shape:
        """The body as `shape`; the content type must be JSON.

        Raises:
            BadRequest: with `expected` as its text.
        """
        if not self.is_json():
            raise BadRequest(expected)
        try:
            return msgspec.json.decode(self.body, type=shape)
        except DECODE_ERRORS as problem:
            raise BadRequest(expected, detail=str(problem)) from None
