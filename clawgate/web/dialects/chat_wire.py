"""The frames of a chat over SSE. Ring: edge, under the domain rule. Source: rantaiclaw.md §10 (POST /agent/chat), §13.

Frames are JSON objects with a `type`; there are no event names and no ids. `error` is always followed by `done`.
"""

from __future__ import annotations

import msgspec

from clawgate.domain.approvals import Pending
from clawgate.domain.times import rfc3339
from clawgate.domain.turn import ApprovalAsked, Counted, Delta, Recalled, Thought, ToolCall, ToolEnded, ToolStarted, Trimmed, TurnEvent

BLANK = "message must not be empty"
FAILED = "The agent could not answer"
DENIED = "A tool call was denied."
PREVIEW_BYTES = 500
Frame = dict[str, object]


def frame(event: TurnEvent) -> Frame | None:
    """The frame that tells of an event of the turn; None = there is none, and clients may stumble over what they do not know."""
    match event:
        case Thought() | Trimmed():
            return None
        case Delta(text=text):
            return {"type": "chunk", "text": text}
        case Recalled(keys=keys):
            return {"type": "memory_recalled", "keys": list(keys)}
        case ToolStarted(call=call):
            return {"type": "tool_call_start", "id": call.id, "name": call.name, "args": arguments(call)}
        case ToolEnded(call=call, ok=ok, text=text):
            return {"type": "tool_call_end", "id": call.id, "ok": ok, "output_preview": preview(text)}
        case ApprovalAsked(id=id_, call=call):
            return {"type": "approval_request", "id": id_, "tool": call.name, "args": arguments(call)}
        case Counted(model=model, usage=usage):
            total = usage.input_tokens + usage.output_tokens
            return {"type": "usage", "model": model, "prompt": usage.input_tokens, "completion": usage.output_tokens, "total": total, "cost_usd": 0.0}


def done(text: str, session_id: str, *, cancelled: bool = False) -> Frame:
    """The last frame."""
    return {"type": "done", "text": text, "cancelled": cancelled, "session_id": session_id}


def error(message: str) -> Frame:
    """What went wrong; `done` follows."""
    return {"type": "error", "message": message}


def pending(question: Pending) -> Frame:
    """An open question, as `GET /api/v1/approvals` lists it."""
    return {
        "id": question.id,
        "tool": question.call.name,
        "args": arguments(question.call),
        "session_id": question.session,
        "asked_at": rfc3339(question.asked_ms),
        "expires_at": rfc3339(question.expires_ms),
    }


def preview(text: str) -> str:
    """At most 500 bytes of a tool's output, cut between characters."""
    raw = text.encode()
    return text if len(raw) <= PREVIEW_BYTES else raw[:PREVIEW_BYTES].decode("utf-8", "ignore") + "…"


def arguments(call: ToolCall) -> object:
    """The arguments as JSON; text that is none goes as text."""
    try:
        return msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return call.arguments
