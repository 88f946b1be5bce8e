"""A program that answers, one process a turn, JSON lines on its standard streams. Ring: agents. Source: design §5; grammar in `command_wire`.

The program runs without a shell, in a session of its own, with a small environment. Whatever ends the turn ends the whole process group, grandchildren too:
they may hold the pipes, or keep working for nobody. `done` is the answer whatever the exit code says afterwards; without it a non-zero exit is
`AgentUnavailable` with the last of its standard error in `.detail`.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from clawgate.agents.command_wire import AnswerLines, CommandDecoder, encode_prompt
from clawgate.agents.slots import Slots
from clawgate.agents.vendor import tell
from clawgate.agents.vendor_wire import clean
from clawgate.domain.errors import AgentProtocol, AgentTimeout, AgentUnavailable
from clawgate.domain.turn import Completion, Prompt
from clawgate.ports.agents import Sink
from clawgate.ports.clock import Clock

LINE_CAP_BYTES = 1 << 20
STDERR_TAIL_BYTES = 2048
GRACE_SECONDS = 5.0
"""How long a program may tidy up after `done`."""
DRAIN_SECONDS = 1.0
"""How long its pipes may stay open after it has gone."""

_NEW_SESSION = "import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])"

GroupSignaller = Callable[[int, int], None]


def session_argv(argv: Sequence[str]) -> list[str]:
    """A command that runs `argv` under the same process id as the leader of a session and a process group."""
    setsid = shutil.which("setsid")
    return [setsid, *argv] if setsid else [sys.executable, "-I", "-S", "-c", _NEW_SESSION, *argv]


def small_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What every child gets: where programs are, where home is, UTF-8, and `extra`. The keys in our own environment are not among them."""
    return {"PATH": os.pathsep.join(os.get_exec_path()), "HOME": os.path.expanduser("~"), "LANG": "C.UTF-8", **extra}


class CommandBackend:
    """An `AgentBackend` over a program.

    Args:
        reactor: provides `spawnProcess`.
        argv: the program and its arguments.
        max_inflight: programs at once; 16 times as many turns may wait in line.
        idle_timeout_seconds: longest silence.
        answer_cap_bytes: most it may write.
        environment: variables besides PATH, HOME and LANG.
    """

    name = "command"
    reads_context = True
    takes_tools = True

    def __init__(
        self,
        reactor: Any,  # Any: IReactorProcess
        clock: Clock,
        argv: Sequence[str],
        *,
        max_inflight: int,
        idle_timeout_seconds: float,
        answer_cap_bytes: int,
        default_model: str = "",
        environment: Mapping[str, str] | None = None,
        signal_group: GroupSignaller = os.killpg,
    ) -> None:
        self._reactor, self._clock, self._argv = reactor, clock, list(argv)
        self._idle_seconds, self._cap_bytes = idle_timeout_seconds, answer_cap_bytes
        self._environment, self._signal_group = environment or {}, signal_group
        self._slots = Slots(max_inflight, 16 * max_inflight)
        self._running: set[_Turn] = set()
        self._is_stopped = False
        self.default_model = default_model or os.path.basename(self._argv[0])

    def run(self, prompt: Prompt, sink: Sink) -> Deferred[Completion]:
        """Answers with one process. Cancelling kills its group."""
        return Deferred.fromCoroutine(self._run(prompt, sink))

    def start(self) -> Deferred[None]:
        """Nothing to do: the program starts with a turn."""
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """Kills what runs and fires when all of it is gone."""
        self._is_stopped = True
        running = tuple(self._running)
        for turn in running:
            turn.fail(Failure(AgentUnavailable("the gateway is stopping")))
        return DeferredList([turn.gone for turn in running]).addCallback(lambda _: None)

    async def _run(self, prompt: Prompt, sink: Sink) -> Completion:
        await self._slots.acquire()
        if self._is_stopped:
            self._slots.release()
            raise AgentUnavailable("the gateway is stopping")
        model = prompt.model or self.default_model
        turn = _Turn(self, CommandDecoder(model), sink, encode_prompt(prompt, model))
        self._running.add(turn)
        turn.gone.addBoth(self._forget, turn)
        try:
            argv = session_argv(self._argv)
            self._reactor.spawnProcess(turn, argv[0], argv, env=small_environment(self._environment))
        except OSError as error:
            turn.never_began(AgentUnavailable("the program cannot be started", detail=repr(error)))
        return await turn.answer

    def _forget(self, result: object, turn: _Turn) -> object:
        self._running.discard(turn)
        self._slots.release()
        return result


