"""What happened, for whoever watches, and who may watch what. Ring: domain. Source: design §1 (event bus), §4.17; construct-realtime.md §7."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec

from clawgate.domain.caller import Caller, Scope


class BusEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, past tense: "task_created", "approval_requested", "config_changed".

    Attributes:
        number: counts from 1 in each process.
        data: JSON values by name; no secrets, no message bodies.
        principal: whose it is, None = nobody's.
    """

    number: int
    kind: str
    at_ms: int
    data: Mapping[str, object]
    principal: str | None = None


class LogLine(msgspec.Struct, frozen=True):
    """One line of the daemon's log, redacted; `number` counts from 1 without a gap."""

    number: int
    at_ms: int
    text: str


class Audience(Enum):
    """Who is shown an event, besides administrators."""

    EVERYBODY = "everybody"
    OWNER = "owner"
    """The principal whose it is; nobody when it is nobody's."""
    APPROVERS = "approvers"
    """Whoever may answer: holders of `approve`."""
    ADMINISTRATORS = "administrators"


class Rule(msgspec.Struct, frozen=True):
    """How one kind is treated; `is_kept` False = its rate is high, or it is large: only who watches at the moment is told."""

    audience: Audience
    is_kept: bool = True


_EVERYBODY, _OWNER = Rule(Audience.EVERYBODY), Rule(Audience.OWNER)
_APPROVERS, _ADMINISTRATORS = Rule(Audience.APPROVERS), Rule(Audience.ADMINISTRATORS)
_PASSING = Rule(Audience.OWNER, is_kept=False)

RULES: Mapping[str, Rule] = {
    # turns: one for each message, and more
    **dict.fromkeys(("agent_start", "agent_end", "llm_request", "tool_call_start", "tool_call", "error"), _PASSING),
    # what belongs to somebody
    **dict.fromkeys(("approval_requested", "approval_resolved", "approval_expired", "session_renamed", "session_removed"), _OWNER),
    # what everybody with a token for reading may list
    **dict.fromkeys(("task_created", "task_updated", "task_reviewed", "task_deleted", "task_commented"), _EVERYBODY),
    **dict.fromkeys(("cron_job_created", "cron_job_updated", "cron_job_deleted", "cron_run_started", "cron_run_finished"), _EVERYBODY),
    **dict.fromkeys(("kb_document_added", "kb_document_deleted", "personality_changed"), _EVERYBODY),
    **dict.fromkeys(("skill_created", "skill_changed", "skill_switched", "skill_removed", "skill_installed"), _EVERYBODY),
    # what everybody may look at
    "canvas_rendered": Rule(Audience.EVERYBODY, is_kept=False),
    **dict.fromkeys(("canvas_cleared", "node_connected", "node_disconnected"), _EVERYBODY),
    # workflows outside
    "channel_event": Rule(Audience.APPROVERS, is_kept=False),  # its payload may be a question
    **dict.fromkeys(("human_approval_request", "human_approval_resolved"), _APPROVERS),
    # the keys of what is remembered tell about people
    **dict.fromkeys(("config_changed", "memory_stored", "memory_removed", "terminal_opened", "terminal_closed"), _ADMINISTRATORS),
    **dict.fromkeys(("subscription_paused", "subscription_stopped", "subscription_resumed"), _ADMINISTRATORS),
}


def rule_of(kind: str) -> Rule:
    """The rule of a kind; what nobody thought of is for administrators."""
    return RULES.get(kind, _ADMINISTRATORS)


def may_see(caller: Caller, event: BusEvent) -> bool:
    """Whether an event exists for a caller."""
    if caller.sees_everything:
        return True
    match rule_of(event.kind).audience:
        case Audience.EVERYBODY:
            return True
        case Audience.OWNER:
            return caller.may_see(event.principal)
        case Audience.APPROVERS:
            return caller.may(Scope.APPROVE)
        case Audience.ADMINISTRATORS:
            return False
