"""Files that people attach to what they say, and what the agent reads of them. Ring: domain. Source: construct-realtime.md §12.4, §12.5.

Agents take no media: text is put before the question, of everything else the agent is told that it is there. What counts as text is decided by the bytes (UTF-8
without NUL), not by the name or the type that the sender gives.
"""

from __future__ import annotations

import re

import msgspec

from clawgate.domain.errors import GatewayError, Refusal

MOST_BYTES = 25 * 1024 * 1024
"""Of one file."""
MOST_SESSION_BYTES, MOST_ALL_BYTES = 100 * 1024 * 1024, 1024 * 1024 * 1024
"""Of all files of one session; of all there are."""
MOST_SESSION_FILES, MOST_ALL_FILES = 100, 5_000
MOST_SENDER_BYTES, MOST_SENDER_FILES = 256 * 1024 * 1024, 1_000
"""Of all files of one principal: nobody takes the room of everybody."""
RETENTION_MS = 7 * 24 * 3600 * 1000
"""How long a file is kept, counted from its upload."""
MOST_OF_MESSAGE = 10
"""Files that one message brings; further ones are not looked at."""
SHOWN_CHARS = 200_000
HEAD_BYTES = 4 * (SHOWN_CHARS + 1)
"""Enough of a file to show that much of it, and to see that there is more: no character has more than four bytes."""
_NAME_CHARS, _DEFAULT_NAME = 255, "attachment"
_DEFAULT_MIME = "application/octet-stream"
_MIME = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}", re.ASCII)
_FILE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_HINTS = {
    "agent_pool": "The user is looking at the page of the agent pool, where agents are kept.",
    "agent_teams": "The user is looking at the page of agent teams, where agents are put together.",
    "skills": "The user is looking at the page of skills.",
    "workflows": "The user is looking at the page of workflows.",
    "canvas": "The user is looking at the canvas, on which agents show things.",
}


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """One file as it is kept; `principal` = who sent it, and the only one whose messages may bring it."""

    file_id: str
    session_id: str
    principal: str
    filename: str
    mime: str
    size: int
    created_ms: int


class Enclosed(msgspec.Struct, frozen=True):
    """What a message brings besides its text.

    Attributes:
        page_context: the page that the user looks at, one that is known, "" = none.
        attachments: ids of files, at most `MOST_OF_MESSAGE`.
    """

    page_context: str = ""
    attachments: tuple[str, ...] = ()


NOTHING = Enclosed()


class NoRoom(Refusal):
    """All attachments together are as much as may be."""


class NotKept(GatewayError):
    """The disk did not take a file; `str` says at which step."""


def is_file_id(text: str) -> bool:
    """Whether an id may be one of ours, and so stand in a path."""
    return _FILE_ID.fullmatch(text) is not None


def is_page(text: str) -> bool:
    """Whether there is a hint for a page."""
    return text in _HINTS


def clean_filename(name: str) -> str:
    """The last part of a sender's path without control characters, at most 255 characters; "attachment" when nothing is left."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in last if char.isprintable())[:_NAME_CHARS].strip() or _DEFAULT_NAME


def clean_mime(media: str) -> str:
    """A media type without parameters; "application/octet-stream" for what is none."""
    bare = media.partition(";")[0].strip().lower()
    return bare if _MIME.fullmatch(bare) else _DEFAULT_MIME


def hint(page_context: str) -> str:
    """A sentence on what the user looks at, "" for pages that are not known."""
    return _HINTS.get(page_context, "")


def told(attachment: Attachment, head: bytes) -> str:
    """What the agent reads of a file.

    Args:
        head: the file's first `HEAD_BYTES`, or all of it.
    """
    named = f"{attachment.filename} ({attachment.size} bytes, {attachment.mime})"
    text = _text(head, is_whole=len(head) >= attachment.size)
    if text is None:
        return f"[Attached binary file: {named} — content not inlined]"
    if len(text) > SHOWN_CHARS:
        text = f"{text[:SHOWN_CHARS]}\n[… cut after {SHOWN_CHARS} characters]"
    return f"[Attached file: {named}]\n{text}\n[End of file: {attachment.filename}]"


def _text(head: bytes, *, is_whole: bool) -> str | None:
    """The text of a file's beginning, None when it is none; a character that the cut runs through is left out."""
    if b"\0" in head:
        return None
    try:
        return head.decode()
    except UnicodeDecodeError as problem:
        is_cut_through = not is_whole and problem.reason == "unexpected end of data"
        return head[: problem.start].decode() if is_cut_through else None
