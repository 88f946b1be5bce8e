"""Files of the workspace. Ring: system (edge). Implements `ports.workspace.Workspace`."""

from __future__ import annotations

import os
from functools import partial

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from clawgate.domain.settings.model import Settings
from clawgate.ports.threads import InThread
from clawgate.system.regular import open_regular

_log = Logger()


def directory_of(settings: Settings) -> str:
    """The workspace's absolute path."""
    return os.path.abspath(os.path.expanduser(settings.workspace))


class NoWorkspace(msgspec.Struct, frozen=True):
    """There are none."""

    def read(self, name: str, most_bytes: int) -> Deferred[str | None]:
        """None."""
        return succeed(None)


class WorkspaceFiles(msgspec.Struct, frozen=True):
    """Text files below a folder, read in a thread."""

    folder: str
    run: InThread

    def read(self, name: str, most_bytes: int) -> Deferred[str | None]:
        """`ports.workspace.Workspace.read`."""
        return self.run(partial(read_text, os.path.join(self.folder, name), most_bytes))


def read_text(path: str, most_bytes: int) -> str | None:
    """The beginning of an ordinary file; anything else (a pipe, a device, a folder) is no file. Blocks."""
    try:
        file = open_regular(path)
    except (FileNotFoundError, IsADirectoryError):
        return None
    except OSError as problem:
        _log.warn("{path} cannot be read: {problem}", path=path, problem=problem.strerror)
        return None
    if file is None:
        return None
    with file:
        return file.read(most_bytes).decode("utf-8", "replace")
