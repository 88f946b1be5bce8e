"""A piece written to its socket without a round through the reactor. Ring: edge (web). Source: design §4.17; measured by tests/bench/sockets.py.

Twisted queues what is written, asks the kernel when the socket takes it, writes, and asks no more. When thousands are sent a piece at the same moment, that is
half of the cost, and `write` followed by the public `doWrite` saves next to nothing of it. What the socket does not take goes the ordinary way, and so does
everything on a connection that is not plain TCP: a TLS connection lets one see the socket below it, where nothing is encrypted.

Private API of Twisted (pinned by tests/web/test_at_once.py): tcp.Server.dataBuffer, offset, _tempDataBuffer and _tempDataLen. Where one is missing, everything
goes the ordinary way.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp


def write_at_once(transport: Any, data: bytes) -> None:  # Any: TCP, TLS or somebody's own: no interface names their queue
    """Writes what the socket takes now; the rest waits as with `transport.write`, which also deals with a connection that is lost.

    Args:
        transport: if it has a producer, one that pushes: one that is pulled from is asked for more only by a round of the reactor.
    """
    if has_nothing_waiting(transport):
        written = transport.writeSomeData(data)
        if isinstance(written, int):
            data = data[written:]
    if data:
        transport.write(data)


def has_nothing_waiting(transport: Any) -> bool:  # Any: as above
    """Whether it is plain TCP, open, and nothing is queued on it."""
    try:
        return (
            type(transport) is tcp.Server
            and bool(transport.connected)
            and not (transport.TLS or transport.disconnecting or transport.dataBuffer or transport._tempDataBuffer)
        )
    except AttributeError:  # another Twisted
        return False


def waiting_bytes(transport: Any) -> int:  # Any: as above
    """What has been written and the client's side has not taken yet, also below TLS; 0 where nobody can tell."""
    tcp_below = getattr(transport, "transport", transport)
    try:
        return len(tcp_below.dataBuffer) - int(tcp_below.offset) + int(tcp_below._tempDataLen)
    except AttributeError:  # a transport without a queue, or another Twisted
        return 0
