"""What is asked of `/webhook`, of us and of the peers that have it too."""

from __future__ import annotations

import json

from tests.bench.load import Ask, Load, run
from tests.bench.servers import Server

BODY = json.dumps({"message": "x" * 885})
"""901 bytes."""


def webhook(server: Server, connections: int, *, is_async: bool) -> Ask:
    """`POST /webhook` with the server's bearer and a 901-byte body; a 202 is expected when nobody waits, else the answer."""
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    if is_async:
        headers["Prefer"] = "respond-async"

    def ask(seconds: int) -> Load:
        expected = 202 if is_async else 200
        return run(server.url + "/webhook", connections=connections, seconds=seconds, method="POST", headers=headers, body=BODY, expected=expected)

    return ask
