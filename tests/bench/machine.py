"""Where and when something was measured."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path


def machine() -> dict[str, str]:
    """Processor, kernel, Python, commit and date."""
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "cpu": f"{os.cpu_count()} × {model}",
        "kernel": platform.release(),
        "python": platform.python_version() + (", the distribution's" if sys.base_prefix == "/usr" else ""),
        "commit": commit or "?",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def disk(directory: Path, writes: int = 200) -> str:
    """How long the disk takes to make 4 KiB durable, at the median: what every durable write waits for, ours and the peers'."""
    took = []
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        for _ in range(writes):
            file.write(b"x" * 4096)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return f"{statistics.median(took) * 1000:.2f} ms to make 4 KiB durable"
