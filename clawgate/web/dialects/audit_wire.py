"""Shapes of `/api/audit`. Ring: edge, under the domain rule. Source: docs/howto/audit.md; domain/audit.py."""

from __future__ import annotations

import msgspec

from clawgate.domain.audit import Entry, Link, Verdict
from clawgate.domain.times import rfc3339


def entry_object(entry: Entry) -> dict[str, object]:
    """An entry as it is kept, with its time as people read it too."""
    return msgspec.structs.asdict(entry) | {"at": rfc3339(entry.at_ms)}


def head_object(head: Link) -> dict[str, object]:
    """Where the log ends; `head` is to be noted."""
    return {"head": str(head), "seq": head.seq, "digest": head.digest}


def verdict_object(verdict: Verdict) -> dict[str, object]:
    """What verifying came to; `broken` is the first entry that does not hold."""
    broken = verdict.broken
    return {
        "intact": broken is None,
        "entries": verdict.entries,
        "anchor": str(verdict.anchor),
        "head": str(verdict.head),
        "broken": None if broken is None else {"seq": broken.seq, "why": broken.why},
    }
