"""A model on this machine: a supervised child with llama.cpp's server, spoken to by the openai backend. Ring: agents. Source: design §5, peers.md.

    stopped --start--> loading --address--> ready --exit--> waiting (backoff) --> loading …       stop: any --> stopped

The first load decides whether `start` succeeds. Later the child is started again whenever it ends, with growing pauses; a turn that meets it loading waits,
bounded, and a turn that was running when it died is `AgentUnavailable`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.agents.command import STDERR_TAIL_BYTES, small_environment
from clawgate.agents.vendor import VendorBackend
from clawgate.agents.vendor_wire import clean
from clawgate.domain.errors import AgentOverloaded, AgentUnavailable, GatewayError, Invalid
from clawgate.domain.lines import LineSplitter
from clawgate.domain.secret import Secret
from clawgate.domain.turn import Completion, Prompt
from clawgate.ports.agents import Sink
from clawgate.ports.clock import Clock

_log = Logger()

READY_SECONDS = 120.0
RESTART_INITIAL_SECONDS, RESTART_MAX_SECONDS = 0.5, 30.0
STOP_SECONDS = 3.0
WAITERS_MAX = 1024

MakeBackend = Callable[[str, Secret], VendorBackend]
"""From the server's base URL and key."""


class _Address(msgspec.Struct):
    address: str


