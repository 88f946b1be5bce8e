"""A long backlog does not slow intake down, and is then worked off in order (design §1, §6)."""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.daemon import DEADLINE_SECONDS, Daemon, Upstream, ask_on, settings, until

pytestmark = pytest.mark.acceptance
MESSAGES = int(os.environ.get("CLAWGATE_BACKLOG", "3000"))
THREADS = 4


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.close()


def told(daemon: Daemon, first: int, count: int) -> float:
    """Sends numbered messages of one conversation each thread, over kept-alive connections; messages per second."""
    parts = urlsplit(daemon.url)
    headers = {"Authorization": f"Bearer {daemon.token}", "Prefer": "respond-async"}
    failures: list[object] = []

    def work(thread: int) -> None:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=DEADLINE_SECONDS)
        for number in range(first + thread, first + count, THREADS):
            answer = ask_on(connection, "POST", "/webhook", {"message": f"s{thread} {number}"}, headers | {"X-Session-Id": f"s{thread}"})
            if answer.status != 202:
                failures.append(answer)
        connection.close()

    threads = [threading.Thread(target=work, args=(thread,), daemon=True) for thread in range(THREADS)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS * 4)
    assert failures == []
    return count / (time.monotonic() - started)


def test_intake_keeps_its_rate_over_a_backlog_that_is_then_worked_off_in_order(tmp_path: Path, upstream: Upstream) -> None:
    daemon = Daemon(tmp_path, settings(upstream.provider, more="[agent]\nhistory_messages = 0\nturn_timeout_secs = 3600"))
    upstream.gate.clear()
    try:
        daemon.start().pair()
        sample = MESSAGES // 6
        told(daemon, 0, 200)
        empty = told(daemon, 200, sample)
        told(daemon, 200 + sample, MESSAGES)
        full = told(daemon, 200 + sample + MESSAGES, sample)
        assert full > empty / 2, f"{full:.0f} a second over {MESSAGES} messages, {empty:.0f} before"
        asked_already = len(upstream.asked)
        assert asked_already <= THREADS
        upstream.gate.set()
        total = 200 + 2 * sample + MESSAGES
        until(lambda: len(upstream.asked) >= total, "the backlog is worked off", 300)
        for thread in range(THREADS):
            numbers = [int(text.split()[1]) for text in upstream.asked if text.startswith(f"s{thread} ")]
            assert numbers == sorted(numbers)
        assert len(set(upstream.asked)) == len(upstream.asked) == total
    finally:
        daemon.close()


def test_a_caller_is_answered_while_a_backlog_waits(tmp_path: Path, upstream: Upstream) -> None:
    daemon = Daemon(tmp_path, settings(upstream.provider, more="[agent]\nmax_concurrent_turns = 4"))
    upstream.gate.clear()
    try:
        daemon.start().pair()
        for number in range(200):
            assert daemon.tell(f"backlog {number}").status == 202
        until(lambda: len(upstream.asked) == 3, "the backlog has its share of the slots")
        upstream.delay_seconds = 0.05
        upstream.gate.set()
        for session in ({}, {"X-Session-Id": "s"}):
            answer = daemon.call("POST", "/webhook", {"message": "now"}, session)
            assert answer.json["response"] == "re now"
        assert len(upstream.asked) < 150
    finally:
        daemon.close()
