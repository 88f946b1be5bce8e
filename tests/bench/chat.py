"""Row 5, the chat socket: what a turn takes longer than the upstream alone, to the first words and to the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import connect

from tests.bench import peers
from tests.bench.rows import OURS, Row, Side, middle
from tests.bench.servers import LOAD_CORE, Server, canned_upstream, daemon

FASTAPI = "FastAPI"
_DEADLINE_SECONDS = 30.0
_QUESTION = "What is on today? " * 10
_NOTE = "ours sends the session's history along, the peer the question alone"


class Turn(msgspec.Struct, frozen=True):
    """How long one turn took, in milliseconds from before it was sent."""

    first_ms: float
    end_ms: float


Talk = Callable[[int, int], Awaitable[list[Turn]]]
"""Number of a connection, turns one after another."""


def chat_rows(directory: Path, turns: int, rounds: int, *, connections: Sequence[int] = (1, 16)) -> Iterator[Row]:
    """Added latency at each number of sockets.

    Args:
        turns: of all sockets together, in each round.
    """
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(canned_upstream())
        streaming = upstream.url.replace("/v1", "/sse/v1")
        ours = stack.enter_context(daemon(directory / "chat", upstream=streaming))
        theirs = stack.enter_context(peers.fastapi(directory / "chat_peer", streaming, "chat_app"))
        stack.enter_context(_on_the_loads_core())
        talks: dict[str, tuple[Server, Talk]] = {OURS: (ours, over(ours)), FASTAPI: (theirs, over(theirs))}
        for count in connections:
            yield from _rows(talks, directly(streaming), count, turns, rounds)


def _rows(talks: dict[str, tuple[Server, Talk]], direct: Talk, count: int, turns: int, rounds: int) -> Iterator[Row]:
    first: dict[str, list[Side]] = {name: [] for name in talks}
    end: dict[str, list[Side]] = {name: [] for name in talks}
    each = max(1, turns // count)
    for _, talk in talks.values():
        asyncio.run(held(talk, count, max(1, each // 10)))
    for number in range(rounds):
        order = list(talks.items())
        for name, (server, talk) in order if number % 2 == 0 else reversed(order):
            plain, told = asyncio.run(held(direct, count, each)), asyncio.run(held(talk, count, each))
            first[name].append(added([turn.first_ms for turn in told], [turn.first_ms for turn in plain], server.rss_mib))
            end[name].append(added([turn.end_ms for turn in told], [turn.end_ms for turn in plain], server.rss_mib))
    for key, what, found in (("first", "first delta", first), ("end", "whole answer", end)):
        sides = {name: middle(of) for name, of in found.items()}
        yield Row(
            f"chat-{key}-{count}",
            f"chat socket, {what} later than from the upstream, sockets: {count}",
            "ms",
            sides[OURS],
            FASTAPI,
            sides[FASTAPI],
            _NOTE,
        )


def added(told_ms: Sequence[float], plain_ms: Sequence[float], rss_mib: float | None = None) -> Side:
    """What the turns took longer than the median of what the upstream takes; the value is the p50."""
    base = statistics.median(plain_ms)
    later = sorted(took - base for took in told_ms)
    p50_ms, p99_ms = statistics.median(later), later[min(len(later) - 1, int(len(later) * 0.99))]
    return Side(p50_ms, p50_ms, p99_ms, rss_mib)


async def held(talk: Talk, count: int, turns: int) -> list[Turn]:
    """So many connections at once, each with so many turns. Raises TimeoutError: a turn hangs."""
    async with asyncio.timeout(_DEADLINE_SECONDS + turns):
        return [turn for found in await asyncio.gather(*(talk(number, turns) for number in range(count))) for turn in found]


def over(server: Server) -> Talk:
    """Turns over a `/ws/chat`, ours or the peer's: they have the same frames."""

    async def talk(number: int, turns: int) -> list[Turn]:
        url = f"{server.url.replace('http', 'ws')}/ws/chat?session_id=bench-{number}-{time.monotonic_ns()}"
        found = []
        headers = {"Authorization": f"Bearer {server.token}"}
        async with connect(url, additional_headers=headers, compression=None, ping_interval=None, proxy=None) as socket:
            for _ in range(turns):
                began, first = time.perf_counter(), 0.0
                await socket.send(json.dumps({"type": "message", "content": _QUESTION}))
                while (kind := json.loads(await socket.recv())["type"]) != "done":
                    if kind in ("error", "aborted"):
                        raise RuntimeError(f"a turn ended with {kind}")
                    if kind == "chunk" and not first:
                        first = time.perf_counter()
                found.append(_turn(began, first, time.perf_counter()))
        return found

    return talk


def directly(url: str) -> Talk:
    """The same question straight to the upstream, on a kept connection."""
    where = urlsplit(url)
    body = json.dumps({"model": "canned", "messages": [{"role": "user", "content": _QUESTION}], "stream": True})
    request = f"POST {where.path}/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

    async def talk(number: int, turns: int) -> list[Turn]:
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        found = []
        for _ in range(turns):
            began = time.perf_counter()
            writer.write(request)
            await reader.readuntil(b"data: {")
            first = time.perf_counter()
            await reader.readuntil(b"\r\n0\r\n\r\n")
            found.append(_turn(began, first, time.perf_counter()))
        writer.close()
        return found

    return talk


def _turn(began: float, first: float, end: float) -> Turn:
    if not first:
        raise RuntimeError("a turn ended without a delta")
    return Turn((first - began) * 1000, (end - began) * 1000)


@contextlib.contextmanager
def _on_the_loads_core() -> Iterator[None]:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {LOAD_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
