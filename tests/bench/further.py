"""Rows about clawgate alone: starting, memory, many who listen, long lists and a long backlog."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.asking import webhook
from tests.bench.load import Load, measured
from tests.bench.rows import Row, Side
from tests.bench.servers import Server, canned_upstream, daemon
from tests.bench.sessions import percentiles
from tests.bench.sockets import beside, fan_out, idle_sockets
from tests.bench.tasks import list_rows


def start_rows(directory: Path, rounds: int, seconds: int) -> Iterator[Row]:
    """Start to first 200, memory when idle, and memory after both kinds of asking."""
    starts, sizes = [], []
    for number in range(rounds):
        with daemon(directory / f"start{number}") as server:
            starts.append(server.start_seconds)
            time.sleep(0.5)
            sizes.append(server.rss_mib)
    yield Row("start", "start to first 200", "s", Side(statistics.median(starts)))
    yield Row("idle-rss", "memory when idle (RSS)", "MiB", Side(statistics.median(sizes)))
    with canned_upstream() as upstream, daemon(directory / "loaded", upstream=upstream.url) as server:
        for is_async in (False, True):
            webhook(server, 64, is_async=is_async)(seconds)
        yield Row("loaded-rss", "memory after load (RSS)", "MiB", Side(server.rss_mib))


def offline_rows(directory: Path, seconds: int) -> Iterator[Row]:
    """Asking and being answered by the offline agent: all of a turn but the upstream."""
    with daemon(directory / "offline") as server:
        for connections in (1, 16, 64):
            side = measured(server, webhook(server, connections, is_async=False), seconds)
            yield Row(f"offline-{connections}", f"`/webhook` answered offline, {connections} connections", "req/s", side)


def backlog_rows(directory: Path, seconds: int, waiting: int) -> Iterator[Row]:
    """Intake on an empty backlog, then with `waiting` accepted messages that nobody works off (the agent hangs)."""
    with daemon(directory / "backlog", is_paused=True) as server:
        ask = webhook(server, 64, is_async=True)
        empty = measured(server, ask, seconds)
        accepted = round(empty.value * seconds)
        while accepted < waiting:
            accepted += ask(seconds).requests
        full = measured(server, ask, seconds)
        yield Row("backlog", f"202 with {accepted:,} waiting", "req/s", full, "clawgate, empty at first", empty)


def task_rows(directory: Path, count: int) -> Iterator[Row]:
    """The first page of a hundred tasks among `count`, for each kind of filter."""
    for name, p50_ms, p95_ms in list_rows(directory, count):
        yield Row("tasks", f"page of {count:,} tasks, filter {name}, p95", "ms", Side(p95_ms, p50_ms))


def search_rows(directory: Path, messages: int) -> Iterator[Row]:
    """Searching kept conversations, common words included."""
    p50_ms, p95_ms = percentiles(directory, 5, messages)
    yield Row("search", f"search of {messages:,} session messages, p95", "ms", Side(p95_ms, p50_ms))


def socket_rows(directory: Path, count: int, seconds: float) -> Iterator[Row]:
    """Memory of open WebSockets that say nothing: each in a chat of its own, and all of them watching one canvas."""
    for name, path in (("/ws/chat", "/ws/chat?session_id=bench-%d"), ("/ws/canvas", "/ws/canvas/bench")):
        idle = idle_sockets(directory / name.rpartition("/")[2], path, count, seconds)
        yield Row("sockets", f"{count:,} idle `{name}` sockets, each", "KiB", Side(idle.kib_each), note=f"{idle.pings:,} pings")
        yield Row("sockets-health", f"`/health` beside {count:,} `{name}` sockets", "ms", Side(idle.health_ms))


def event_rows(directory: Path, subscribers: int, seconds: int) -> Iterator[Row]:
    """A hundred events a second to very many subscribers, each from before it is posted to its arrival at each of them; then messages answered while all
    are told of the turns.
    """
    found = fan_out(directory / "events", subscribers, 100, seconds)
    if found.lost:
        raise RuntimeError(f"{found.lost} deliveries of {found.lost + found.received} are missing")
    name = f"100 events/s to {subscribers:,} subscribers"
    yield Row("events", f"{name}, deliveries", "1/s", Side(found.received / seconds, found.p50_ms, found.p99_ms))
    yield Row("events-slowest", f"{name}, slowest", "ms", Side(found.most_ms))
    yield Row("events-daemon", f"{name}, daemon's core busy", "%", Side(found.server_cpu * 100))
    yield Row("events-client", f"{name}, client's core busy", "%", Side(found.client_cpu * 100))
    load = beside(directory / "watched", subscribers, lambda server: _told(server, seconds))
    name = f"`/webhook` answered offline, 16 connections, {subscribers:,} told of each turn"
    yield Row("events-watched", name, "req/s", Side(load.per_second, load.p50_ms, load.p99_ms))


def _told(server: Server, seconds: int) -> Load:
    return webhook(server, 16, is_async=False)(min(seconds, 6))
