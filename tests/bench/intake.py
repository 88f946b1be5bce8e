"""Row 1, durable intake: nobody waits for the answer, and each message is on disk before its 202."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.bench import peers
from tests.bench.asking import webhook
from tests.bench.load import by_turns
from tests.bench.rows import OURS, Row, beside
from tests.bench.servers import canned_upstream, daemon

FASTAPI = "FastAPI"
_RUNNING = "clawgate runs the accepted turns meanwhile against the canned upstream; FastAPI only writes the message down"
_PAUSED = "neither runs a turn"


def intake_rows(directory: Path, seconds: int, rounds: int, *, is_whole: bool = True) -> Iterator[Row]:
    """While the accepted turns run against an upstream, and with dispatch paused.

    Args:
        is_whole: both; else the first one only.
    """
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(canned_upstream())
        ours = stack.enter_context(daemon(directory / "running", upstream=upstream.url))
        theirs = stack.enter_context(peers.fastapi(directory / "fastapi"))
        accepting = webhook(theirs, 64, is_async=True)
        contenders = {OURS: (ours, webhook(ours, 64, is_async=True, is_drained=True)), FASTAPI: (theirs, accepting)}
        found = by_turns(contenders, rounds=rounds, seconds=seconds)
        yield from beside("intake", "durable intake, 64 connections, turns running", found, {FASTAPI: _RUNNING})
    if not is_whole:
        return
    with daemon(directory / "paused", is_paused=True) as ours, peers.fastapi(directory / "fastapi2") as theirs:
        contenders = {OURS: (ours, webhook(ours, 64, is_async=True)), FASTAPI: (theirs, webhook(theirs, 64, is_async=True))}
        found = by_turns(contenders, rounds=rounds, seconds=seconds)
        yield from beside("intake-paused", "durable intake, 64 connections, dispatch paused", found, {FASTAPI: _PAUSED})
