"""Row 9, growth: intake and relay with a store that has been in use for long, beside the same daemon with an empty one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.asking import webhook
from tests.bench.filled import Size, fill, token
from tests.bench.load import Ask, Load, by_turns
from tests.bench.rows import Row, Side
from tests.bench.servers import Server, canned_upstream, daemon

_EMPTY = "clawgate, empty store"
_LOOK_SECONDS = 0.25
_BUSY = 0.1
_REST_SECONDS = 120.0


def growth_rows(directory: Path, size: Size, rounds: int, seconds: int) -> Iterator[Row]:
    """Start, memory, intake at 64 connections and relay at 16 on a full store; ratio = full over empty."""
    fill(directory / "full" / "state" / "clawgate.db", size, int(time.time() * 1000))
    told = f"{size.items:,} inbox rows, {size.devices:,} tokens, {size.sessions:,} sessions"
    tokens = [token(number) for number in range(size.mirrored)]
    with (
        canned_upstream() as upstream,
        daemon(directory / "full", tokens=tokens, upstream=upstream.url) as full,
        daemon(directory / "empty", tokens=tokens[:1], upstream=upstream.url) as empty,
    ):
        yield Row("growth-start", "start to first 200, full store", "s", Side(full.start_seconds), _EMPTY, Side(empty.start_seconds), told)
        for each in (full, empty):
            rested(each)
        yield Row("growth-rss", "memory when idle, full store (RSS)", "MiB", Side(full.rss_mib), _EMPTY, Side(empty.rss_mib), told)
        for key, name, connections, is_async in (
            ("growth-intake", "`/webhook` 202, full store, 64 connections", 64, True),
            ("growth-relay", "`/webhook` relayed, full store, 16 connections", 16, False),
        ):
            found = by_turns(
                {each.url: (each, _alone(each, webhook(each, connections, is_async=is_async))) for each in (full, empty)},
                rounds=rounds,
                seconds=seconds,
            )
            yield Row(key, name, "req/s", found[full.url], _EMPTY, found[empty.url], told)


def _alone(server: Server, ask: Ask) -> Ask:
    """Lets the server work off what it has accepted before another one is measured on its core."""

    def asked(seconds: int) -> Load:
        load = ask(seconds)
        rested(server)
        return load

    return asked


def rested(server: Server) -> None:
    """Waits until the server has nothing to do. Raises RuntimeError: it is busy for two minutes."""
    deadline, before = time.monotonic() + _REST_SECONDS, server.cpu_seconds
    while time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        now = server.cpu_seconds
        if now - before < _BUSY * _LOOK_SECONDS:
            return
        before = now
    raise RuntimeError(f"{server.url} does not come to rest")
