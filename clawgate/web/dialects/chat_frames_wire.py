"""The frames of `/ws/chat` in its two dialects. Ring: edge, under the domain rule. Source: construct-realtime.md §12; zeroclaw.md B5; design §4.16.

Where the two differ, the sub-protocol decides; everywhere else a frame carries the fields of both, and `seq`. Both dashboards ignore what they do not know.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from clawgate.domain.attachments import MOST_OF_MESSAGE, Enclosed, is_file_id, is_page
from clawgate.domain.chat import Aborted, Added, ChatEvent, Done, Failed, Problem, Settled
from clawgate.domain.chat_connection import Answered, Asked, Cancelled, Connected, Frame, Unclear, unsupported
from clawgate.domain.cron import RunStatus
from clawgate.domain.errors import GatewayError
from clawgate.domain.events import BusEvent
from clawgate.domain.messages import is_storable
from clawgate.domain.times import rfc3339
from clawgate.domain.turn import ApprovalAsked, Delta, Role, Thought, ToolEnded, ToolStarted, Trimmed
from clawgate.web.dialects import operator_wire, root_wire
from clawgate.web.dialects.chat_wire import arguments

MOST_SEQ = 2**53
"""Numbers below are whole in every JSON parser."""
SUMMARY_CHARS = 200
UNAUTHORIZED = "Unauthorized — provide Authorization header, Sec-WebSocket-Protocol bearer, or ?token= query param"
_EMPTY = "Message content cannot be empty"
_UNTOLD = 'Invalid approval response. Send {"type":"approval_response","request_id":"…","decision":"approve"|"always"|"deny"}'
_DECISIONS = {"approve": (True, False), "always": (True, True), "deny": (False, False)}
Object = dict[str, object]
RELAYED = ("channel_event", "cron_run_finished")
"""Kinds of the bus that some dialect tells."""


class Dialect(StrEnum):
    """The sub-protocols."""

    CONSTRUCT = "construct.v1"
    ZEROCLAW = "zeroclaw.v1"


SUBPROTOCOLS = (Dialect.CONSTRUCT.value, Dialect.ZEROCLAW.value)


def dialect_of(subprotocol: str) -> Dialect:
    """The dialect of a connection; without a sub-protocol it is Construct's."""
    return Dialect.ZEROCLAW if subprotocol == Dialect.ZEROCLAW else Dialect.CONSTRUCT


def refusal(error: GatewayError) -> root_wire.Refusal:
    """The answer to an error before the handshake."""
    return root_wire.refusal(error, unauthorized=UNAUTHORIZED)


# --- in


def decode(text: str) -> Frame:
    """What a client's frame means; `Unclear` when it means nothing."""
    try:
        frame = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        return Unclear(Problem.INVALID_JSON, f"Invalid JSON: {str(problem)[:200]}")
    fields = frame if isinstance(frame, dict) else {}
    match fields.get("type"):
        case "message":
            return _asked(fields)
        case "connect":
            return _connected(fields)
        case "approval_response" if fields.get("kind") == "sop":
            return Unclear(Problem.SOP_DISABLED, "SOPs are not enabled")
        case "approval_response":
            return _answered(fields)
        case "cancel" | "abort":
            return Cancelled()
    return _unknown(fields.get("type"))


def _asked(fields: Object) -> Frame:
    content = fields.get("content")
    if not isinstance(content, str) or not content.strip():
        return Unclear(Problem.EMPTY_CONTENT, _EMPTY)
    if not is_storable(content):
        return Unclear(Problem.INVALID_JSON, "Invalid JSON: half a surrogate pair")
    return Asked(content, _enclosed(fields.get("page_context"), fields.get("attachments")))


def _enclosed(page: object, attachments: object) -> Enclosed:
    """Pages that are not known and ids that cannot be any are left out, as upstream; so is what has another type."""
    listed = attachments if isinstance(attachments, list) else []
    ids = dict.fromkeys(file_id for file_id in listed if isinstance(file_id, str) and is_file_id(file_id))
    return Enclosed(page if isinstance(page, str) and is_page(page) else "", tuple(ids)[:MOST_OF_MESSAGE])


def _connected(fields: Object) -> Frame:
    """A connect frame with wrong field types is an unsupported message, as upstream."""
    last = fields.get("last_seq")
    is_well_formed = all(isinstance(fields.get(name), str | None) for name in ("session_id", "device_name"))
    is_number = last is None or (isinstance(last, int) and not isinstance(last, bool) and 0 <= last < MOST_SEQ)
    capabilities = fields.get("capabilities")
    is_list = capabilities is None or (isinstance(capabilities, list) and all(isinstance(name, str) for name in capabilities))
    if not (is_well_formed and is_number and is_list):
        return _unknown("connect")
    return Connected(last if isinstance(last, int) else None)


def _answered(fields: Object) -> Frame:
    id_ = fields.get("request_id", fields.get("id"))
    decision, approved, always = fields.get("decision"), fields.get("approved"), fields.get("always", False)
    if not isinstance(id_, str) or not isinstance(always, bool):
        return Unclear(Problem.INVALID_APPROVAL_RESPONSE, _UNTOLD)
    if isinstance(decision, str) and decision in _DECISIONS:
        approve, is_for_ever = _DECISIONS[decision]
        return Answered(id_, approve, is_for_ever)
    if decision is None and isinstance(approved, bool):
        return Answered(id_, approved, approved and always)
    return Unclear(Problem.INVALID_APPROVAL_RESPONSE, _UNTOLD)