class _Turn(ProcessProtocol):
    """One process.

    Attributes:
        answer: the outcome; cancelling it kills.
        gone: fires when the process and its pipes are no more.
    """

    def __init__(self, backend: CommandBackend, decoder: CommandDecoder, sink: Sink, line: bytes) -> None:
        self.answer: Deferred[Completion] = Deferred(lambda _: self._kill())
        self.gone: Deferred[None] = Deferred()
        self._backend, self._decoder, self._sink, self._line = backend, decoder, sink, line
        self._lines = AnswerLines(line_cap_bytes=LINE_CAP_BYTES, total_cap_bytes=backend._cap_bytes)
        self._errors = b""
        self._pid = 0
        self._exit: Failure | None = None
        self._timer: IDelayedCall | None = None
        self._is_over = False

    def connectionMade(self) -> None:
        self._pid = self.transport.pid  # type: ignore[union-attr]  # a process transport, once connected
        self._wait(self._backend._idle_seconds, self._silent)
        self.transport.write(self._line)  # type: ignore[union-attr]  # as above
        self.transport.closeStdin()  # type: ignore[union-attr]  # as above

    def outReceived(self, data: bytes) -> None:
        if self.answer.called:
            return
        self._wait(self._backend._idle_seconds, self._silent)
        try:
            for line in self._lines.feed(data):
                tell(self._sink, self._decoder.line(line))
            if self._decoder.is_complete():
                completion = self._decoder.completion()
                self._wait(GRACE_SECONDS, self._kill)
                self.answer.callback(completion)
        except Exception:
            self.fail(Failure())

    def errReceived(self, data: bytes) -> None:
        self._errors = (self._errors + data)[-STDERR_TAIL_BYTES:]

    def fail(self, reason: Failure) -> None:
        """Ends the turn and the process."""
        self._kill()
        if not self.answer.called:
            self._explain(reason.value)
            self.answer.errback(reason)

    def never_began(self, error: AgentUnavailable) -> None:
        self._over()
        if not self.answer.called:
            self.answer.errback(error)

    def processExited(self, reason: Failure) -> None:
        self._exit = reason
        self._kill()
        self._wait(DRAIN_SECONDS, self._drop)

    def processEnded(self, reason: Failure) -> None:
        self._over()
        if not self.answer.called:
            self.fail(Failure(self._without_done(self._exit or reason)))

    def _without_done(self, reason: Failure) -> AgentUnavailable | AgentProtocol:
        how = clean(reason.getErrorMessage())
        if getattr(reason.value, "exitCode", None) == 0:
            return AgentProtocol("the program ended without an answer", detail=how)
        return AgentUnavailable("the program failed", detail=how)

    def _explain(self, error: BaseException | None) -> None:
        tail = clean(self._errors.decode("utf-8", "replace")[-400:])
        if tail and isinstance(error, AgentUnavailable | AgentProtocol | AgentTimeout):
            error.detail = f"{error.detail}; stderr: {tail}".removeprefix("; ")

    def _silent(self) -> None:
        detail = f"{self._backend._idle_seconds:g} s"
        self.fail(Failure(AgentTimeout("the program wrote nothing for too long", detail=detail)))

    def _kill(self) -> None:
        """The group, and the leader by itself in case it has not made its group yet."""
        if self._pid and not self._is_over:
            try:
                self._backend._signal_group(self._pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self._kill_leader()

    def _kill_leader(self) -> None:
        from twisted.internet.error import ProcessExitedAlready

        try:
            self.transport.signalProcess("KILL")  # type: ignore[union-attr]  # as above
        except ProcessExitedAlready:
            pass

    def _drop(self) -> None:
        """A grandchild that left the group still holds a pipe: let go of it. `processEnded` follows."""
        self._timer = None
        self.transport.loseConnection()  # type: ignore[union-attr]  # as above

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        if self._exit is not None and seconds > DRAIN_SECONDS:
            return  # it has gone: only its pipes are waited for
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._backend._clock.call_later(seconds, self._fired, then)

    def _fired(self, then: Callable[[], None]) -> None:
        self._timer = None
        then()

    def _over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_over = True
        if not self.gone.called:
            self.gone.callback(None)
