"""Load on a server, by wrk on the other core; every answer's status is counted."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tests.bench.servers import LOAD_CORE

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class Load(msgspec.Struct, frozen=True):
    """What came of it; latencies in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int
    failures: int


def run(url: str, *, connections: int, seconds: int, method: str = "GET", headers: Mapping[str, str] | None = None, body: str = "") -> Load:
    """Keeps `connections` requests in the air for `seconds`.

    Raises:
        RuntimeError: wrk is not installed.
    """
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is needed: apt-get install wrk")
    lines = [f'wrk.method = "{method}"', f"wrk.body = {_lua(body)}", *(f"wrk.headers[{_lua(n)}] = {_lua(v)}" for n, v in (headers or {}).items())]
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory, "load.lua")
        script.write_text("\n".join(lines))
        command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
        report = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    return _parsed(report)


def _lua(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _parsed(report: str) -> Load:
    def latency(percent: str) -> float:
        found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s|m)\b", report)
        return float(found[1]) * _UNITS[found[2]] if found else 0.0

    failed = sum(int(number) for number in re.findall(r"(?:Non-2xx or 3xx responses: |timeout |connect |read |write )(\d+)", report))
    rate = re.search(r"Requests/sec:\s+([\d.]+)", report)
    total = re.search(r"(\d+) requests in", report)
    return Load(float(rate[1]) if rate else 0.0, latency("50"), latency("99"), int(total[1]) if total else 0, failed)
