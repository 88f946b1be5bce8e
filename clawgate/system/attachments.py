"""Attached files below one directory: `<session>/<file id>` and, written after it, `<session>/<file id>.json`. Ring: system edge.

Implements `ports.attachments.AttachmentFiles`. Source: construct-realtime.md §12.5. In files and not in the store: 25 MiB would hold up everybody's commits.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from functools import partial

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from clawgate.domain.attachments import (
    MOST_ALL_BYTES,
    MOST_ALL_FILES,
    MOST_SENDER_BYTES,
    MOST_SENDER_FILES,
    MOST_SESSION_BYTES,
    MOST_SESSION_FILES,
    Attachment,
    NoRoom,
    NotKept,
)
from clawgate.domain.chat import is_session_id
from clawgate.domain.errors import TooLarge
from clawgate.ports.attachments import Beginning
from clawgate.ports.threads import InThread
from clawgate.system.atomic import replace_file, sync_directory
from clawgate.system.regular import open_regular

_log = Logger()
_NO_DIRECTORY, _NO_FILE, _NO_METADATA = "failed to create attachment storage", "failed to persist file", "failed to persist metadata"
_WHEN_THEY_GO = "old ones go after seven days, or with their session"
_METADATA_BYTES = 16 * 1024
_decode = msgspec.json.Decoder(Attachment).decode


class NoAttachments(msgspec.Struct, frozen=True):
    """Nothing is kept."""

    def put(self, attachment: Attachment, data: bytes) -> Deferred[None]:
        """Refuses."""
        return fail(NotKept(_NO_DIRECTORY))

    def head(self, session_id: str, file_id: str, most_bytes: int) -> Deferred[Beginning | None]:
        """None."""
        return succeed(None)

    def remove(self, session_id: str) -> Deferred[None]:
        """Nothing to forget."""
        return succeed(None)

    def sweep(self, before_ms: int) -> Deferred[int]:
        """Nothing to forget."""
        return succeed(0)


class _Tally(msgspec.Struct):
    """How much there is of something."""

    bytes: int = 0
    files: int = 0

    def add(self, size: int, is_file: bool) -> None:
        """One entry; metadata weigh, but are no files."""
        self.bytes += size
        self.files += is_file

    def is_full(self, size: int, most_bytes: int, most_files: int) -> bool:
        """Whether a file of this size would be too much."""
        return self.bytes + size > most_bytes or self.files >= most_files


class AttachmentDirectory(msgspec.Struct, frozen=True):
    """Files of one directory, 0700 as those below it; the files are 0600.

    Attributes:
        run: one thread, so that what is counted before a file is written still counts after it.
        min_free_bytes: what a file must leave free on the disk.
    """

    directory: str
    run: InThread
    min_free_bytes: int = 0
    _senders: dict[str, str | None] = {}
    """Of the files that lay there at the last look; of that thread alone."""

    def put(self, attachment: Attachment, data: bytes) -> Deferred[None]:
        """`ports.attachments.AttachmentFiles.put`."""
        return self.run(partial(self._put, attachment, data))

    def head(self, session_id: str, file_id: str, most_bytes: int) -> Deferred[Beginning | None]:
        """`ports.attachments.AttachmentFiles.head`."""
        return self.run(partial(self._head, session_id, file_id, most_bytes))

    def remove(self, session_id: str) -> Deferred[None]:
        """`ports.attachments.AttachmentFiles.remove`."""
        # A session that came from elsewhere may have any name; none but these have files.
        return self.run(partial(self._remove, session_id)) if is_session_id(session_id) else succeed(None)

    def sweep(self, before_ms: int) -> Deferred[int]:
        """`ports.attachments.AttachmentFiles.sweep`."""
        return self.run(partial(self._sweep, before_ms))

    def _put(self, attachment: Attachment, data: bytes) -> None:
        folder = os.path.join(self.directory, attachment.session_id)
        with _said(_NO_DIRECTORY):
            os.makedirs(os.path.dirname(self.directory), exist_ok=True)
            _make(self.directory)
            self._check_room(attachment)
            _make(folder)
        path, moment = os.path.join(folder, attachment.file_id), attachment.created_ms * 1_000_000
        # The metadata comes last: a file without it is not there.
        for target, content, problem in ((path, data, _NO_FILE), (f"{path}.json", msgspec.json.encode(attachment), _NO_METADATA)):
            with _said(problem):
                replace_file(target, content)
                os.utime(target, ns=(moment, moment))

    def _check_room(self, attachment: Attachment) -> None:
        """Raises TooLarge, NoRoom."""
        of_session, of_sender, of_all = _Tally(), _Tally(), _Tally()
        known = dict(self._senders)
        self._senders.clear()
        for entry in self._entries():
            size, is_file = entry.stat(follow_symlinks=False).st_size, not entry.name.endswith(".json")
            of_all.add(size, is_file)
            if os.path.basename(os.path.dirname(entry.path)) == attachment.session_id:
                of_session.add(size, is_file)
            if is_file:
                sender = self._senders[entry.path] = known.get(entry.path) or self._sender(entry.path)
                if sender == attachment.principal:
                    of_sender.add(size, is_file)
        if of_session.is_full(attachment.size, MOST_SESSION_BYTES, MOST_SESSION_FILES):
            raise TooLarge(f"the session's attachments exceed {MOST_SESSION_BYTES} bytes or {MOST_SESSION_FILES} files")
        if of_sender.is_full(attachment.size, MOST_SENDER_BYTES, MOST_SENDER_FILES):
            raise NoRoom(f"your attachments exceed {MOST_SENDER_BYTES} bytes or {MOST_SENDER_FILES} files; {_WHEN_THEY_GO}")
        free_bytes = shutil.disk_usage(self.directory).free
        if of_all.is_full(attachment.size, MOST_ALL_BYTES, MOST_ALL_FILES) or free_bytes - attachment.size < self.min_free_bytes:
            raise NoRoom(f"no room for further attachments; {_WHEN_THEY_GO}")

    def _sender(self, path: str) -> str | None:
        """Who sent a file; None for half a one."""
        with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
            metadata = _read(f"{path}.json", _METADATA_BYTES)
            return None if metadata is None else _decode(metadata).principal
        return None

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        """All that lies in the sessions' directories."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.directory) as folders:
            for folder in folders:
                if folder.is_dir(follow_symlinks=False):
                    with os.scandir(folder.path) as files:
                        yield from (file for file in files if not file.is_dir(follow_symlinks=False))

    def _head(self, session_id: str, file_id: str, most_bytes: int) -> Beginning | None:
        path = os.path.join(self.directory, session_id, file_id)
        try:
            metadata = _read(f"{path}.json", _METADATA_BYTES)
            data = _read(path, most_bytes)
        except OSError as problem:
            _log.warn("the attachment {id} cannot be read: {problem}", id=file_id, problem=problem.strerror)
            return None
        try:
            return None if metadata is None or data is None else Beginning(_decode(metadata), data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            _log.warn("what is known of the attachment {id} cannot be read", id=file_id)
            return None

    def _remove(self, session_id: str) -> None:
        try:
            shutil.rmtree(os.path.join(self.directory, session_id))
        except FileNotFoundError:
            pass
        except OSError as problem:
            _log.warn("the attachments of {session} are still there: {problem}", session=session_id, problem=problem.strerror)

    def _sweep(self, before_ms: int) -> int:
        swept = 0
        for entry in tuple(self._entries()):
            if entry.stat(follow_symlinks=False).st_mtime_ns < before_ms * 1_000_000:
                os.unlink(entry.path)
                swept += not entry.name.endswith(".json")
        with contextlib.suppress(FileNotFoundError):
            for folder in os.listdir(self.directory):
                with contextlib.suppress(OSError):  # those that are not empty stay
                    os.rmdir(os.path.join(self.directory, folder))
        return swept


@contextlib.contextmanager
def _said(problem: str) -> Iterator[None]:
    """What the disk refuses becomes NotKept with this sentence."""
    try:
        yield
    except OSError as error:
        raise NotKept(problem, detail=str(error)) from error


def _make(directory: str) -> None:
    """Makes a directory for this user alone, on disk; a link in its place is an error."""
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        os.close(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
    else:
        sync_directory(os.path.dirname(directory))


def _read(path: str, most_bytes: int) -> bytes | None:
    """The beginning of a file that is no link; None when there is none. Raises OSError."""
    try:
        file = open_regular(path, is_followed=False)
    except (FileNotFoundError, IsADirectoryError):
        return None
    if file is None:
        return None
    with file:
        return file.read(most_bytes)
