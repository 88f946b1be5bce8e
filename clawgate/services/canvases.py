"""Canvases: rendered, cleared and watched. Ring: services. Source: construct-realtime.md §4; zeroclaw.md B6.

A canvas holds a slot while it has frames or watchers, so clearing one that nobody watches frees it (upstream's 100 were a lifetime's).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec
from twisted.logger import Logger

from clawgate.domain.canvas import (
    MOST_BYTES,
    MOST_CANVASES,
    MOST_FRAMES,
    ContentType,
    Frame,
    TooManyCanvases,
    checked_content,
    checked_id,
    checked_kind,
)
from clawgate.domain.errors import NotFound
from clawgate.ports.clock import Clock, Ids
from clawgate.services.events import Events

_log = Logger()
FULL = "Maximum canvas count reached. Clear unused canvases first."
Watcher = Callable[[Frame], None]


class _Canvas(msgspec.Struct, eq=False):
    frames: deque[Frame] = msgspec.field(default_factory=deque)
    watchers: list[Watcher] = []


class Canvases(msgspec.Struct, eq=False):
    """All canvases of one gateway.

    Attributes:
        most_bytes: of all frames together; see `domain.canvas.MOST_BYTES`.
    """

    clock: Clock
    ids: Ids
    events: Events
    most_bytes: int = MOST_BYTES
    _held: dict[str, _Canvas] = {}
    _bytes: int = 0
    _number: int = 0

    def names(self) -> tuple[str, ...]:
        """Every canvas that has frames or watchers, the oldest first."""
        return tuple(self._held)

    def shown(self, canvas_id: str) -> Frame:
        """What a canvas shows.

        Raises:
            NotFound: nothing.
        """
        frames = self.history(canvas_id)
        if not frames:
            raise NotFound(f"Canvas '{canvas_id}' not found")
        return frames[-1]

    def history(self, canvas_id: str) -> tuple[Frame, ...]:
        """What it has shown, oldest first, at most `MOST_FRAMES`; empty for an unknown one."""
        held = self._held.get(canvas_id)
        return tuple(held.frames) if held is not None else ()

    def render(self, canvas_id: str, content_type: str, content: str) -> Frame:
        """Shows something; the new frame.

        Raises:
            BadRequest: the content type, the content or the id cannot be. TooLarge: the content is. TooManyCanvases: no slot is free.
        """
        kind, content = checked_kind(content_type), checked_content(content)
        held = self._slot(checked_id(canvas_id))
        frame = self._frame(kind, content)
        if len(held.frames) == MOST_FRAMES:
            self._bytes -= held.frames.popleft().size
        held.frames.append(frame)
        self._bytes += frame.size
        self._forget_oldest()
        self._tell(held, frame)
        self.events.publish("canvas_rendered", {"canvas_id": canvas_id, "frame_id": frame.id, "content_type": str(kind)})
        return frame

    def clear(self, canvas_id: str) -> bool:
        """Empties a canvas, its history too; False = there was nothing."""
        held = self._held.get(canvas_id)
        if held is None or not held.frames:
            return False
        self._bytes -= sum(frame.size for frame in held.frames)
        held.frames.clear()
        self._tell(held, self._frame(ContentType.CLEAR, ""))
        self._free(canvas_id)
        self.events.publish("canvas_cleared", {"canvas_id": canvas_id})
        return True

    def watch(self, canvas_id: str, watcher: Watcher) -> Callable[[], None]:
        """Calls `watcher` with every frame from now on; returns what ends it.

        Raises:
            BadRequest: no canvas can have this id. TooManyCanvases: it is a new one and no slot is free.
        """
        held = self._slot(checked_id(canvas_id))
        held.watchers.append(watcher)

        def end() -> None:
            if watcher in held.watchers:
                held.watchers.remove(watcher)
                self._free(canvas_id)

        return end

    def _slot(self, canvas_id: str) -> _Canvas:
        held = self._held.get(canvas_id)
        if held is None:
            if len(self._held) >= MOST_CANVASES:
                raise TooManyCanvases(FULL)
            held = self._held[canvas_id] = _Canvas()
        return held

    def _free(self, canvas_id: str) -> None:
        held = self._held.get(canvas_id)
        if held is not None and not held.frames and not held.watchers:
            del self._held[canvas_id]

    def _frame(self, kind: ContentType, content: str) -> Frame:
        self._number += 1
        return Frame(id=self.ids.uuid(), content_type=kind, content=content, at_ms=self.clock.wall_ms(), number=self._number)

    def _forget_oldest(self) -> None:
        while self._bytes > self.most_bytes:
            past = [held for held in self._held.values() if len(held.frames) > 1]
            if not past:
                return
            self._bytes -= min(past, key=lambda held: held.frames[0].number).frames.popleft().size

    def _tell(self, held: _Canvas, frame: Frame) -> None:
        for watcher in tuple(held.watchers):
            try:
                watcher(frame)
            except Exception:
                _log.failure("a watcher of a canvas broke")
