"""Shapes of `/api/sessions`. Ring: edge, under the domain rule. Source: construct-realtime.md §12.6; zeroclaw.md B3, B4: the fields of both."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from clawgate.domain.errors import GatewayError, NotFound
from clawgate.domain.sessions import ActiveSession, Message, Running, Standing
from clawgate.domain.times import rfc3339
from clawgate.web.dialects import root_wire

ACTIVE_MS = 5 * 60 * 1000
NOT_FOUND = "Session not found"
KEY_PREFIX = "gw_"


class NameBody(msgspec.Struct):
    """`PUT /api/sessions/{id}`."""

    name: str = ""


class MessageBody(msgspec.Struct):
    """`POST /api/sessions/{id}/messages`."""

    content: str = ""


def id_of(text: str) -> str:
    """The id that a client means: the storage key, `gw_<id>`, is another name of the same session, on every door."""
    start = 0
    while text.startswith(KEY_PREFIX, start):
        start += len(KEY_PREFIX)
    return text[start:]


def refusal(error: GatewayError) -> root_wire.Refusal:
    """The root family's, with a sentence of its own for what is not there."""
    return (404, {"error": NOT_FOUND}, 0) if isinstance(error, NotFound) else root_wire.refusal(error)


def listed(found: Sequence[ActiveSession], now_ms: int) -> dict[str, object]:
    """Kept sessions."""
    return {"sessions": [_session(one, now_ms) for one in found]}


def _session(one: ActiveSession, now_ms: int) -> dict[str, object]:
    session, started = one.session, rfc3339(one.session.started_ms)
    shown: dict[str, object] = {
        "id": session.id,
        "session_id": session.id,
        "session_key": f"{KEY_PREFIX}{session.id}",
        "channel": "gateway",
        "channel_id": None,
        "agent_alias": None,
        "started_at": started,
        "created_at": started,
        "last_activity": rfc3339(one.last_ms),
        "status": "active" if now_ms - one.last_ms < ACTIVE_MS else "idle",
        "message_count": session.message_count,
    }
    return shown if session.title is None else shown | {"name": session.title}


def running(found: Sequence[Running]) -> dict[str, object]:
    """Sessions with an open turn."""
    return {
        "sessions": [
            {
                "session_id": one.session_id,
                "created_at": rfc3339(one.created_ms),
                "last_activity": rfc3339(one.last_ms),
                "message_count": one.message_count,
            }
            for one in found
        ]
    }


def messages(session_id: str, found: Sequence[Message]) -> dict[str, object]:
    """A session's messages."""
    lines = [{"role": message.role, "content": message.content, "created_at": rfc3339(message.at_ms)} for message in found]
    return {"session_id": session_id, "messages": lines, "session_persistence": True}


def added(session_id: str, content: str) -> dict[str, object]:
    """A message that was put into a session."""
    return {"status": "ok", "session_id": session_id, "message": {"role": "assistant", "content": content}, "session_persistence": True}


def standing(one: Standing) -> dict[str, object]:
    """What a session is doing."""
    shown: dict[str, object] = {"session_id": one.session_id, "state": one.state}
    return shown | {"turn_id": one.turn_id, "turn_started_at": rfc3339(one.turn_started_ms)} if one.turn_id else shown
