"""What a canvas shows, and what it has shown. Ring: domain. Source: construct-realtime.md §4; zeroclaw.md B6.

A canvas is a name and its frames; the last one is what it shows. Frames are kept in memory, as upstream: a restart begins with nothing.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

import msgspec

from clawgate.domain.errors import BadRequest, Refusal, TooLarge
from clawgate.domain.messages import is_storable

MAX_CONTENT_BYTES = 262_144
MOST_CANVASES, MOST_FRAMES, MOST_BEHIND = 100, 50, 64
MOST_BYTES = 64 * 1024 * 1024
"""Of all canvases together. Past it the oldest frames of history go; what is shown stays, and all of that fits."""
MAX_ID_BYTES = 256
DEFAULT_CANVAS = "default"


class ContentType(StrEnum):
    """What a frame holds."""

    HTML = "html"
    SVG = "svg"
    MARKDOWN = "markdown"
    TEXT = "text"
    CLEAR = "clear"
    """Nothing: sent to whoever watches when a canvas is cleared, never kept."""


DRAWN = tuple(kind for kind in ContentType if kind is not ContentType.CLEAR)
"""What may be rendered, in the published order."""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One thing shown; `number` orders the frames of one gateway."""

    id: str
    content_type: ContentType
    content: str
    at_ms: int
    number: int = 0

    @property
    def size(self) -> int:
        """Bytes of its content."""
        return len(self.content.encode())


class TooManyCanvases(Refusal):
    """Every slot is taken."""


def checked_id(canvas_id: str) -> str:
    """The id itself. Raises BadRequest when no canvas can have it."""
    if not canvas_id or not is_storable(canvas_id) or len(canvas_id.encode()) > MAX_ID_BYTES:
        raise BadRequest(f"a canvas id has 1 to {MAX_ID_BYTES} bytes")
    return canvas_id


def checked_kind(name: str) -> ContentType:
    """The content type that a client names. Raises BadRequest, in the published words, for one that is not drawn."""
    found = next((kind for kind in DRAWN if kind == name), None)
    if found is None:
        allowed = ", ".join(f'"{kind}"' for kind in DRAWN)
        raise BadRequest(f"Invalid content_type '{name[:64]}'. Allowed: [{allowed}]")
    return found


def checked_content(content: str) -> str:
    """The content itself.

    Raises:
        BadRequest: half a character is in it. TooLarge: it is over `MAX_CONTENT_BYTES`.
    """
    if not is_storable(content):
        raise BadRequest("content is not valid Unicode")
    if len(content.encode()) > MAX_CONTENT_BYTES:
        raise TooLarge(f"Content exceeds maximum size of {MAX_CONTENT_BYTES} bytes")
    return content


class Backlog:
    """Frames that somebody has still to see; the oldest are missed when there are more than `MOST_BEHIND`."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._missed = 0

    def put(self, frame: Frame) -> None:
        """One more."""
        self._frames.append(frame)
        if len(self._frames) > MOST_BEHIND:
            self._frames.popleft()
            self._missed += 1

    def take_missed(self) -> int:
        """How many were missed since this was asked last."""
        missed, self._missed = self._missed, 0
        return missed

    def take(self) -> Frame | None:
        """The next one, None when there is none."""
        return self._frames.popleft() if self._frames else None

    def __len__(self) -> int:
        return len(self._frames)
