"""`/ws/terminal` with real terminals, a real daemon and the real `websockets` client (construct-realtime.md §10)."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.acceptance.daemon import DEADLINE_SECONDS, Daemon, settings, until
from tests.acceptance.waits import is_alive

pytestmark = pytest.mark.acceptance
SWITCHED_ON = '[terminal]\nenabled = true\nshell = "/bin/sh"\nmax_terminals = 20\nmax_per_caller = 20\n'


class Screen:
    """One client and what it has seen."""

    def __init__(self, opening: ExitStack, daemon: Daemon, query: str = "") -> None:
        url = f"{daemon.url.replace('http', 'ws', 1)}/ws/terminal?token={daemon.token}&{query}"
        self.socket: ClientConnection = opening.enter_context(connect(url, open_timeout=DEADLINE_SECONDS, max_size=None))
        self.seen, self.frames, self.codes = "", 0, list[int]()
        self.longest = 0

    def read(self) -> bool:
        """Takes one frame; False = it is over."""
        try:
            frame = self.socket.recv(timeout=DEADLINE_SECONDS)
        except ConnectionClosed as over:
            self.codes.append(over.rcvd.code if over.rcvd is not None else 1006)
            return False
        assert isinstance(frame, str)
        self.seen, self.frames, self.longest = self.seen + frame, self.frames + 1, max(self.longest, len(frame))
        return True

    def until(self, pattern: str) -> str:
        """Reads until it is seen; its first group."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() < end, f"not seen: {pattern} in {self.seen[-500:]!r}"
            assert self.read(), f"over with {self.codes}: {self.seen[-500:]!r}"
        return found[1] if found.groups() else found[0]

    def type(self, line: str) -> None:
        self.socket.send(line + "\n")

    def to_the_end(self) -> int:
        """Reads to the goodbye; its code."""
        while self.read():
            pass
        return self.codes[-1]

    def pid(self) -> int:
        """Of the shell."""
        self.type("echo pid=$$.")
        return int(self.until(r"pid=(\d+)\."))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    yield from served(tmp_path_factory.mktemp("terminal"), SWITCHED_ON)


@pytest.fixture
def opening() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def served(home: Path, more: str) -> Iterator[Daemon]:
    one = Daemon(home, settings(more=more), env={"SECRET_KEY_OF_OURS": "canary", "COLUMNS": "7"}).start()
    try:
        one.pair()
        yield one
    finally:
        one.close()


def test_what_is_typed_is_run_and_its_output_comes_back(opening: ExitStack, daemon: Daemon) -> None:
    screen = Screen(opening, daemon)
    screen.type("echo $((6 * 7))-is-it; tty; pwd")
    screen.until("42-is-it")
    screen.until("/dev/pts/")
    screen.until(re.escape(str(daemon.home.resolve())))
    screen.socket.send(b"echo $((2 + 3))-bytes\n")
    screen.until("5-bytes")
    screen.socket.close()


def test_the_environment_is_small(opening: ExitStack, daemon: Daemon) -> None:
    screen = Screen(opening, daemon, "cwd=/tmp")
    screen.type("echo; /usr/bin/env; pwd; echo DO''NE")
    screen.until("DONE")
    names = set(re.findall(r"^(\w+)=", screen.seen.replace("\r", ""), re.MULTILINE))
    assert {"TERM", "COLORTERM", "PATH", "HOME"} <= names
    assert not [name for name in names if name not in {"TERM", "COLORTERM", "PATH", "HOME", "LANG", "LC_CTYPE", "PWD", "OLDPWD", "_", "SHLVL"}]
    assert "TERM=xterm-256color" in screen.seen
    assert "\n/tmp\r" in screen.seen
    screen.socket.close()


def test_the_program_sees_the_size_and_each_new_one(opening: ExitStack, daemon: Daemon) -> None:
    screen = Screen(opening, daemon, "cols=101&rows=33")
    screen.type("stty size")
    screen.until("33 101")
    screen.type('trap "echo got WIN""CH" WINCH; echo se"t"-now')
    screen.until("set-now")
    screen.socket.send('{"type":"resize","cols":120,"rows":40}')
    screen.type("stty size")
    screen.until("40 120")
    screen.until("got WINCH")
    screen.socket.close()


def test_a_character_that_is_split_comes_whole(opening: ExitStack, daemon: Daemon) -> None:
    screen = Screen(opening, daemon)
    screen.type(r"printf '<\303'; sleep 0.3; printf '\251><\360\237'; sleep 0.3; printf '\230\200>\377'; echo DO''NE")
    screen.until("DONE")
    assert "<é><😀>\N{REPLACEMENT CHARACTER}DONE" in screen.seen
    screen.socket.close()


def test_much_output_comes_whole_in_small_frames(opening: ExitStack, daemon: Daemon) -> None:
    screen = Screen(opening, daemon)
    screen.type("stty -echo; echo rea''dy")
    screen.until("ready")
    screen.type("head -c 300000 /dev/zero | tr '\\0' x; echo DO''NE")
    screen.until("DONE")
    assert (screen.seen.count("x"), screen.longest <= 4096) == (300_000, True)
    screen.socket.close()


