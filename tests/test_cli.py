"""The command line against a daemon that answers what the test says, over a real unix socket."""

from __future__ import annotations

import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from clawgate.cli import cli
from clawgate.commands.daemon import overlaid
from clawgate.commands.options import MAX_DURATION_SECONDS, parse_duration, spoken
from clawgate.commands.output import columns_of, safe, table
from clawgate.domain.errors import Invalid, Unavailable
from clawgate.system.configfile import load_settings
from clawgate.system.control import CONTROL_SOCKET, DAEMON_FILE, ControlClient, NotRunning, running_daemon, short_address

DEADLINE_SECONDS = 10


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: Any  # whatever JSON the command sent


class Daemon:
    """Answers by (method, path without query); records what it was asked."""

    def __init__(self, directory: Path) -> None:
        self.state_dir = directory
        self.answers: dict[tuple[str, str], tuple[int, object, dict[str, str]]] = {}
        self.requests: list[Request] = []
        here = Path.cwd()
        os.chdir(directory)  # a relative name fits into an address, however deep the directory is
        try:
            self._server = _Server(CONTROL_SOCKET, self._handler())
        finally:
            os.chdir(here)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def answer(self, method: str, path: str, status: int, body: object, **headers: str) -> None:
        self.answers[method, path] = status, body, headers

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(DEADLINE_SECONDS)
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        daemon = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = DEADLINE_SECONDS

            def reply(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                sent = self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                daemon.requests.append(Request(self.command, self.path, headers, json.loads(sent) if sent else None))
                status, body, extra = daemon.answers.get((self.command, self.path.partition("?")[0]), (404, {"error": "Not found"}, {}))
                content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
                self.send_header("Content-Length", str(len(content)))
                for name, value in extra.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = reply

            def log_message(self, format: str, *args: Any) -> None:  # the base class takes any
                pass

        return Handler


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        request, _ = super().get_request()
        return request, ("local", 0)


class Home(NamedTuple):
    config: Path
    state_dir: Path

    def write(self, text: str) -> None:
        self.config.write_text(text)
        self.config.chmod(0o600)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "state").mkdir(mode=0o700)
    found = Home(tmp_path / "config.toml", tmp_path / "state")
    found.write("")
    return found


@pytest.fixture
def daemon(home: Home) -> Iterator[Daemon]:
    running = Daemon(home.state_dir)
    (home.state_dir / DAEMON_FILE).write_text(json.dumps({"pid": 7, "url": "http://127.0.0.1:3000", "public_url": None, "started_at": 1}))
    yield running
    running.stop()


Run = Callable[..., Result]


@pytest.fixture
def clawgate(home: Home, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(home.config.parent)
    for name in [*os.environ]:
        if name.startswith(("CLAWGATE_", "ZEROCLAW_", "RANTAICLAW_", "CONSTRUCT_")) or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)

    def run(*arguments: str, stdin: str | None = None) -> Result:
        environ = {"CLAWGATE_CONFIG": str(home.config), "CLAWGATE_STATE_DIR": str(home.state_dir), "HOME": str(home.config.parent)}
        return CliRunner().invoke(cli, arguments, input=stdin, env=environ, prog_name="clawgate")

    return run


DEVICES = [
    {
        "id": "aaa111",
        "name": "phone",
        "device_type": "browser",
        "scopes": ["chat", "read"],
        "last_seen": "2026-01-31T12:30:45.000+00:00",
        "expires_at": None,
    },
    {"id": "aaa222", "name": None, "device_type": None, "scopes": [], "last_seen": "2026-01-30T12:30:45.000+00:00", "expires_at": None},
    {"id": "aaa", "name": "exact", "device_type": None, "scopes": [], "last_seen": None, "expires_at": None},
]
ITEM = {
    "id": "1a1fcdde40b0bdbe",
    "state": "dead",
    "source": "webhook",
    "message": "hello\nworld",
    "attempts": 5,
    "accepted_at": "2026-01-31T12:30:45.123+00:00",
    "response": None,
    "error": "timeout",
}


# --- the client


