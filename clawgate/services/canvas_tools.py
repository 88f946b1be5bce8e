"""The canvas as agents reach it. Ring: services; implements `ports.tools.ToolSource`. Source: construct-realtime.md §4.

Upstream's action `eval` (JavaScript for whoever watches) is not there: no dashboard runs it, and a model's code has no place in somebody's browser.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec
from twisted.internet.defer import Deferred, succeed

from clawgate.domain.canvas import DEFAULT_CANVAS, DRAWN, ContentType
from clawgate.domain.errors import Refusal
from clawgate.domain.tools import Risk, Tool, ToolContext, ToolResult
from clawgate.services.canvases import Canvases


class _Action(StrEnum):
    RENDER = "render"
    CLEAR = "clear"
    SNAPSHOT = "snapshot"


class _Asked(msgspec.Struct):
    action: _Action
    canvas_id: str = DEFAULT_CANVAS
    content_type: str = ContentType.HTML
    content: str | None = None


class CanvasTools(msgspec.Struct):
    """The tool `canvas`."""

    canvases: Canvases

    def tools(self) -> Sequence[Tool]:
        """`ports.tools.ToolSource.tools`."""
        return (TOOL,)

    def call(self, name: str, arguments: Mapping[str, object], context: ToolContext) -> Deferred[ToolResult]:
        """`ports.tools.ToolSource.call`."""
        try:
            return succeed(self._done(msgspec.convert(arguments, _Asked)))
        except msgspec.ValidationError as problem:
            return succeed(ToolResult(f"bad arguments: {problem}", ok=False))
        except Refusal as refusal:
            return succeed(ToolResult(str(refusal), ok=False))

    def _done(self, asked: _Asked) -> ToolResult:
        canvas_id = asked.canvas_id
        match asked.action:
            case _Action.CLEAR:
                return ToolResult(f"Canvas '{canvas_id}' " + ("cleared" if self.canvases.clear(canvas_id) else "was empty"))
            case _Action.SNAPSHOT:
                shown = self.canvases.shown(canvas_id)
                return ToolResult(
                    json.dumps({"frame_id": shown.id, "content_type": shown.content_type, "content": shown.content}, ensure_ascii=False)
                )
        if asked.content is None:
            return ToolResult("`content` is missing: what is to be rendered", ok=False)
        frame = self.canvases.render(canvas_id, asked.content_type, asked.content)
        return ToolResult(f"Rendered on canvas '{canvas_id}' as frame {frame.id}")


TOOL = Tool(
    name="canvas",
    description="Show something to the people who watch a canvas (render), empty it (clear), or look at what it shows (snapshot).",
    parameters=json.dumps(
        {
            "type": "object",
            "properties": {
                "action": {"type": "string", "enum": list(_Action)},
                "canvas_id": {"type": "string", "description": f"`{DEFAULT_CANVAS}` when left out"},
                "content_type": {"type": "string", "enum": list(DRAWN), "description": "of what is rendered; html when left out"},
                "content": {"type": "string", "description": "what is rendered"},
            },
            "required": ["action"],
        }
    ),
    risk=Risk.WRITE,
)
