"""A stranger lets themselves in on a channel: a real daemon, the operator's command, a real config.toml, and a kill."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

from tests.acceptance.daemon import Daemon, settings, until

pytestmark = pytest.mark.acceptance
DEADLINE_SECONDS = 60
SECRET = "bot-secret-of-the-test"
CHANNEL = f"""
[channels_config.nextcloud_talk] # ours
base_url = "http://127.0.0.1:9"
app_token = "t"
webhook_secret = "{SECRET}"
allowed_users = ["ada"] # friends
"""


def says(daemon: Daemon, text: str, number: int, sender: str = "bob") -> tuple[int, str]:
    note = {"type": "Note", "id": str(number), "name": "message", "content": json.dumps({"message": text})}
    body = json.dumps({"type": "Create", "actor": {"type": "Person", "id": f"users/{sender}"}, "object": note, "target": {"id": "room"}}).encode()
    random = f"{number:064}"
    signature = hmac.new(SECRET.encode(), random.encode() + body, hashlib.sha256).hexdigest()
    answer = daemon.call("POST", "/nextcloud-talk", body, {"X-Nextcloud-Talk-Random": random, "X-Nextcloud-Talk-Signature": signature})
    return answer.status, str(answer.json["status"])


def code_of(daemon: Daemon) -> str:
    command = [sys.executable, "-m", "clawgate", "channels", "pair", "--channel", "nextcloud_talk", "--config", str(daemon.config)]
    environ = {"HOME": str(daemon.home), "PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, env=environ, check=True)
    found = re.search(r"Pairing code: (\w{4}-\w{4}) ", done.stdout)
    assert found is not None, done.stdout
    return found[1]


def questions(daemon: Daemon) -> list[str]:
    return [item["message"] for item in reversed(daemon.call("GET", "/api/inbox").json["items"])]


def test_claim_is_written_into_the_file_and_lasts(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "gate", settings(more=CHANNEL))
    try:
        daemon.start().pair()
        assert says(daemon, "hi", 1) == (200, "ok")
        assert says(daemon, "/bind 0000-0000", 2) == (200, "ok")
        assert says(daemon, f"/claim {code_of(daemon)}", 3) == (200, "ok")
        section = tomli.loads(daemon.config.read_text())["channels_config"]
        assert (section["nextcloud_talk"]["allowed_users"], section["approval_owners"]) == (["ada", "bob"], ["bob"])
        assert "# friends" in daemon.config.read_text()
        assert says(daemon, "hello", 4) == (200, "ok")
        daemon.kill()
        daemon.start()
        assert says(daemon, "hello", 4) == (200, "duplicate")
        assert says(daemon, "hello again", 5) == (200, "ok")
        until(lambda: questions(daemon) == ["/bind", "/claim", "hello", "hello again"], "what was accepted is listed")
    finally:
        daemon.close()
