"""Attached files: taken from those who may speak in a session, put before what they say. Ring: services. Source: construct-realtime.md §12.4, §12.5.

Upload and message name the same session, whether its history is stored yet or not. Whoever sent a file is the only one whose messages bring it.
"""

from __future__ import annotations

import msgspec
from twisted.logger import Logger

from clawgate.domain import attachments as rules
from clawgate.domain.attachments import Attachment
from clawgate.domain.caller import Caller
from clawgate.domain.chat import is_session_id
from clawgate.domain.errors import BadRequest, NotFound, Overloaded, TooLarge
from clawgate.domain.inbox import Item
from clawgate.domain.messages import PLAIN
from clawgate.ports.attachments import AttachmentFiles
from clawgate.ports.clock import Clock, Ids
from clawgate.services.sessions import Sessions

_log = Logger()
MOST_WRITING = 4
"""Files that are written or wait for it; each is in memory meanwhile."""


class Attachments(msgspec.Struct, eq=False):
    """All attached files."""

    files: AttachmentFiles
    sessions: Sessions
    clock: Clock
    ids: Ids
    _writing: int = 0

    async def keep(self, caller: Caller, session_id: str, *, filename: str, media: str, data: bytes) -> Attachment:
        """Takes a file; it is on disk when this returns.

        Args:
            filename, media: as the sender gives them.

        Raises:
            NotFound: the session is somebody else's, or cannot be one. BadRequest: nothing is in the file. TooLarge: too much is, or the session has too many.
            NoRoom: all sessions together have. NotKept: the disk refuses. Overloaded: too many are being written.
        """
        await self._check_owner(caller, session_id)
        if not data:
            raise BadRequest("empty file")
        if len(data) > rules.MOST_BYTES:
            raise TooLarge(f"attachment exceeds {rules.MOST_BYTES} byte limit (received {len(data)} bytes)")
        attachment = Attachment(
            file_id=self.ids.uuid(),
            session_id=session_id,
            principal=caller.principal,
            filename=rules.clean_filename(filename),
            mime=rules.clean_mime(media),
            size=len(data),
            created_ms=self.clock.wall_ms(),
        )
        await self._written(attachment, data)
        return attachment

    async def _check_owner(self, caller: Caller, session_id: str) -> None:
        """Raises NotFound unless the session is the caller's, or nobody's yet; before its first answer it belongs to whoever asked first."""
        if not is_session_id(session_id):
            raise NotFound("Session not found")
        await self.sessions.open_to(session_id, caller)

    async def _written(self, attachment: Attachment, data: bytes) -> None:
        if self._writing >= MOST_WRITING:
            raise Overloaded("too many attachments are being written")
        self._writing += 1
        try:
            await self.files.put(attachment, data)
        finally:
            self._writing -= 1

    async def before(self, item: Item) -> str:
        """What an agent reads before the item's text: a hint at the page, and the files; "" when there is nothing. What is not there is left out."""
        options = item.options or PLAIN
        files = [await self._told(item, options.session, file_id) for file_id in options.attachments[: rules.MOST_OF_MESSAGE]]
        parts = [rules.hint(options.page_context), *files]
        return "".join(f"{part}\n\n" for part in parts if part)

    async def _told(self, item: Item, session_id: str, file_id: str) -> str:
        is_possible = rules.is_file_id(file_id) and is_session_id(session_id)
        found = await self.files.head(session_id, file_id, rules.HEAD_BYTES) if is_possible else None
        if found is None or found.attachment.principal != item.principal:
            _log.info("{item} names an attachment that is not there", item=item.id)
            return ""
        return rules.told(found.attachment, found.head)

    async def sweep(self) -> None:
        """Forgets what has been kept long enough."""
        await self.files.sweep(self.clock.wall_ms() - rules.RETENTION_MS)