class LocalBackend:
    """An `AgentBackend` over a GGUF file.

    Args:
        reactor: provides `spawnProcess`.
        model_path: the file.
        make_backend: builds the openai backend for a child's address.
        argv: the child's command.
        environment: variables besides PATH, HOME and LANG, such as CUDA_VISIBLE_DEVICES.
    """

    name = "local"
    reads_context = True
    takes_tools = False

    def __init__(
        self,
        reactor: Any,  # Any: IReactorProcess
        clock: Clock,
        model_path: str,
        make_backend: MakeBackend,
        *,
        output_tokens: int,
        argv: tuple[str, ...] = (sys.executable, "-m", "clawgate.agents.local_child"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._reactor, self._clock, self._argv = reactor, clock, argv
        self._model_path, self._output_tokens = model_path, output_tokens
        self._make_backend = make_backend
        # The child finds its modules where this process found them.
        self._environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **(environment or {})}
        self.default_model = os.path.basename(model_path).removesuffix(".gguf")
        self._child: _Child | None = None
        self._backend: VendorBackend | None = None
        self._started: Deferred[None] | None = None
        self._waiters: list[Deferred[None]] = []
        self._timer: IDelayedCall | None = None
        self._pause_seconds = RESTART_INITIAL_SECONDS
        self._is_stopped = False

    def start(self) -> Deferred[None]:
        """Starts the child and fires when the model is loaded.

        Raises (errback):
            Invalid: no xllamacpp, no such file, or the file cannot be loaded.
        """
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        check_installed()
        if not os.path.isfile(self._model_path):
            raise Invalid("default_provider", f"there is no file {self._model_path}", "Write local:PATH with the path of a GGUF file")
        self._is_stopped = False
        self._started = Deferred()
        self._spawn()
        await self._started

    def stop(self) -> Deferred[None]:
        """Ends the child. Idempotent."""
        self._is_stopped = True
        self._stop_timer()
        self._wake(AgentUnavailable("the gateway is stopping"))
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        backend, self._backend = self._backend, None
        if backend is not None:
            await backend.stop()
        if self._child is not None:
            self._child.end(self._clock)
            await self._child.gone()

    def run(self, prompt: Prompt, sink: Sink) -> Deferred[Completion]:
        """Answers; waits for a child that is being started."""
        return Deferred.fromCoroutine(self._run(prompt, sink))

    async def _run(self, prompt: Prompt, sink: Sink) -> Completion:
        if self._backend is None:
            await self._ready()
        if self._backend is None:
            raise AgentUnavailable("the local model is not running")
        return await self._backend.run(prompt, sink)

    @property
    def child_pid(self) -> int | None:
        """The child's process id, or None while there is none."""
        return self._child.pid if self._child is not None else None

    def _ready(self) -> Deferred[None]:
        waiter: Deferred[None] = Deferred(self._waiters_remove)
        if self._is_stopped or (self._child is None and self._timer is None):
            waiter.errback(AgentUnavailable("the local model is not running"))
        elif len(self._waiters) >= WAITERS_MAX:
            waiter.errback(AgentOverloaded("too many requests are waiting for the local model"))
        else:
            self._waiters.append(waiter)
        return waiter

    def _waiters_remove(self, waiter: Deferred[None]) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def _wake(self, error: GatewayError | None) -> None:
        waiters, self._waiters = self._waiters, []
        if self._started is not None:
            started, self._started = self._started, None
            waiters.append(started)
        for waiter in waiters:
            if waiter.called:
                continue  # cancelled by what an earlier one did
            if error is None:
                waiter.callback(None)
            else:
                waiter.errback(error)

    def _spawn(self) -> None:
        self._timer = None
        key = Secret(os.urandom(24).hex())
        order = {"model": self._model_path, "name": self.default_model, "key": key.reveal(), "output_tokens": self._output_tokens}
        child = self._child = _Child(msgspec.json.encode(order) + b"\n", lambda url: self._listening(url, key), self._ended)
        child.timer = self._clock.call_later(READY_SECONDS, child.kill)
        try:
            self._reactor.spawnProcess(child, self._argv[0], self._argv, env=small_environment(self._environment))
        except OSError as error:
            child.stop_timer()
            self._ended(child, repr(error))

    def _listening(self, url: str, key: Secret) -> None:
        _log.info("the local model {model} is loaded and listens on {url}", model=self.default_model, url=url)
        self._backend = self._make_backend(url + "/v1", key)
        self._pause_seconds = RESTART_INITIAL_SECONDS
        self._wake(None)

    def _ended(self, child: _Child, how: str) -> None:
        self._child = None
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.stop().addErrback(lambda failure: _log.failure("closing the local model's connections", failure=failure))
        if self._is_stopped:
            return
        if self._started is not None:
            self._is_stopped = True
            self._wake(Invalid("default_provider", f"llama.cpp cannot load {self._model_path} ({how})", "Name a GGUF file that it supports"))
            return
        _log.warn("the local model ended ({how}) and is started again in {pause} s", how=how, pause=self._pause_seconds)
        self._timer = self._clock.call_later(self._pause_seconds, self._spawn)
        self._pause_seconds = min(self._pause_seconds * 2, RESTART_MAX_SECONDS)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Child(ProcessProtocol):
    """One run of the child."""

    def __init__(self, order: bytes, on_address: Callable[[str], None], on_end: Callable[[_Child, str], None]) -> None:
        self.timer: IDelayedCall | None = None
        self.pid: int | None = None
        self._order, self._on_address, self._on_end = order, on_address, on_end
        self._lines = LineSplitter(64 * 1024)
        self._errors = b""
        self._is_listening = False
        self._waiting: list[Deferred[None]] = []
        self._has_ended = False

    def connectionMade(self) -> None:
        self.pid = self.transport.pid  # type: ignore[union-attr]  # a process transport, once connected
        self.transport.write(self._order)  # type: ignore[union-attr]  # as above

    def outReceived(self, data: bytes) -> None:
        """llama.cpp may write lines of its own; ours is the one with an address."""
        if self._is_listening:
            return
        for line in self._lines.feed(data):
            try:
                address = msgspec.json.decode(line, type=_Address).address
            except msgspec.DecodeError:
                continue
            self._is_listening = True
            self.stop_timer()
            self._on_address(address)
            return

    def errReceived(self, data: bytes) -> None:
        self._errors = (self._errors + data)[-STDERR_TAIL_BYTES:]

    def processEnded(self, reason: Failure) -> None:
        self.stop_timer()
        self.pid = None
        self._has_ended = True
        tail = clean(self._errors.decode("utf-8", "replace")[-300:])
        self._on_end(self, clean(f"{reason.getErrorMessage()} {tail}"))
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)

    def gone(self) -> Deferred[None]:
        """Fires when it has ended."""
        if self._has_ended:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        return waiter

    def end(self, clock: Clock) -> None:
        """Asks it to go by ending its input; kills it when it does not."""
        self.stop_timer()
        self.timer = clock.call_later(STOP_SECONDS, self.kill)
        self.transport.closeStdin()  # type: ignore[union-attr]  # as above

    def kill(self) -> None:
        """Ends it now."""
        from twisted.internet.error import ProcessExitedAlready

        self.timer = None
        try:
            self.transport.signalProcess("KILL")  # type: ignore[union-attr]  # as above
        except ProcessExitedAlready:
            pass

    def stop_timer(self) -> None:
        """Nothing is waited for any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


def check_installed() -> None:
    """Raises Invalid with the remedy when the extra is missing."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise Invalid("default_provider", "local: needs the package xllamacpp", "Run `pip install clawgate[local]`")
