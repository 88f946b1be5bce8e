"""What every kind of fuzzing shares: how long it goes on, the daemon that it is done to, and what has to be so afterwards."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.acceptance.daemon import Daemon, settings, until

SECONDS = float(os.environ.get("CLAWGATE_FUZZ_SECONDS", "0"))
"""How long each kind goes on; 0 = the few, always equal cases of an ordinary test run."""
SEED = int(os.environ.get("CLAWGATE_FUZZ_SEED", "0")) or (int(time.time()) if SECONDS else 1)
"""Of a long run: another one each time, printed when something fails."""
GROWTH_KIB = 64 * 1024
"""What a daemon may grow by while it is fuzzed: its caches fill."""
_TROUBLE = re.compile(r"Traceback|Unhandled|the handler broke|critical clawgate|^\S+ error ", re.MULTILINE)

MORE = """
[nodes]
enabled = true
auth_token = "node-secret"
[terminal]
enabled = true
shell = "/bin/cat"
max_terminals = 100
max_per_caller = 100
[tasks]
enabled = true
[cron]
enabled = true
[knowledge]
enabled = true
[hooks.ci]
scheme = "github"
secret = "hook-secret-hook-secret"
"""


def rounds(few: int, share: float = 1.0) -> Iterator[int]:
    """Numbers from 0: `few` of them, or in a long run as many as this share of its time allows."""
    end = time.monotonic() + SECONDS * share
    number = 0
    while time.monotonic() < end if SECONDS else number < few:
        yield number
        number += 1


def fuzzed(home: Path, **env: str) -> Daemon:
    """A paired daemon in which everything is switched on; the caller closes it."""
    daemon = Daemon(home, settings(more=MORE), env=env)
    daemon.start().pair()
    return daemon


def sockets_of(daemon: Daemon) -> int:
    """Sockets of the daemon, those that listen among them."""
    assert daemon.process is not None
    found = 0
    for name in os.listdir(f"/proc/{daemon.process.pid}/fd"):
        try:
            found += os.readlink(f"/proc/{daemon.process.pid}/fd/{name}").startswith("socket:")
        except OSError:
            continue
    return found


def trouble(daemon: Daemon) -> list[str]:
    """Lines of its log that tell of an error of ours."""
    return [line for line in daemon.errors.splitlines() if _TROUBLE.search(line)]


def report(what: str, count: int, kinds: object) -> None:
    """Figures of a long run, for whoever watches it."""
    if SECONDS:
        sys.stderr.write(f"{what}: seed {SEED}, {count} answers {kinds}\n")


class Watch:
    """How a daemon was before; `check` says whether it still is."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon, self.rss, self.sockets = daemon, daemon.rss_kib(), sockets_of(daemon)

    def answers(self) -> None:
        """Fails unless a new connection is served at once. By the second answer the daemon has read what was sent to it before the first."""
        for _ in range(2):
            assert self.daemon.call("GET", "/health").status == 200, f"seed {SEED}"

    def check(self, what: str = "") -> None:
        """Fails unless it answers, has said nothing of an error, has let go of every connection and has not grown."""
        told = f"seed {SEED} {what}"
        assert self.daemon.process is not None and self.daemon.process.poll() is None, told
        assert self.daemon.call("GET", "/health").status == 200, told
        assert trouble(self.daemon) == [], told
        until(lambda: sockets_of(self.daemon) <= self.sockets, f"every connection is let go of; {told}", 20)
        assert self.daemon.rss_kib() - self.rss < GROWTH_KIB, told
