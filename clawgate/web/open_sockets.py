"""The WebSockets that are open, and how they end. Ring: edge (web). Source: design §3, §4.6.

A socket ends with its credential (4401) and with the gateway (1001). How many there are, of everybody and of one caller, has a bound, and so has what waits for
slow clients, all of them together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from twisted.web.server import Request

from clawgate.domain.errors import Overloaded
from clawgate.ports.clock import Clock
from clawgate.ports.sockets import GOING_AWAY
from clawgate.web.sockets import SocketAnswer

if TYPE_CHECKING:
    from clawgate.web.websocket import WebSocket

MOST_HELD_BYTES = 256 * 1024 * 1024
"""Of what waits for slow clients, all of them together; beyond it, those who hold most are cut."""
MOST_SOCKETS, MOST_OF_ONE = 10_000, 1_000


class OpenSockets(msgspec.Struct, eq=False):
    """Every open WebSocket, so that each can be ended."""

    clock: Clock
    on_change: Callable[[int], object] = lambda count: None
    _open: set[WebSocket] = set()
    _of: Counter[str] = msgspec.field(default_factory=Counter)
    _held_bytes: int = 0

    def begin(self, request: Request, answer: SocketAnswer) -> None:
        """Shakes hands and takes the connection over.

        Raises:
            Overloaded: too many are open, in all or of this caller.
            RuntimeError, AttributeError: the request's connection cannot be taken over; it is not counted.
        """
        principal = answer.caller.principal
        if len(self._open) >= MOST_SOCKETS or self._of[principal] >= MOST_OF_ONE:
            raise Overloaded("too many open sockets")
        from clawgate.web.websocket import WebSocket  # imported for the first: nobody pays for it who has none

        socket = WebSocket(answer, self.clock, self._gone, holds=self._holds)
        socket.shake(request)
        self._open.add(socket)
        self._of[principal] += 1
        self.on_change(len(self._open))
        try:
            socket.take(request)
        except Exception:
            self._gone(socket)
            raise

    def end_of(self, principal: str) -> None:
        """Closes what a credential has opened: it is dead."""
        for socket in tuple(self._open):
            if socket.caller.principal == principal:
                socket.revoke("credential revoked")

    def end_all(self) -> None:
        """Closes everything: the gateway stops."""
        for socket in tuple(self._open):
            socket.close(GOING_AWAY, "the gateway is stopping")

    def __len__(self) -> int:
        return len(self._open)

    def _holds(self, change: int) -> None:
        self._held_bytes += change
        while self._held_bytes > MOST_HELD_BYTES and self._open:
            max(self._open, key=lambda socket: socket.held_bytes).cut()

    def _gone(self, socket: WebSocket) -> None:
        if socket in self._open:
            self._open.discard(socket)
            self._of[socket.caller.principal] -= 1
            if not self._of[socket.caller.principal]:
                del self._of[socket.caller.principal]
        self.on_change(len(self._open))
