"""The configuration of a running daemon: patched, killed, edited by hand (design §4.11, §6)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.daemon import Answer, Daemon, Upstream, settings, until

pytestmark = pytest.mark.acceptance

LINQ = '[channels_config.linq]\napi_token = "linq-token-canary"\nfrom_phone = "+15550001111"\n'
SAVED_AT_START = """
import os, sys
from clawgate.system.configfile import load_settings
from clawgate.tap import run

path = sys.argv[sys.argv.index("--config") + 1]
settings = load_settings(path, os.environ)
with open(path, "r+") as file:
    text = file.read()
    file.seek(0)
    file.write('default_model = "by-hand"\\n' + text)
sys.exit(run(settings))
"""
"""What `clawgate run` does, with a hand that saves when the file has just been read."""


@pytest.fixture
def upstreams() -> Iterator[tuple[Upstream, Upstream]]:
    both = Upstream(), Upstream()
    yield both
    for upstream in both:
        upstream.close()


@pytest.fixture
def daemon(tmp_path: Path, upstreams: tuple[Upstream, Upstream]) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "home", settings(upstreams[0].provider, more=LINQ))
    yield made
    made.close()


def say(daemon: Daemon, text: str) -> str:
    return str(daemon.call("POST", "/webhook", {"message": text}).json["response"])


def patch(daemon: Daemon, what: str, body: object) -> dict[str, object]:
    answer = daemon.call("PATCH", f"/config/{what}", body)
    assert (answer.status, answer.json["ok"]) == (200, True), answer
    return dict(answer.json)


def test_a_patched_provider_is_asked_next_and_after_a_kill(daemon: Daemon, upstreams: tuple[Upstream, Upstream]) -> None:
    before = daemon.config.read_text()
    daemon.start().pair()
    assert say(daemon, "one") == "re one"
    assert patch(daemon, "model", {"provider": upstreams[1].provider})["live"] == ["default_provider"]
    say(daemon, "two")
    daemon.kill()
    daemon.start()
    say(daemon, "three")
    assert [upstream.asked for upstream in upstreams] == [["one"], ["two", "three"]]
    assert before.splitlines()[0] in daemon.config.read_text()
    assert "sk-upstream-canary" not in (daemon.home / "config.runtime.toml").read_text()


def test_a_removed_channel_stays_removed_until_the_file_says_otherwise(daemon: Daemon) -> None:
    daemon.start().pair()
    assert daemon.call("POST", "/linq", {}).status == 401
    patch(daemon, "channels", {"linq": None})
    assert daemon.call("POST", "/linq", {}).status == 404
    assert daemon.stop() == 0
    daemon.start()
    assert daemon.call("POST", "/linq", {}).status == 404
    daemon.config.write_text(daemon.config.read_text().replace("+15550001111", "+15550002222"))
    until(lambda: daemon.call("POST", "/linq", {}).status == 401, "the channel is back")
    until(lambda: not (daemon.home / "config.runtime.toml").exists(), "its tombstone is gone")


def test_a_channel_can_be_added_while_running_and_its_token_is_shown_nowhere(daemon: Daemon) -> None:
    daemon.start().pair()
    assert daemon.call("POST", "/wati", {}).status == 404
    patch(daemon, "channels", {"wati": {"api_token": "wati-token-canary", "webhook_token": "wati-hook-canary"}})
    assert daemon.call("POST", "/wati", {}).status == 401
    shown = daemon.call("GET", "/config").body + daemon.call("GET", "/api/v1/config").body
    everything = shown + (daemon.home / "config.runtime.toml").read_bytes() + daemon.errors.encode()
    assert not any(canary in everything for canary in (b"wati-token", b"wati-hook", b"linq-token", b"sk-upstream"))


def test_a_hand_edit_drops_the_overlays_entry(daemon: Daemon) -> None:
    daemon.start().pair()
    patch(daemon, "model", {"model": "patched"})
    daemon.config.write_text('default_model = "by-hand"\n' + daemon.config.read_text())
    until(lambda: daemon.call("GET", "/config").json["applied"]["default_model"] == "by-hand", "the hand's word counts")
    assert not (daemon.home / "config.runtime.toml").exists()


def test_a_bad_edit_leaves_the_last_good_one_and_says_where(daemon: Daemon) -> None:
    daemon.start().pair()
    good = daemon.config.read_text()
    daemon.config.write_text(good.replace("port = 0", 'port = "x"'))

    def problem() -> str:
        components = daemon.call("GET", "/health").json["runtime"]["components"]
        return str(components.get("config", {}).get("last_error"))

    until(lambda: "gateway.port" in problem(), "the error is told")
    assert say(daemon, "still here") == "re still here"
    daemon.config.write_text(good)
    until(lambda: problem() == "None", "the error is gone")


def test_a_change_through_the_api_keeps_the_files_comments(daemon: Daemon) -> None:
    daemon.config.write_text("# my gateway\n" + daemon.config.read_text())
    daemon.start().pair()
    answer = daemon.call("PUT", "/api/v1/config/autonomy", {"level": "full", "auto_approve": ["a"]})
    assert (answer.status, answer.json["level"]) == (200, "full")
    text = daemon.config.read_text()
    assert text.startswith("# my gateway\n")
    assert 'level = "full"' in text
    assert len(daemon.call("GET", "/api/devices").json["devices"]) == 1


def test_a_secret_that_came_while_running_is_kept_out_of_the_log(daemon: Daemon) -> None:
    secret = "Zq7-plain-looking-words"
    daemon.config.write_text(daemon.config.read_text() + '\n[observability]\nlog_level = "debug"\n')
    daemon.start().pair()
    patch(daemon, "channels", {"wati": {"api_token": secret, "webhook_token": secret + "-2"}})
    daemon.call("GET", f"/nowhere/{secret}?x={secret}")
    daemon.stop()
    assert "/nowhere/" in daemon.printed + daemon.errors
    assert secret not in daemon.printed + daemon.errors


def test_what_a_hand_saves_while_it_starts_is_taken_up(daemon: Daemon) -> None:
    daemon.config.write_text(settings(gateway="require_pairing = false\n"))  # a pairing would write the file, and so have it read
    daemon.command = (sys.executable, "-c", SAVED_AT_START)
    daemon.start()
    until(lambda: daemon.call("GET", "/config").json["applied"]["default_model"] == "by-hand", "the hand's word counts")


def test_a_pairing_beside_a_change_that_takes_its_time_refuses_neither(daemon: Daemon) -> None:
    daemon.start().pair()
    hold, begun, answers = daemon.home / "hold", daemon.home / "begun", list[Answer]()
    hold.touch()
    server = Path(__file__).with_name("mcp_ledger_server.py")
    script = f"touch {begun}; while [ -e {hold} ]; do sleep 0.05; done; exec {sys.executable} {server} {daemon.home / 'ledger'}"
    slow = {"slow": {"command": "/bin/sh", "args": ["-c", script]}}
    patching = threading.Thread(target=lambda: answers.append(daemon.call("PATCH", "/config/mcp-servers", slow)))
    patching.start()
    until(begun.exists, "the server is being started")
    code = daemon.call("POST", "/api/pairing/initiate", {}).json["pairing_code"]
    paired = daemon.call("POST", "/pair", headers={"X-Pairing-Code": code})
    hold.unlink()
    patching.join()
    assert (paired.json["persisted"], [answer.status for answer in answers]) == (True, [200])
    assert len(daemon.call("GET", "/api/devices").json["devices"]) == 2


def test_what_a_shell_has_yet_to_append_is_not_lost_to_a_pairing(daemon: Daemon) -> None:
    """`program >> config.toml`: the file is open long before the program says something."""
    daemon.start()
    hold, opened = daemon.home / "hold", daemon.home / "opened"
    hold.touch()
    script = f"(touch {opened}; while [ -e {hold} ]; do sleep 0.05; done; echo '[appended]') >> {daemon.config}"
    with subprocess.Popen(["/bin/sh", "-c", script]) as hand:
        until(opened.exists, "the shell has opened it")
        daemon.pair()
        hold.unlink()
        assert hand.wait(20) == 0
    assert "[appended]" in daemon.config.read_text()
    until(lambda: "paired_tokens" in daemon.config.read_text(), "the daemon writes when the shell is done")
    assert "[appended]" in daemon.config.read_text()
    assert {name for name in os.listdir(daemon.home) if name.endswith(".tmp")} == set()
