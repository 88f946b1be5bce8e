"""`clawgate subscriptions`, `audit` and `inbox show` as an operator types them, at a live daemon and after it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.daemon import DEADLINE_SECONDS, Daemon, settings, until

pytestmark = pytest.mark.acceptance
NOBODY = "http://127.0.0.1:9/events"
SECTION = f"""
[subscriptions.ops]
url = "{NOBODY}"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
allow_private = true
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("operator"), settings(more=SECTION))
    try:
        daemon.start().pair()
        yield daemon
    finally:
        daemon.close()


def run(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: os.environ.get(name, "") for name in ("PATH", "PYTHONPATH")}
    return subprocess.run(
        [sys.executable, "-m", "clawgate", *words, "--config", str(daemon.config)],
        capture_output=True,
        text=True,
        env=inherited | {"HOME": str(daemon.home), "PYTHONIOENCODING": "utf-8", "COLUMNS": "200"},
        cwd=daemon.home,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def said(daemon: Daemon, *words: str) -> str:
    done = run(daemon, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(daemon: Daemon) -> Any:  # JSON
    return json.loads(said(daemon, "subscriptions", "show", "ops", "--json"))


def test_a_subscription_is_looked_at_tried_paused_resumed_and_emptied(daemon: Daemon) -> None:
    name = re.search(r"In its line as (msg_\w+)\.", said(daemon, "subscriptions", "test", "ops"))
    assert name is not None
    until(lambda: shown(daemon)["last_error"], "it was tried")
    assert re.search(r"^ops +active +1 +\S.* not_connected\s*$", said(daemon, "subscriptions", "list"), re.M)
    page = said(daemon, "subscriptions", "show", "ops")
    assert re.search(rf"^\S.* subscription_test +\d +\d+ .*not_connected +{name[1]}\s*$", page, re.M)
    assert "http://127.0.0.1:9/…" in page
    assert said(daemon, "subscriptions", "pause", "ops") == "ops is now paused, 1 events wait.\n"
    tried = len(shown(daemon)["recent_attempts"])
    assert said(daemon, "subscriptions", "resume", "ops") == "ops is now active, 1 events wait.\n"
    until(lambda: len(shown(daemon)["recent_attempts"]) > tried, "it was tried again, at once")
    assert said(daemon, "subscriptions", "drop", "ops") == "1 events are gone.\n"
    assert (shown(daemon)["queued"], shown(daemon)["delivered"]) == (0, 0)


def test_a_subscription_that_does_not_exist_is_named_and_no_traceback_is_shown(daemon: Daemon) -> None:
    for command in ("show", "pause", "resume", "test", "drop"):
        refused = run(daemon, "subscriptions", command, "nobody")
        assert (refused.returncode, "there is no subscription nobody" in refused.stderr, "Traceback" in refused.stderr) == (1, True, False)


def test_a_message_is_shown_with_its_attempts(daemon: Daemon) -> None:
    item = daemon.tell("/echo once").json["id"]
    until(lambda: daemon.call("GET", f"/api/inbox/{item}").json["state"] == "done", "it is done")
    page = said(daemon, "inbox", "show", item)
    assert re.search(r"^NO +STARTED +MS +OUTCOME", page, re.M)
    assert re.search(r"^1 +\S.* completed\b", page, re.M)
    assert "message:\n/echo once" in page
    (attempt,) = json.loads(said(daemon, "inbox", "show", item, "--json"))["attempt_history"]
    assert attempt["number"] == 1


def test_the_audit_log_is_shown_and_verified_with_and_without_a_daemon(daemon: Daemon) -> None:
    """The last test here: it stops the daemon."""
    said(daemon, "pair", "--name", "phone")
    said(daemon, "subscriptions", "pause", "ops")
    rows = said(daemon, "audit", "show", "--limit", "20")
    assert re.search(r"^\d+ +\S.* code_issued +ok +operator", rows, re.M)
    (entry,) = json.loads(said(daemon, "audit", "show", "--action", "gateway_started", "--json"))["entries"]
    assert (entry["seq"], entry["action"]) == (1, "gateway_started")
    assert said(daemon, "audit", "show", "--action", "locked_out") == "No entries.\n"
    noted = said(daemon, "audit", "head").strip()
    assert "The audit log is intact" in said(daemon, "audit", "verify", "--head", noted)
    wrong = noted.partition(":")[0] + ":" + "0" * 64
    broken = run(daemon, "audit", "verify", "--head", wrong)
    assert (broken.returncode, "BROKEN" in broken.stdout) == (1, True)
    assert run(daemon, "audit", "verify", "--head", "nonsense").returncode == 64

    assert daemon.stop() == 0
    assert "The audit log is intact" in said(daemon, "audit", "verify", "--head", noted)
    assert run(daemon, "audit", "verify", "--head", wrong).returncode == 1
    assert run(daemon, "subscriptions", "list").returncode == 69
