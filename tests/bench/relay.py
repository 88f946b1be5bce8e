"""Row 2, relay: somebody waits for the answer of a model server that answers at once."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from tests.bench import peers
from tests.bench.asking import BODY, webhook
from tests.bench.load import Ask, by_turns, run
from tests.bench.rows import OURS, Row, Side, beside
from tests.bench.servers import Server, canned_upstream, daemon

FASTAPI, LITELLM, DIRECT = "FastAPI + httpx", "LiteLLM", "upstream"
_COMPLETION = json.dumps({"model": "canned", "messages": [{"role": "user", "content": json.loads(BODY)["message"]}]})
_NOTES = {
    FASTAPI: "the same writes, on disk before the answer; clawgate needs one commit for both where the answer comes within 2 ms",
    LITELLM: "LiteLLM writes nothing down",
}
_ADDED = "over the p50 of asking the upstream itself"


def relay_rows(directory: Path, seconds: int, rounds: int, *, is_whole: bool = True) -> Iterator[Row]:
    """At 1, 16 and 64 connections, LiteLLM's proxy at the first two.

    Args:
        is_whole: all of that; else 16 connections without LiteLLM.
    """
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(canned_upstream())
        ours = stack.enter_context(daemon(directory / "relay", upstream=upstream.url))
        theirs = stack.enter_context(peers.fastapi(directory / "fastapi", upstream.url))
        proxy = stack.enter_context(peers.litellm(directory / "litellm", upstream.url)) if is_whole else None
        for connections in (1, 16, 64) if is_whole else (16,):
            contenders = {
                OURS: (ours, webhook(ours, connections, is_async=False)),
                FASTAPI: (theirs, webhook(theirs, connections, is_async=False, path="/ask")),
                DIRECT: (upstream, completion(upstream, "", connections)),
            }
            if proxy is not None and connections < 64:
                contenders[LITELLM] = (proxy, completion(proxy, "/v1", connections))
            yield from _rows(connections, by_turns(contenders, rounds=rounds, seconds=seconds))


def completion(server: Server, prefix: str, connections: int) -> Ask:
    """OpenAI's chat completions."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {server.token}"}
    url = f"{server.url}{prefix}/chat/completions"
    return lambda seconds: run(url, connections=connections, seconds=seconds, method="POST", headers=headers, body=_COMPLETION)


def _rows(connections: int, found: dict[str, Side]) -> Iterator[Row]:
    direct = found.pop(DIRECT)
    at = f"{connections} connection{'s' if connections > 1 else ''}"
    yield from beside(f"relay-{connections}", f"relay, {at}", found, _NOTES)
    if connections == 1:
        ours, theirs = (Side((found[name].p50_ms or 0.0) - (direct.p50_ms or 0.0)) for name in (OURS, FASTAPI))
        yield Row("relay-added", "latency that the relay adds, 1 connection, p50", "ms", ours, FASTAPI, theirs, _ADDED)
    yield Row(
        f"upstream-{connections}", f"the canned upstream itself, {at}", "req/s", direct, note="asked by the load directly: it is not the bottleneck"
    )
