"""Frames, answers and refusals of workflow approvals. Ring: edge, under the domain rule. Source: construct-realtime.md §3."""

from __future__ import annotations

from clawgate.domain.errors import Forbidden, GatewayError
from clawgate.domain.times import rfc3339
from clawgate.domain.workflow_approvals import AlreadyAnswered, WorkflowApproval
from clawgate.web.dialects import root_wire

LOCAL_ONLY = "channel-events only accepts localhost connections"
NO_WORD = "The reply is neither an approval nor a rejection"
NO_EVENT = "The event cannot be written as JSON"
HEARD: dict[str, object] = {"ok": True}


def event_refusal(error: GatewayError) -> root_wire.Refusal:
    """The answer to an error of `/api/channel-events`; the door's own words are upstream's."""
    if isinstance(error, Forbidden) and str(error) == root_wire.LOCAL_ONLY:
        return 403, {"error": LOCAL_ONLY}, 0
    return root_wire.refusal(error)


def refusal(error: GatewayError) -> root_wire.Refusal:
    """The answer to an error; whoever comes second is told who was first."""
    status, body, seconds = root_wire.refusal(error)
    if isinstance(error, AlreadyAnswered):
        body = {**body, "approved": error.approved, "answered_by": error.principal}
    return status, body, seconds


def answered(approval: WorkflowApproval, *, approved: bool) -> dict[str, object]:
    """The answer to who has answered."""
    return {
        "status": "ok",
        "message": "Workflow approved" if approved else "Workflow rejected",
        "run_id": approval.run_id,
        "approved": approved,
    }


def shown(approval: WorkflowApproval) -> dict[str, object]:
    """One question, and its answer if it has one."""
    body: dict[str, object] = {
        "run_id": approval.run_id,
        "step_id": approval.step_id,
        "workflow_name": approval.workflow_name,
        "title": approval.title,
        "message": approval.message,
        "approve_keywords": approval.approve_keywords,
        "reject_keywords": approval.reject_keywords,
        "cwd": approval.cwd,
        "created_at": rfc3339(approval.asked_ms),
        "expires_at": rfc3339(approval.expires_ms) if approval.expires_ms else None,
        "status": "open",
    }
    given = approval.given
    if given is None:
        return body
    return body | {
        "status": "approved" if given.word.approved else "rejected",
        "feedback": given.word.feedback,
        "answered_by": given.principal,
        "answered_at": rfc3339(given.at_ms),
    }
