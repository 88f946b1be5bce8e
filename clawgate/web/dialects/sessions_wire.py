"""Shapes of `/api/v1/sessions` and `/api/v1/insights`. Ring: edge, under the domain rule. Source: rantaiclaw.md §10 (times are whole Unix seconds)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from clawgate.domain.sessions import Hit, Insights, Message, Session

DEFAULT_PAGE, MOST_PAGE = 50, 500
DEFAULT_HITS, MOST_HITS = 20, 200


class SearchBody(msgspec.Struct):
    """`POST /api/v1/sessions/search`."""

    query: str
    limit: Annotated[int, msgspec.Meta(ge=0)] | None = None

    @property
    def hits(self) -> int:
        """How many are wanted."""
        return DEFAULT_HITS if self.limit is None else min(self.limit, MOST_HITS)


class TitleBody(msgspec.Struct):
    """`PUT /api/v1/sessions/{id}/title`."""

    title: str


def page_object(sessions: Sequence[Session], offset: int, total: int) -> dict[str, object]:
    """A page of sessions."""
    items = [{**_head(session), "message_count": session.message_count} for session in sessions]
    return {"sessions": items, "count": len(items), "offset": offset, "total": total}


def session_object(session: Session, messages: Sequence[Message]) -> dict[str, object]:
    """A session with its messages."""
    return {**_head(session), "messages": [_message(message) for message in messages]}


def hits_object(hits: Sequence[Hit]) -> dict[str, object]:
    """What a search found."""
    results = [{"session_id": hit.session_id, "session_title": hit.title, **_message(hit.message), "rank": hit.rank} for hit in hits]
    return {"results": results, "count": len(results)}


def insights_object(insights: Insights) -> dict[str, object]:
    """Totals."""
    latest = insights.latest
    return {
        "total_sessions": insights.sessions,
        "total_messages": insights.messages,
        "avg_messages_per_session": insights.average,
        "latest_session_id": None if latest is None else latest.id,
        "latest_session_started_at": None if latest is None else latest.started_ms // 1000,
    }


def _head(session: Session) -> dict[str, object]:
    return {"id": session.id, "title": session.title, "model": session.model, "started_at": session.started_ms // 1000}


def _message(message: Message) -> dict[str, object]:
    return {"role": message.role, "content": message.content, "timestamp": message.at_ms // 1000}
