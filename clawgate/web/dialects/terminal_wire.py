"""Frames of `/ws/terminal`. Ring: edge (web), under the domain rule. Source: construct-realtime.md §10.

client → server   text `{"type":"resize","cols":u16,"rows":u16}` = the new size; any other text, and bytes = what is typed
server → client   text only: what the program writes, at most 4,096 bytes of it in a frame; what goes wrong, in red
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from clawgate.domain.errors import BadRequest, GatewayError, Overloaded
from clawgate.domain.terminals import MOST_SIDE
from clawgate.web.dialects import root_wire

UNAUTHORIZED = "Unauthorized"
CHUNK_BYTES = 4_096
EXITED = 1000
CANNOT_BEGIN, TRY_LATER, BROKEN = 1008, 1013, 1011
_Side = Annotated[int, msgspec.Meta(ge=0, le=MOST_SIDE)]


class Resize(msgspec.Struct, frozen=True):
    """A new size."""

    type: Literal["resize"]
    cols: _Side
    rows: _Side


_resize = msgspec.json.Decoder(Resize)


def resize(text: str) -> Resize | None:
    """The new size that a text frame tells; None = it is something typed."""
    if '"resize"' not in text:
        return None
    try:
        return _resize.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def refusal(error: GatewayError) -> root_wire.Refusal:
    """The answer to an error before the handshake."""
    return root_wire.refusal(error, unauthorized=UNAUTHORIZED)


class OutputDecoder:
    """Turns what a program writes into text frames; a character that is split over two pieces comes whole, with the second."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> Iterator[str]:
        """The frames that this piece makes; none is empty."""
        for start in range(0, len(data), CHUNK_BYTES):
            text = self._decoder.decode(data[start : start + CHUNK_BYTES])
            if text:
                yield text

    def end(self) -> str:
        """What is left of a character that never became whole, as a replacement character; "" = nothing."""
        return self._decoder.decode(b"", True)


def red(message: str) -> str:
    """An error as it stands on the screen; nothing in it drives the terminal."""
    return "\x1b[31m" + "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in message) + "\x1b[0m\r\n"


def exit_line(text: str) -> str:
    """The last line of a program that has ended by itself (ours: upstream says nothing)."""
    return f"\r\n[{text}]\r\n"


def close_code(problem: GatewayError) -> int:
    """The goodbye after an error (ours: upstream drops the connection)."""
    if isinstance(problem, BadRequest):
        return CANNOT_BEGIN
    return TRY_LATER if isinstance(problem, Overloaded) else BROKEN
