"""`clawgate run` and the commands that talk to it, as real processes on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from clawgate.system.control import CONTROL_SOCKET, DAEMON_FILE

pytestmark = pytest.mark.acceptance
DEADLINE_SECONDS = 60
Command = Callable[..., "subprocess.CompletedProcess[str]"]


class Running(NamedTuple):
    """A daemon, where it answers, the code it printed, and how to run a command of its operator."""

    process: subprocess.Popen[str]
    url: str
    code: str
    state_dir: Path
    clawgate: Command


@pytest.fixture(params=["short", "long"])
def running(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    home = tmp_path if request.param == "short" else tmp_path / ("d" * 100)
    home.mkdir(exist_ok=True)
    clawgate = commands(home)
    assert clawgate("init").returncode == 0
    log = (home / "log").open("w")
    arguments = [sys.executable, "-m", "clawgate", "run", "--port", "0", "--provider", "offline"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=log, text=True, env=environment(home), cwd=home)

    deadline = threading.Timer(DEADLINE_SECONDS, process.kill)
    deadline.start()
    try:
        url, code = read_banner(process)
        yield Running(process, url, code, home / ".clawgate" / "state", clawgate)
    finally:
        deadline.cancel()
        process.kill()
        process.communicate(timeout=DEADLINE_SECONDS)
        log.close()


def environment(home: Path) -> dict[str, str]:
    inherited = {name: os.environ.get(name, "") for name in ("PATH", "PYTHONPATH")}
    return inherited | {"HOME": str(home), "PYTHONIOENCODING": "utf-8"}


def commands(home: Path) -> Command:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "clawgate", *arguments],
            capture_output=True,
            text=True,
            env=environment(home),
            cwd=home,
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    return run


def read_banner(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Address and code, read from stdout until both were there; a daemon that ends instead fails the test."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if match := re.search(r"listening on (http://\S+)\n(?s:.*)X-Pairing-Code: (\d{6})\n", text):
            return match[1], match[2]
    raise AssertionError(f"the daemon ended: {text}")


def post(url: str, headers: dict[str, str], body: object = None) -> dict[str, object]:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}, method="POST")
    with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as response:
        answer: dict[str, object] = json.load(response)
    return answer


def test_the_printed_code_pairs_and_the_operator_sees_lists_and_revokes_the_device(running: Running) -> None:
    token = post(f"{running.url}/pair", {"X-Pairing-Code": running.code})["token"]
    asked = post(f"{running.url}/webhook", {"Authorization": f"Bearer {token}"}, {"message": "/echo over http"})
    assert "over http" in str(asked["response"])

    (device,) = json.loads(running.clawgate("devices", "list", "--json").stdout)["devices"]
    assert "Revoked" in running.clawgate("devices", "revoke", device["id"][:8]).stdout
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        post(f"{running.url}/webhook", {"Authorization": f"Bearer {token}"}, {"message": "again"})
    refused.value.close()


def test_a_message_sent_by_the_operator_is_answered_and_found_in_the_inbox(running: Running) -> None:
    sent = running.clawgate("send", "/echo by hand", "--key", "k1")
    assert (sent.returncode, "by hand" in sent.stdout) == (0, True)
    assert running.clawgate("send", "/echo by hand", "--key", "k1").stdout == sent.stdout
    (item,) = json.loads(running.clawgate("inbox", "list", "--since", "1h", "--json").stdout)["items"]
    assert (item["state"], item["message"]) == ("done", "/echo by hand")
    assert running.clawgate("inbox", "retry", item["id"]).returncode == 1


def test_a_code_with_scopes_gives_a_token_with_those_scopes(running: Running) -> None:
    made = running.clawgate("pair", "--scope", "read", "--name", "panel", "--json")
    answer = post(f"{running.url}/pair", {"X-Pairing-Code": json.loads(made.stdout)["pairing_code"]})
    assert answer["scopes"] == ["read"]


def test_status_and_doctor_are_well_and_files_are_the_operators_own(running: Running) -> None:
    assert running.url in running.clawgate("status").stdout
    assert running.clawgate("doctor").returncode == 0
    modes = {name: stat.S_IMODE((running.state_dir / name).stat().st_mode) for name in (CONTROL_SOCKET, DAEMON_FILE)}
    assert modes == {CONTROL_SOCKET: 0o600, DAEMON_FILE: 0o600}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_daemon_ends_with_0_and_leaves_no_address_behind(running: Running, number: signal.Signals) -> None:
    running.process.send_signal(number)
    assert running.process.wait(DEADLINE_SECONDS) == 0
    assert not (running.state_dir / DAEMON_FILE).exists()
    after = running.clawgate("status")
    assert (after.returncode, "clawgate run" in after.stderr) == (69, True)


def test_a_second_daemon_on_the_same_state_is_refused_and_harms_nothing(running: Running) -> None:
    second = running.clawgate("run", "--port", "0")
    assert (second.returncode, "another clawgate" in second.stderr) == (78, True)
    assert running.clawgate("status").returncode == 0


def test_the_audit_log_is_verified_by_the_daemon_and_without_it(running: Running) -> None:
    running.clawgate("pair", "--name", "phone")
    noted = running.clawgate("audit", "head").stdout.strip()
    assert running.clawgate("audit", "verify", "--head", noted).returncode == 0
    running.process.terminate()
    assert running.process.wait(DEADLINE_SECONDS) == 0
    assert running.clawgate("audit", "verify", "--head", noted).returncode == 0
    with contextlib.closing(sqlite3.connect(running.state_dir / "clawgate.db", isolation_level=None)) as connection:
        connection.executescript("DROP TRIGGER audit_is_not_changed; UPDATE audit SET actor = 'nobody' WHERE seq = 2")
    tampered = running.clawgate("audit", "verify")
    assert (tampered.returncode, "BROKEN at entry 2:" in tampered.stdout) == (1, True)
