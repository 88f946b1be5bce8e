"""Terminals: what is run, where, how large, and how one ends. Ring: domain. Source: construct-realtime.md §10; design §2 (state).

    state     event      next      effects
    RUNNING   EXITED     OVER      SAY_EXIT, CLOSE, RECORD
    RUNNING   LEFT       ENDING    TERMINATE
    RUNNING   IDLE       ENDING    SAY_REASON, CLOSE, TERMINATE
    RUNNING   STOPPED    ENDING    SAY_REASON, CLOSE, TERMINATE
    ENDING    EXITED     OVER      RECORD

Everything else changes nothing. A terminal counts against the bounds until it is OVER: a program that has to be killed still runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

DEFAULT_COLS, DEFAULT_ROWS = 80, 24
MOST_SIDE = 65_535
TOOLS: Mapping[str, str] = {"claude": "claude", "codex": "codex", "opencode": "opencode", "gemini": "gemini"}
"""Programs that may be named, case and all; any other name is the login shell."""
FALLBACK_SHELL = "/bin/sh"
_PASSED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "USER", "LOGNAME", "SHELL", "TZ")
_FIXED = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


class Size(msgspec.Struct, frozen=True):
    """A screen in characters."""

    cols: int = DEFAULT_COLS
    rows: int = DEFAULT_ROWS

    def changed(self, cols: int, rows: int) -> Size:
        """This size with another width and height; 0 leaves a side as it is."""
        return Size(min(cols, MOST_SIDE) or self.cols, min(rows, MOST_SIDE) or self.rows)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for.

    Attributes:
        tool: one of `TOOLS`; anything else is the shell.
        cwd: "" = the home directory.
    """

    tool: str = ""
    cwd: str = ""
    size: Size = Size()


class Exit(msgspec.Struct, frozen=True):
    """How a program ended: one of the two, or neither when nobody knows."""

    code: int | None = None
    signal: int | None = None

    def __str__(self) -> str:
        if self.signal is not None:
            return f"ended by signal {self.signal}"
        return "ended" if self.code is None else f"exited with code {self.code}"


class State(StrEnum):
    """Where a terminal stands."""

    RUNNING = "running"
    ENDING = "ending"
    OVER = "over"


class Event(StrEnum):
    """What can happen to it."""

    EXITED = "exited"
    LEFT = "left"
    IDLE = "idle"
    STOPPED = "stopped"


class Effect(StrEnum):
    """What has to be done about it, in the order given."""

    SAY_EXIT = "say_exit"
    SAY_REASON = "say_reason"
    CLOSE = "close"
    TERMINATE = "terminate"
    RECORD = "record"


class Terminal(msgspec.Struct, frozen=True, kw_only=True):
    """One terminal.

    Attributes:
        principal: whose credential opened it.
        program: what runs, as its argv's first word.
        opened_ms: wall time.
        reason: the event that ended it, "" while it runs.
    """

    id: str
    principal: str
    client: str
    program: str
    cwd: str
    opened_ms: int
    state: State = State.RUNNING
    reason: str = ""


_TABLE: Mapping[tuple[State, Event], tuple[State, tuple[Effect, ...]]] = {
    (State.RUNNING, Event.EXITED): (State.OVER, (Effect.SAY_EXIT, Effect.CLOSE, Effect.RECORD)),
    (State.RUNNING, Event.LEFT): (State.ENDING, (Effect.TERMINATE,)),
    (State.RUNNING, Event.IDLE): (State.ENDING, (Effect.SAY_REASON, Effect.CLOSE, Effect.TERMINATE)),
    (State.RUNNING, Event.STOPPED): (State.ENDING, (Effect.SAY_REASON, Effect.CLOSE, Effect.TERMINATE)),
    (State.ENDING, Event.EXITED): (State.OVER, (Effect.RECORD,)),
}


def step(terminal: Terminal, event: Event) -> tuple[Terminal, tuple[Effect, ...]]:
    """The terminal after the event, and what has to be done."""
    state, effects = _TABLE.get((terminal.state, event), (terminal.state, ()))
    if not effects:
        return terminal, ()
    return msgspec.structs.replace(terminal, state=state, reason=terminal.reason or event.value), effects


def shell_of(wanted: str, environ: Mapping[str, str]) -> str:
    """The login shell: the setting's, else `$SHELL`, else `/bin/sh`."""
    return wanted or environ.get("SHELL", "") or FALLBACK_SHELL


def folder_of(cwd: str, home: str) -> str:
    """The path that a client's `cwd` means, not yet looked at: empty is the home directory, `~` stands for it, and what is relative is below it."""
    if cwd in ("", "~"):
        return home
    if cwd.startswith("~/"):
        return f"{home}/{cwd[2:]}"
    return cwd if cwd.startswith("/") else f"{home}/{cwd}"


def environment_of(environ: Mapping[str, str], home: str) -> dict[str, str]:
    """What a program in a terminal sees: a few of the daemon's variables, never its keys."""
    return {name: environ[name] for name in _PASSED if name in environ} | {"HOME": home} | _FIXED
