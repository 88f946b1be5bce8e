"""What a process is like at one moment: its memory, files and threads, and what it says of itself at `/metrics`."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from tests.bench.servers import cpu_seconds

GAUGES = (
    "clawgate_http_connections",
    "clawgate_sockets_open",
    "clawgate_queue_depth",
    "clawgate_turns_running",
    "clawgate_active_sessions",
    "clawgate_store_queue_depth",
    "clawgate_reactor_lag_seconds",
    "clawgate_unhandled_errors_total",
)
_SMAPS = re.compile(r"^(Rss|Pss|Private_Clean|Private_Dirty):\s+(\d+) kB", re.MULTILINE)


class Sample(msgspec.Struct, frozen=True):
    """One moment; memory in KiB, the processor's time since the process began.

    Attributes:
        requests: sent so far. seconds: since the first one.
        gauges: those of `/metrics`, without `clawgate_`.
    """

    requests: int
    seconds: float
    rss_kib: int
    pss_kib: int
    uss_kib: int
    fds: int
    threads: int
    cpu_seconds: float
    database_bytes: int
    gauges: dict[str, float]


def taken(pid: int, state: Path, exposition: str, requests: int, seconds: float) -> Sample:
    """The sample of a process.

    Args:
        state: the daemon's state directory.
        exposition: what it answered at `/metrics`.
    """
    rollup = {name: int(kib) for name, kib in _SMAPS.findall(Path(f"/proc/{pid}/smaps_rollup").read_text())}
    threads = re.search(r"^Threads:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return Sample(
        requests=requests,
        seconds=round(seconds, 1),
        rss_kib=rollup["Rss"],
        pss_kib=rollup["Pss"],
        uss_kib=rollup["Private_Clean"] + rollup["Private_Dirty"],
        fds=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        threads=int(threads[1]) if threads else 0,
        cpu_seconds=cpu_seconds(pid),
        database_bytes=sum(path.stat().st_size for path in state.glob("clawgate.db*")),
        gauges=gauges(exposition),
    )


def gauges(exposition: str) -> dict[str, float]:
    """The gauges of interest, and the number of lines under `series`."""
    found = {name.removeprefix("clawgate_"): 0.0 for name in GAUGES}
    for line in exposition.splitlines():
        name, _, value = line.partition(" ")
        if name in GAUGES:
            found[name.removeprefix("clawgate_")] = float(value)
    found["series"] = sum(1 for line in exposition.splitlines() if line and not line.startswith("#"))
    return found
