from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.python.failure import Failure

from clawgate.agents.command import DRAIN_SECONDS, GRACE_SECONDS, LINE_CAP_BYTES, CommandBackend
from clawgate.agents.command_wire import AnswerLines, CommandDecoder
from clawgate.domain import errors
from clawgate.domain.errors import AgentError, AgentProtocol, AgentTimeout, AgentUnavailable
from clawgate.domain.turn import Completion, ToolCall, Usage
from clawgate.testing.agents import BackendContract, ListSink, prompt
from clawgate.testing.case import TestCase
from clawgate.testing.clock import ManualClock


class Process:
    """A child that a test plays; it is its own transport."""

    def __init__(self, protocol: Any, argv: list[str], env: dict[str, str], pid: int) -> None:
        self.protocol, self.argv, self.env, self.pid = protocol, argv, env, pid
        self.read = b""
        self.is_input_closed = self.is_dropped = False

    def write(self, data: bytes) -> None:
        self.read += data

    def closeStdin(self) -> None:
        self.is_input_closed = True

    def signalProcess(self, name: str) -> None:
        raise AssertionError("the group is enough")

    def loseConnection(self) -> None:
        self.is_dropped = True
        self.protocol.processEnded(Failure(ProcessDone(0)))

    def says(self, **line: object) -> None:
        self.protocol.outReceived(json.dumps(line).encode() + b"\n")

    def ends(self, code: int = 0, signal: int | None = None) -> None:
        self.exits(code, signal)
        self.protocol.processEnded(self.reason(code, signal))

    def exits(self, code: int = 0, signal: int | None = None) -> None:
        self.protocol.processExited(self.reason(code, signal))

    @staticmethod
    def reason(code: int, signal: int | None) -> Failure:
        return Failure(ProcessTerminated(code, signal) if code or signal else ProcessDone(0))


class Reactor:
    """Starts nothing."""

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self.error: OSError | None = None

    def spawnProcess(self, protocol: Any, executable: str, argv: list[str], env: dict[str, str]) -> None:
        if self.error is not None:
            raise self.error
        process = Process(protocol, argv, env, 1000 + len(self.processes))
        self.processes.append(process)
        protocol.makeConnection(process)


def build(reactor: Reactor, clock: ManualClock, kills: list[int], limit: int = 2) -> CommandBackend:
    return CommandBackend(
        reactor,
        clock,
        ["agent", "--fast"],
        max_inflight=limit,
        idle_timeout_seconds=30,
        answer_cap_bytes=3 << 20,
        environment={"EXTRA": "1"},
        signal_group=lambda pid, signal: kills.append(pid),
    )


