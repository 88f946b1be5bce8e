"""`multipart/form-data` bodies. Ring: edge (web). Source: RFC 7578; rantaiclaw.md §14 (POST documents).

The body is whole and within its route's cap; the parser of the `multipart` package takes it apart under bounds of its own on parts, their heads and fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from clawgate.domain.errors import BadRequest, TooLarge, UnsupportedMedia
from clawgate.web.call import Call

MOST_PARTS = 16
MOST_FIELD_BYTES = 64 * 1024
Segment = Any
"""The package's `MultipartSegment`; it ships no types, and is imported for the first form."""


class File(msgspec.Struct, frozen=True):
    """An uploaded file; `name` is the last part of the sender's path, `media` "" when none was named."""

    name: str
    media: str
    data: bytes


class Form(msgspec.Struct, frozen=True):
    """Fields and files by their names; of two of one name the last counts."""

    fields: dict[str, str]
    files: dict[str, File]


def form(call: Call) -> Form:
    """The body as a form.

    Raises:
        UnsupportedMedia: the content type is another. BadRequest: it is broken, or has too many parts. TooLarge: a field is over `MOST_FIELD_BYTES`.
    """
    fields: dict[str, str] = {}
    files: dict[str, File] = {}
    for segment, data in _parts(call):
        _take(segment, data, fields, files)
    return Form(fields, files)


def first(call: Call, name: str) -> File | None:
    """The first part of this name, with a filename or without one; None when there is none.

    Raises:
        UnsupportedMedia: the content type is another. BadRequest: the body is broken, or has too many parts.
    """
    named = [_file(segment, data) for segment, data in _parts(call) if segment.name == name]
    return named[0] if named else None


def _parts(call: Call) -> Iterator[tuple[Segment, bytes]]:
    """The parts of the body. Raises UnsupportedMedia, BadRequest."""
    from multipart import MultipartError, parse_options_header  # type: ignore[import-untyped]  # it ships none

    media, options = parse_options_header(call.header("content-type") or "")
    if media.lower() != "multipart/form-data":
        raise UnsupportedMedia("Expected request with `Content-Type: multipart/form-data`")
    try:
        yield from _parsed(options.get("boundary", ""), call.body)
    except MultipartError as problem:
        raise BadRequest("Failed to parse the multipart body", detail=str(problem)[:200]) from None


def _parsed(boundary: str, body: bytes) -> Iterator[tuple[Segment, bytes]]:
    from multipart import MultipartSegment, PushMultipartParser

    segment: Segment = None
    pieces: list[bytes] = []
    with PushMultipartParser(boundary, content_length=len(body), max_segment_count=MOST_PARTS, strict=True) as parser:
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                segment, pieces = event, []
            elif event:
                pieces.append(bytes(event))
            elif segment is not None:
                yield segment, b"".join(pieces)


def _file(segment: Segment, data: bytes) -> File:
    name = (segment.filename or "").replace("\\", "/").rpartition("/")[2]
    return File(name, segment.content_type or "", data)


def _take(segment: Segment, data: bytes, fields: dict[str, str], files: dict[str, File]) -> None:
    if segment.filename is not None:
        files[segment.name] = _file(segment, data)
        return
    if len(data) > MOST_FIELD_BYTES:
        raise TooLarge(f"the field {segment.name[:40]} is too large")
    try:
        fields[segment.name] = data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(f"the field {segment.name[:40]} is not UTF-8") from None
