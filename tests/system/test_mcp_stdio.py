"""Lines to and from a child that a test plays."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.python.failure import Failure

from clawgate.domain.errors import GatewayError, Unavailable
from clawgate.domain.jsonrpc import Message, Notification
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import McpServer
from clawgate.system.mcp_session import Outgoing
from clawgate.system.mcp_stdio import KILL_AFTER_SECONDS, LINE_CAP_BYTES, PIPES_SECONDS, StdioCarrier, child_environment
from clawgate.testing import ManualClock, TestCase

LINE = b'{"jsonrpc":"2.0","method":"a"}'
CALL = Outgoing(message=LINE, id=1, method="tools/call")
REPLY = Outgoing(message=LINE)


class Child:
    """A process transport; its pid is one that no process has, so that signals reach `signalProcess`."""

    pid = 2**22 + 1  # above every pid_max

    def __init__(self) -> None:
        self.written = b""
        self.signals: list[str] = []
        self.has_lost = self.is_stdin_closed = False
        self.producer: Any = None

    def write(self, data: bytes) -> None:
        self.written += data

    def closeStdin(self) -> None:
        self.is_stdin_closed = True

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)

    def loseConnection(self) -> None:
        self.has_lost = True

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # Any: as Twisted's
        self.producer = producer


class Spawner:
    """A reactor that starts nothing."""

    def __init__(self) -> None:
        self.argv: list[str] = []
        self.environment: dict[str, str] = {}
        self.problem: OSError | None = None

    def spawnProcess(self, protocol: Any, executable: str, argv: list[str], env: dict[str, str]) -> None:  # Any: as Twisted's
        if self.problem is not None:
            raise self.problem
        self.protocol, self.argv, self.environment = protocol, argv, env
        self.child = Child()
        protocol.makeConnection(self.child)


class Heard:
    """A listener that keeps everything."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.errors: list[str] = []

    def received(self, message: Message) -> None:
        self.messages.append(message)

    def undelivered(self, number: int, error: GatewayError) -> None:
        raise AssertionError("lines are never undelivered")

    def lost(self, error: GatewayError) -> None:
        self.errors.append(str(error))


class StdioTests(TestCase):
    def setUp(self) -> None:
        self.clock, self.spawner, self.heard = ManualClock(), Spawner(), Heard()
        server = McpServer(command="sh", args=("-c", "x"), env={"KEY": Secret("k")})
        self.carrier = StdioCarrier("s", server, self.spawner, self.clock)
        self.carrier.open(self.heard)
        self.child, self.protocol = self.spawner.child, self.spawner.protocol

    def end(self, reason: Exception) -> None:
        self.protocol.processExited(Failure(reason))
        self.protocol.processEnded(Failure(reason))

    def test_the_program_gets_its_arguments_and_a_small_environment(self) -> None:
        assert self.spawner.argv[-2:] == ["-c", "x"]
        assert self.spawner.argv[-3].endswith("/sh")
        assert sorted(self.spawner.environment) == ["HOME", "KEY", "LANG", "PATH"]
        assert child_environment(McpServer(env={"PATH": Secret("/x")}))["PATH"] == "/x"

    def test_messages_are_lines(self) -> None:
        self.carrier.send(CALL)
        assert self.child.written == LINE + b"\n"
        for byte in LINE + b"\r\n\n":
            self.protocol.outReceived(bytes([byte]))
        assert self.heard.messages == [Notification("a")]

    def test_a_message_that_is_cut_is_not_heard(self) -> None:
        self.protocol.outReceived(LINE)
        self.end(ProcessDone(0))
        assert self.heard.messages == []
        assert self.heard.errors == ["MCP server 's': the program ended with exit code 0"]

    def test_lines_that_are_no_messages_are_skipped(self) -> None:
        self.protocol.outReceived(b"Server listening\n{}\n" + LINE + b"\n")
        assert self.heard.messages == [Notification("a")]

    def test_a_line_over_the_cap_ends_the_child(self) -> None:
        self.protocol.outReceived(b"x" * LINE_CAP_BYTES)
        assert self.heard.errors == []
        self.protocol.outReceived(b"x")
        self.protocol.outReceived(LINE + b"\n")
        assert self.heard.errors == [f"MCP server 's': a line is longer than {LINE_CAP_BYTES} bytes"]
        assert self.child.signals == ["KILL"]
        assert self.heard.messages == []

    def test_a_child_that_does_not_read_gets_no_answers_and_still_gets_requests(self) -> None:
        self.child.producer.pauseProducing()
        self.carrier.send(REPLY)
        assert self.child.written == b""
        self.carrier.send(CALL)
        self.child.producer.resumeProducing()
        self.carrier.send(REPLY)
        assert self.child.written.count(b"\n") == 2

    def test_close_asks_then_insists(self) -> None:
        closing = self.carrier.close()
        assert (self.child.is_stdin_closed, self.child.signals) == (True, ["TERM"])
        self.clock.advance(KILL_AFTER_SECONDS)
        assert self.child.signals == ["TERM", "KILL"]
        self.assertNoResult(closing)
        self.end(ProcessTerminated(signal=signal.SIGKILL))
        self.successResultOf(closing)
        self.successResultOf(self.carrier.close())
        assert self.clock.pending == 0

    def test_pipes_that_stay_open_are_let_go(self) -> None:
        self.protocol.processExited(Failure(ProcessDone(0)))
        self.clock.advance(PIPES_SECONDS)
        assert self.child.has_lost

    def test_nothing_is_sent_to_a_program_that_has_ended(self) -> None:
        self.end(ProcessTerminated(exitCode=3))
        assert self.heard.errors == ["MCP server 's': the program ended with exit code 3"]
        with pytest.raises(Unavailable):
            self.carrier.send(CALL)

    def test_what_it_says_to_people_is_logged_without_the_secrets_it_was_given(self) -> None:
        said: list[str] = []
        from twisted.logger import globalLogPublisher

        def observe(event: Any) -> None:  # Any: a log event
            said.append(str(event.get("line", "")))

        carrier = StdioCarrier("s", McpServer(command="sh", env={"KEY": Secret("a-long-secret-value")}), self.spawner, self.clock)
        carrier.open(self.heard)
        globalLogPublisher.addObserver(observe)
        try:
            self.spawner.protocol.errReceived(b"my key is a-long-secret-value\n")
        finally:
            globalLogPublisher.removeObserver(observe)
        assert [line for line in said if line.startswith("my key is")] != []
        assert "a-long-secret-value" not in "".join(said)

    def test_a_program_that_cannot_be_started_is_unavailable(self) -> None:
        self.spawner.problem = OSError(11, "try again")
        with pytest.raises(Unavailable):
            StdioCarrier("s", McpServer(command="sh"), self.spawner, self.clock).open(self.heard)

    def test_a_child_that_is_gone_already_takes_no_signal(self) -> None:
        def refuse(name: str) -> None:
            raise ProcessExitedAlready

        self.child.signalProcess = refuse  # type: ignore[method-assign]  # Twisted's transport does this between exit and reaping
        closing = self.carrier.close()
        self.end(ProcessDone(0))
        self.successResultOf(closing)
