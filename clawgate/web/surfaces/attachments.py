"""`POST /api/sessions/{id}/attachments`. Ring: edge (web). Source: construct-realtime.md §12.5."""

from __future__ import annotations

import msgspec

from clawgate.domain.attachments import MOST_BYTES
from clawgate.domain.caller import Scope
from clawgate.domain.errors import BadRequest, UnsupportedMedia
from clawgate.services.attachments import Attachments
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import attachments_wire as wire
from clawgate.web.dialects import chat_sessions_wire
from clawgate.web.documented import FORM, documented
from clawgate.web.multipart import File, first
from clawgate.web.router import Router

_MULTIPART_BYTES = 64 * 1024
"""What a form may weigh besides its file."""


class AttachmentsSurface(msgspec.Struct):
    """The door for files."""

    attachments: Attachments

    def register(self, router: Router) -> None:
        """Adds the route."""
        router.add(
            "POST",
            "/api/sessions/<session_id>/attachments",
            self.upload,
            auth=Scope.CHAT,
            limiter="api",
            dialect=wire.refusal,
            cap_bytes=MOST_BYTES + _MULTIPART_BYTES,
            summary="Upload a file that messages of a session can bring",
        )

    @documented(takes=FORM, statuses=(201,))
    async def upload(self, call: Call) -> Answer:
        """The first field named `file`; others are skipped."""
        file = _file(call)
        session_id = chat_sessions_wire.id_of(str(call.values["session_id"]))
        kept = await self.attachments.keep(call.caller, session_id, filename=file.name, media=file.media, data=file.data)
        return json_answer(201, wire.kept(kept))


def _file(call: Call) -> File:
    try:
        found = first(call, "file")
    except UnsupportedMedia:
        raise
    except BadRequest as problem:
        raise BadRequest(wire.UNREADABLE, detail=problem.detail) from None
    if found is None:
        raise BadRequest(wire.NO_FILE)
    return found
