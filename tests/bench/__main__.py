"""`make bench`: prints one table. `--quick` measures a second a row."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tests.bench.load import Load, run
from tests.bench.servers import Server, daemon, peer
from tests.bench.sessions import percentiles
from tests.bench.sockets import beside, fan_out, idle_sockets
from tests.bench.tasks import list_rows

BODY = json.dumps({"message": "x" * 885})
HANGING = "default_provider = 'command:sleep 3600'\n"


class Row(msgspec.Struct, frozen=True):
    """One line of the table; `value` in `unit`, beside the peer's."""

    name: str
    value: float
    unit: str
    peer: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None


def ask(server: Server, seconds: int, connections: int, *, is_async: bool) -> Load:
    """`POST /webhook` with a bearer and a 901-byte body."""
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    if is_async:
        headers["Prefer"] = "respond-async"
    load = run(server.url + "/webhook", connections=connections, seconds=seconds, method="POST", headers=headers, body=BODY)
    if load.failures:
        raise RuntimeError(f"{load.failures} answers of {load.requests} were not 2xx")
    return load


def start_rows(directory: Path, rounds: int) -> Iterator[Row]:
    """Start to first 200, and memory when idle."""
    starts, sizes = [], []
    for number in range(rounds):
        with daemon(directory / f"start{number}") as server:
            starts.append(server.start_seconds)
            time.sleep(0.5)
            sizes.append(server.rss_mib)
    yield Row("start to first 200", statistics.median(starts), "s")
    yield Row("idle RSS", statistics.median(sizes), "MiB")


def health_rows(directory: Path, seconds: int) -> Iterator[Row]:
    """`/health` against plain twisted.web answering the same bytes."""
    with daemon(directory / "health") as server:
        with urllib.request.urlopen(server.url + "/health", timeout=5) as answer:
            body = answer.read().decode()
        ours = run(server.url + "/health", connections=64, seconds=seconds)
    with peer(body) as plain:
        theirs = run(plain.url + "/", connections=64, seconds=seconds)
    yield Row("/health, 64 connections", ours.per_second, "req/s", theirs.per_second, ours.p50_ms, ours.p99_ms)


def road_rows(directory: Path, seconds: int) -> Iterator[Row]:
    """Asking and being answered, and durable intake with the turns running meanwhile (offline agent)."""
    with daemon(directory / "road") as server:
        for connections in (1, 16, 64):
            load = ask(server, seconds, connections, is_async=False)
            yield Row(f"/webhook answered offline, {connections} connections", load.per_second, "req/s", None, load.p50_ms, load.p99_ms)
        load = ask(server, seconds, 64, is_async=True)
        yield Row("/webhook 202, 64 connections", load.per_second, "req/s", None, load.p50_ms, load.p99_ms)
        yield Row("RSS after load", server.rss_mib, "MiB")


def backlog_rows(directory: Path, seconds: int, waiting: int) -> Iterator[Row]:
    """Intake on an empty backlog, then with `waiting` accepted messages that nobody works off (the agent hangs)."""
    with daemon(directory / "backlog", HANGING + "[agent]\nmax_concurrent_turns = 4\n") as server:
        empty = ask(server, seconds, 64, is_async=True)
        yield Row("202 while the agent hangs, empty at first", empty.per_second, "req/s", None, empty.p50_ms, empty.p99_ms)
        accepted = empty.requests
        while accepted < waiting:
            accepted += ask(server, seconds, 64, is_async=True).requests
        full = ask(server, seconds, 64, is_async=True)
        yield Row(f"202 with {accepted} waiting", full.per_second, "req/s", empty.per_second, full.p50_ms, full.p99_ms)


def task_rows(directory: Path, count: int) -> Iterator[Row]:
    """The first page of a hundred tasks among `count`, for each kind of filter; p50 and p95."""
    for name, p50_ms, p95_ms in list_rows(directory, count):
        yield Row(f"page of {count:,} tasks, filter {name}, p95", p95_ms, "ms", None, p50_ms)


def search_rows(directory: Path, messages: int) -> Iterator[Row]:
    """Searching kept conversations, common words included; p50 and p95."""
    p50_ms, p95_ms = percentiles(directory, 5, messages)
    yield Row(f"search of {messages:,} session messages, p95", p95_ms, "ms", None, p50_ms)


