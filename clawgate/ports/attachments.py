"""Where attached files are kept. Ring: ports. Source: construct-realtime.md §12.5; the bounds are those of domain/attachments.py."""

from __future__ import annotations

from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.attachments import Attachment


class Beginning(msgspec.Struct, frozen=True):
    """A kept file with its first bytes."""

    attachment: Attachment
    head: bytes


class AttachmentFiles(Protocol):
    """Files by session and id; both are safe in paths (`chat.is_session_id`, `attachments.is_file_id`)."""

    def put(self, attachment: Attachment, data: bytes) -> Deferred[None]:
        """Keeps a new file; it is on disk when this fires, whole, or it is not there.

        Raises (errback):
            TooLarge: the session has as much as it may. NoRoom: all sessions together have, or the disk is nearly full. NotKept: the disk refuses.
        """

    def head(self, session_id: str, file_id: str, most_bytes: int) -> Deferred[Beginning | None]:
        """The first `most_bytes` of a file; None when there is no such file, or it cannot be read."""

    def remove(self, session_id: str) -> Deferred[None]:
        """Forgets the files of a session; what the disk does not let go of goes with a later `sweep`."""

    def sweep(self, before_ms: int) -> Deferred[int]:
        """Forgets what was put before a moment, and what a crash left half done before it. How many files went."""
