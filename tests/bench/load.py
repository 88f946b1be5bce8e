"""Load on a server, by wrk on the other core; every answer's status is looked at."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from tests.bench.rows import Side, middle
from tests.bench.servers import LOAD_CORE, Server

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
_COUNTING = """
local threads = {}
wrong = 0
function setup(thread) table.insert(threads, thread) end
function response(status) if status ~= EXPECTED then wrong = wrong + 1 end end
function done()
  local all = 0
  for _, thread in ipairs(threads) do all = all + thread:get("wrong") end
  io.write("Unexpected answers: " .. all .. "\\n")
end
"""


class Load(msgspec.Struct, frozen=True):
    """What came of it; latencies in milliseconds.

    Attributes:
        failures: answers with another status than the expected one, and connections that broke.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int
    failures: int


def run(
    url: str,
    *,
    connections: int,
    seconds: int,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: str = "",
    expected: int = 200,
    script: str = "",
) -> Load:
    """Keeps `connections` requests in the air for `seconds`.

    Args:
        expected: the status of each answer; another one is a failure.
        script: further Lua, such as a `request` function for requests that differ.

    Raises:
        RuntimeError: wrk is not installed, or an answer was not as expected.
    """
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is needed: apt-get install wrk")
    lines = [f'wrk.method = "{method}"', f"wrk.body = {_lua(body)}", *(f"wrk.headers[{_lua(n)}] = {_lua(v)}" for n, v in (headers or {}).items())]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "load.lua")
        path.write_text("\n".join([*lines, _COUNTING.replace("EXPECTED", str(expected)), script]))
        command = [
            "taskset",
            "-c",
            str(LOAD_CORE),
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "10s",
            "--latency",
            "-s",
            str(path),
            url,
        ]
        report = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    load = parsed(report)
    if load.failures or not load.requests:
        raise RuntimeError(f"{load.failures} of {load.requests} answers of {url} were not {expected}:\n{report}")
    return load


def parsed(report: str) -> Load:
    """What wrk and our script have printed."""

    def latency(percent: str) -> float:
        found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s|m)\b", report)
        return float(found[1]) * _UNITS[found[2]] if found else 0.0

    failed = sum(int(number) for number in re.findall(r"(?:Unexpected answers: |timeout |connect |read |write )(\d+)", report))
    rate = re.search(r"Requests/sec:\s+([\d.]+)", report)
    total = re.search(r"(\d+) requests in", report)
    return Load(float(rate[1]) if rate else 0.0, latency("50"), latency("99"), int(total[1]) if total else 0, failed)


Ask = Callable[[int], Load]
"""Loads a server for so many seconds."""


def measured(server: Server, ask: Ask, seconds: int) -> Side:
    """What a load makes of a server, in requests a second, with its memory afterwards."""
    before = server.cpu_seconds
    load = ask(seconds)
    return Side(load.per_second, load.p50_ms, load.p99_ms, server.rss_mib, (server.cpu_seconds - before) / load.requests * 1e6)


def by_turns(contenders: Mapping[str, tuple[Server, Ask]], *, rounds: int, seconds: int) -> dict[str, Side]:
    """The medians of each contender. They take turns, so that a machine that is slower for a while is so for all; each is warmed up for a second first."""
    for _, ask in contenders.values():
        ask(1)
    found: dict[str, list[Side]] = {name: [] for name in contenders}
    for number in range(rounds):
        order = list(contenders.items())
        for name, (server, ask) in order if number % 2 == 0 else reversed(order):
            found[name].append(measured(server, ask, seconds))
    return {name: middle(sides) for name, sides in found.items()}


def _lua(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
