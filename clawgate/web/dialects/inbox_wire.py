"""Shapes of `/api/inbox`. Ring: edge, under the domain rule. Source: design §1, §4.5; the issue's own words for states."""

from __future__ import annotations

from clawgate.domain.attempts import Attempt
from clawgate.domain.delivery import Send
from clawgate.domain.inbox import Item
from clawgate.domain.journal import ToolStep
from clawgate.domain.times import rfc3339, rfc3339_or_none


def item_object(item: Item) -> dict[str, object]:
    """An item as its owner sees it; `response` and `model` once there is an outcome."""
    return {
        "id": item.id,
        "status": item.state,
        "state": item.state,
        "source": item.source,
        "message": item.text,
        "conversation": item.conversation,
        "attempts": item.attempts,
        "accepted_at": rfc3339(item.accepted_ms),
        "updated_at": rfc3339(item.updated_ms),
        "next_attempt_at": rfc3339_or_none(item.due_ms or None) if item.state == "waiting" else None,
        "response": item.answer,
        "model": item.model,
        "error": item.error,
    }


def attempt_object(attempt: Attempt) -> dict[str, object]:
    """One attempt; `ended_at` and `duration_ms` are null while it runs, `retry_at` unless another one was due."""
    return {
        "number": attempt.number,
        "started_at": rfc3339(attempt.started_ms),
        "ended_at": rfc3339_or_none(attempt.ended_ms),
        "duration_ms": None if attempt.ended_ms is None else max(0, attempt.ended_ms - attempt.started_ms),
        "outcome": attempt.outcome,
        "error": attempt.error,
        "retry_at": rfc3339_or_none(attempt.retry_ms),
        "provider": attempt.provider,
        "model": attempt.model,
    }


def step_object(step: ToolStep) -> dict[str, object]:
    """One tool call."""
    return {"step": step.name, "tool": step.call.name, "arguments": step.call.arguments, "state": step.state, "ok": step.ok, "result": step.result}


def send_object(send: Send) -> dict[str, object]:
    """One part of a reply."""
    return {
        "id": send.id,
        "channel": send.channel,
        "target": send.target,
        "part": send.part,
        "state": send.state,
        "attempts": send.attempts,
        "receipt": send.receipt,
        "error": send.error,
        "updated_at": rfc3339(send.updated_ms),
    }
