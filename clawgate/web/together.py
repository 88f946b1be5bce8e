"""The answers of one round of the reactor, sent together at its end. Ring: edge (web). Source: reference/libraries.md §13; measured by `make bench`.

Twisted asks the kernel when a socket takes what is written, writes in another round, and asks no more: two system calls and an event for each answer. Writing
at once saves those, but wakes the client while others still wait to be read, which costs more than it saves. So an answer waits until everything that has
arrived has been read. What the socket does not take then goes the ordinary way, and so does everything on a connection that is not plain TCP.

Private API of Twisted (pinned by tests/web/test_at_once.py): tcp.Server.dataBuffer, _tempDataBuffer and _tempDataLen.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from clawgate.web.at_once import has_nothing_waiting

_log = Logger()
MOST_BYTES = 64 * 1024
"""Of one answer; a larger one is the reactor's, which pauses whoever writes more than the client takes."""


class Together:
    """What waits for the end of the round: whole answers, in the queues of their transports."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._waiting: list[Any] = []  # tcp.Server, whose queue no interface names

    def write(self, transport: Any, data: bytes) -> None:  # Any: as above, or somebody's own
        """Writes at the end of this round; what is written to the transport meanwhile comes after it."""
        if len(data) > MOST_BYTES or not has_nothing_waiting(transport):
            transport.write(data)
            return
        transport._tempDataBuffer.append(data)
        transport._tempDataLen += len(data)
        if not self._waiting:
            self._reactor.callLater(0, self._send)
        self._waiting.append(transport)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport in waiting:
            if not transport.connected:
                continue
            try:
                if transport.doWrite() is not None or not has_nothing_waiting(transport):
                    transport.startWriting()  # the reactor finds out what is wrong, or when there is room
            except Exception:
                _log.failure("an answer could not be written")
                transport.abortConnection()
