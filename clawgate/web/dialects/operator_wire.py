"""What Construct's page shows of an operator at work. Ring: edge, under the domain rule. Source: construct-realtime.md §12.4.

The operator is an MCP server named `construct-operator`, so its tools are `construct-operator__<tool>` here as upstream. What it is doing is read off the
tool's name, by the first word of the table that stands in it; how it went, off the result.
"""

from __future__ import annotations

import msgspec

PREFIX = "construct-operator__"
DETAIL_CHARS = 120
_PHASES = (
    ("spawning", ("spawn", "create_agent", "create_team", "launch")),
    ("waiting", ("wait",)),
    ("delegating", ("delegate", "send", "prompt", "assign")),
    ("collecting", ("collect", "activity", "result", "output")),
    ("checking", ("check", "status", "inspect")),
    ("listing", ("list",)),
    ("searching", ("search", "recall", "find", "query")),
    ("saving", ("save", "store", "publish", "write")),
)
_OVER = {"spawning": "spawned", "collecting": "collected"}
_SUBJECTS = (
    "title",
    "name",
    "agent_name",
    "agentTitle",
    "task",
    "query",
    "prompt",
    "message",
    "summary",
    "agent_id",
    "team_id",
    "run_id",
    "error",
    "status",
)
_FAILURES = {"error": "failed", "failed": "failed", "blocked": "blocked"}


class OperatorStatus(msgspec.Struct, frozen=True):
    """One line of the page."""

    phase: str
    detail: str


def beginning(name: str, arguments: object) -> OperatorStatus | None:
    """What a call is about; None = it is no operator's tool."""
    return OperatorStatus(_phase(name), _subject(arguments)) if name.startswith(PREFIX) else None


def end(name: str, text: str, *, ok: bool) -> OperatorStatus | None:
    """How a call went; None as above."""
    if not name.startswith(PREFIX):
        return None
    try:
        result = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        result = text
    fields = result if isinstance(result, dict) else {}
    failure = "failed" if not ok or fields.get("error") else _FAILURES.get(str(fields.get("status")))
    return OperatorStatus(failure or _OVER.get(_phase(name), "completed"), _subject(result) or text.strip()[:DETAIL_CHARS])


def _phase(name: str) -> str:
    tool = name.removeprefix(PREFIX)
    return next((phase for phase, words in _PHASES if any(word in tool for word in words)), "working")


def _subject(value: object) -> str:
    fields = value if isinstance(value, dict) else {}
    found = (fields[name] for name in _SUBJECTS if isinstance(fields.get(name), str) and fields[name].strip())
    return next(found, "").strip()[:DETAIL_CHARS]
