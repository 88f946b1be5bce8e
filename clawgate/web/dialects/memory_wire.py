"""Shapes and refusals of `/api/v1/memory`. Ring: edge, under the domain rule. Source: rantaiclaw.md §1 (codes), §10 (memory)."""

from __future__ import annotations

import msgspec

from clawgate.domain.errors import GatewayError, InvalidContent, RejectedContent
from clawgate.domain.memory import CORE, MemoryPage, Stored
from clawgate.domain.messages import MemoryEntry
from clawgate.domain.times import rfc3339
from clawgate.web.dialects import api_wire
from clawgate.web.dialects.root_wire import Refusal

DEFAULT_PAGE, MOST_PAGE = 50, 500


class NewMemory(msgspec.Struct):
    """`POST /api/v1/memory`."""

    content: str
    key: str | None = None
    category: str | None = None
    session_id: str | None = None

    @property
    def named_category(self) -> str:
        """The category, "core" unless one is named."""
        return CORE if self.category is None else self.category


def refusal(error: GatewayError) -> Refusal:
    """The family's, and two codes of its own."""
    if isinstance(error, InvalidContent):
        return api_wire.failure(400, "invalid_content", str(error))
    if isinstance(error, RejectedContent):
        return api_wire.failure(400, "rejected_content", str(error))
    return api_wire.refusal(error)


def page_object(page: MemoryPage, offset: int) -> dict[str, object]:
    """A page of a list or a search; everything that matched can be reached by paging, so `listed` is `total`."""
    entries = [{**entry_object(hit.entry), "score": hit.score} for hit in page.hits]
    return {"entries": entries, "count": len(entries), "total": page.total, "listed": page.total, "offset": offset}


def entry_object(entry: MemoryEntry) -> dict[str, object]:
    """One entry."""
    return {
        "key": entry.key,
        "content": entry.content,
        "category": entry.category,
        "timestamp": rfc3339(entry.created_ms),
        "session_id": entry.session,
    }


def stored_object(stored: Stored) -> dict[str, object]:
    """What became of a new entry."""
    return {"key": stored.key, "stored": True, "notes": list(stored.notes)}
