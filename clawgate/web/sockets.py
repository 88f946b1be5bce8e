"""Answering with a WebSocket on the gateway's own port. Ring: edge (web). Source: design §3, §4.6, §4.16.

credential and Origin → handshake → messages ⇄ handler → goodbye
web.auth               web.websocket, counted and ended by web.open_sockets
"""

from __future__ import annotations

import msgspec

from clawgate.domain.caller import Caller
from clawgate.ports.sockets import SocketHandler

MOST_MESSAGE_BYTES = 1024 * 1024


class SocketAnswer(msgspec.Struct, frozen=True):
    """An answer that turns the connection into a WebSocket.

    Attributes:
        subprotocols: those understood, best first; the first one that the client offers is chosen.
    """

    handler: SocketHandler
    caller: Caller
    subprotocols: tuple[str, ...] = ()
