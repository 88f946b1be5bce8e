"""Terminals whose programs do as a test says. Ring: testing; implements `ports.terminals`."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence

import msgspec

from clawgate.domain.terminals import Exit, Size


class ScriptedPty(msgspec.Struct, eq=False):
    """One program.

    Attributes:
        typed: what came in. sizes: from the first one on. is_full: it reads nothing. is_paused: it may not write.
        is_terminated: it was told to end; it does when the test calls `exit`.
    """

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    on_output: Callable[[bytes], None]
    on_exit: Callable[[Exit], None]
    sizes: list[Size]
    typed: bytes = b""
    is_full: bool = False
    is_paused: bool = False
    is_terminated: bool = False

    def write(self, data: bytes) -> bool:
        """Keeps it."""
        self.typed += b"" if self.is_full else data
        return not self.is_full

    def resize(self, size: Size) -> None:
        """Keeps it."""
        self.sizes.append(size)

    def pause(self) -> None:
        """From now on it may not write."""
        self.is_paused = True

    def resume(self) -> None:
        """It may again."""
        self.is_paused = False

    def terminate(self) -> None:
        """It is asked to end."""
        self.is_terminated = True

    def exit(self, code: int | None = 0, signal: int | None = None) -> None:
        """It ends."""
        self.on_exit(Exit(code, signal))


class ScriptedPtys(msgspec.Struct, eq=False):
    """Starts them.

    Attributes:
        programs: paths by what is looked for. folders: those that exist. files: paths that are no directories.
        problem: why none can be started.
    """

    environ: Mapping[str, str] = msgspec.field(
        default_factory=lambda: {"PATH": "/bin", "SHELL": "/bin/zsh", "LANG": "C.UTF-8", "OPENAI_API_KEY": "sk-secret"}
    )
    home: str = "/home/gate"
    programs: dict[str, str] = msgspec.field(default_factory=lambda: {"/bin/zsh": "/bin/zsh", "/bin/sh": "/bin/sh", "claude": "/opt/bin/claude"})
    folders: list[str] = msgspec.field(default_factory=lambda: ["/home/gate", "/home/gate/src", "/tmp"])  # noqa: S108 - names only
    files: list[str] = msgspec.field(default_factory=lambda: ["/etc/hostname"])
    problem: OSError | None = None
    opened: list[ScriptedPty] = []

    def find(self, program: str) -> str | None:
        """By the table."""
        return self.programs.get(program)

    def folder(self, path: str) -> str:
        """By the lists."""
        if path in self.files:
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        if path not in self.folders:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return path

    def open(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        size: Size,
        on_output: Callable[[bytes], None],
        on_exit: Callable[[Exit], None],
    ) -> ScriptedPty:
        """Keeps everything."""
        if self.problem is not None:
            raise self.problem
        self.opened.append(ScriptedPty(tuple(argv), dict(env), cwd, on_output, on_exit, [size]))
        return self.opened[-1]
