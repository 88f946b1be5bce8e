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
        load = run(server.url + path, connections=connections, seconds=seconds, method="POST", headers=headers, body=BODY, expected=expected)
        if is_drained:
            drain(server)
        return load

    return ask


def drain(server: Server) -> None:
    """Waits until the daemon has no open messages.

    Raises:
        RuntimeError: it takes too long.
    """
    end = time.monotonic() + _DRAIN_SECONDS
    while time.monotonic() < end:
        with urllib.request.urlopen(server.url + "/metrics", timeout=30) as answer:
            found = re.search(r"^clawgate_queue_depth (\S+)", answer.read().decode(), re.MULTILINE)
        if found is None:
            raise RuntimeError("there is no clawgate_queue_depth")
        if float(found[1]) == 0:
            return
        time.sleep(0.2)
    raise RuntimeError("the accepted messages were not worked off")
