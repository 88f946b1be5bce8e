"""Open WebSockets, as those who talk through them see them. Ring: ports. Source: design §3 (WebSocket), §4.16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from clawgate.domain.caller import Caller

SLOW = 1013
"""Close code of a client that does not keep up (RFC 6455 §11.7: try again later)."""
GOING_AWAY = 1001
"""Close code when the gateway stops."""
REVOKED = 4401
"""Close code when the credential has died."""


class Socket(Protocol):
    """One open connection.

    Attributes:
        caller: whose credential opened it.
        subprotocol: the one chosen, "" = none.
    """

    caller: Caller
    subprotocol: str

    def send(self, text: str) -> bool:
        """Sends a text message; False = it is closing and nothing was sent. A client that does not keep up is closed with `SLOW`."""

    def send_bytes(self, data: bytes) -> bool:
        """Sends a binary message; otherwise as `send`."""

    def watch_flow(self, flow: Callable[[bool], None]) -> None:
        """Calls `flow(True)` when the client takes nothing for now and what is sent waits, `flow(False)` when it does again."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Says goodbye; nothing more is sent, `closed` follows."""


class SocketHandler(Protocol):
    """What is done with one connection. Called in the reactor's thread; what it raises closes the connection with 1011."""

    def opened(self, socket: Socket) -> None:
        """The handshake is over."""

    def text(self, text: str) -> None:
        """A whole text message."""

    def data(self, data: bytes) -> None:
        """A whole binary message."""

    def closed(self, code: int) -> None:
        """It is over, once; `code` 1006 = without a goodbye."""
