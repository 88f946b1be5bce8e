"""Canvases on the wire: frames, messages of `/ws/canvas/{id}`, refusals. Ring: edge, under the domain rule.

Source: construct-realtime.md §4; zeroclaw.md B6.
"""

from __future__ import annotations

import msgspec

from clawgate.domain.canvas import MAX_CONTENT_BYTES, Frame, TooManyCanvases
from clawgate.domain.errors import GatewayError, NotFound
from clawgate.domain.times import rfc3339
from clawgate.web.dialects import root_wire
from clawgate.web.dialects.root_wire import Refusal

UNAUTHORIZED = "Unauthorized — provide Authorization header or Sec-WebSocket-Protocol bearer"
SUBPROTOCOLS = ("construct.v1", "zeroclaw.v1")
CAP_BYTES = 6 * MAX_CONTENT_BYTES + 4096
"""Of a body: JSON may write a byte of content as the six characters of an escape."""
SOCKET_FULL = "Maximum canvas count reached"


class RenderBody(msgspec.Struct):
    """What is to be shown; unknown fields are ignored."""

    content: str
    content_type: str | None = None


def refusal(error: GatewayError) -> Refusal:
    """The answer to an error of the REST routes."""
    if isinstance(error, TooManyCanvases):
        return 429, {"error": str(error)}, 0
    if isinstance(error, NotFound):
        return 404, {"error": str(error)}, 0
    return root_wire.refusal(error)


def socket_refusal(error: GatewayError) -> Refusal:
    """The answer to an error before the handshake."""
    return root_wire.refusal(error, unauthorized=UNAUTHORIZED)


def frame_object(frame: Frame) -> dict[str, object]:
    """A frame as both REST and the socket show it."""
    return {"frame_id": frame.id, "content_type": str(frame.content_type), "content": frame.content, "timestamp": rfc3339(frame.at_ms)}


def frame(canvas_id: str, shown: Frame) -> str:
    """A frame, for whoever watches."""
    return _text("frame", canvas_id=canvas_id, frame=frame_object(shown))


def connected(canvas_id: str) -> str:
    """Follows the snapshot."""
    return _text("connected", canvas_id=canvas_id)


def lagged(canvas_id: str, missed: int) -> str:
    """So many frames were missed."""
    return _text("lagged", canvas_id=canvas_id, missed_frames=missed)


def error(message: str) -> str:
    """Before the goodbye."""
    return _text("error", error=message)


def _text(kind: str, **more: object) -> str:
    return msgspec.json.encode({"type": kind, **more}).decode()
