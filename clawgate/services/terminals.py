"""Open terminals: who may have how many, and how each ends. Ring: services. Source: construct-realtime.md §10; state table in `domain.terminals`.

A terminal ends with its program, with its socket (so with its credential too), after `idle_timeout_secs` without input or output, when the operator switches
terminals off, and with the gateway. It is counted until its last process is gone. Opening and closing are told on the bus and in the log.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from clawgate.domain.audit import Action, Outcome
from clawgate.domain.caller import OPEN, Caller
from clawgate.domain.errors import BadRequest, Draining, Forbidden, Overloaded, SwitchedOff, Unavailable
from clawgate.domain.settings.model import TerminalSettings
from clawgate.domain.terminals import TOOLS, Effect, Event, Exit, Size, State, Terminal, Wanted, environment_of, folder_of, shell_of, step
from clawgate.ports.audit import Recorder
from clawgate.ports.clock import Clock, Ids
from clawgate.ports.terminals import Pty, PtySpawner, Screen
from clawgate.services.audit import NOT_RECORDED
from clawgate.services.events import Events

_log = Logger()


class Terminals(msgspec.Struct, eq=False):
    """Every terminal of the gateway."""

    ptys: PtySpawner
    clock: Clock
    ids: Ids
    events: Events
    settings: Callable[[], TerminalSettings]
    audit: Recorder = NOT_RECORDED
    _open: dict[str, OpenTerminal] = {}
    _is_stopping: bool = False

    def __len__(self) -> int:
        return len(self._open)

    def check(self, caller: Caller) -> None:
        """Whether this caller may have a terminal at all.

        Raises:
            SwitchedOff: nobody may. Forbidden: pairing is off, and a shell is not for whoever comes along.
        """
        if not self.settings().enabled:
            raise SwitchedOff("terminal")
        if caller.principal == OPEN:
            raise Forbidden("A terminal needs a paired token: set gateway.require_pairing = true")

    async def admit(self, caller: Caller, wanted: Wanted) -> None:
        """Records that this caller asks for a terminal; without that there is none.

        Raises:
            SwitchedOff, Forbidden: as `check`. StoreUnavailable: it is not recorded.
        """
        self.check(caller)
        about = {"client": caller.client, "tool": wanted.tool, "cwd": wanted.cwd}
        await self.audit.record(Action.TERMINAL_OPENED, caller.principal, outcome=Outcome.ASKED, **about)

    def open(self, caller: Caller, wanted: Wanted, screen: Screen) -> OpenTerminal:
        """Starts a program for a screen.

        Raises:
            BadRequest: there is no such directory or program. Overloaded: too many are open. Draining: the gateway stops.
            Unavailable: it cannot be started.
            SwitchedOff, Forbidden: as `check`.
        """
        self.check(caller)
        self._check_room(caller)
        folder = self._folder(wanted.cwd)
        argv = self._argv(wanted.tool)
        terminal = Terminal(
            id=self.ids.uuid(),
            principal=caller.principal,
            client=caller.client,
            program=argv[0],
            cwd=folder,
            opened_ms=self.clock.wall_ms(),
        )
        opened = OpenTerminal(self, terminal, screen, wanted.size)
        env = environment_of(self.ptys.environ, self.ptys.home)
        try:
            opened.pty = self.ptys.open(argv, env, folder, wanted.size, opened.on_output, opened.on_exit)
        except OSError as problem:
            raise Unavailable(f"Failed to open PTY: {problem.strerror}", detail=str(problem)) from problem
        self._open[terminal.id] = opened
        opened.arm()
        self._tell_opened(terminal)
        return opened

    def apply(self) -> None:
        """Takes up changed settings."""
        is_enabled = self.settings().enabled
        for opened in tuple(self._open.values()):
            if is_enabled:
                opened.arm()
            else:
                opened.happened(Event.STOPPED)

    def stop(self) -> Deferred[None]:
        """Ends every terminal; fires when their programs are gone."""
        self._is_stopping = True
        for opened in tuple(self._open.values()):
            opened.happened(Event.STOPPED)
        return DeferredList([opened.gone for opened in self._open.values()]).addCallback(lambda _: None)

    def forget(self, opened: OpenTerminal, end: Exit) -> None:
        """A terminal is over: it is told, and its place is free."""
        terminal = opened.terminal
        self._open.pop(terminal.id, None)
        seconds = (self.clock.wall_ms() - terminal.opened_ms) // 1000
        _log.info(
            "terminal {id} of {principal} is over: {reason}, {end}",
            id=terminal.id,
            principal=terminal.principal,
            reason=terminal.reason,
            end=str(end),
        )
        told = {"id": terminal.id, "principal": terminal.principal, "reason": terminal.reason, "seconds": seconds}
        closed = {"seconds": seconds, "reason": terminal.reason, "exit_code": end.code}
        self.audit.attempt(Action.TERMINAL_CLOSED, terminal.principal, terminal.id, Outcome.OK, **closed)
        self.events.publish("terminal_closed", told | {"exit_code": end.code, "signal": end.signal})

    def _tell_opened(self, terminal: Terminal) -> None:
        told = {"principal": terminal.principal, "client": terminal.client, "program": terminal.program, "cwd": terminal.cwd}
        _log.info("terminal {id} of {principal} ({client}) runs {program} in {cwd}", id=terminal.id, **told)
        self.audit.attempt(
            Action.TERMINAL_OPENED, terminal.principal, terminal.id, program=terminal.program, cwd=terminal.cwd, client=terminal.client
        )
        self.events.publish("terminal_opened", {"id": terminal.id, **told})

    def _check_room(self, caller: Caller) -> None:
        own = self.settings()
        if self._is_stopping:
            raise Draining("The gateway is stopping")
        if len(self._open) >= own.max_terminals:
            raise Overloaded("Too many terminals are open")
        if sum(1 for opened in self._open.values() if opened.terminal.principal == caller.principal) >= own.max_per_caller:
            raise Overloaded("Too many terminals of this device are open")

    def _folder(self, cwd: str) -> str:
        try:
            return self.ptys.folder(folder_of(cwd, self.ptys.home))
        except NotADirectoryError as problem:
            raise BadRequest(f"Invalid cwd: {problem.filename or cwd} is not a directory") from problem
        except OSError as problem:
            raise BadRequest(f"Invalid cwd: {cwd}: {problem.strerror} (os error {problem.errno})") from problem

    def _argv(self, tool: str) -> tuple[str, ...]:
        program = TOOLS.get(tool)
        wanted = program or shell_of(self.settings().shell, self.ptys.environ)
        found = self.ptys.find(wanted)
        if found is None:
            raise BadRequest(f"{wanted} not found in PATH")
        return (found,) if program else (found, "-l")


class OpenTerminal:
    """One terminal while it is open.

    Attributes:
        gone: fires when its program is gone.
    """

    def __init__(self, terminals: Terminals, terminal: Terminal, screen: Screen, size: Size) -> None:
        self.terminal = terminal
        self.gone: Deferred[None] = Deferred()
        self.pty: Pty | None = None
        self._terminals, self._screen, self._size = terminals, screen, size
        self._clock = terminals.clock
        self._active_at = self._clock.monotonic()
        self._exit = Exit()
        self._timer: IDelayedCall | None = None

    # -- from the client

    def typed(self, data: bytes) -> bool:
        """Hands on what is typed; False = the program does not read, and nothing was taken."""
        self._active_at = self._clock.monotonic()
        return self._pty().write(data) if self._runs else True

    def resize(self, cols: int, rows: int) -> None:
        """Changes the size; 0 leaves a side as it is."""
        self._size = self._size.changed(cols, rows)
        if self._runs:
            self._pty().resize(self._size)

    def flow(self, is_slow: bool) -> None:
        """The client does not keep up, or does again: the program waits with it."""
        if not self._runs:
            return
        if is_slow:
            self._pty().pause()
        else:
            self._pty().resume()

    def left(self) -> None:
        """The client is gone."""
        self.happened(Event.LEFT)

    # -- from the program

    def on_output(self, data: bytes) -> None:
        """What it writes."""
        if self._runs:
            self._active_at = self._clock.monotonic()
            self._screen.output(data)

    def on_exit(self, end: Exit) -> None:
        """It is gone."""
        self._exit = end
        self.happened(Event.EXITED)

    # -- its life

    def happened(self, event: Event) -> None:
        """Takes the step, and does what follows from it."""
        self.terminal, effects = step(self.terminal, event)
        for effect in effects:
            self._do(effect)

    def arm(self) -> None:
        """Sets the idle limit's timer by the settings of now."""
        self._disarm()
        limit = self._terminals.settings().idle_timeout_secs
        if limit and self._runs:
            left = limit - (self._clock.monotonic() - self._active_at)
            self._timer = self._clock.call_later(max(left, 0.0), self._look)

    def _look(self) -> None:
        limit = self._terminals.settings().idle_timeout_secs
        if limit and self._clock.monotonic() - self._active_at >= limit:
            self.happened(Event.IDLE)
        else:
            self.arm()

    def _do(self, effect: Effect) -> None:
        match effect:
            case Effect.SAY_EXIT:
                self._screen.exited(f"{self.terminal.program.rpartition('/')[2]} {self._exit}")
            case Effect.SAY_REASON:
                self._screen.told(_REASONS[Event(self.terminal.reason)])
            case Effect.CLOSE:
                self._screen.close(str(self._exit) if self.terminal.state is State.OVER else self.terminal.reason)
            case Effect.TERMINATE:
                self._disarm()
                self._pty().terminate()
            case Effect.RECORD:
                self._disarm()
                self._terminals.forget(self, self._exit)
                self.gone.callback(None)

    def _disarm(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    @property
    def _runs(self) -> bool:
        return self.terminal.state is State.RUNNING

    def _pty(self) -> Pty:
        if self.pty is None:
            raise RuntimeError("the terminal has not been opened")
        return self.pty


_REASONS = {Event.IDLE: "The terminal was idle for too long and is closed", Event.STOPPED: "Terminals are closed by the gateway"}
