"""A change of the configuration, as somebody asks for it. Ring: domain. Source: design §4.11; rantaiclaw.md §11, §15."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec

from clawgate.domain.errors import BadRequest
from clawgate.domain.overlay import Change, Path, at

MOST_FILES = 32
MOST_FILE_BYTES = 65_536
_MOST_PATH_CHARS = 255


class Target(Enum):
    """Which file is changed."""

    OVERLAY = "config.runtime.toml"
    FILE = "config.toml"


class Keep(Enum):
    """In a change's table: what the files say there stays, reference or secret, unseen."""

    KEEP = "keep"


KEEP = Keep.KEEP


def kept(document: Mapping[str, object], change: Change) -> Change:
    """The change with what `document` says in the place of every `KEEP`; where it says nothing, the key is left out."""
    return Change(change.path, _kept(at(document, change.path), change.value))


def _kept(before: object, value: object) -> object:
    if not isinstance(value, Mapping):
        return before if value is KEEP else value
    old = before if isinstance(before, Mapping) else {}
    filled = {str(name): _kept(old.get(name), below) for name, below in value.items()}
    return {name: below for name, below in filled.items() if below is not None}


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """Changes that are made together or not at all.

    Attributes:
        changes: values are as a TOML reader gives them, but that a `Secret`, also inside of tables, is written as the house writes secrets, and for `KEEP`.
        besides: what goes along with them; where the environment stands above it, it simply has no effect.
        files: texts by path below the workspace, as `checked_files` gives them.
    """

    target: Target
    changes: tuple[Change, ...] = ()
    besides: tuple[Change, ...] = ()
    files: Mapping[Path, str] = {}

    @property
    def paths(self) -> tuple[Path, ...]:
        """What is changed."""
        return tuple(change.path for change in self.changes)


def checked_files(files: Mapping[str, str]) -> dict[Path, str]:
    """The files by the names of their paths.

    Raises:
        BadRequest: too many or too large, or a path that is absolute, leaves the workspace or names no file.
    """
    if len(files) > MOST_FILES:
        raise BadRequest(f"Too many workspace files (max {MOST_FILES})")
    return {_checked_path(path): _checked_text(path, text) for path, text in files.items()}


def _checked_path(path: str) -> Path:
    names = tuple(path.split("/"))
    if ".." in names:
        raise BadRequest("Path traversal not allowed")
    if path.startswith(("/", "~")) or "\\" in path or ":" in path:
        raise BadRequest("Absolute path not allowed")
    if not path.isprintable() or len(path.encode("utf-8", "replace")) > _MOST_PATH_CHARS or any(name in ("", ".") for name in names):
        raise BadRequest("Not a path of a file")
    return names


def _checked_text(path: str, text: str) -> str:
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise BadRequest(f"{path} is not text") from None
    if size > MOST_FILE_BYTES:
        raise BadRequest(f"{path} is too large (max {MOST_FILE_BYTES} bytes)")
    return text
