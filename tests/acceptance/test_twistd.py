"""Living under twistd and under the other entry points (design §7), as real processes."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import stat
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.daemon import DEADLINE_SECONDS, TWISTD, Answer, Daemon, Upstream, ask_on, settings, until

pytestmark = pytest.mark.acceptance
Make = Callable[..., Daemon]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Daemon] = []

    def new(config: str = "", name: str = "home", **more: object) -> Daemon:
        made.append(Daemon(tmp_path / name, config, **more))  # type: ignore[arg-type]  # as Daemon
        return made[-1]

    yield new
    for daemon in made:
        daemon.close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.close()


def in_background(work: Callable[[], Answer]) -> Callable[[], Answer]:
    """Starts `work` in a thread; what is returned waits for its answer."""
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(work()), daemon=True)
    thread.start()

    def wait() -> Answer:
        thread.join(DEADLINE_SECONDS)
        assert answers, "no answer"
        return answers[0]

    return wait


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


# --- the first minute


def test_a_first_run_pairs_and_answers(make: Make) -> None:
    daemon = make().start()
    daemon.pair()
    answer = daemon.call("POST", "/webhook", {"message": "hello"})
    assert (answer.status, "hello" in answer.json["response"]) == (200, True)
    assert daemon.stop() == 0


def test_the_banner_names_the_real_address_before_the_code(make: Make) -> None:
    daemon = make().start()
    code, printed = daemon.code(), daemon.printed
    assert printed.index(f"listening on {daemon.url}") < printed.index("PAIRING REQUIRED")
    assert f"curl -s -X POST {daemon.url}/pair -H 'X-Pairing-Code: {code}'" in printed
    assert f"curl -s {daemon.url}/webhook" in printed


def test_no_secret_is_in_the_log(make: Make, upstream: Upstream) -> None:
    daemon = make(settings(upstream.provider, more="[observability]\nlog_level = 'debug'")).start("--host", "127.0.0.1")
    code = daemon.code()
    token = daemon.pair()
    daemon.call("POST", "/webhook", {"message": "the-message-canary"})
    daemon.call("GET", "/health", headers={"Authorization": "Bearer zc_" + "0" * 64})
    daemon.call("POST", f"/webhook?token={token}", {"message": "x"})
    daemon.call("POST", "/pair", headers={"X-Pairing-Code": "000000"})
    assert daemon.stop() == 0
    log = "\n".join(line for line in (daemon.printed + daemon.errors).splitlines() if re.match(r"\d{4}-\d\d-\d\dT", line))
    assert "listening on" in log
    found = [
        name for name, secret in (("token", token), ("code", code), ("key", "sk-upstream-canary"), ("body", "the-message-canary")) if secret in log
    ]
    assert found == []


def test_tokens_and_items_outlive_a_restart(make: Make) -> None:
    daemon = make().start()
    daemon.pair()
    told = daemon.tell("hello", Idempotency_Key="k").json["id"]
    until(lambda: daemon.call("GET", f"/api/inbox/{told}").json["state"] == "done", "it is done")
    assert daemon.stop() == 0
    daemon.start()
    again = daemon.call("POST", "/webhook", {"message": "hello"}, {"X-Idempotency-Key": "k"})
    assert (again.status, again.json["idempotent"]) == (200, True)
    assert "PAIRING REQUIRED" not in daemon.printed


@pytest.mark.parametrize(
    "command", [(sys.executable, str(Path(sys.executable).with_name("clawgate")), "run"), (sys.executable, "-m", "clawgate", "run")]
)
def test_the_other_entry_points_do_the_same(make: Make, command: tuple[str, ...]) -> None:
    daemon = make(command=command).start()
    daemon.pair()
    assert daemon.call("POST", "/webhook", {"message": "hello"}).status == 200
    assert daemon.stop() == 0


# --- the end


def test_sigterm_lets_the_turn_under_way_finish(make: Make, upstream: Upstream) -> None:
    daemon = make(settings(upstream.provider)).start()
    daemon.pair()
    upstream.gate.clear()
    answer = in_background(lambda: daemon.call("POST", "/webhook", {"message": "hi"}))
    until(lambda: upstream.asked, "the agent is asked")
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    until(lambda: "SIGTERM" in daemon.printed, "the stop begins")
    upstream.gate.set()
    assert (answer().json["response"], daemon.ended()) == ("re hi", 0)


def is_refused(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, DEADLINE_SECONDS).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_kept_alive_connection_is_told_to_come_back_while_draining(make: Make, upstream: Upstream) -> None:
    daemon = make(settings(upstream.provider)).start()
    daemon.pair()
    upstream.gate.clear()
    answer = in_background(lambda: daemon.call("POST", "/webhook", {"message": "hi"}))
    until(lambda: upstream.asked, "the agent is asked")
    kept = socket.create_connection(("127.0.0.1", int(daemon.url.rpartition(":")[2])), DEADLINE_SECONDS)
    kept.settimeout(DEADLINE_SECONDS)
    kept.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
    idle = http.client.HTTPConnection("127.0.0.1", kept.getpeername()[1], timeout=DEADLINE_SECONDS)
    assert ask_on(idle, "GET", "/health").status == 200  # and the first half has arrived
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    until(lambda: is_refused(kept.getpeername()), "the listener is closed")
    kept.sendall(b"\r\n")
    received = b"".join(iter(lambda: kept.recv(65536), b""))
    kept.close()
    assert received.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: " in received
    told = ask_on(idle, "POST", "/webhook", {"message": "too late"})
    assert (told.status, told.headers["connection"]) == (503, "close") and "retry-after" in told.headers
    idle.close()
    upstream.gate.set()
    assert (answer().status, daemon.ended()) == (200, 0)


def test_a_turn_that_outlasts_the_drain_is_run_again_at_the_next_start(make: Make, upstream: Upstream) -> None:
    daemon = make(settings(upstream.provider, "drain_secs = 1")).start()
    daemon.pair()
    upstream.gate.clear()
    told = daemon.tell("hi").json["id"]
    until(lambda: upstream.asked, "the agent is asked")
    assert daemon.stop() == 0
    upstream.gate.set()
    daemon.start()
    until(lambda: daemon.call("GET", f"/api/inbox/{told}").json["state"] == "done", "it is done")
    assert upstream.asked == ["hi", "hi"]


def test_a_second_sigterm_ends_it_at_once(make: Make, upstream: Upstream) -> None:
    daemon = make(settings(upstream.provider, "drain_secs = 60")).start()
    daemon.pair()
    upstream.gate.clear()
    told = daemon.tell("hi").json["id"]
    until(lambda: upstream.asked, "the agent is asked")
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    until(lambda: not (daemon.state / "daemon.json").exists(), "the stop is under way")
    assert daemon.stop() == 1
    upstream.gate.set()
    daemon.start()
    until(lambda: daemon.call("GET", f"/api/inbox/{told}").json["state"] == "done", "it is done")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_at_any_moment_of_the_start_leaves_no_traceback(make: Make, number: int) -> None:
    for delay in (0.0, 0.15):
        daemon = make(name=f"after-{delay}")
        process = daemon.spawn()
        until(lambda process=process: _handles(process.pid, number), "the signal is handled")  # type: ignore[misc]  # bound in the loop
        threading.Event().wait(delay)
        process.send_signal(number)
        if number == signal.SIGHUP:
            until(lambda daemon=daemon: daemon.announced is not None, "it runs")  # type: ignore[misc]  # bound in the loop
            assert daemon.stop() == 0
        else:
            assert daemon.ended() == 0
        assert "Traceback" not in daemon.printed + daemon.errors


def _handles(pid: int, number: int) -> bool:
    """Whether the process catches the signal; SIGINT is caught by Python itself from the beginning, so there its SIGTERM counts."""
    caught = re.search(r"SigCgt:\s+([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    wanted = signal.SIGTERM if number == signal.SIGINT else number
    return caught is not None and bool(int(caught[1], 16) >> (wanted - 1) & 1)


# --- a start that fails


def refusal(daemon: Daemon, code: int) -> str:
    """The one line with which the start failed; the rest of what was logged shows no traceback."""
    assert daemon.spawn().wait(DEADLINE_SECONDS) == code
    printed = daemon.printed + daemon.errors
    assert "Traceback" not in printed
    said = [line for line in lines(printed) if "clawgate: " in line or "could not start" in line]
    assert len(said) == 1, printed
    return said[0]


def test_a_bad_setting_ends_with_78_and_is_named(make: Make) -> None:
    said = refusal(make('[gateway]\nport = "many"\n'), 78)
    assert "gateway.port" in said


def test_a_config_that_is_no_toml_ends_with_78_and_its_line(make: Make) -> None:
    assert "line 2" in refusal(make("[gateway]\nport = = 1\n"), 78)


def test_a_config_that_is_not_there_ends_with_78(make: Make) -> None:
    daemon = make()
    daemon.config.unlink()
    assert str(daemon.config) in refusal(daemon, 78)


def test_a_public_bind_ends_with_78(make: Make) -> None:
    assert "gateway.host" in refusal(make(settings(gateway='host = "0.0.0.0"')), 78)


def test_a_taken_port_ends_with_78_and_is_named(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(make(f"[gateway]\nport = {port}\n"), 78)
    assert f"127.0.0.1:{port}" in said


def test_a_second_daemon_on_the_same_state_is_refused_and_harms_nothing(make: Make) -> None:
    first = make().start()
    second = Daemon(first.home / "second", env={"CLAWGATE_STATE_DIR": str(first.state)})
    assert second.spawn().wait(DEADLINE_SECONDS) != 0
    said = [line for line in lines(second.printed + second.errors) if "could not start" in line]
    assert len(said) == 1
    assert str(first.process.pid if first.process else 0) in said[0]
    assert "Traceback" not in second.printed + second.errors
    first.pair()
    assert first.call("POST", "/webhook", {"message": "hello"}).status == 200
    assert stat.S_ISSOCK((first.state / "control.sock").stat().st_mode)


def test_a_state_directory_that_cannot_be_made_is_named(make: Make) -> None:
    daemon = make()
    daemon.state.write_text("a file")
    assert str(daemon.state) in refusal(daemon, 78)


def test_a_database_of_a_newer_schema_is_refused(make: Make) -> None:
    daemon = make().start()
    daemon.stop()
    with sqlite3.connect(daemon.state / "clawgate.db") as database:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        database.execute(f"PRAGMA user_version = {version + 100}")
    database.close()
    assert "newer" in refusal(daemon, 78)


# --- signals and config


def test_a_hash_removed_by_hand_is_dead_after_sighup(make: Make) -> None:
    daemon = make().start()
    daemon.pair()
    text = daemon.config.read_text()
    assert re.search(r'paired_tokens = \["[0-9a-f]{64}"\]', text)
    daemon.config.write_text(re.sub(r"paired_tokens = \[.*?\]", "paired_tokens = []", text))
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: daemon.call("POST", "/webhook", {"message": "x"}).status == 401, "the token is dead", 10)
    assert daemon.call("GET", "/health").status == 200


def test_a_config_that_turns_bad_is_not_taken_up(make: Make) -> None:
    daemon = make().start()
    daemon.pair()
    daemon.config.write_text("[gateway\n")
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: daemon.call("GET", "/health").json["runtime"]["components"].get("config", {}).get("status") == "error", "health says so")
    assert daemon.call("POST", "/webhook", {"message": "hello"}).status == 200


# --- what systemd does


def test_a_passed_socket_is_served(make: Make) -> None:
    """systemd passes descriptor 3 and names the process that it is for, so a tiny program in between does both and becomes the daemon."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        wrapper = textwrap.dedent(f"""\
            import os, sys
            os.dup2({listening.fileno()}, 3)
            os.set_inheritable(3, True)
            os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
            os.execv(sys.executable, sys.argv[1:])
        """)
        daemon = make(command=(sys.executable, "-c", wrapper, *TWISTD))
        daemon.start(pass_fds=(listening.fileno(),))
        port = listening.getsockname()[1]
    assert daemon.url == f"http://127.0.0.1:{port}"
    assert daemon.stop() == 0


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_is_told_when_it_is_ready_and_when_it_stops(make: Make, tmp_path: Path, kind: str) -> None:
    address = str(tmp_path / "notify") if kind == "path" else f"@clawgate-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address.replace("@", "\0"))
        ear.settimeout(DEADLINE_SECONDS)
        daemon = make(env={"NOTIFY_SOCKET": address}).start()
        ready = ear.recv(4096).decode()
        assert daemon.stop() == 0
        stopping = ear.recv(4096).decode()
    assert ready.splitlines()[0] == "READY=1"
    assert daemon.printed.count("listening on http") >= 1
    assert stopping.splitlines()[0] == "STOPPING=1"


# --- the operator's door


@pytest.mark.parametrize("length", [1, 120])
def test_the_control_socket_is_the_owners_alone_however_long_its_path(make: Make, length: int) -> None:
    daemon = make(name="h" * length).start()
    path = daemon.state / "control.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(daemon.state.stat().st_mode) == 0o700
    directory = os.open(daemon.state, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(DEADLINE_SECONDS)
        door.connect(f"/proc/self/fd/{directory}/control.sock")
        connection = http.client.HTTPConnection("localhost", timeout=DEADLINE_SECONDS)
        connection.sock = door
        answer = ask_on(connection, "POST", "/admin/paircode/new", {})
    os.close(directory)
    assert re.fullmatch(r"\d{6}", answer.json["pairing_code"])
    assert daemon.stop() == 0
    assert not path.exists()


def test_daemon_json_says_where_it_answers_and_is_gone_afterwards(make: Make) -> None:
    daemon = make().start()
    announced = json.loads((daemon.state / "daemon.json").read_text())
    assert daemon.process is not None
    assert (announced["pid"], announced["url"]) == (daemon.process.pid, daemon.url)
    assert stat.S_IMODE((daemon.state / "daemon.json").stat().st_mode) == 0o600
    daemon.stop()
    assert daemon.announced is None


def test_public_url_of_a_tunnel_is_shown_with_the_code_that_pairs_there(make: Make, tmp_path: Path) -> None:
    program = tmp_path / "tunnel"
    program.write_text("#!/bin/sh\nwhile [ ! -e go ]; do sleep 0.05; done\necho https://phone.example\nexec sleep 60\n")
    program.chmod(0o755)
    daemon = make(settings(more=f'[tunnel]\nprovider = "custom"\n[tunnel.custom]\nstart_command = "{program}"\n'))
    code = daemon.start().code()
    (daemon.home / "go").touch()
    until(lambda: "https://phone.example/pair/page" in daemon.printed, "the page of the public URL is shown")
    shown = daemon.printed.partition("Public URL: https://phone.example\n")[2]
    assert f"curl -s -X POST https://phone.example/pair -H 'X-Pairing-Code: {code}'" in shown
    assert "▀▄" in shown and "Pairing: ACTIVE" not in shown