def test_a_socket_below_a_path_longer_than_an_address_is_reached(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    running = Daemon(deep)
    running.answer("GET", "/health", 200, {"status": "ok"})
    try:
        assert ControlClient(str(deep / CONTROL_SOCKET), DEADLINE_SECONDS).call("GET", "/health") == (200, {"status": "ok"})
    finally:
        running.stop()


def test_a_short_address_is_the_path_itself(tmp_path: Path) -> None:
    with short_address("/run/clawgate/control.sock") as address:
        assert address == "/run/clawgate/control.sock"


def test_the_descriptor_of_a_long_address_is_closed(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    with short_address(str(deep / "x.sock")) as address:
        directory = os.path.dirname(address)
        assert os.path.samefile(directory, deep)
    assert not os.path.exists(directory)


def test_nobody_listening_is_not_running_and_says_what_to_do(tmp_path: Path) -> None:
    for path in (tmp_path / CONTROL_SOCKET, tmp_path / "gone" / CONTROL_SOCKET, tmp_path / ("d" * 120) / CONTROL_SOCKET):
        with pytest.raises(NotRunning, match="start it with `clawgate run`"):
            ControlClient(str(path)).call("GET", "/health")


def test_a_socket_that_a_killed_daemon_left_is_not_running(tmp_path: Path) -> None:
    path = str(tmp_path / CONTROL_SOCKET)
    with closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(path)
    with pytest.raises(NotRunning):
        ControlClient(path).call("GET", "/health")


@pytest.mark.parametrize(
    "raw", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"]
)
def test_an_answer_that_is_broken_is_unavailable(tmp_path: Path, raw: bytes) -> None:
    path = str(tmp_path / CONTROL_SOCKET)
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(path)
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with closing(connection):
                connection.recv(65_536)
                connection.sendall(raw)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(Unavailable, match="broke off"):
            ControlClient(path, DEADLINE_SECONDS).call("GET", "/health")
        thread.join(DEADLINE_SECONDS)


def test_a_daemon_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    path = str(tmp_path / CONTROL_SOCKET)
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(path)
        listening.listen()
        with pytest.raises(Unavailable, match=r"within 0\.05 s"):
            ControlClient(path, 0.05).call("GET", "/health")


def test_text_stays_text_and_json_is_decoded(daemon: Daemon) -> None:
    daemon.answer("GET", "/text", 200, "plain")
    daemon.answer("GET", "/object", 201, {"a": [1]})
    client = ControlClient(str(daemon.state_dir / CONTROL_SOCKET), DEADLINE_SECONDS)
    assert (client.call("GET", "/text"), client.call("GET", "/object")) == ((200, "plain"), (201, {"a": [1]}))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x", "url": 1}', "\xff"])
def test_a_broken_daemon_file_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / DAEMON_FILE).write_bytes(content.encode("latin-1"))
    assert running_daemon(str(tmp_path)) is None


# --- converters and output


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("10m", 600), ("12h", 43_200), ("7d", 604_800), ("1h30m", 5400)])
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "3", "s", "0s", "-1s", "1.5h", "1w", "1h ", "٣s", "9999999999s", "3651d", "1h\n"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|between"):
        parse_duration(text)


@given(st.text(alphabet="0123456789smhd w.", max_size=12) | st.text(max_size=8))
def test_a_duration_is_a_bounded_number_or_an_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert 0 < seconds <= MAX_DURATION_SECONDS


@given(st.integers(1, MAX_DURATION_SECONDS))
def test_a_spoken_duration_has_the_same_length(seconds: int) -> None:
    count, unit = spoken(seconds).split()
    assert parse_duration(count + unit[0]) == seconds


@given(st.text())
def test_nothing_a_terminal_obeys_is_printed(text: str) -> None:
    assert all(char.isprintable() or char == "\n" for char in safe(text, keep_lines=True))
    assert "\n" not in safe(text)


def test_a_table_is_aligned_with_wide_characters_and_empty_cells() -> None:
    lines = table(("NAME", "N"), [["漢字", 1], [None, 22]]).splitlines()
    assert lines == ["NAME  N", "漢字  1", "-     22"]
    assert {columns_of(line[: line.rindex(" ") + 1]) for line in lines} == {6}


def test_the_last_cell_is_cut_to_the_terminal() -> None:
    assert table(("A", "MESSAGE"), [["x", "0123456789abcdef"]], width=13).splitlines()[1] == "x  012345678…"


# --- commands