@pytest.mark.parametrize(
    ("line", "text"), [("exit 3", "[sh exited with code 3]"), ("kill -9 $$", "[sh ended by signal 9]"), ("exit", "exited with code 0")]
)
def test_the_end_of_the_program_is_told_and_closes_the_socket(opening: ExitStack, daemon: Daemon, line: str, text: str) -> None:
    screen = Screen(opening, daemon)
    screen.type(line)
    assert screen.to_the_end() == 1000
    assert text in screen.seen


def test_everything_in_the_session_ends_with_the_socket(opening: ExitStack, daemon: Daemon) -> None:
    screen = Screen(opening, daemon)
    screen.type(
        "set -m; sleep 301 & echo job=$!.; (trap '' HUP TERM; sleep 302; sleep 303) & echo deaf=$!.; sh -c 'sleep 304 & echo grandchild=$!.; wait' &"
    )
    names = ("job", "deaf", "grandchild")
    pids = [screen.pid(), *(int(screen.until(rf"{name}=(\d+)\.")) for name in names)]
    assert [is_alive(pid) for pid in pids] == [True] * 4
    screen.socket.close()
    until(lambda: not any(is_alive(pid) for pid in pids), f"{pids} are gone")


def test_what_a_shell_leaves_behind_ends_with_it(opening: ExitStack, daemon: Daemon) -> None:
    screen = Screen(opening, daemon)
    screen.type("nohup sleep 305 >/dev/null 2>&1 & echo left=$!.")
    left = int(screen.until(r"left=(\d+)\."))
    screen.type("exit 4")
    assert screen.to_the_end() == 1000
    assert not is_alive(left)


def test_the_program_waits_for_a_slow_client(opening: ExitStack, daemon: Daemon) -> None:
    screen = Screen(opening, daemon)
    pid, before = screen.pid(), daemon.rss_kib()
    screen.type("stty -echo; yes 0123456789012345678901234567890123456789")
    assert screen.read()
    used = [cpu_ticks_below(pid) for _ in pauses(4, 0.7)]
    assert used[-1] == used[-2], "yes does not wait"
    assert daemon.rss_kib() - before < 30_000
    screen.socket.send("\x03")
    screen.type("echo again-$((40 + 2))")
    screen.until("again-42")
    screen.socket.close()


def pauses(count: int, seconds: float) -> Iterator[int]:
    for number in range(count):
        time.sleep(seconds)
        yield number


def cpu_ticks_below(pid: int) -> int:
    """What the children of a process have used."""
    total = 0
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total


def test_a_program_that_reads_nothing_does_not_fill_the_memory(opening: ExitStack, daemon: Daemon) -> None:
    screen = Screen(opening, daemon)
    screen.type("stty raw -echo; echo ra''w; exec sleep 306")
    screen.until("raw")
    for _ in range(4):
        screen.socket.send("y" * 500_000)
    screen.until("The program does not read what is typed")
    screen.socket.close()


@pytest.mark.parametrize(
    ("query", "text", "code"),
    [
        ("cwd=/no/such", r"Invalid cwd: /no/such: No such file or directory \(os error 2\)", 1008),
        ("cwd=/etc/hostname", "Invalid cwd: /etc/hostname is not a directory", 1008),
        ("cwd=%00", "Invalid cwd: ", 1008),
        ("tool=opencode", "opencode not found in PATH", 1008),
    ],
)
def test_what_cannot_begin_is_told_in_red(opening: ExitStack, daemon: Daemon, query: str, text: str, code: int) -> None:
    screen = Screen(opening, daemon, query)
    assert screen.to_the_end() == code
    assert re.fullmatch(rf"\x1b\[31m{text}.*\x1b\[0m\r\n", screen.seen)


def test_a_revoked_token_takes_its_terminals_along(opening: ExitStack, daemon: Daemon) -> None:
    mine, daemon.token = daemon.token, ""
    code = daemon.call("POST", "/admin/paircode/new").json["pairing_code"]
    paired = daemon.call("POST", "/api/pair", {"code": code}).json
    daemon.token = str(paired["token"])
    screen = Screen(opening, daemon)
    pid = screen.pid()
    daemon.token = mine
    newest = daemon.call("GET", "/api/devices").json["devices"][0]["id"]
    assert daemon.call("DELETE", f"/api/devices/{newest}").status == 200
    assert screen.to_the_end() == 4401
    until(lambda: not is_alive(pid), "the shell is gone")


def test_an_idle_terminal_ends_and_stopping_ends_all(opening: ExitStack, tmp_path: Path) -> None:
    for daemon in served(tmp_path, SWITCHED_ON + "idle_timeout_secs = 2\n"):
        idle = Screen(opening, daemon)
        pid = idle.pid()
        assert idle.to_the_end() == 1000
        assert "The terminal was idle for too long" in idle.seen
        until(lambda pid=pid: not is_alive(pid), "the idle shell is gone")  # type: ignore[misc]  # bound at once
        last = Screen(opening, daemon)
        last.type("trap '' HUP")
        pid = last.pid()
        assert daemon.stop(signal.SIGTERM) == 0
        assert last.to_the_end() == 1001
        assert not is_alive(pid)


def test_it_is_off_unless_it_is_switched_on(opening: ExitStack, tmp_path: Path) -> None:
    for daemon in served(tmp_path, ""):
        with pytest.raises(Exception, match="503"):
            Screen(opening, daemon)
