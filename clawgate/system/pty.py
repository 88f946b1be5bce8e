"""Programs at a terminal of their own. Ring: system (edge). Implements `ports.terminals`. Source: construct-realtime.md §10; libraries.md §10.

The pair of descriptors is opened here, so that the size is right before the program looks. The program leads a session; ending it means SIGHUP (and SIGCONT,
for what is stopped) to every process of the session, job control's own groups included, and SIGKILL to those that are left a little later. A program that has
made a session of its own (tmux, `setsid`) is nobody's child any more and stays.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import shutil
import signal
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.internet.protocol import ProcessProtocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from clawgate.domain.terminals import Exit, Size
from clawgate.ports.clock import Clock

KILL_AFTER_SECONDS = 2.0
_GIVE_UP_SECONDS = 1.0
"""After the kill: what still holds the terminal then is not waited for."""
_LOOK_SECONDS = 0.1


class SystemPtys(msgspec.Struct, frozen=True):
    """Real ones.

    Attributes:
        reactor: provides `spawnProcess`.
    """

    reactor: Any  # Any: IReactorProcess
    clock: Clock
    environ: Mapping[str, str] = msgspec.field(default_factory=lambda: dict(os.environ))
    home: str = msgspec.field(default_factory=lambda: os.path.expanduser("~"))

    def find(self, program: str) -> str | None:
        """`ports.terminals.PtySpawner.find`."""
        path = self.environ.get("PATH") or os.defpath
        folders = os.pathsep.join(folder for folder in path.split(os.pathsep) if os.path.isabs(folder))
        found = shutil.which(program, path=folders)
        return found if found is not None and os.path.isabs(found) else None

    def folder(self, path: str) -> str:
        """`ports.terminals.PtySpawner.folder`."""
        try:
            found = os.path.realpath(path, strict=True)
        except ValueError as problem:  # a NUL in it
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL)) from problem
        if not os.path.isdir(found):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), found)
        return found

    def open(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        size: Size,
        on_output: Callable[[bytes], None],
        on_exit: Callable[[Exit], None],
    ) -> SystemPty:
        """`ports.terminals.PtySpawner.open`."""
        ours, theirs = pty.openpty()
        child = SystemPty(self.clock, on_output, on_exit)
        try:
            _set_size(ours, size)
            self.reactor.spawnProcess(child, argv[0], list(argv), env=dict(env), path=cwd, usePTY=(ours, theirs, ""))
        except BaseException:
            os.close(ours)
            os.close(theirs)
            raise
        return child


@implementer(IPushProducer)
class SystemPty(ProcessProtocol):
    """`ports.terminals.Pty`. As a producer it learns when too much waits to be read by the program."""

    transport: Any  # PTYProcess: no interface names its descriptor, its reading and its writing

    def __init__(self, clock: Clock, on_output: Callable[[bytes], None], on_exit: Callable[[Exit], None]) -> None:
        self._clock, self._on_output, self._on_exit = clock, on_output, on_exit
        self._pid = 0
        self._is_full = self._is_paused = self._is_told = self._has_exited = self._is_closed = self._is_over = False
        self._exit = Exit()
        self._ends_at: float | None = None
        self._timer: IDelayedCall | None = None

    # -- ports.terminals.Pty

    def write(self, data: bytes) -> bool:
        """`ports.terminals.Pty.write`."""
        if self._is_full:
            return False
        if not self._is_closed:
            self.transport.write(data)
        return True

    def resize(self, size: Size) -> None:
        """`ports.terminals.Pty.resize`."""
        if not self._is_closed:
            _set_size(self.transport.fileno(), size)

    def pause(self) -> None:
        """`ports.terminals.Pty.pause`."""
        if not self._is_closed and not self._is_told:
            self._is_paused = True
            self.transport.stopReading()

    def resume(self) -> None:
        """`ports.terminals.Pty.resume`."""
        self._is_paused = False
        if not self._is_closed:
            self.transport.startReading()

    def terminate(self) -> None:
        """`ports.terminals.Pty.terminate`."""
        self._is_told = True
        self.resume()  # what is written now is read and forgotten: the end of it tells that the terminal is free
        self._begin_end()

    # -- of the transport

    def connectionMade(self) -> None:
        """It runs."""
        self._pid = self.transport.pid
        self.transport.registerProducer(self, True)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Output."""
        if not self._is_told:
            self._on_output(data)

    def processExited(self, reason: Failure) -> None:
        """The program is gone; what it leaves in its session goes too."""
        self._has_exited = True
        self._exit = Exit(getattr(reason.value, "exitCode", None), getattr(reason.value, "signal", None))
        self._begin_end()

    def processEnded(self, reason: Failure) -> None:
        """Everything is read, and nobody holds the terminal."""
        self._is_closed = True
        self._look()

    def pauseProducing(self) -> None:
        """The program does not read what is typed."""
        self._is_full = True

    def resumeProducing(self) -> None:
        """It does again."""
        self._is_full = False

    def stopProducing(self) -> None:
        """The terminal is closed."""
        self._is_closed = True

    # -- the end

    def _begin_end(self) -> None:
        if self._ends_at is None and not self._is_over:
            self._ends_at = self._clock.monotonic() + KILL_AFTER_SECONDS
            self._signal(signal.SIGHUP, signal.SIGCONT)
            self._timer = self._clock.call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Looks whether everything is gone; insists when it is time, and gives up a little after that."""
        if self._ends_at is None or self._is_over:
            return
        late = self._clock.monotonic() - self._ends_at
        if late >= 0:
            self._signal(signal.SIGKILL)
        is_given_up = late >= _GIVE_UP_SECONDS
        if is_given_up and not self._is_closed and not self._is_paused:
            self._is_closed = True
            self._drop()  # may end it all, through `processEnded`
            if self._is_over:
                return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._has_exited and self._is_closed and (is_given_up or not session_of(self._pid)):
            self._is_over = True
            self._on_exit(self._exit)
        else:
            self._timer = self._clock.call_later(_LOOK_SECONDS, self._look)

    def _signal(self, *numbers: signal.Signals) -> None:
        pids = session_of(self._pid) or (() if self._has_exited else (self._pid,))
        for pid in pids:
            for number in numbers:
                try:
                    os.kill(pid, number)
                except (ProcessLookupError, PermissionError):
                    pass  # gone meanwhile, or become somebody else (sudo): the closed terminal tells it

    def _drop(self) -> None:
        """Closes the terminal whoever holds it; `loseConnection` would wait for what was typed to be read."""
        self.transport.connectionLost(connectionDone)


def session_of(leader: int) -> tuple[int, ...]:
    """The processes of a session that have not ended, where the system tells (Linux); else none."""
    found = []
    for name in _proc():
        try:
            state, _, _, session = Path("/proc", name, "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(session) == leader and state not in "ZX":
            found.append(int(name))
    return tuple(found)


def _proc() -> list[str]:
    try:
        return [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _set_size(descriptor: int, size: Size) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.cols, 0, 0))


class NoPtys(msgspec.Struct, frozen=True):
    """Opens nothing; for gateways without a reactor."""

    environ: Mapping[str, str] = {}
    home: str = "/"

    def find(self, program: str) -> str | None:
        """Nothing is found."""
        return None

    def folder(self, path: str) -> str:
        """As it is."""
        return path

    def open(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        size: Size,
        on_output: Callable[[bytes], None],
        on_exit: Callable[[Exit], None],
    ) -> SystemPty:
        """Refuses."""
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
