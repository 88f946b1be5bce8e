"""Row 4: what the HTTP of it costs. `/health`, and a 401 for who has no credential."""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.bench import peers
from tests.bench.asking import BODY
from tests.bench.load import Ask, by_turns, run
from tests.bench.rows import OURS, Row, beside
from tests.bench.servers import Server, daemon

STARLETTE, AIOHTTP = "Starlette", "aiohttp"
_JSON = {"Content-Type": "application/json"}
_NOTE = "the peer answers a constant of the same bytes"


def plain_rows(directory: Path, seconds: int, rounds: int, *, is_whole: bool = True) -> Iterator[Row]:
    """Both at 64 connections.

    Args:
        is_whole: all; else `/health` beside Starlette only.
    """
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(daemon(directory / "plain"))
        bodies = _bodies(ours)
        servers = {OURS: ours, STARLETTE: stack.enter_context(peers.starlette(*bodies))}
        if is_whole:
            servers[AIOHTTP] = stack.enter_context(peers.aiohttp(*bodies))
        notes = dict.fromkeys(servers, _NOTE)
        found = by_turns({name: (server, _health(server)) for name, server in servers.items()}, rounds=rounds, seconds=seconds)
        yield from beside("health", "`/health`, 64 connections", found, notes)
        if is_whole:
            found = by_turns({name: (server, _refused(server)) for name, server in servers.items()}, rounds=rounds, seconds=seconds)
            yield from beside("refused", "401 for no credential, 64 connections", found, notes)


def _health(server: Server) -> Ask:
    return lambda seconds: run(server.url + "/health", connections=64, seconds=seconds)


def _refused(server: Server) -> Ask:
    return lambda seconds: run(server.url + "/webhook", connections=64, seconds=seconds, method="POST", headers=_JSON, body=BODY, expected=401)


def _bodies(server: Server) -> tuple[str, str]:
    """What clawgate answers."""
    with urllib.request.urlopen(server.url + "/health", timeout=10) as answer:
        health = answer.read().decode()
    try:
        urllib.request.urlopen(urllib.request.Request(server.url + "/webhook", BODY.encode(), _JSON), timeout=10).close()
    except urllib.error.HTTPError as refused:
        return health, refused.read().decode()
    raise RuntimeError("a request without a credential was let in")