def _unknown(kind: object) -> Unclear:
    named = kind[:64] if isinstance(kind, str) and is_storable(kind) else ""
    return Unclear(Problem.UNKNOWN_MESSAGE_TYPE, unsupported(named))


# --- out


def session_start(session_id: str, message_count: int, name: str | None, seq: int, missed: bool | None) -> Object:
    """The first frame; `missed` None = the client did not say what it has seen."""
    start: Object = {
        "type": "session_start",
        "session_id": session_id,
        "resumed": message_count > 0,
        "message_count": message_count,
        "seq": seq,
    }
    return start | ({} if name is None else {"name": name}) | _missed(missed)


def connected(missed: bool | None) -> Object:
    """The answer to a connect frame."""
    return {"type": "connected", "message": "Connection established"} | _missed(missed)


def _missed(missed: bool | None) -> Object:
    return {} if missed is None else {"missed": missed}


def error(dialect: Dialect, problem: Problem, message: str) -> Object:
    """Something did not go; the connection stays."""
    code = "SESSION_QUEUE_FULL" if problem is Problem.SESSION_BUSY and dialect is Dialect.ZEROCLAW else problem.value
    return {"type": "error", "message": message, "code": code}


def relayed(dialect: Dialect, event: BusEvent) -> tuple[Object, ...]:
    """The frame that tells of something outside the session, if this dialect has one for it. It has no number and is not repeated."""
    if dialect is Dialect.CONSTRUCT and event.kind == "channel_event":
        return ({"type": "agent_event", "event": event.data.get("payload")},)
    if dialect is Dialect.ZEROCLAW and event.kind == "cron_run_finished":
        return (_cron_result(event),)
    return ()


def _cron_result(event: BusEvent) -> Object:
    data = event.data
    told: Object = {
        "type": "cron_result",
        "job_id": data.get("job_id"),
        "success": data.get("status") == RunStatus.OK,
        "output": data.get("output") or "",
        "timestamp": rfc3339(event.at_ms),
    }
    return told | ({"manual": True} if data.get("manual") else {})


def lagged(missed: int) -> Object:
    """So many things outside the session were not told, because the client took nothing."""
    return {"type": "lagged", "missed": missed}


def event(dialect: Dialect, happened: ChatEvent) -> tuple[Object, ...]:
    """The frames that tell of an event: one at most that counts, and what Construct's page shows of an operator before it."""
    frame = _frame(dialect, happened)
    status = _operator(happened) if dialect is Dialect.CONSTRUCT else None
    return (*(() if status is None else (status,)), *(() if frame is None else (frame | {"seq": happened.seq},)))


def _operator(happened: ChatEvent) -> Object | None:
    match happened.what:
        case ToolStarted(call=call):
            status = operator_wire.beginning(call.name, arguments(call))
        case ToolEnded(call=call, ok=ok, text=text):
            status = operator_wire.end(call.name, text, ok=ok)
        case _:
            return None
    return None if status is None else {"type": "operator_status", "phase": status.phase, "detail": status.detail}


def _frame(dialect: Dialect, happened: ChatEvent) -> Object | None:
    match happened.what:
        case Added():
            return _message(dialect, happened.what)
        case Delta(text=text):
            return {"type": "chunk", "content": text}
        case Thought(text=text):
            return {"type": "thinking", "content": text}
        case Trimmed():
            return _trimmed(happened.what) if dialect is Dialect.ZEROCLAW else None
        case ToolStarted(call=call):
            return {"type": "tool_call", "id": call.id, "name": call.name, "args": arguments(call)}
        case ToolEnded(call=call, text=text):
            return {"type": "tool_result", "id": call.id, "name": call.name, "output": text}
        case ApprovalAsked():
            return _approval(happened.what)
        case Settled():
            return {"type": "chunk_reset"} if dialect is Dialect.CONSTRUCT else None
        case Done():
            return _done(happened.what)
        case Failed(problem=problem, message=message):
            return error(dialect, problem, message)
        case Aborted():
            is_known = dialect is Dialect.ZEROCLAW
            return {"type": "aborted"} if is_known else error(dialect, Problem.AGENT_ERROR, "The turn was cancelled.")
    return None


def _trimmed(cut: Trimmed) -> Object:
    return {"type": "history_trimmed", "dropped_messages": cut.dropped, "kept_turns": cut.kept_turns, "reason": cut.reason}


def _message(dialect: Dialect, added: Added) -> Object | None:
    """Construct's page takes every message for an answer: questions are not for it."""
    if dialect is Dialect.CONSTRUCT and added.message.role is not Role.ASSISTANT:
        return None
    return {
        "type": "message",
        "session_id": added.session_id,
        "role": added.message.role.value,
        "content": added.message.content,
        "source": added.source,
        "timestamp": rfc3339(added.message.at_ms),
    }


def _approval(asked: ApprovalAsked) -> Object:
    raw = asked.call.arguments
    return {
        "type": "approval_request",
        "request_id": asked.id,
        "id": asked.id,
        "tool": asked.call.name,
        "args": arguments(asked.call),
        "arguments_summary": raw if len(raw) <= SUMMARY_CHARS else raw[:SUMMARY_CHARS] + "…",
        "timeout_secs": asked.seconds,
    }


def _done(done: Done) -> Object:
    used = None if done.input_tokens is None or done.output_tokens is None else done.input_tokens + done.output_tokens
    return {
        "type": "done",
        "full_response": done.text,
        "input_tokens": done.input_tokens,
        "output_tokens": done.output_tokens,
        "tokens_used": used,
        "cost_usd": None,
        "model": done.model,
        "provider": done.provider,
        "max_context_tokens": None,
        "last_input_tokens": done.last_input_tokens,
    }
