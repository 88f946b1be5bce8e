"""MEMORY.md in the workspace. Ring: system edge. Implements `ports.workspace.MemoryFile`. Source: rantaiclaw.md §10."""

from __future__ import annotations

import os
from functools import partial

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.memory import MARK
from clawgate.ports.threads import InThread
from clawgate.system.atomic import replace_file

NAME = "MEMORY.md"
KEPT = ".before-clawgate"


class MemoryMarkdown(msgspec.Struct):
    """The file, written in a thread.

    Attributes:
        directory: the workspace; made when it is missing.
        run: calls a function where it may block.
    """

    directory: str
    run: InThread

    def write(self, text: str, is_empty: bool) -> Deferred[None]:
        """`ports.workspace.MemoryFile.write`."""
        return self.run(partial(_write, os.path.join(self.directory, NAME), text, is_empty))


def _write(path: str, text: str, is_empty: bool) -> None:
    try:
        with open(path, "rb") as file:
            is_ours = file.read(len(MARK)) == MARK.encode()
    except FileNotFoundError:
        if is_empty:
            return
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    else:
        if not is_ours:
            if is_empty or os.path.exists(path + KEPT):
                return
            os.replace(path, path + KEPT)
    replace_file(path, text.encode("utf-8", "replace"))
