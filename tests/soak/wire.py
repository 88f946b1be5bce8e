"""HTTP and WebSocket for a client that has to be cheap: two million requests on one core. Only what the soak says and hears."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, NamedTuple

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)")
_KEY = "c2l4dGVlbiBvY3RldHMuLg=="
_NO_MASK = b"\0\0\0\0"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class Gone(Exception):
    """The connection ended before what was waited for."""


class Answer(NamedTuple):
    """What came back; the head in lower case."""

    status: int
    head: bytes
    body: bytes

    @property
    def json(self) -> Any:  # whatever the body holds
        return json.loads(self.body)


class Connection(asyncio.Protocol):
    """One connection, used by one coroutine at a time.

    Attributes:
        waits_since: loop time since when bytes are waited for, 0.0 = nobody waits.
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.received = bytearray()
        self.is_lost = False
        self.waits_since = 0.0
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._wake()

    def close(self) -> None:
        """Lets go of it."""
        if self.transport is not None:
            self.transport.close()
        self.is_lost = True

    def abort(self) -> None:
        """Whoever waits is told `Gone`."""
        if self.transport is not None:
            self.transport.abort()

    def write(self, data: bytes) -> None:
        """Sends bytes."""
        if self.is_lost or self.transport is None:
            raise Gone("closed before the request")
        self.transport.write(data)

    async def ask(self, request: bytes) -> Answer:
        """Sends a whole request; the whole answer."""
        self.write(request)
        head = await self.head()
        length = _LENGTH.search(head)
        if length:
            body = await self.take(int(length[1]))
        elif b"\r\ntransfer-encoding: chunked" in head:
            body = await self._chunks()
        else:
            body = b""
        if b"\r\nconnection: close" in head:
            self.close()
        return Answer(int(head[9:12]), head, body)

    async def head(self) -> bytes:
        """The next answer's status line and headers."""
        return bytes(await self.until(b"\r\n\r\n")).lower()

    async def until(self, end: bytes) -> bytes:
        """All that comes up to `end`, and `end`."""
        while (found := self.received.find(end)) < 0:
            await self._more()
        return await self.take(found + len(end))

    async def take(self, count: int) -> bytes:
        """The next bytes, so many."""
        while len(self.received) < count:
            await self._more()
        taken = bytes(self.received[:count])
        del self.received[:count]
        return taken

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.until(b"\r\n"), 16):
            body += await self.take(size)
            await self.take(2)
        await self.take(2)
        return body

    async def _more(self) -> None:
        if self.is_lost:
            raise Gone(f"ended after {bytes(self.received[:80])!r}")
        self._waiter = self._loop.create_future()
        self.waits_since = self._loop.time()
        try:
            await self._waiter
        finally:
            self._waiter, self.waits_since = None, 0.0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- WebSocket

    async def upgrade(self, head: str) -> int:
        """Asks for a WebSocket; the status, 101 when it is open.

        Args:
            head: request line and headers, each with its line's end.
        """
        upgrade = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY}\r\n\r\n"
        self.write((head + upgrade).encode())
        return int((await self.head())[9:12])

    def say(self, **fields: object) -> None:
        """Sends a text frame of JSON."""
        self._frame(_TEXT, json.dumps(fields).encode())

    async def hear(self, *kinds: str) -> dict[str, Any]:  # JSON
        """The next frame of one of these types; pings are answered."""
        while True:
            opcode, data = await self._next_frame()
            if opcode == _PING:
                self._frame(_PONG, data)
            elif opcode == _CLOSE:
                raise Gone(f"closed: {data!r}")
            elif opcode == _TEXT:
                frame = json.loads(data)
                if frame.get("type") in kinds:
                    return dict(frame)

    async def leave(self) -> None:
        """Says goodbye and waits for the answer."""
        self._frame(_CLOSE, b"\x03\xe8")
        while (await self._next_frame())[0] != _CLOSE:
            pass
        self.close()

    def _frame(self, opcode: int, data: bytes) -> None:
        size = bytes((0x80 | len(data),)) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        self.write(bytes((0x80 | opcode,)) + size + _NO_MASK + data)

    async def _next_frame(self) -> tuple[int, bytes]:
        first, size = await self.take(2)
        if size >= 126:
            size = int.from_bytes(await self.take(2 if size == 126 else 8), "big")
        return first & 15, await self.take(size)
