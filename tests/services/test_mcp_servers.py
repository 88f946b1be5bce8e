"""MCP servers as sources of tools, against scripted connections."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import CancelledError, Deferred

from clawgate.domain.errors import Conflict, NotFound, Overloaded, ToolUncertain, Unavailable
from clawgate.domain.mcp import MOST_SERVERS, McpTool
from clawgate.domain.settings import Settings
from clawgate.domain.settings.model import McpServer
from clawgate.domain.tools import Risk, ToolContext, ToolResult
from clawgate.domain.turn import ToolCall
from clawgate.services.health import Health
from clawgate.services.mcp import MAX_IN_FLIGHT, MAX_WAITING, RELIST_SECONDS, McpServers
from clawgate.services.supervisor import Supervisor
from clawgate.testing import ManualClock, MemoryGateway, Pieces, ScriptedAgent, TestCase
from clawgate.testing.mcp import ScriptedMcp

_T = TypeVar("_T")
SERVER = McpServer(command="program")
CONTEXT = ToolContext(principal="p", source="s", conversation=None, idempotency_key="1:1")
SEND = McpTool("send", "", '{"type":"object"}')


class McpServersTests(TestCase):
    def setUp(self) -> None:
        self.clock = ManualClock()
        self.script = ScriptedMcp()
        self.health = Health(self.clock, 1)
        self.servers = McpServers(self.script, Supervisor(self.clock, self.health), self.clock)

        self.calls: list[Deferred[ToolResult]] = []

    def tearDown(self) -> None:
        self.run_now(self.servers.stop_all())
        for calling in self.calls:
            calling.addErrback(lambda _: None)
        assert self.clock.pending == 0

    def run_now(self, work: Coroutine[Any, Any, _T]) -> _T:  # Any: what coroutines are sent
        waiting = Deferred.fromCoroutine(work)
        self.clock.advance(0)
        return self.successResultOf(waiting)

    def fails_now(self, work: Coroutine[Any, Any, object], *kinds: type[Exception]) -> str:  # Any: as above
        waiting = Deferred.fromCoroutine(work)
        self.clock.advance(0)
        return str(self.failureResultOf(waiting, *kinds).value)

    def call(self, name: str = "s__echo") -> Deferred[ToolResult]:
        self.calls.append(self.servers.call(name, {"text": "hi"}, CONTEXT))
        return self.calls[-1]

    def names(self) -> list[str]:
        return [tool.name for tool in self.servers.tools()]

    def test_a_started_server_offers_its_tools_and_takes_calls(self) -> None:
        self.run_now(self.servers.start("s", SERVER))
        assert self.names() == ["s__echo"]
        assert self.servers.status() == {"s": ("Running", None)}
        assert self.successResultOf(self.call()) == ToolResult("echo: {'text': 'hi'}")
        assert self.script.calls == [("s", "echo", {"text": "hi"})]
        assert [tool.risk for tool in self.servers.tools()] == [Risk.OUTSIDE]

    def test_read_only_tools_of_the_settings_are_read(self) -> None:
        self.run_now(self.servers.start("s", McpServer(command="program", read_only_tools=("echo",))))
        assert [(tool.risk, tool.is_idempotent) for tool in self.servers.tools()] == [(Risk.READ, True)]

    def test_start_does_not_wait_and_until_it_is_up_a_server_is_stopped(self) -> None:
        self.script.hangs = True
        self.run_now(self.servers.start("s", SERVER))
        assert self.servers.status() == {"s": ("Stopped", None)}
        assert self.names() == []

    def test_a_server_that_cannot_be_reached_is_in_error_and_tried_again(self) -> None:
        self.script.problem = Unavailable("MCP server 's': no such program")
        self.run_now(self.servers.start("s", SERVER))
        assert self.servers.status() == {"s": ("Error", "MCP server 's': no such program")}
        assert self.health.unhealthy() == ["mcp:s"]
        self.script.problem = None
        self.clock.advance(2)
        assert self.servers.status() == {"s": ("Running", None)}
        assert self.health.unhealthy() == []
        assert [connection.is_closed for connection in self.script.opened] == [True, False]

    def test_waits_between_restarts_double_and_never_end(self) -> None:
        self.script.problem = Unavailable("no")
        self.run_now(self.servers.start("s", SERVER))
        for wait in (2, 4, 8, 16, 32, 60, 60):
            before = len(self.script.opened)
            self.clock.advance(wait - 0.5)
            assert len(self.script.opened) == before
            self.clock.advance(0.5)
            assert len(self.script.opened) == before + 1

    def test_a_server_that_dies_is_started_again_and_its_tools_stay_on_offer_meanwhile(self) -> None:
        self.run_now(self.servers.start("s", SERVER))
        self.script.opened[0].drop()
        assert self.servers.status() == {"s": ("Error", "MCP server 's': the program ended with signal 9")}
        assert self.names() == ["s__echo"]
        self.failureResultOf(self.call(), Unavailable)
        self.clock.advance(2)
        assert self.servers.status() == {"s": ("Running", None)}
        assert self.successResultOf(self.call()).ok

    def test_tools_are_withdrawn_once_a_restart_has_failed(self) -> None:
        self.run_now(self.servers.start("s", SERVER))
        self.script.problem = Unavailable("gone")
        self.script.opened[0].drop()
        self.clock.advance(2)
        assert self.names() == []
        assert self.successResultOf(self.call()) == ToolResult("there is no tool named s__echo", ok=False)

    def test_a_call_whose_server_dies_under_way_is_uncertain(self) -> None:
        self.script.answers_at_once = False
        self.run_now(self.servers.start("s", SERVER))
        calling = self.call()
        self.assertNoResult(calling)
        self.script.opened[0].drop()
        self.failureResultOf(calling, ToolUncertain)

    def test_a_changed_list_is_read_again(self) -> None:
        self.run_now(self.servers.start("s", SERVER))
        self.script.tools = (SEND,)
        self.script.opened[0].change()
        self.clock.advance(RELIST_SECONDS)
        assert self.names() == ["s__send"]
        assert self.servers.status() == {"s": ("Running", None)}

    def test_calls_to_one_server_are_bounded_and_the_line_too(self) -> None:
        self.script.answers_at_once = False
        self.run_now(self.servers.start("s", SERVER))
        calls = [self.call() for _ in range(MAX_IN_FLIGHT + MAX_WAITING)]
        assert len(self.script.calls) == MAX_IN_FLIGHT
        self.failureResultOf(self.call(), Overloaded)
        self.script.opened[0].answer(ToolResult("done"))
        assert self.successResultOf(calls[0]) == ToolResult("done")
        assert len(self.script.calls) == MAX_IN_FLIGHT + 1

    def test_calls_in_line_when_the_server_dies_were_not_sent(self) -> None:
        self.script.answers_at_once = False
        self.run_now(self.servers.start("s", SERVER))
        calls = [self.call() for _ in range(MAX_IN_FLIGHT + 1)]
        self.script.opened[0].drop()
        self.failureResultOf(calls[0], ToolUncertain)
        self.failureResultOf(calls[-1], Unavailable)

    def test_a_cancelled_call_gives_its_place_away(self) -> None:
        self.script.answers_at_once = False
        self.run_now(self.servers.start("s", SERVER))
        calls = [self.call() for _ in range(MAX_IN_FLIGHT + 1)]
        calls[0].cancel()
        self.failureResultOf(calls[0], CancelledError)
        assert len(self.script.calls) == MAX_IN_FLIGHT + 1

    def test_the_eleventh_server_is_refused(self) -> None:
        for number in range(MOST_SERVERS):
            self.run_now(self.servers.start(f"s{number}", SERVER))
        assert self.fails_now(self.servers.start("one-more", SERVER), Conflict) == "MCP server limit reached (max 10)"
        self.run_now(self.servers.stop("s0"))
        self.run_now(self.servers.start("one-more", SERVER))

    def test_a_name_in_use_is_refused(self) -> None:
        self.run_now(self.servers.start("s", SERVER))
        self.fails_now(self.servers.start("s", SERVER), Conflict)

    def test_stop_closes_withdraws_and_forgets(self) -> None:
        self.run_now(self.servers.start("s", SERVER))
        self.run_now(self.servers.stop("s"))
        assert self.script.opened[0].is_closed
        assert (self.names(), self.servers.status(), self.health.unhealthy()) == ([], {}, [])
        assert self.clock.pending == 0
        assert self.fails_now(self.servers.stop("s"), NotFound) == "MCP server 's' not found"

    def test_try_start_returns_when_the_tools_can_be_called(self) -> None:
        self.run_now(self.servers.try_start("s", SERVER, 10))
        assert self.names() == ["s__echo"]

    def test_try_start_that_fails_says_why_and_leaves_nothing(self) -> None:
        self.script.problem = Unavailable("MCP server 's': no such program")
        assert self.fails_now(self.servers.try_start("s", SERVER, 10), Unavailable) == "MCP server 's': no such program"
        assert self.servers.status() == {}
        assert self.clock.pending == 0

    def test_try_start_that_takes_too_long_leaves_nothing(self) -> None:
        self.script.hangs = True
        starting = Deferred.fromCoroutine(self.servers.try_start("s", SERVER, 10))
        self.clock.advance(10)
        assert str(self.failureResultOf(starting, Unavailable).value) == "MCP server 's' was not ready within 10 s"
        assert self.servers.status() == {}
        assert [connection.is_closed for connection in self.script.opened] == [True]
        assert self.clock.pending == 0

    def test_try_start_that_is_cancelled_leaves_nothing(self) -> None:
        self.script.hangs = True
        starting = Deferred.fromCoroutine(self.servers.try_start("s", SERVER, 10))
        starting.cancel()
        self.failureResultOf(starting, CancelledError)
        assert (self.servers.status(), self.clock.pending) == ({}, 0)

    def test_stop_all_ends_every_server(self) -> None:
        self.run_now(self.servers.start_all({"a": SERVER, "b": SERVER}))
        self.run_now(self.servers.stop_all())
        assert [connection.is_closed for connection in self.script.opened] == [True, True]
        assert self.servers.status() == {}


def test_configured_servers_neither_delay_nor_fail_the_start() -> None:
    gate = MemoryGateway(Settings(mcp_servers={f"s{number}": SERVER for number in range(MOST_SERVERS + 1)}), start=False)
    gate.mcp.problem = Unavailable("no such program")
    gate.start()
    health = gate.client.get("/health").json
    assert [name for name in health["runtime"]["components"] if name.startswith("mcp:")] == sorted(f"mcp:s{number}" for number in range(MOST_SERVERS))
    gate.stop()
    gate.clock.advance(10)


@pytest.mark.parametrize("kill", [False, True])
def test_servers_are_started_again_with_the_gateway(kill: bool) -> None:
    gate = MemoryGateway(Settings(mcp_servers={"s": SERVER}))
    if not kill:
        gate.stop()
        gate.clock.advance(10)
        assert gate.mcp.opened[0].is_closed
    gate.restart(kill=kill)
    assert gate.mcp.opened[-1].is_open


@pytest.mark.parametrize(("read_only", "calls"), [(("echo",), [("s", "echo", {"text": "hi"})]), ((), [])])
def test_without_anybody_to_ask_an_agent_calls_only_what_only_looks(read_only: tuple[str, ...], calls: list[object]) -> None:
    wish = Pieces((), (ToolCall("c1", "s__echo", '{"text": "hi"}'),), stop="tool_calls")
    gate = MemoryGateway(Settings(mcp_servers={"s": McpServer(command="program", read_only_tools=read_only)}), agent=ScriptedAgent([wish, "done"]))
    pending = gate.client.begin("POST", "/webhook", {"message": "echo, please"}, token=gate.pair())
    assert pending.response.json["response"] == "done"
    assert gate.mcp.calls == calls
    pending.leave()
