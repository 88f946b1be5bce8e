"""`/ws/terminal` in memory, with programs that do as told (construct-realtime.md §10)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from clawgate.domain.caller import Scope
from clawgate.domain.settings import Settings
from clawgate.domain.settings.model import GatewaySettings, TerminalSettings
from clawgate.domain.terminals import Size
from clawgate.ports.sockets import REVOKED
from clawgate.testing.gateway import MemoryGateway
from clawgate.testing.pty import ScriptedPty, ScriptedPtys
from clawgate.testing.sockets import SocketClient
from tests.web.gate import without_scope

RED = "\x1b[31m{}\x1b[0m\r\n"


class House:
    def __init__(self, *, pairs: bool = True, **terminal: Any) -> None:  # TerminalSettings' own fields
        self.ptys = ScriptedPtys()
        own = TerminalSettings(**({"enabled": True} | terminal))
        self.gate = MemoryGateway(Settings(terminal=own, gateway=GatewaySettings(require_pairing=pairs)), edges={"ptys": self.ptys})
        self.token = self.gate.pair() if pairs else ""

    def connect(self, query: str = "", token: str = "") -> SocketClient:
        return SocketClient(self.gate, f"/ws/terminal?{query}", token=token or self.token)

    def last(self) -> ScriptedPty:
        return self.ptys.opened[-1]

    def told(self, kind: str) -> list[dict[str, object]]:
        return [dict(event.data) for event in self.gate.gateway.events.recent() if event.kind == kind]

    def apply(self, **terminal: Any) -> None:  # as above
        """Settings that were changed while running."""
        live = self.gate.gateway.live
        changed = msgspec.structs.replace(live.settings, terminal=msgspec.structs.replace(live.settings.terminal, **terminal))
        live.taken_up(changed)


def test_the_login_shell_runs_at_home_in_a_small_environment() -> None:
    house = House()
    client = house.connect("session_id=s&mcp_session=m&mcp_token=t")
    program = house.last()
    assert (client.status, program.argv, program.cwd, program.sizes) == (101, ("/bin/zsh", "-l"), "/home/gate", [Size(80, 24)])
    assert program.env == {
        "PATH": "/bin",
        "SHELL": "/bin/zsh",
        "LANG": "C.UTF-8",
        "HOME": "/home/gate",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
    }


@pytest.mark.parametrize(
    ("query", "argv"),
    [("tool=claude", ("/opt/bin/claude",)), ("tool=Claude", ("/bin/zsh", "-l")), ("tool=", ("/bin/zsh", "-l")), ("tool=vi", ("/bin/zsh", "-l"))],
)
def test_a_known_tool_runs_and_any_other_name_is_the_shell(query: str, argv: tuple[str, ...]) -> None:
    house = House()
    house.connect(query)
    assert house.last().argv == argv


def test_the_shell_is_a_setting() -> None:
    house = House(shell="/bin/sh")
    house.connect()
    assert house.last().argv == ("/bin/sh", "-l")


def test_size_and_folder_come_from_the_query() -> None:
    house = House()
    house.connect("cols=0&rows=50&cwd=~/src")
    assert (house.last().sizes, house.last().cwd) == ([Size(80, 50)], "/home/gate/src")
    house.connect("cols=7&rows=0&cwd=/tmp")
    assert (house.last().sizes, house.last().cwd) == ([Size(7, 24)], "/tmp")


def test_a_size_that_is_no_number_is_a_400() -> None:
    assert House().connect("cols=wide").status == 400


def test_what_is_typed_reaches_the_program_and_a_resize_does_not() -> None:
    house = House()
    client = house.connect()
    client.send("lsü\r")
    client.send({"type": "resize", "cols": 100, "rows": 0})
    client.send(b"\x00\xff")
    client.send('{"type":"resize","cols":1}')
    assert house.last().typed == "lsü\r".encode() + b"\x00\xff" + b'{"type":"resize","cols":1}'
    assert house.last().sizes == [Size(80, 24), Size(100, 24)]


def test_output_is_text_and_a_split_character_is_whole() -> None:
    house = House()
    client = house.connect()
    for piece in (b"a\xc3", b"\xa9", b"\xf0\x9f", b"\x98\x80", b"\xff"):
        house.last().on_output(piece)
    client.pump()
    assert client.received == ["a", "é", "😀", "\N{REPLACEMENT CHARACTER}"]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("cwd=/no", "Invalid cwd: /no: No such file or directory (os error 2)"),
        ("cwd=~/no", "Invalid cwd: ~/no: No such file or directory (os error 2)"),
        ("cwd=/etc/hostname", "Invalid cwd: /etc/hostname is not a directory"),
        ("tool=gemini", "gemini not found in PATH"),
    ],
)
def test_what_cannot_begin_is_told_in_red_and_closed(query: str, text: str) -> None:
    house = House()
    client = house.connect(query)
    assert (client.received, client.close_code, house.ptys.opened) == ([RED.format(text)], 1008, [])


def test_a_program_that_does_not_start_is_told() -> None:
    house = House()
    house.ptys.problem = OSError(12, "Cannot allocate memory")
    client = house.connect()
    assert (client.received, client.close_code) == ([RED.format("Failed to open PTY: Cannot allocate memory")], 1011)
    house.ptys.problem = None
    assert house.connect().close_code is None


def test_the_end_of_the_program_is_told_and_closes_with_1000() -> None:
    house = House()
    client = house.connect()
    house.last().on_output(b"half \xe2\x82")
    house.last().exit(3)
    client.pump()
    assert client.received == ["half ", "\N{REPLACEMENT CHARACTER}\r\n[zsh exited with code 3]\r\n"]
    assert (client.close_code, house.last().is_terminated) == (1000, False)
    told = house.told("terminal_closed")[0]
    assert (told["reason"], told["exit_code"], told["signal"]) == ("exited", 3, None)


def test_the_program_ends_with_its_client() -> None:
    house = House()
    polite, gone = house.connect(), house.connect()
    polite.close()
    gone.leave()
    assert [program.is_terminated for program in house.ptys.opened] == [True, True]


def test_a_revoked_token_ends_its_terminals() -> None:
    house = House()
    client = house.connect()
    device = house.gate.client.get("/api/devices", peer="operator").json["devices"][0]["id"]
    house.gate.client.request("DELETE", f"/api/devices/{device}", peer="operator")
    client.pump()
    assert (client.close_code, house.last().is_terminated) == (REVOKED, True)


def test_opening_and_closing_are_told_on_the_bus() -> None:
    house = House()
    client = house.connect("cwd=/tmp")
    house.gate.clock.advance(5)
    client.close()
    assert house.told("terminal_closed") == []
    house.last().exit(None, 1)
    opened, closed = house.told("terminal_opened")[0], house.told("terminal_closed")[0]
    assert (opened["program"], opened["cwd"], opened["client"]) == ("/bin/zsh", "/tmp", "203.0.113.9")
    assert closed == {"id": opened["id"], "principal": opened["principal"], "reason": "left", "seconds": 5, "exit_code": None, "signal": 1}


def test_a_device_has_two_and_the_gateway_eight_until_their_programs_are_gone() -> None:
    house = House(max_terminals=3)
    mine, _, refused = (house.connect() for _ in range(3))
    assert (refused.received, refused.close_code) == ([RED.format("Too many terminals of this device are open")], 1013)
    other = house.gate.pair()
    assert house.connect(token=other).close_code is None
    assert house.connect(token=other).received == [RED.format("Too many terminals are open")]
    mine.close()
    assert house.connect().close_code == 1013
    house.ptys.opened[0].exit(None, 1)
    assert house.connect().close_code is None


def test_an_idle_terminal_is_told_and_ended() -> None:
    house = House(idle_timeout_secs=60)
    client = house.connect()
    steps = [lambda: client.send("x"), lambda: house.last().on_output(b"y"), client.pump]
    for step in steps:
        for _ in range(5):
            house.gate.clock.advance(10)
            client.pump()
        assert client.close_code is None
        step()
    for _ in range(2):
        house.gate.clock.advance(10)
        client.pump()
    assert client.received[-1] == RED.format("The terminal was idle for too long and is closed")
    assert (client.close_code, house.last().is_terminated) == (1000, True)
    house.last().exit()
    assert house.told("terminal_closed")[0]["reason"] == "idle"


def test_without_an_idle_limit_a_terminal_stays() -> None:
    house = House(idle_timeout_secs=0)
    client = house.connect()
    for _ in range(500):
        house.gate.clock.advance(10)
        client.pump()
    assert client.close_code is None


def test_the_program_waits_while_the_client_takes_nothing() -> None:
    house = House()
    client = house.connect()
    client.stall()
    assert house.last().is_paused
    house.last().on_output(b"already read")
    client.pump()
    assert client.received == []
    client.resume()
    assert (client.received, house.last().is_paused) == (["already read"], False)


def test_input_that_is_not_read_is_told_once() -> None:
    house = House()
    client = house.connect()
    house.last().is_full = True
    client.send("one")
    client.send("two")
    house.last().is_full = False
    client.send("three")
    assert (len(client.received), house.last().typed) == (1, b"three")
    assert "does not read" in str(client.received[0])


def test_it_is_off_until_it_is_switched_on() -> None:
    house = House(enabled=False)
    client = house.connect()
    assert (client.status, client.body) == (503, b'{"error":"set [terminal] enabled = true in config.toml"}')


def test_the_scope_is_needed() -> None:
    house = House()
    assert house.connect(token=without_scope(house.gate, Scope.TERMINAL)).status == 403
    assert SocketClient(house.gate, "/ws/terminal").status == 401
    assert house.ptys.opened == []


def test_without_pairing_nobody_gets_a_terminal() -> None:
    house = House(pairs=False)
    assert house.connect().status == 403
    assert house.ptys.opened == []


def test_switching_off_ends_what_is_open() -> None:
    house = House()
    client = house.connect()
    house.apply(max_terminals=1)
    assert len(house.gate.gateway.web.sockets) == 1
    house.apply(enabled=False)
    client.pump()
    assert (client.received, client.close_code) == ([RED.format("Terminals are closed by the gateway")], 1000)
    assert house.last().is_terminated


def test_a_shorter_idle_limit_counts_for_open_terminals() -> None:
    house = House(idle_timeout_secs=0)
    client = house.connect()
    house.gate.clock.advance(5)
    client.pump()
    house.apply(idle_timeout_secs=10)
    house.gate.clock.advance(6)
    client.pump()
    assert client.close_code == 1000


def test_the_gateway_stops_when_the_programs_are_gone() -> None:
    house = House()
    client = house.connect()
    ended: list[object] = []
    house.gate.stop().addCallback(ended.append)
    house.gate.clock.advance(1)
    client.pump()
    assert (client.close_code, house.last().is_terminated, ended) == (1001, True, [])
    house.last().exit(None, 1)
    house.gate.clock.advance(3)
    assert ended == [None]
