"""Who comes by, from where, and what they remember: the state that the habits of `habits.py` share."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping

from tests.soak.wire import Answer, Connection, Gone

TOKENS = tuple(f"zc_{hashlib.sha256(b'soak %d' % number).hexdigest()}" for number in range(32))
"""Devices that are paired from the start."""
ADDRESSES, FORWARDED, SESSIONS, NUMBERS = 250, 20_000, 4_000, 3_000
"""Clients of their own address, clients behind the proxy, sessions, telephone numbers."""
WAIT_SECONDS = 90.0
_PROXY = "127.0.0.1"
_KEPT_REQUESTS = (20, 300)


class Town:
    """What everybody shares: how much is left to ask, what has been counted, and what happened lately.

    Attributes:
        left: requests still to be sent.
        asked, statuses: answers by habit, and by habit and status.
        unexpected: how many answers were not what their habit expects; `examples` of them.
        keys: idempotency keys that were answered. items: accepted messages.
    """

    def __init__(self, address: tuple[str, int], requests: int, seed: int = 0) -> None:
        self.address, self.left, self.random = address, requests, random.Random(seed)
        self.sent = self.frames = self.unexpected = 0
        self.asked: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.examples: list[str] = []
        self.keys: deque[tuple[str, str]] = deque(maxlen=2_000)
        self.items: deque[str] = deque(maxlen=2_000)
        self.pairing, self.configuring = asyncio.Lock(), asyncio.Lock()
        self.open: set[Connection] = set()
        self._number = 0

    def number(self) -> int:
        """Another one each time."""
        self._number += 1
        return self._number

    def end(self) -> None:
        """Everybody ends what they are at, and goes."""
        self.left = 0

    def wrong(self, habit: str, what: str) -> None:
        """Counts what should not have been."""
        self.unexpected += 1
        if len(self.examples) < 20:
            self.examples.append(f"{habit}: {what}")

    async def connect(self, source: str) -> Connection:
        """A connection from this address."""
        loop = asyncio.get_running_loop()
        self.open = {each for each in self.open if not each.is_lost}
        _, connection = await loop.create_connection(Connection, *self.address, local_addr=(source, 0))
        self.open.add(connection)
        return connection

    async def watch(self) -> None:
        """Ends waits that have taken too long, so that a hung answer is an error and not the end of the soak."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(5)
            for connection in list(self.open):
                if connection.waits_since and loop.time() - connection.waits_since > WAIT_SECONDS:
                    connection.abort()


class Person:
    """Somebody who does one thing after another, on a kept connection that now and then is another one, from another address."""

    def __init__(self, town: Town) -> None:
        self.town, self.random = town, town.random
        self.habit = ""
        self._connection: Connection | None = None
        self._source, self._requests_left = _PROXY, 0

    @property
    def token(self) -> str:
        """That of one of the devices."""
        return self.random.choice(TOKENS)

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        expected: tuple[int, ...] = (200,),
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, whose status has to be among those expected.

        Args:
            body: JSON, unless it is bytes.
            token: "" = some device's, None = none.

        Raises:
            Gone: there was no answer; it is counted.
        """
        connection = await self._kept()
        head = self.head(method, path, token)
        for name, value in (headers or {}).items():
            head += f"{name}: {value}\r\n"
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if body is not None:
            kind = "" if isinstance(body, bytes) else "Content-Type: application/json\r\n"
            head += f"{kind}Content-Length: {len(data)}\r\n"
        answer = await connection.ask(f"{head}\r\n".encode() + data)
        self._count(method, path, answer, expected)
        return answer

    def head(self, method: str, path: str, token: str | None = "") -> str:
        """Request line and the usual headers, with a line's end each."""
        bearer = f"Authorization: Bearer {token or self.token}\r\n" if token is not None else ""
        behind = self.random.randrange(FORWARDED)
        forwarded = f"X-Forwarded-For: 10.{behind >> 8}.{behind & 255}.7\r\n" if self._source == _PROXY else ""
        return f"{method} {path} HTTP/1.1\r\nHost: soak\r\n{bearer}{forwarded}"

    async def stream(self) -> Connection:
        """A connection of its own, for what stays open."""
        self.sent()
        return await self.town.connect(self._source)

    def sent(self) -> None:
        """Counts a request."""
        self.town.sent += 1
        self.town.left -= 1
        self.town.asked[self.habit] += 1

    def _count(self, method: str, path: str, answer: Answer, expected: tuple[int, ...]) -> None:
        self.town.statuses[f"{self.habit} {answer.status}"] += 1
        if answer.status not in expected:
            self.town.wrong(self.habit, f"{method} {path}: {answer.status} {answer.body[:200]!r}")

    async def _kept(self) -> Connection:
        self.sent()
        if self._connection is None or self._connection.is_lost or self._requests_left <= 0:
            self.rest()
            is_proxied = self.random.random() < 0.5
            self._source = _PROXY if is_proxied else f"127.0.0.{2 + self.random.randrange(ADDRESSES)}"
            self._requests_left = self.random.randint(*_KEPT_REQUESTS)
            self._connection = await self.town.connect(self._source)
        self._requests_left -= 1
        return self._connection

    def rest(self) -> None:
        """Hangs up."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


@contextlib.asynccontextmanager
async def opened(person: Person, path: str, protocol: str, token: str = "") -> AsyncIterator[Connection]:
    """A WebSocket, left with a goodbye."""
    connection = await person.stream()
    try:
        status = await connection.upgrade(person.head("GET", path, token) + f"Sec-WebSocket-Protocol: {protocol}\r\n")
        person.town.statuses[f"{person.habit} {status}"] += 1
        if status != 101:
            person.town.wrong(person.habit, f"{path}: {status}")
            raise Gone("no socket")
        yield connection
        await connection.leave()
    finally:
        connection.close()
