"""Programs at a terminal of their own. Ring: ports. Source: construct-realtime.md §10."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from clawgate.domain.terminals import Exit, Size


class Pty(Protocol):
    """One program at its terminal. After its end nothing here does anything."""

    def write(self, data: bytes) -> bool:
        """Types; False = the program does not read, too much waits for it, and nothing was taken."""

    def resize(self, size: Size) -> None:
        """Tells the program how large its screen is now."""

    def pause(self) -> None:
        """Output is not taken for now: the program has to wait."""

    def resume(self) -> None:
        """Output is taken again."""

    def terminate(self) -> None:
        """Ends the program and everything in its session: asked first, made to a little later. Its output is not told any more."""


class PtySpawner(Protocol):
    """Starts programs, each with a terminal, a session and a process group of its own."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The daemon's own variables."""

    @property
    def home(self) -> str:
        """Home directory of the user who runs it."""

    def find(self, program: str) -> str | None:
        """The absolute path of a program, looked up on the daemon's PATH; None = there is none that could be run."""

    def folder(self, path: str) -> str:
        """The canonical path of a directory. Raises OSError when it cannot be, NotADirectoryError (with the canonical path) when it is none."""

    def open(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        size: Size,
        on_output: Callable[[bytes], None],
        on_exit: Callable[[Exit], None],
    ) -> Pty:
        """Starts a program; `argv[0]` is an absolute path.

        Args:
            size: the program's screen from its first moment.
            on_output: is given what it writes, at most some KiB at a time.
            on_exit: is called once, after the last output, when the program and its session are gone.

        Raises:
            OSError: it cannot be started.
        """


class Screen(Protocol):
    """Who looks at a terminal and types."""

    def output(self, data: bytes) -> None:
        """What the program writes."""

    def exited(self, text: str) -> None:
        """It has ended by itself; `text` tells how."""

    def told(self, problem: str) -> None:
        """Something went wrong, or ends the terminal; a sentence."""

    def close(self, reason: str) -> None:
        """It is over."""
