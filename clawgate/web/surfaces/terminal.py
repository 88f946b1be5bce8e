"""`/ws/terminal`: a shell in the browser. Ring: edge (web). Source: construct-realtime.md §10.

Off unless `[terminal] enabled` is set; needs the scope `terminal`. `session_id`, `mcp_session` and `mcp_token` are accepted and unused. What is wrong is
told on the screen, since a browser's WebSocket cannot read the answer to a handshake.
"""

from __future__ import annotations

import msgspec

from clawgate.domain.caller import Caller, Scope
from clawgate.domain.errors import GatewayError
from clawgate.domain.terminals import MOST_SIDE, Size, Wanted
from clawgate.ports.sockets import Socket
from clawgate.services.terminals import OpenTerminal, Terminals
from clawgate.web.call import Call
from clawgate.web.dialects import terminal_wire
from clawgate.web.documented import documented
from clawgate.web.router import Router
from clawgate.web.sockets import SocketAnswer

NOT_READ = "The program does not read what is typed: it was not passed on"


class TerminalSurface(msgspec.Struct):
    """The terminal's door."""

    terminals: Terminals

    def register(self, router: Router) -> None:
        """Adds the route."""
        router.add(
            "GET",
            "/ws/terminal",
            self.open,
            auth=Scope.TERMINAL,
            limiter="api",
            dialect=terminal_wire.refusal,
            is_socket=True,
            summary="A shell on this machine (WebSocket)",
        )

    @documented(query={"cols": int, "rows": int, "tool": str, "cwd": str})
    async def open(self, call: Call) -> SocketAnswer:
        """The socket of a new terminal."""
        size = Size().changed(call.number("cols", 0, most=MOST_SIDE), call.number("rows", 0, most=MOST_SIDE))
        wanted = Wanted(tool=call.query("tool") or "", cwd=call.query("cwd") or "", size=size)
        await self.terminals.admit(call.caller, wanted)
        return SocketAnswer(TerminalSocket(self.terminals, wanted, call.caller), call.caller, ("construct.v1",))


class TerminalSocket:
    """One client: `ports.sockets.SocketHandler` towards it, `ports.terminals.Screen` towards the program."""

    def __init__(self, terminals: Terminals, wanted: Wanted, caller: Caller) -> None:
        self._terminals, self._wanted, self._caller = terminals, wanted, caller
        self._decoder = terminal_wire.OutputDecoder()
        self._socket: Socket | None = None
        self._terminal: OpenTerminal | None = None
        self._is_refused = False

    # -- ports.sockets.SocketHandler

    def opened(self, socket: Socket) -> None:
        """Starts the program."""
        self._socket = socket
        try:
            self._terminal = self._terminals.open(self._caller, self._wanted, self)
        except GatewayError as problem:
            self.told(str(problem))
            socket.close(terminal_wire.close_code(problem))
        else:
            socket.watch_flow(self._terminal.flow)

    def text(self, text: str) -> None:
        """A new size, or something typed."""
        size = terminal_wire.resize(text)
        if size is None:
            self.data(text.encode())
        elif self._terminal is not None:
            self._terminal.resize(size.cols, size.rows)

    def data(self, data: bytes) -> None:
        """Something typed."""
        if self._terminal is None:
            return
        is_taken = self._terminal.typed(data)
        if not is_taken and not self._is_refused:
            self.told(NOT_READ)
        self._is_refused = not is_taken

    def closed(self, code: int) -> None:
        """The client has gone."""
        if self._terminal is not None:
            self._terminal.left()

    # -- ports.terminals.Screen

    def output(self, data: bytes) -> None:
        """`ports.terminals.Screen.output`."""
        for text in self._decoder.feed(data):
            self._send(text)

    def exited(self, text: str) -> None:
        """`ports.terminals.Screen.exited`."""
        self._send(self._decoder.end() + terminal_wire.exit_line(text))

    def told(self, problem: str) -> None:
        """`ports.terminals.Screen.told`."""
        self._send(terminal_wire.red(problem))

    def close(self, reason: str) -> None:
        """`ports.terminals.Screen.close`."""
        if self._socket is not None:
            self._socket.close(terminal_wire.EXITED, reason)

    def _send(self, text: str) -> None:
        if self._socket is not None:
            self._socket.send(text)
