"""Bytes to many connections at once, and what comes back; how bytes are spoilt. For fuzzing."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

NASTY: tuple[bytes, ...] = (
    *(b"\x00", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b"%00", b"%2f", b"..", b"\xff\xfe", b"\xc3\xa9", b"\xe2\x80\xae", b"\x7f"),
    *(b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"CONNECT ", b"TRACE ", b"HEAD ", b"OPTIONS * ", b"PRI * ", b"http://g/", b"*", b"?", b"#", b";a=b"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: 99999999999999999999\r\n", b"Content-Length: -1\r\n"),
    *(b"Expect: 100-continue\r\n", b"Connection: keep-alive\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"Host: a\r\n", b"Cookie: a=b\r\n"),
    *(
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"5\r\nabcde\r\n",
        b"Authorization: Bearer x\r\n",
        b"X-Forwarded-For: 1.2.3.4\r\n",
        b"A" * 5_000,
        b"X: y\r\n" * 120,
    ),
)
"""What parsers have tripped over, to be put anywhere."""


class Heard(NamedTuple):
    """What a connection said, and whether it was closed by the other end."""

    data: bytes
    is_closed: bool


def exchange(port: int, sendings: Sequence[Sequence[bytes]], seconds: float, settle: Callable[[], None] | None = None) -> list[Heard]:
    """Opens a connection for each of `sendings`, sends its pieces one after another, and reads until all are closed or `seconds` are over.

    Args:
        settle: once all is sent, returns when the other end has read it; what has been answered by then counts, and nothing more is waited for.
    """
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as opened:
        talks = [_Talk(port, pieces) for pieces in sendings]
        for talk in talks:
            opened.callback(talk.socket.close)
            selector.register(talk.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, talk)
        end = time.monotonic() + seconds
        while selector.get_map() and time.monotonic() < end and (settle is None or any(key.data.pieces for key in selector.get_map().values())):
            _turn(selector)
        if settle is not None:
            settle()
            while selector.get_map() and _turn(selector) and time.monotonic() < end:
                pass
    return [Heard(talk.heard, talk.is_closed) for talk in talks]


def _turn(selector: selectors.BaseSelector) -> bool:
    """Does what can be done now; whether there was anything."""
    ready = selector.select(0.05)
    for key, events in ready:
        wanted = key.data.step(events)
        if not wanted:
            selector.unregister(key.fileobj)
        elif wanted != key.events:
            selector.modify(key.fileobj, wanted, key.data)
    return bool(ready)


class _Talk:
    """One connection."""

    def __init__(self, port: int, pieces: Sequence[bytes]) -> None:
        self.pieces, self.heard, self.is_closed = [piece for piece in pieces if piece], b"", False
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    def step(self, events: int) -> int:
        """Does what can be done; the events it waits for, 0 = it is over."""
        try:
            if events & selectors.EVENT_READ:
                data = self.socket.recv(65_536)
                self.heard += data
                self.is_closed = not data
            if events & selectors.EVENT_WRITE and self.pieces:
                self.pieces[0] = self.pieces[0][self.socket.send(self.pieces[0]) :]
                if not self.pieces[0]:
                    del self.pieces[0]
        except BlockingIOError:
            pass
        except OSError:
            self.is_closed = True
        if self.is_closed:
            return 0
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self.pieces else 0)


def spoilt(random: Random, data: bytes, nasty: Sequence[bytes] = NASTY) -> bytes:
    """The data after one to four mishaps."""
    for _ in range(random.randint(1, 4)):
        data = _mishap(random, data, nasty)
    return data


def _mishap(random: Random, data: bytes, nasty: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data) + 1)
    to = min(len(data), at + random.choice((1, 1, 1, 4, 16, 64)))
    match random.randrange(8):
        case 0:  # a bit
            return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :] if at < len(data) else data
        case 1:  # a byte
            return data[:at] + random.randbytes(1) + data[at + 1 :]
        case 2:  # gone
            return data[:at] + data[to:]
        case 3:  # twice
            return data[:to] + data[at:to] * random.choice((1, 2, 50)) + data[to:]
        case 4:  # cut
            return data[:at]
        case 5:  # something nasty in between
            return data[:at] + random.choice(nasty) + data[at:]
        case 6:  # something nasty instead
            return data[:at] + random.choice(nasty) + data[to:]
    lines = data.split(b"\r\n")  # lines in another order, one twice
    first, second = random.randrange(len(lines)), random.randrange(len(lines))
    lines.insert(first, lines[second])
    return b"\r\n".join(lines)


def pieces(random: Random, data: bytes) -> list[bytes]:
    """The data whole, cut in two or three, or its end byte by byte."""
    match random.randrange(4):
        case 0 | 1:
            return [data]
        case 2:
            cuts = sorted(random.randrange(len(data) + 1) for _ in range(2))
            return [data[: cuts[0]], data[cuts[0] : cuts[1]], data[cuts[1] :]]
    return [data[:-40], *(bytes([byte]) for byte in data[-40:])]