class Command(TestCase):
    def setUp(self) -> None:
        self.clock, self.reactor = ManualClock(), Reactor()
        self.kills: list[int] = []
        self.backend = build(self.reactor, self.clock, self.kills)
        self.sink = ListSink()

    def run_one(self) -> tuple[Deferred[Completion], Process]:
        running = self.backend.run(prompt(system="S", idempotency_key="i:1", principal="p"), self.sink)
        return running, self.reactor.processes[-1]

    def refused(self, running: Deferred[Completion], kind: type[AgentError]) -> AgentError:
        error = self.failureResultOf(running, kind).value
        assert isinstance(error, AgentError)
        return error

    def test_the_program_reads_one_line_and_has_a_small_environment(self) -> None:
        _, process = self.run_one()
        assert process.is_input_closed
        assert process.argv[-2:] == ["agent", "--fast"]
        assert set(process.env) == {"PATH", "HOME", "LANG", "EXTRA"}
        assert process.read.endswith(b"}\n")
        assert json.loads(process.read) == {
            "type": "prompt",
            "id": "i:1",
            "system": "S",
            "messages": [{"role": "user", "content": "hello"}],
            "model": "agent",
            "temperature": None,
            "principal": "p",
            "conversation": None,
            "tools": [],
        }

    def test_its_lines_are_the_answer(self) -> None:
        running, process = self.run_one()
        process.says(type="delta", text="Hi ")
        assert self.sink.deltas == ["Hi "]
        process.says(type="note", text="of no known type")
        process.says(type="thinking", text="hm")
        assert self.sink.thoughts == ["hm"]
        process.says(type="tool_call", id="t", name="f", arguments={"a": 1})
        process.says(type="tool_call", name="g", arguments='{"b": 2}')
        process.says(type="usage", input_tokens=4, output_tokens=2)
        process.says(type="delta", text="there")
        process.says(type="done", model="m2")
        calls = (ToolCall("t", "f", '{"a": 1}'), ToolCall("call_1", "g", '{"b": 2}'))
        assert self.successResultOf(running) == Completion(text="Hi there", model="m2", usage=Usage(4, 2), stop="tool_calls", tool_calls=calls)
        assert self.sink.tool_calls == list(calls)

    def test_a_text_with_done_is_told_when_nothing_was_streamed(self) -> None:
        running, process = self.run_one()
        process.says(type="done", text="All")
        assert self.successResultOf(running).text == "All"
        assert self.sink.deltas == ["All"]

    def test_done_counts_whatever_the_exit_code_says(self) -> None:
        running, process = self.run_one()
        process.says(type="done", text="All")
        process.ends(3)
        assert self.successResultOf(running).text == "All"
        assert self.clock.pending == 0

    def test_a_program_that_stays_after_done_is_killed(self) -> None:
        running, process = self.run_one()
        process.says(type="done")
        self.successResultOf(running)
        self.clock.advance(GRACE_SECONDS - 0.1)
        assert self.kills == []
        self.clock.advance(0.1)
        assert self.kills == [process.pid]

    def test_an_exit_code_without_done_is_unavailable_with_the_end_of_its_stderr(self) -> None:
        running, process = self.run_one()
        process.protocol.errReceived(b"x" * 5000 + b"\nno such\x1b model")
        process.ends(2)
        error = self.refused(running, AgentUnavailable)
        assert "exit code 2" in error.detail
        assert error.detail.endswith("no such model")
        assert len(error.detail) < 700

    def test_an_end_without_done_is_never_an_answer(self) -> None:
        running, process = self.run_one()
        process.says(type="delta", text="Half")
        process.ends(0)
        assert self.refused(running, AgentProtocol).retryable

    def test_what_it_reports_is_of_its_kind(self) -> None:
        kinds = {"auth": errors.AgentAuth, "rate_limited": errors.AgentRateLimited, "nonsense": AgentUnavailable}
        for code, kind in kinds.items():
            running, process = self.run_one()
            process.says(type="error", code=code, message="why", retry_after=3)
            error = self.refused(running, kind)
            assert ("why" in error.detail, error.retry_after_seconds) == (True, 3)
            assert self.kills[-1] == process.pid
            process.ends(0, 9)

    def test_a_line_that_is_not_json_ends_it(self) -> None:
        running, process = self.run_one()
        process.protocol.outReceived(b"Loading model...\n")
        self.refused(running, AgentProtocol)
        assert self.kills == [process.pid]

    def test_an_endless_line_and_an_endless_answer_are_cut_off(self) -> None:
        running, process = self.run_one()
        process.protocol.outReceived(b"x" * (LINE_CAP_BYTES + 1))
        self.refused(running, AgentProtocol)
        process.ends(0, 9)
        running, process = self.run_one()
        for _ in range(4):
            process.protocol.outReceived(b"\n" * (1 << 20))
        self.refused(running, AgentProtocol)

    def test_silence_is_a_timeout_and_every_line_puts_it_off(self) -> None:
        running, process = self.run_one()
        for _ in range(3):
            self.clock.advance(29)
            process.says(type="delta", text="x")
        self.clock.advance(30)
        self.refused(running, AgentTimeout)
        assert self.kills == [process.pid]

    def test_cancelling_kills_the_group(self) -> None:
        running, process = self.run_one()
        running.cancel()
        self.failureResultOf(running, CancelledError)
        assert self.kills == [process.pid]
        process.ends(0, 9)
        assert self.clock.pending == 0

    def test_grandchildren_that_keep_the_pipes_do_not_keep_the_turn(self) -> None:
        running, process = self.run_one()
        process.exits(1)
        assert self.kills == [process.pid]
        self.assertNoResult(running)
        self.clock.advance(DRAIN_SECONDS)
        assert process.is_dropped
        self.refused(running, AgentUnavailable)

    def test_a_program_that_cannot_be_started_is_unavailable_and_gives_its_place_back(self) -> None:
        self.reactor.error = OSError("no more processes")
        for _ in range(5):
            self.refused(self.backend.run(prompt(), self.sink), AgentUnavailable)

    def test_no_more_than_the_limit_run_and_a_place_is_free_when_the_process_is_gone(self) -> None:
        runs = [self.backend.run(prompt(), self.sink) for _ in range(3)]
        assert len(self.reactor.processes) == 2
        self.reactor.processes[0].says(type="done")
        self.successResultOf(runs[0])
        assert len(self.reactor.processes) == 2
        self.reactor.processes[0].ends()
        assert len(self.reactor.processes) == 3

    def test_stopping_kills_and_waits_until_all_are_gone(self) -> None:
        running, process = self.run_one()
        stopped = self.backend.stop()
        self.refused(running, AgentUnavailable)
        self.assertNoResult(stopped)
        process.ends(0, 9)
        self.successResultOf(stopped)
        self.refused(self.backend.run(prompt(), self.sink), AgentUnavailable)


class CommandContract(BackendContract):
    __test__ = True

    def setUp(self) -> None:
        self.clock, self.reactor = ManualClock(), Reactor()
        self.is_hanging = False

    def answering(self) -> CommandBackend:
        return build(self.reactor, self.clock, [])

    def hanging(self) -> CommandBackend:
        self.is_hanging = True
        return self.answering()

    def settle(self) -> None:
        if self.reactor.processes and not self.is_hanging:
            process = self.reactor.processes.pop()
            process.says(type="delta", text="one")
            process.says(type="usage", output_tokens=2)
            process.says(type="done")
            process.ends()


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"bc"])).map(b"".join), st.integers(1, 5))
def test_lines_do_not_depend_on_where_the_pipe_cuts(stream: bytes, size: int) -> None:
    splitter = AnswerLines(line_cap_bytes=1000, total_cap_bytes=1000)
    lines = [line for start in range(0, len(stream), size) for line in splitter.feed(stream[start : start + size])]
    assert lines == [line.removesuffix(b"\r") for line in stream.split(b"\n")[:-1]]


@given(
    st.lists(st.binary(max_size=20) | st.sampled_from([b'{"type":"delta","text":"x"}', b'{"type":"done"}', b'{"type":"tool_call"}', b"{}", b"[]"]))
)
def test_any_lines_are_an_answer_or_an_agent_error(lines: list[bytes]) -> None:
    decoder = CommandDecoder("m")
    outcome = "answer"
    try:
        for line in lines:
            tuple(decoder.line(line))
        decoder.completion()
    except AgentError as error:
        outcome = error.code
    assert outcome in {"answer", "protocol", "unavailable"}
    assert outcome != "answer" or b'{"type":"done"}' in lines