def test_without_a_daemon_a_command_ends_with_69_and_the_remedy(clawgate: Run) -> None:
    for command in (["status"], ["pair"], ["devices", "list"], ["inbox", "list"], ["send", "hello"]):
        result = clawgate(*command)
        assert (result.exit_code, result.stdout) == (69, "")
        assert "start it with `clawgate run`" in result.stderr
        assert result.stderr.count("\n") == 1


def test_wrong_usage_ends_with_64(clawgate: Run) -> None:
    for command in (
        ["nonsense"],
        ["--nonsense"],
        ["pair", "--ttl", "3"],
        ["pair", "--scope", "all"],
        ["pair", "--url", "host"],
        ["inbox", "list", "--state", "x"],
    ):
        result = clawgate(*command)
        assert (command, result.exit_code) == (command, 64)
        assert "Traceback" not in result.output


def test_help_and_version_end_with_0(clawgate: Run) -> None:
    assert (clawgate("--help").exit_code, clawgate("--version").exit_code, clawgate("pair", "--help").exit_code) == (0, 0, 0)


def test_every_problem_of_a_bad_config_is_named_and_ends_with_78(clawgate: Run, home: Home) -> None:
    home.write('[gateway]\nport = 70000\nhost = "bad host"\n')
    for command in (["check"], ["run"], ["doctor"]):
        result = clawgate(*command)
        assert (command, result.exit_code) == (command, 78)
        assert "gateway.port" in result.output
        assert "gateway.host" in result.output
        assert "Traceback" not in result.output


def test_the_problems_of_a_bad_config_as_json(clawgate: Run, home: Home) -> None:
    home.write("[gateway]\nport = 70000\n")
    result = clawgate("check", "--json")
    (problem,) = json.loads(result.stdout)["problems"]
    assert (result.exit_code, problem["path"], bool(problem["remedy"])) == (78, "gateway.port", True)


def test_check_ends_with_2_for_errors(clawgate: Run, home: Home) -> None:
    home.write('[channels_config.linq]\napi_token = "0123456789abcdefg"\nfrom_phone = "+1555"\n')
    result = clawgate("check")
    assert (result.exit_code, "CG022" in result.stdout) == (2, True)


def test_check_ends_with_1_for_warnings_with_security_only(clawgate: Run, home: Home) -> None:
    home.write("[gateway]\nrequire_pairing = false\n")
    assert (clawgate("check").exit_code, clawgate("check", "--security").exit_code) == (0, 1)


def test_security_leaves_out_what_is_not_about_security(clawgate: Run, home: Home) -> None:
    home.write("[gateway]\nnonsense = 1\n")
    every, security = (json.loads(clawgate("check", "--json", *more).stdout)["findings"] for more in ([], ["--security"]))
    assert {finding["id"] for finding in every} - {finding["id"] for finding in security} >= {"CG040"}


@pytest.mark.parametrize("command", ["show", "retry", "drop"])
def test_unknown_message_is_named_with_the_way_to_the_others(clawgate: Run, daemon: Daemon, command: str) -> None:
    answer = clawgate("inbox", command, "0000000000000001")
    assert (answer.exit_code, answer.stderr) == (
        1,
        "clawgate: no message has the id 0000000000000001; `clawgate inbox list` shows those there are\n",
    )


