"""A workflow outside waits for a person's word. Ring: domain. Source: construct-realtime.md §3.

    raised → open → answered once (approved or rejected, by whom)
                  → expired (its `timeout` is over)

A reply in words means what the request's own keywords say; approval is looked for before rejection:

    reply                          meaning
    <approve word>                 approved
    <approve word> <anything>      approved, nothing of it is feedback
    <reject word>                  rejected
    <reject word> <anything>       rejected; the rest, as it was written, is feedback
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from clawgate.domain.errors import Conflict

REQUEST = "human_approval_request"
APPROVE_KEYWORDS = ("approve", "approved", "yes", "lgtm")
REJECT_KEYWORDS = ("reject", "rejected", "no")
DEFAULT_TITLE = "Human approval needed"
DEFAULT_DIRECTORY = "/tmp"  # noqa: S108  what the wire says when nothing is said; nothing is written there
MOST_NAME_CHARS = 256
MOST_TEXT_CHARS = 8_000
MOST_KEYWORDS = 32
MOST_SECONDS = 31_536_000.0
"""A longer timeout than a year is none."""


class Word(msgspec.Struct, frozen=True):
    """What a person says."""

    approved: bool
    feedback: str = ""


class Given(msgspec.Struct, frozen=True):
    """The one answer: by which principal, and when."""

    word: Word
    principal: str
    at_ms: int


class WorkflowApproval(msgspec.Struct, frozen=True, kw_only=True):
    """One question; times are wall-clock milliseconds.

    Attributes:
        cwd: the working directory of the workflow, for whoever resumes it.
        expires_ms: 0 = it waits for ever.
        given: None while it is open.
    """

    run_id: str
    step_id: str
    workflow_name: str
    title: str
    message: str
    approve_keywords: tuple[str, ...]
    reject_keywords: tuple[str, ...]
    cwd: str
    asked_ms: int
    expires_ms: int
    given: Given | None = None


class AlreadyAnswered(Conflict):
    """Somebody was first.

    Attributes:
        approved: what they said.
        principal: who they are.
    """

    def __init__(self, *, approved: bool, principal: str) -> None:
        super().__init__(f"Already {'approved' if approved else 'rejected'} by {principal}")
        self.approved, self.principal = approved, principal


def raised(body: object, now_ms: int) -> WorkflowApproval | None:
    """The question that a channel event asks; None when it asks none, or names neither run nor step."""
    if not isinstance(body, dict) or body.get("type") != REQUEST:
        return None
    run_id, step_id = _text(body, "run_id", MOST_NAME_CHARS), _text(body, "step_id", MOST_NAME_CHARS)
    if run_id is None or step_id is None:
        return None
    content = body.get("content")
    said = cast(Mapping[str, object], content) if isinstance(content, dict) else {}
    title, message = _text(said, "title", MOST_TEXT_CHARS), _text(said, "message", MOST_TEXT_CHARS)
    return WorkflowApproval(
        run_id=run_id,
        step_id=step_id,
        workflow_name=_text(body, "workflow_name", MOST_NAME_CHARS) or "",
        title=DEFAULT_TITLE if title is None else title,
        message=message or "",
        approve_keywords=_keywords(body.get("approve_keywords")) or APPROVE_KEYWORDS,
        reject_keywords=_keywords(body.get("reject_keywords")) or REJECT_KEYWORDS,
        cwd=_text(body, "cwd", MOST_TEXT_CHARS) or DEFAULT_DIRECTORY,
        asked_ms=now_ms,
        expires_ms=_end(body.get("timeout"), now_ms),
    )


def word_of(reply: str, approve: Sequence[str], reject: Sequence[str]) -> Word | None:
    """What a reply means by these keywords (lower case, in order); None when it is neither."""
    text = reply.strip()
    lowered = text.lower()
    if any(_begins(lowered, keyword) for keyword in approve):
        return Word(approved=True)
    for keyword in reject:
        if _begins(lowered, keyword):
            # Lowering can change a text's length: the first word is cut off where it ends, not where its lower form did.
            return Word(approved=False, feedback=_after(text, keyword))
    return None


def _begins(lowered: str, keyword: str) -> bool:
    return bool(keyword) and (lowered == keyword or lowered.startswith(keyword + " "))


def _after(text: str, keyword: str) -> str:
    words = keyword.count(" ") + 1
    return (text.split(" ", words)[words:] or [""])[0].strip()


def _text(body: Mapping[str, object], name: str, most: int) -> str | None:
    value = body.get(name)
    return value[:most] if isinstance(value, str) else None


def _keywords(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    words = (word.strip().lower()[:MOST_NAME_CHARS] for word in value[:MOST_KEYWORDS] if isinstance(word, str))
    return tuple(word for word in words if word)


def _end(timeout: object, now_ms: int) -> int:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not math.isfinite(timeout) or not 0 < timeout <= MOST_SECONDS:
        return 0
    return now_ms + max(1, round(timeout * 1000))
