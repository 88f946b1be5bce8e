"""What happened, for whoever watches. Ring: domain. Source: design §1 (event bus); construct-realtime.md (events)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class BusEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, past tense: "task_created", "approval_requested", "config_changed".

    Attributes:
        number: counts from 1 in each process.
        data: JSON values by name; no secrets, no message bodies.
    """

    number: int
    kind: str
    at_ms: int
    data: Mapping[str, object]