def test_init_writes_a_config_that_check_accepts_and_never_overwrites(clawgate: Run, tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"
    made = clawgate("init", "--config", str(path))
    assert (made.exit_code, path.stat().st_mode & 0o777) == (0, 0o600)
    assert f"clawgate run --config {path}" in made.stdout
    assert clawgate("check", "--config", str(path)).exit_code == 0
    again = clawgate("init", "--config", str(path))
    assert (again.exit_code, "exists already" in again.stderr) == (1, True)


def test_options_of_run_win_over_config_and_environment(home: Home) -> None:
    home.write('default_provider = "offline"\n[gateway]\nport = 1\nhost = "127.0.0.2"\n')
    environ = {"CLAWGATE_CONFIG": str(home.config), "CLAWGATE_GATEWAY_PORT": "2", "PORT": "3"}
    said = {"gateway.port": 0, "gateway.host": "127.0.0.3", "default_provider": "custom:http://127.0.0.1:1/v1", "default_model": "m"}
    settings = load_settings(None, overlaid(environ, said), cwd=str(home.config.parent))
    assert (settings.gateway.port, settings.gateway.host) == (0, "127.0.0.3")
    assert (settings.default_provider, settings.default_model) == ("custom:http://127.0.0.1:1/v1", "m")


def test_options_of_run_are_checked_like_settings(home: Home) -> None:
    with pytest.raises(Invalid, match=r"gateway\.host"):
        load_settings(str(home.config), overlaid({}, {"gateway.host": "no host"}), cwd=str(home.config.parent))


def test_pair_asks_for_what_it_is_told_and_prints_code_page_and_shell_line(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", "/admin/paircode/new", 200, {"pairing_code": "123456"})
    result = clawgate("pair", "--name", "phone", "--scope", "read", "--scope", "chat", "--ttl", "30d", "--code-ttl", "10m")
    assert result.exit_code == 0
    assert daemon.requests[-1].body == {"name": "phone", "scopes": ["read", "chat"], "ttl_secs": 2_592_000, "code_ttl_secs": 600}
    assert "Pairing code: 123456  (one use, 10 minutes)" in result.stdout
    assert "http://127.0.0.1:3000/pair/page\n" in result.stdout
    assert "X-Pairing-Code: 123456" in result.stdout


def test_pair_draws_a_qr_of_the_page_with_the_code(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", "/admin/paircode/new", 200, {"pairing_code": "123456"})
    result = clawgate("pair", "--qr", "--url", "https://gate.example/agents/")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "https://gate.example/agents/pair/page#123456\n" in result.stdout
    assert "█" in result.stdout


def test_a_qr_for_loopback_comes_with_a_warning(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", "/admin/paircode/new", 200, {"pairing_code": "123456"})
    result = clawgate("pair", "--qr")
    assert (result.exit_code, "this machine only" in result.stderr, "#123456" in result.stdout) == (0, True, True)


def test_a_code_that_is_no_code_is_not_printed(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", "/admin/paircode/new", 200, {"pairing_code": "1'; rm -rf /"})
    result = clawgate("pair")
    assert (result.exit_code, "rm" in result.output) == (1, False)


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (400, {"success": False, "message": "Pairing is disabled for this gateway"}, "Pairing is disabled for this gateway"),
        (503, {"error": "Service temporarily unavailable.", "retry_after": 5}, "Service temporarily unavailable."),
        (403, {"error": "forbidden", "detail": "no scope"}, "no scope"),
        (500, "plain\x1b[31m words", "plain�[31m words"),
        (502, "", "the daemon answered 502"),
        (200, "no object", "no object"),
    ],
)
def test_a_refusal_ends_with_1_and_the_daemons_sentence(clawgate: Run, daemon: Daemon, status: int, body: object, sentence: str) -> None:
    daemon.answer("POST", "/admin/paircode/new", status, body)
    result = clawgate("pair")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"clawgate: {sentence}\n")


def test_devices_are_listed_in_columns(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("GET", "/api/devices", 200, {"devices": DEVICES, "count": 3})
    lines = clawgate("devices", "list").stdout.splitlines()
    assert lines[0].split() == ["ID", "NAME", "TYPE", "SCOPES", "LAST", "SEEN", "EXPIRES"]
    assert lines[1].split() == ["aaa111", "phone", "browser", "chat,read", "2026-01-31", "12:30", "-"]
    assert len({line.index(word) for line, word in zip(lines[:2], ("TYPE", "browser"), strict=True)}) == 1


@pytest.mark.parametrize(("beginning", "full"), [("aaa1", "aaa111"), ("aaa", "aaa"), ("aaa222", "aaa222")])
def test_a_unique_beginning_of_an_id_is_enough_to_revoke(clawgate: Run, daemon: Daemon, beginning: str, full: str) -> None:
    daemon.answer("GET", "/api/devices", 200, {"devices": DEVICES})
    daemon.answer("DELETE", f"/api/devices/{full}", 200, {"device_id": full})
    result = clawgate("devices", "revoke", beginning)
    assert (result.exit_code, result.stdout) == (0, f"Revoked {full}.\n")


@pytest.mark.parametrize(("beginning", "reason"), [("aa", "several"), ("b", "no device"), ("", "no device")])
def test_an_unclear_id_revokes_nothing(clawgate: Run, daemon: Daemon, beginning: str, reason: str) -> None:
    daemon.answer("GET", "/api/devices", 200, {"devices": DEVICES})
    result = clawgate("devices", "revoke", beginning)
    assert (result.exit_code, reason in result.stderr) == (1, True)
    assert [request.method for request in daemon.requests] == ["GET"]


def test_rotate_prints_the_new_code(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("GET", "/api/devices", 200, {"devices": DEVICES})
    daemon.answer("POST", "/api/devices/aaa111/token/rotate", 200, {"device_id": "aaa111", "pairing_code": "654321", "message": "Use this"})
    assert "Pairing code: 654321" in clawgate("devices", "rotate", "aaa1").stdout


def test_messages_are_listed_on_one_line_each(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("GET", "/api/inbox", 200, {"items": [ITEM], "cursor": "c1"})
    result = clawgate("inbox", "list", "--state", "dead, uncertain", "--limit", "1", "--since", "1700000000")
    assert daemon.requests[-1].path == "/api/inbox?limit=1&state=dead%2Cuncertain&since=1700000000"
    assert result.stdout.splitlines()[1].split() == ["1a1fcdde40b0bdbe", "dead", "5", "2026-01-31", "12:30:45", "webhook", "hello", "world"]
    assert "--cursor c1" in result.stdout


def test_since_counts_back_from_the_daemons_clock(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("GET", "/health", 200, {"runtime": {"updated_at": "1970-01-01T03:00:00.000+00:00"}})
    daemon.answer("GET", "/api/inbox", 200, {"items": []})
    assert clawgate("inbox", "list", "--since", "2h").exit_code == 0
    assert "since=3600" in daemon.requests[-1].path


def test_since_that_is_no_time_is_wrong_usage(clawgate: Run, daemon: Daemon) -> None:
    assert (clawgate("inbox", "list", "--since", "yesterday").exit_code, daemon.requests) == (64, [])


def test_json_is_the_daemons_own(clawgate: Run, daemon: Daemon) -> None:
    answer = {"items": [ITEM | {"message": "é\x9b\x1b"}], "cursor": None}
    daemon.answer("GET", "/api/inbox", 200, answer)
    result = clawgate("inbox", "list", "--json")
    assert json.loads(result.stdout) == answer
    assert result.stdout.isascii()


def test_one_message_is_shown_with_its_lines(clawgate: Run, daemon: Daemon) -> None:
    send = {"part": 0, "channel": "linq", "target": "+1", "state": "sent", "attempts": 1, "error": None}
    daemon.answer("GET", f"/api/inbox/{ITEM['id']}", 200, {**ITEM, "sends": [send]})
    shown = clawgate("inbox", "show", str(ITEM["id"])).stdout
    assert "message:\nhello\nworld\n" in shown
    assert "linq" in shown


def test_inbox_show_lists_the_attempts(clawgate: Run, daemon: Daemon) -> None:
    failed = {"number": 1, "started_at": "2027-01-15T08:00:00.000+00:00", "duration_ms": 1500, "outcome": "failed", "error": "rate_limited"}
    daemon.answer(
        "GET", f"/api/inbox/{ITEM['id']}", 200, {**ITEM, "attempt_history": [failed | {"provider": "openai"}, {"number": 2, "outcome": "running"}]}
    )
    lines = clawgate("inbox", "show", str(ITEM["id"])).stdout.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("NO"))
    assert [line.split()[0] for line in lines[first : first + 3]] == ["NO", "1", "2"]
    assert all(word in lines[first + 1] for word in ("1500", "failed", "rate_limited", "openai"))


def test_an_id_cannot_leave_its_path(clawgate: Run, daemon: Daemon) -> None:
    assert clawgate("inbox", "drop", "../devices?x#y").exit_code == 1
    assert daemon.requests[-1].path == "/api/inbox/..%2Fdevices%3Fx%23y/drop"


def test_retry_and_drop_say_where_the_message_stands(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", f"/api/inbox/{ITEM['id']}/retry", 200, ITEM | {"state": "waiting"})
    daemon.answer("POST", f"/api/inbox/{ITEM['id']}/drop", 409, {"error": "is done"})
    assert clawgate("inbox", "retry", str(ITEM["id"])).stdout == f"{ITEM['id']} is now waiting.\n"
    assert clawgate("inbox", "drop", str(ITEM["id"])).stderr == "clawgate: is done\n"


def test_all_dead_messages_are_tried_again_page_after_page(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", "/api/inbox/retry", 200, {"retried": 500, "cursor": None})
    assert clawgate("inbox", "retry", "--all-dead").stdout == "500 dead messages are tried again.\n"
    assert daemon.requests[-1].path == "/api/inbox/retry"
    for wrong in ([], [str(ITEM["id"]), "--all-dead"]):
        assert (clawgate("inbox", "retry", *wrong).exit_code, "--all-dead" in clawgate("inbox", "retry", *wrong).stderr) == (64, True)


def test_send_prints_the_answer(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", "/webhook", 200, {"response": "hi\nyou", "model": "m"})
    result = clawgate("send", "hello", "--session", "s", "--key", "k")
    assert (result.exit_code, result.stdout) == (0, "hi\nyou\n")
    asked = daemon.requests[-1]
    assert (asked.body, asked.headers["x-idempotency-key"], "prefer" in asked.headers) == ({"message": "hello", "session_id": "s"}, "k", False)


def test_send_reads_stdin(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", "/webhook", 200, {"response": "ok", "model": "m"})
    assert clawgate("send", "-", stdin="from a pipe").exit_code == 0
    assert daemon.requests[-1].body["message"] == "from a pipe"


def test_send_without_waiting_prints_the_id(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", "/webhook", 202, {"id": "i1", "status": "accepted"})
    result = clawgate("send", "hello", "--async")
    assert (result.exit_code, "clawgate inbox show i1" in result.stdout, daemon.requests[-1].headers["prefer"]) == (0, True, "respond-async")


def test_send_that_outlasts_the_wait_ends_with_75(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", "/webhook", 408, "", Location="/prefix/api/inbox/i2")
    result = clawgate("send", "hello")
    assert (result.exit_code, "clawgate inbox show i2" in result.stdout) == (75, True)


def test_send_carries_the_webhook_secret_of_the_config(clawgate: Run, daemon: Daemon, home: Home) -> None:
    home.write('[channels_config.webhook]\nsecret = "s3cr3t-s3cr3t-s3cr3t"\n')
    daemon.answer("POST", "/webhook", 200, {"response": "ok"})
    result = clawgate("send", "hello")
    assert (daemon.requests[-1].headers["x-webhook-secret"], "s3cr3t" in result.output) == ("s3cr3t-s3cr3t-s3cr3t", False)


def test_a_live_daemon_is_asked_even_when_the_config_is_broken_by_now(clawgate: Run, daemon: Daemon, home: Home) -> None:
    home.write("[gateway\n")
    daemon.answer("GET", "/health", 200, {"status": "ok"})
    assert clawgate("status").exit_code == 0


@pytest.mark.parametrize("says_prefix", [True, False])
def test_the_path_prefix_is_put_before_every_path(clawgate: Run, daemon: Daemon, home: Home, says_prefix: bool) -> None:
    home.write("" if says_prefix else '[gateway]\npath_prefix = "/agents"\n')
    url = "http://127.0.0.1:3000" + ("/agents" if says_prefix else "")
    (home.state_dir / DAEMON_FILE).write_text(json.dumps({"pid": 7, "url": url}))
    daemon.answer("POST", "/agents/admin/paircode/new", 200, {"pairing_code": "123456"})
    assert "http://127.0.0.1:3000/agents/pair/page" in clawgate("pair").stdout


def test_doctor_is_content_with_a_ready_daemon_and_not_with_an_unready_one(clawgate: Run, daemon: Daemon) -> None:
    runtime = {"components": {"store": {"status": "error", "last_error": "disk full"}}}
    daemon.answer("GET", "/health", 200, {"paired": True, "require_pairing": True, "runtime": runtime})
    daemon.answer("GET", "/readyz", 200, {"status": "ready"})
    assert clawgate("doctor").exit_code == 0
    daemon.answer("GET", "/readyz", 503, {"status": "unready"})
    result = clawgate("doctor")
    assert (result.exit_code, "store error (disk full)" in result.stdout) == (1, True)


def test_doctor_ends_with_69_without_a_daemon(clawgate: Run) -> None:
    assert clawgate("doctor").exit_code == 69


def test_status_shows_address_and_pairing(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("GET", "/health", 200, {"paired": False, "require_pairing": True, "runtime": {"pid": 7, "uptime_seconds": 7300}})
    shown = clawgate("status").stdout
    assert "http://127.0.0.1:3000" in shown
    assert "2 hours" in shown
    assert "nothing paired yet" in shown


# --- real processes


def test_the_module_is_the_program_and_a_pipe_closed_early_is_quiet(daemon: Daemon, home: Home) -> None:
    daemon.answer("GET", "/api/inbox", 200, {"items": [ITEM | {"message": "x" * 1000}] * 500})
    reading, writing = os.pipe()
    os.close(reading)
    environ = {**os.environ, "CLAWGATE_CONFIG": str(home.config), "CLAWGATE_STATE_DIR": str(home.state_dir)}
    try:
        command = [sys.executable, "-m", "clawgate", "inbox", "list"]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environ, cwd=home.state_dir, timeout=60, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_terminal_without_utf8_gets_the_code_and_no_traceback(daemon: Daemon, home: Home) -> None:
    daemon.answer("POST", "/admin/paircode/new", 200, {"pairing_code": "123456"})
    environ = {**os.environ, "CLAWGATE_CONFIG": str(home.config), "CLAWGATE_STATE_DIR": str(home.state_dir), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "clawgate", "pair", "--qr", "--url", "https://gate.example"]
    done = subprocess.run(command, capture_output=True, env=environ, cwd=home.state_dir, timeout=60, check=False)
    assert (done.returncode, b"123456" in done.stdout, b"cannot show a QR" in done.stderr) == (0, True, True)


def test_bytes_that_are_no_text_are_wrong_usage(daemon: Daemon, home: Home) -> None:
    environ = {**os.environ, "CLAWGATE_CONFIG": str(home.config), "CLAWGATE_STATE_DIR": str(home.state_dir)}
    command: list[str | bytes] = [sys.executable, "-m", "clawgate", "send", b"\xff"]
    done = subprocess.run(command, capture_output=True, env=environ, cwd=home.state_dir, timeout=60, check=False)
    assert (done.returncode, b"not UTF-8" in done.stderr, b"Traceback" in done.stderr) == (64, True, False)


# --- channels


def test_channel_code_is_asked_for_and_shown_with_both_commands(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", "/admin/channels/codes", 200, {"code": "ABCD-2345", "grant_owner": True})
    result = clawgate("channels", "pair", "--channel", "linq", "--ttl", "5", "--max-uses", "3")
    assert (result.exit_code, daemon.requests[-1].body) == (0, {"channel": "linq", "ttl_secs": 300, "max_uses": 3, "owner": True})
    assert "Pairing code: ABCD-2345  (5 minutes, 3 uses)\n" in result.stdout
    assert ("/bind ABCD-2345\n" in result.stdout, "/claim ABCD-2345\n" in result.stdout) == (True, True)


def test_channel_code_without_owner_rights_is_not_offered_for_claiming(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", "/admin/channels/codes", 200, {"code": "ABCD-2345", "grant_owner": False})
    result = clawgate("channels", "pair", "--channel", "linq", "--no-owner", "--max-uses", "0")
    assert (daemon.requests[-1].body["owner"], "(15 minutes, any number of people)" in result.stdout, "/claim" in result.stdout) == (
        False,
        True,
        False,
    )


def test_gateway_code_is_shown_with_the_way_to_use_it(clawgate: Run, daemon: Daemon) -> None:
    daemon.answer("POST", "/admin/channels/codes", 200, {"code": "ABCD-2345", "grant_owner": False})
    result = clawgate("channels", "pair", "--channel", "gateway")
    assert ("POST /pair with header X-Pairing-Code" in result.stdout, "/bind" in result.stdout) == (True, False)


def test_channels_are_listed_in_columns(clawgate: Run, daemon: Daemon) -> None:
    rows = [{"name": "linq", "title": "Linq", "configured": True, "allowed": 2}, {"name": "wati", "title": "WATI", "configured": False, "allowed": 0}]
    daemon.answer("GET", "/admin/channels", 200, {"channels": rows})
    lines = clawgate("channels", "list").stdout.splitlines()
    assert [line.split() for line in lines] == [["NAME", "TITLE", "CONFIGURED", "ALLOWED"], ["linq", "Linq", "yes", "2"], ["wati", "WATI", "no", "0"]]
    assert json.loads(clawgate("channels", "list", "--json").stdout) == {"channels": rows}
