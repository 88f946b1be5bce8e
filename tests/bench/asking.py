"""What is asked of `/webhook`, of us and of the peers."""

from __future__ import annotations

import json
import re
import time
import urllib.request

from tests.bench.load import Ask, Load, run
from tests.bench.servers import Server

BODY = json.dumps({"message": "x" * 885})
"""901 bytes."""
_DRAIN_SECONDS = 300.0


def webhook(server: Server, connections: int, *, is_async: bool, is_drained: bool = False, path: str = "/webhook") -> Ask:
    """`POST /webhook` with the server's bearer and a 901-byte body; a 202 is expected when nobody waits, else the answer.

    Args:
        is_drained: come back only when all turns that were accepted have ended, so that they cost nobody else anything.
    """
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    if is_async:
        headers["Prefer"] = "respond-async"

    def ask(seconds: int) -> Load:
        expected = 202 if is_async else 200
        before = _ended(server) if is_drained else 0
        load = run(server.url + path, connections=connections, seconds=seconds, method="POST", headers=headers, body=BODY, expected=expected)
        if is_drained:
            _drain(server, before + load.requests)
        return load

    return ask


def _drain(server: Server, count: int) -> None:
    """Waits until so many turns have been completed and no more are.

    Raises:
        RuntimeError: it takes too long.
    """
    end, last = time.monotonic() + _DRAIN_SECONDS, -1
    while time.monotonic() < end:
        now = _ended(server)
        if now >= count and now == last:  # what was accepted when the load ended may be a few more
            return
        last = now
        time.sleep(0.2)
    raise RuntimeError(f"of {count} accepted messages {last} have been answered")


def _ended(server: Server) -> int:
    """Turns completed; not the depth of the queue, which is looked at every ten seconds only."""
    with urllib.request.urlopen(server.url + "/metrics", timeout=30) as answer:
        found = re.search(r'^clawgate_turn_attempts_total\{outcome="completed"\} (\S+)', answer.read().decode(), re.MULTILINE)
    return int(float(found[1])) if found else 0
