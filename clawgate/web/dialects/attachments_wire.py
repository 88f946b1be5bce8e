"""Shapes of `POST /api/sessions/{id}/attachments`. Ring: edge, under the domain rule. Source: construct-realtime.md §12.5."""

from __future__ import annotations

from clawgate.domain.attachments import Attachment, NoRoom, NotKept
from clawgate.domain.errors import GatewayError
from clawgate.domain.times import rfc3339
from clawgate.web.dialects import chat_sessions_wire, root_wire

NO_FILE = "missing 'file' field in multipart upload"
UNREADABLE = "failed to read upload body"


def refusal(error: GatewayError) -> root_wire.Refusal:
    """That of sessions, and what disks do."""
    match error:
        case NotKept():
            return 500, {"error": str(error)}, 0
        case NoRoom():
            return 507, {"error": str(error)}, 0
    return chat_sessions_wire.refusal(error)


def kept(attachment: Attachment) -> dict[str, object]:
    """A file that was taken."""
    return {
        "file_id": attachment.file_id,
        "filename": attachment.filename,
        "size": attachment.size,
        "mime": attachment.mime,
        "session_id": attachment.session_id,
        "created_at": rfc3339(attachment.created_ms).replace("+00:00", "Z"),
    }
