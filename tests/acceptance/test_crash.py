"""`kill -9` under load, again and again: nothing acknowledged is lost, nothing has two outcomes (design §1, §6)."""

from __future__ import annotations

import http.client
import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon import Answer, Daemon, Upstream, settings, until

pytestmark = pytest.mark.acceptance
ROUNDS = int(os.environ.get("CLAWGATE_CRASH_ROUNDS", "5"))
THREADS = 6


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    made.delay_seconds = 0.02
    yield made
    made.close()


class Load:
    """Threads that send messages until the daemon is gone. Every third has a key, every third a conversation of its thread."""

    def __init__(self, daemon: Daemon, from_number: int) -> None:
        self.acknowledged: list[tuple[str, str, str | None]] = []
        self.sent: list[tuple[str, str | None]] = []
        self.numbers = [from_number + 100_000 * thread for thread in range(THREADS)]
        self._daemon, self._stopped = daemon, threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(thread,), daemon=True) for thread in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def _work(self, thread: int) -> None:
        while not self._stopped.is_set():
            number = self.numbers[thread] = self.numbers[thread] + 1
            key = f"key-{thread}-{number}" if number % 3 == 0 else None
            session = f"session-{thread}" if number % 3 == 1 else None
            text = f"{session or 'alone'} {number}"
            named = {"Idempotency_Key": key, "Session_Id": session}
            self.sent.append((text, key))
            try:
                answer = self._daemon.tell(text, **{name: value for name, value in named.items() if value is not None})
            except (OSError, http.client.HTTPException, ValueError, AssertionError):
                return
            if answer.status == 202:
                self.acknowledged.append((answer.json["id"], text, key))

    def end(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)


def outcome(daemon: Daemon, item_id: str) -> Answer:
    return daemon.call("GET", f"/api/inbox/{item_id}")


def test_nothing_acknowledged_is_lost_to_kill_9(tmp_path: Path, upstream: Upstream) -> None:
    daemon = Daemon(
        tmp_path, settings(upstream.provider, "idempotency_ttl_secs = 86400\nidempotency_max_keys = 1000000", "[agent]\nmax_concurrent_turns = 16")
    )
    acknowledged: list[tuple[str, str, str | None]] = []
    number = 0
    try:
        daemon.start().pair()
        for round_number in range(ROUNDS):
            load = Load(daemon, number)
            count = 40 + 35 * round_number % 120
            until(lambda load=load, count=count: len(load.acknowledged) >= count, "messages are acknowledged")  # type: ignore[misc]  # bound in the loop
            time.sleep(0.013 * round_number)
            daemon.kill()
            load.end()
            number = max(one % 100_000 for one in load.numbers) + 1
            acknowledged += load.acknowledged
            daemon.start()
        audit(daemon, upstream, acknowledged)
    finally:
        daemon.close()


def audit(daemon: Daemon, upstream: Upstream, acknowledged: list[tuple[str, str, str | None]]) -> None:
    """One outcome for each acknowledged message, its own; its key gives the same one; conversations kept their order."""
    assert len({item_id for item_id, _, _ in acknowledged}) == len(acknowledged) >= 40 * ROUNDS
    until(lambda: "inbox_oldest_seconds 0.0" in daemon.call("GET", "/metrics").body.decode(), "the backlog is worked off", 120)
    until(lambda: not open_items(daemon), "nothing is open", 120)
    wrong = [(text, shown) for item_id, text, _ in acknowledged if (shown := outcome(daemon, item_id).json)["response"] != f"re {text}"]
    assert wrong == []
    for item_id, text, key in acknowledged:
        if key is not None:
            again = daemon.call("POST", "/webhook", {"message": "another text"}, {"X-Idempotency-Key": key})
            assert (again.json["idempotent"], again.json["response"]) == (True, f"re {text}"), item_id
    firsts: dict[str, list[int]] = defaultdict(list)
    for text in dict.fromkeys(upstream.asked):
        session, _, number = text.partition(" ")
        if session != "alone":
            firsts[session].append(int(number))
    assert len(firsts) == THREADS
    assert [session for session, order in firsts.items() if order != sorted(order)] == []


def open_items(daemon: Daemon) -> list[object]:
    return list(daemon.call("GET", "/api/inbox?state=received,running,waiting&limit=5").json["items"])


def test_a_kill_while_starting_harms_nothing(tmp_path: Path, upstream: Upstream) -> None:
    daemon = Daemon(tmp_path, settings(upstream.provider))
    try:
        daemon.start().pair()
        told = [daemon.tell(f"message {number}").json["id"] for number in range(20)]
        daemon.kill()
        for delay in (0.05, 0.2, 0.4, 0.6):
            process = daemon.spawn()
            threading.Event().wait(delay)
            process.kill()
            process.wait(30)
        daemon.start()
        until(lambda: not open_items(daemon), "nothing is open")
        assert {outcome(daemon, item_id).json["state"] for item_id in told} == {"done"}
        assert re.search(r'paired_tokens = \["[0-9a-f]{64}"\]', daemon.config.read_text())
    finally:
        daemon.close()
