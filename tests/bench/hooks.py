"""Row 3, signed hooks: each delivery is another one, signed with HMAC-SHA256 over its whole body."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.bench import peers
from tests.bench.load import Ask, Load, by_turns, run
from tests.bench.rows import OURS, Row, beside
from tests.bench.servers import Server, daemon

FASTAPI, WEBHOOK = "FastAPI", "webhook (Go)"
SIZES = {"1k": 1024, "60k": 60 * 1024}
_A_SECOND = {"1k": 8_000, "60k": 4_000}
"""More deliveries than anybody who remembers them takes in a second here; who takes more sees the first ones again."""
_CONFIG = f"""
[hooks.bench]
verify = "hmac"
secrets = ["{peers.HOOK_SECRET}"]
prefix = "sha256="
message = "Delivery {{number}}"
rate_limit_per_minute = 0
"""
_NOTES = {
    FASTAPI: "verifies and writes the delivery down, without repeats, as clawgate does; neither runs a turn",
    WEBHOOK: "verifies and starts nothing, since a second rule does not match; it writes nothing down and knows no repeats",
}
_NUMBERS = itertools.count()
_SCRIPT = """
local filler, signatures, at = FILLER, {}, 0
for line in io.lines("PATH") do signatures[#signatures + 1] = line end
function request()
  local number = string.format("%012d", FIRST + at)
  wrk.headers["X-Signature"] = "sha256=" .. signatures[at + 1]
  at = (at + 1) % #signatures
  return wrk.format("POST", nil, nil, filler .. number .. "}")
end
"""


def hook_rows(directory: Path, seconds: int, rounds: int) -> Iterator[Row]:
    """At 64 connections, beside FastAPI and Debian's webhook."""
    for size in SIZES:
        with contextlib.ExitStack() as stack:
            servers = {
                OURS: stack.enter_context(daemon(directory / size, _CONFIG, is_paused=True)),
                FASTAPI: stack.enter_context(peers.fastapi(directory / f"fastapi-{size}")),
                WEBHOOK: stack.enter_context(peers.go_webhook(directory / f"webhook-{size}")),
            }
            _check(servers[WEBHOOK])
            contenders = {name: (server, deliver(server, size, 200 if name == WEBHOOK else 202)) for name, server in servers.items()}
            found = by_turns(contenders, rounds=rounds, seconds=seconds)
            yield from beside(f"hook-{size}", f"signed hook, {SIZES[size] // 1024} KiB, 64 connections", found, _NOTES)


def filler(size: str) -> str:
    """A delivery's body up to its number, which ends it."""
    head = '{"event": "bench", "filler": "", "number": 1'  # JSON has no numbers with leading zeros
    return head.replace('""', '"' + "x" * (SIZES[size] - len(head) - 13) + '"')


def signatures(start: str, numbers: range) -> Iterator[str]:
    """Of the deliveries with these numbers."""
    common = hmac.new(peers.HOOK_SECRET.encode(), start.encode(), hashlib.sha256)
    for number in numbers:
        own = common.copy()
        own.update(b"%012d}" % number)
        yield own.hexdigest()


def deliver(server: Server, size: str, expected: int) -> Ask:
    """Deliveries that nobody has seen before."""
    start = filler(size)

    def ask(seconds: int) -> Load:
        count = _A_SECOND[size] * seconds
        first = next(_NUMBERS) * 10_000_000
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "signatures")
            path.write_text("\n".join(signatures(start, range(first, first + count))))
            values = {"FILLER": f"'{start}'", "PATH": str(path), "FIRST": str(first)}
            script = _SCRIPT
            for name, value in values.items():
                script = script.replace(name, value)
            headers = {"Content-Type": "application/json"}
            return run(server.url + "/hooks/bench", connections=64, seconds=seconds, headers=headers, expected=expected, script=script)

    return ask


def _check(webhook: Server) -> None:
    """That the peer does look at signatures: a second rule that does not match gives a 200, a wrong signature a 500.

    Raises:
        RuntimeError: it answers otherwise.
    """
    start = filler("1k")
    body = f"{start}{0:012d}}}".encode()
    for signature, expected in ((next(signatures(start, range(1))), 200), ("0" * 64, 500)):
        headers = {"Content-Type": "application/json", "X-Signature": f"sha256={signature}"}
        try:
            with urllib.request.urlopen(urllib.request.Request(webhook.url + "/hooks/bench", body, headers), timeout=10) as answer:
                status = answer.status
        except urllib.error.HTTPError as refused:
            status = refused.code
        if status != expected:
            raise RuntimeError(f"webhook answers {status} instead of {expected}")
