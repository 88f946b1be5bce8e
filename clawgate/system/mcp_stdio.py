"""An MCP server as a child process: one JSON-RPC message a line, both ways. Ring: system.

Source: MCP 2025-11-25 (transports, stdio); rantaiclaw.md §15; design §5.

    new --open--> running --program ends--> over
                     |                       ^
                     +--close: TERM, 3 s, KILL+

The child gets PATH, HOME, LANG and what the settings give it, none of the daemon's own variables; it leads a process group of its own, which ends with it, with
`close` and with the daemon (`leash`). A line that is not JSON-RPC is skipped: programs print. One that is too long ends the child.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain import jsonrpc
from clawgate.domain.errors import BadRequest, GatewayError, Unavailable
from clawgate.domain.lines import LineSplitter
from clawgate.domain.redaction import Redactor
from clawgate.domain.settings.model import McpServer
from clawgate.ports.clock import Clock
from clawgate.system import tunnel_wire
from clawgate.system.leashed import LeashedProtocol, how_it_ended, leashed
from clawgate.system.mcp_session import Listener, Outgoing
from clawgate.system.mcp_wire import Agreed, clean

_log = Logger()
LINE_CAP_BYTES = 4 << 20
KILL_AFTER_SECONDS = 3.0
PIPES_SECONDS = 1.0


def child_environment(server: McpServer) -> dict[str, str]:
    """What the child sees: where programs are, where home is, UTF-8, and what the settings say."""
    small = {"PATH": os.pathsep.join(os.get_exec_path()), "HOME": os.path.expanduser("~"), "LANG": "C.UTF-8"}
    return small | {name: value.reveal() for name, value in server.env.items()}


class StdioCarrier(msgspec.Struct, eq=False):
    """A `Carrier` over one run of a program."""

    name: str
    server: McpServer
    reactor: Any  # Any: IReactorProcess
    clock: Clock
    _child: _Child | None = None

    def open(self, listener: Listener) -> None:
        """Starts the program.

        Raises:
            Unavailable: it is not there, or cannot be started.
        """
        environment = child_environment(self.server)
        program = shutil.which(self.server.command, path=environment["PATH"])
        if program is None:
            raise Unavailable(f"MCP server '{self.name}': the program \"{clean(self.server.command)}\" is not on the PATH")
        redact = Redactor()
        for secret in self.server.env.values():
            redact.register(secret)
        child = _Child(self.name, listener, self.clock, redact)
        self._start(child, program, environment)
        self._child = child

    def _start(self, child: _Child, program: str, environment: Mapping[str, str]) -> None:
        try:
            self.reactor.spawnProcess(child, sys.executable, leashed([program, *self.server.args]), env=environment)
        except (OSError, ValueError) as problem:
            raise Unavailable(f"MCP server '{self.name}': the program cannot be started", detail=repr(problem)[:500]) from None

    def send(self, outgoing: Outgoing) -> None:
        """Writes one line. Raises Unavailable when the program is gone."""
        if self._child is None or self._child.is_over:
            raise Unavailable(f"MCP server '{self.name}' does not run")
        self._child.write(outgoing)

    def abandon(self, number: int) -> None:
        """Nothing to do: a late answer is skipped."""

    def agreed(self, agreed: Agreed | None) -> None:
        """Lines look the same in every version."""

    def close(self) -> Deferred[None]:
        """Ends the whole process group and fires when it is gone."""
        return self._child.end() if self._child is not None else succeed(None)


class _Child(LeashedProtocol):
    """One process and its group."""

    def __init__(self, name: str, listener: Listener, clock: Clock, redact: Redactor) -> None:
        super().__init__(clock, KILL_AFTER_SECONDS, PIPES_SECONDS)
        self._name, self._listener, self._redact = name, listener, redact
        self._lines, self._errors = LineSplitter(LINE_CAP_BYTES), tunnel_wire.Lines()
        self._is_full = False
        self._problem: GatewayError | None = None

    def connectionMade(self) -> None:
        """It runs."""
        super().connectionMade()
        if self.transport is not None:
            self.transport.registerProducer(self, True)  # type: ignore[attr-defined]  # every process transport has it

    def write(self, outgoing: Outgoing) -> None:
        """One line to its standard input; a program that does not read gets no answers to its own questions."""
        if self.transport is not None and (outgoing.method or not self._is_full):
            self.transport.write(outgoing.message + b"\n")

    def pauseProducing(self) -> None:
        """It does not read as fast as it is written to."""
        self._is_full = True

    def resumeProducing(self) -> None:
        """It has caught up."""
        self._is_full = False

    def stopProducing(self) -> None:
        """It reads no more."""
        self._is_full = True

    def outReceived(self, data: bytes) -> None:
        """Messages."""
        if self._problem is not None:
            return
        try:
            lines = self._lines.feed(data)
        except BadRequest as problem:
            self._problem = Unavailable(f"MCP server '{self._name}': {problem}")
            self._listener.lost(self._problem)
            self._signal(signal.SIGKILL)
            return
        for line in lines:
            self._line(line)

    def _line(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            message = jsonrpc.decode(line)
        except jsonrpc.Malformed as problem:
            _log.debug("MCP server {name} wrote a line that is skipped: {problem}", name=self._name, problem=str(problem))
            return
        self._listener.received(message)

    def errReceived(self, data: bytes) -> None:
        """What it has to say to people."""
        for line in self._errors.feed(data):
            _log.debug("MCP server {name}: {line}", name=self._name, line=self._redact.untrusted(line))

    def end(self) -> Deferred[None]:
        """Closes its input, which tells it to end, and sees to it that it does."""
        if self.transport is not None:
            self.transport.closeStdin()
        return super().end()

    def ended(self, reason: Failure) -> None:
        """Nothing can be sent any more."""
        self._listener.lost(Unavailable(f"MCP server '{self._name}': the program ended with {how_it_ended(reason)}"))