def socket_rows(directory: Path, count: int, seconds: float) -> Iterator[Row]:
    """Memory of open WebSockets that say nothing: each in a chat of its own, and all of them watching one canvas."""
    for name, path in (("/ws/chat", "/ws/chat?session_id=bench-%d"), ("/ws/canvas", "/ws/canvas/bench")):
        idle = idle_sockets(directory / name.rpartition("/")[2], path, count, seconds)
        yield Row(f"{count:,} idle {name} sockets, each ({idle.pings:,} pings)", idle.kib_each, "KiB")
        yield Row(f"/health beside {count:,} {name} sockets", idle.health_ms, "ms")


def event_rows(directory: Path, subscribers: int, seconds: int) -> Iterator[Row]:
    """A hundred events a second to very many subscribers, each from before it is posted to its arrival at each of them; then messages answered while all
    are told of the turns.
    """
    found = fan_out(directory / "events", subscribers, 100, seconds)
    if found.lost:
        raise RuntimeError(f"{found.lost} deliveries of {found.lost + found.received} are missing")
    name = f"100 events/s to {subscribers:,} subscribers"
    yield Row(f"{name}, deliveries", found.received / seconds, "1/s", None, found.p50_ms, found.p99_ms)
    yield Row(f"{name}, slowest", found.most_ms, "ms")
    yield Row(f"{name}, daemon's core busy", found.server_cpu * 100, "%")
    yield Row(f"{name}, client's core busy", found.client_cpu * 100, "%")
    load = beside(directory / "watched", subscribers, lambda server: ask(server, min(seconds, 6), 16, is_async=False))
    name = f"/webhook answered offline, 16 connections, {subscribers:,} told of each turn"
    yield Row(name, load.per_second, "req/s", None, load.p50_ms, load.p99_ms)


def machine() -> dict[str, str]:
    """Where this was measured."""
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "cpu": f"{os.cpu_count()} × {model}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": commit or "?",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""

    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:,.2f}" if value < 100 else f"{value:,.0f}"

    lines = ["| row | clawgate | unit | peer | ratio | p50 ms | p99 ms |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        ratio = cell(row.value / row.peer) if row.peer else ""
        lines.append(f"| {row.name} | {cell(row.value)} | {row.unit} | {cell(row.peer)} | {ratio} | {cell(row.p50_ms)} | {cell(row.p99_ms)} |")
    return "\n".join(lines)


Measure = Callable[[Path, bool], Iterator[Row]]
MEASURES: dict[str, Measure] = {
    "start": lambda directory, is_quick: start_rows(directory, 1 if is_quick else 5),
    "health": lambda directory, is_quick: health_rows(directory, 1 if is_quick else 6),
    "road": lambda directory, is_quick: road_rows(directory, 1 if is_quick else 6),
    "backlog": lambda directory, is_quick: backlog_rows(directory, *((1, 1_000) if is_quick else (6, 10_000))),
    "sockets": lambda directory, is_quick: socket_rows(directory, *((500, 1) if is_quick else (5_000, 25))),
    "events": lambda directory, is_quick: event_rows(directory, *((200, 1) if is_quick else (1_000, 10))),
    "tasks": lambda directory, is_quick: task_rows(directory, 10_000 if is_quick else 100_000),
    "search": lambda directory, is_quick: search_rows(directory, 10_000 if is_quick else 100_000),
}


def main() -> int:
    """Measures, prints, and keeps the numbers as JSON."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a second a row")
    parser.add_argument("--only", choices=sorted(MEASURES), action="append", help="these rows only; may be repeated")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        for name, measure in MEASURES.items():
            for row in measure(directory, options.quick) if not options.only or name in options.only else ():
                rows.append(row)
                print(f"{row.name}: {row.value:,.2f} {row.unit}", file=sys.stderr)
    where = machine()
    print("\n".join(f"{name}: {value}" for name, value in where.items()), "", table(rows), sep="\n")
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode({"machine": where, "rows": rows})))
    return 0


if __name__ == "__main__":
    sys.exit(main())
