"""`/api/canvas…` and `/ws/canvas/{id}`: what agents show. Ring: edge (web). Source: construct-realtime.md §4; zeroclaw.md B6."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.canvas import Backlog, ContentType, Frame, TooManyCanvases, checked_id
from clawgate.ports.sockets import Socket
from clawgate.services.canvases import Canvases
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import canvas_wire
from clawgate.web.documented import documented
from clawgate.web.router import Router
from clawgate.web.sockets import SocketAnswer


class CanvasSurface(msgspec.Struct):
    """The routes of canvases."""

    canvases: Canvases

    def register(self, router: Router) -> None:
        """Adds the routes."""
        look = partial(router.add, auth=Scope.READ, limiter="api", dialect=canvas_wire.refusal)
        draw = partial(router.add, auth=Scope.WRITE, is_open_here=True, limiter="api", dialect=canvas_wire.refusal)
        path = "/api/canvas/<canvas_id>"
        look("GET", "/api/canvas", self.list, summary="Names of the canvases")
        look("GET", path, self.show, summary="What a canvas shows")
        look("GET", f"{path}/history", self.history, summary="What it has shown")
        draw("POST", path, self.render, cap_bytes=canvas_wire.CAP_BYTES, summary="Show HTML, SVG, Markdown or text")
        draw("DELETE", path, self.clear, summary="Empty a canvas")
        look("GET", "/ws/canvas/<canvas_id>", self.watch, dialect=canvas_wire.socket_refusal, is_socket=True, summary="Watch a canvas")

    async def list(self, call: Call) -> Answer:
        """Those that have frames or watchers."""
        return json_answer(200, {"canvases": self.canvases.names()})

    async def show(self, call: Call) -> Answer:
        """The last frame."""
        return json_answer(200, {"canvas_id": _id(call), "frame": canvas_wire.frame_object(self.canvases.shown(_id(call)))})

    async def history(self, call: Call) -> Answer:
        """Oldest first; empty for an unknown canvas."""
        frames = [canvas_wire.frame_object(frame) for frame in self.canvases.history(_id(call))]
        return json_answer(200, {"canvas_id": _id(call), "frames": frames})

    @documented(body=canvas_wire.RenderBody, statuses=(201,))
    async def render(self, call: Call) -> Answer:
        """The new frame. Its id stands beside it too: Construct's operator looks for it there."""
        body = call.json(canvas_wire.RenderBody)
        kind = ContentType.HTML if body.content_type is None else body.content_type
        frame = self.canvases.render(_id(call), kind, body.content)
        return json_answer(201, {"canvas_id": _id(call), "frame_id": frame.id, "frame": canvas_wire.frame_object(frame)})

    async def clear(self, call: Call) -> Answer:
        """The same answer whether there was something or not."""
        self.canvases.clear(_id(call))
        return json_answer(200, {"canvas_id": _id(call), "status": "cleared"})

    async def watch(self, call: Call) -> SocketAnswer:
        """A socket that is sent frames."""
        return SocketAnswer(CanvasSocket(checked_id(_id(call)), self.canvases), call.caller, canvas_wire.SUBPROTOCOLS)


def _id(call: Call) -> str:
    return str(call.values["canvas_id"])


class CanvasSocket(msgspec.Struct, eq=False):
    """One who watches. Implements `ports.sockets.SocketHandler`; what the client says is ignored."""

    canvas_id: str
    canvases: Canvases
    _socket: Socket | None = None
    _end: Callable[[], None] = lambda: None
    _backlog: Backlog = msgspec.field(default_factory=Backlog)
    _is_slow: bool = False

    def opened(self, socket: Socket) -> None:
        """What is shown now, then `connected`, then what comes."""
        self._socket = socket
        try:
            self._end = self.canvases.watch(self.canvas_id, self._shown)
        except TooManyCanvases:
            socket.send(canvas_wire.error(canvas_wire.SOCKET_FULL))
            socket.close()
            return
        for frame in self.canvases.history(self.canvas_id)[-1:]:
            socket.send(canvas_wire.frame(self.canvas_id, frame))
        socket.send(canvas_wire.connected(self.canvas_id))
        socket.watch_flow(self._flows)

    def text(self, text: str) -> None:
        """Ignored."""

    def data(self, data: bytes) -> None:
        """Ignored."""

    def closed(self, code: int) -> None:
        """Nobody watches any more."""
        self._socket = None
        self._end()

    def _flows(self, is_slow: bool) -> None:
        self._is_slow = is_slow
        self._send_waiting()

    def _shown(self, frame: Frame) -> None:
        self._backlog.put(frame)
        self._send_waiting()

    def _send_waiting(self) -> None:
        """While the client takes nothing, frames wait here, where they can be missed, and not in the connection, where too many would end it (1013)."""
        while self._socket is not None and not self._is_slow and (frame := self._backlog.take()) is not None:
            missed = self._backlog.take_missed()
            if missed:
                self._socket.send(canvas_wire.lagged(self.canvas_id, missed))
            self._socket.send(canvas_wire.frame(self.canvas_id, frame))
