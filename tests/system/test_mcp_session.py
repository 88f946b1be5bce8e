"""One MCP conversation over a carrier that a test plays."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed

from clawgate.domain import jsonrpc
from clawgate.domain.errors import ToolUncertain, Unavailable
from clawgate.domain.jsonrpc import METHOD_NOT_FOUND, Notification, Problem, Request, Success
from clawgate.domain.mcp import MOST_TOOLS
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import McpServer
from clawgate.domain.tools import ToolResult
from clawgate.system import mcp_wire as wire
from clawgate.system.mcp import redactor_of
from clawgate.system.mcp_session import BEAT_SECONDS, MAX_REQUEST_BYTES, PING_SECONDS, SETUP_SECONDS, Listener, Outgoing, Session, SessionGone
from clawgate.system.mcp_wire import Agreed
from clawgate.testing import ManualClock, TestCase

HELLO = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": True}}, "serverInfo": {"name": "x"}}


class Played:
    """A carrier without a server."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.abandoned: list[int] = []
        self.agreements: list[Agreed | None] = []
        self.is_closed = self.is_broken = False

    def open(self, listener: Listener) -> None:
        self.listener = listener

    def send(self, outgoing: Outgoing) -> None:
        if self.is_broken:
            raise Unavailable("MCP server 's' does not run")
        self.sent.append(outgoing)

    def abandon(self, number: int) -> None:
        self.abandoned.append(number)

    def agreed(self, agreed: Agreed | None) -> None:
        self.agreements.append(agreed)

    def close(self) -> Deferred[None]:
        self.is_closed = True
        return succeed(None)

    @property
    def methods(self) -> list[str]:
        return [outgoing.method for outgoing in self.sent]

    def last(self, method: str) -> tuple[int, Any]:  # Any: params as JSON
        """The id and params of the last request of a method."""
        outgoing = next(outgoing for outgoing in reversed(self.sent) if outgoing.method == method)
        message = jsonrpc.decode(outgoing.message)
        assert isinstance(message, Request)
        return int(message.id), json.loads(message.params or b"{}")

    def answer(self, method: str, result: object) -> None:
        self.listener.received(Success(self.last(method)[0], json.dumps(result).encode()))

    def refuse(self, method: str, code: int) -> None:
        self.listener.received(Problem(self.last(method)[0], code, "no"))


def tools(*names: str, cursor: str | None = None) -> dict[str, object]:
    return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names], "nextCursor": cursor}


def text(words: str) -> dict[str, object]:
    return {"content": [{"type": "text", "text": words}]}


class SessionTests(TestCase):
    def setUp(self) -> None:
        self.clock, self.carrier = ManualClock(), Played()
        self.session = Session("s", self.carrier, self.clock, call_seconds=100)
        self.connecting = self.session.connect()

    def connect(self) -> None:
        self.carrier.answer(wire.INITIALIZE, HELLO)
        self.successResultOf(self.connecting)

    def test_the_handshake(self) -> None:
        assert self.carrier.last(wire.INITIALIZE)[1]["protocolVersion"] == wire.SESSION_VERSIONS[0]
        self.connect()
        assert self.carrier.methods == [wire.INITIALIZE, wire.INITIALIZED]
        assert self.carrier.agreements == [Agreed("2025-06-18", has_tools=True)]

    def test_a_server_that_does_not_answer_the_handshake_is_unavailable(self) -> None:
        self.clock.advance(SETUP_SECONDS)
        self.failureResultOf(self.connecting, Unavailable)
        assert self.carrier.methods == [wire.INITIALIZE]  # which is not to be cancelled

    def test_an_unknown_version_or_garbage_is_unavailable(self) -> None:
        self.carrier.answer(wire.INITIALIZE, {"protocolVersion": "1999-01-01", "capabilities": {}})
        assert "1999" in str(self.failureResultOf(self.connecting, Unavailable).value)

    def test_a_refused_handshake_leads_to_discovery(self) -> None:
        self.carrier.refuse(wire.INITIALIZE, METHOD_NOT_FOUND)
        _, params = self.carrier.last(wire.DISCOVER)
        assert params["_meta"]["io.modelcontextprotocol/protocolVersion"] == wire.STATELESS_VERSION
        self.carrier.answer(wire.DISCOVER, {"supportedVersions": [wire.STATELESS_VERSION], "capabilities": {"tools": {}}})
        self.successResultOf(self.connecting)
        calling = self.session.call("t", {})
        assert "_meta" in self.carrier.last(wire.CALL)[1]
        self.carrier.answer(wire.CALL, text("hi"))
        assert self.successResultOf(calling) == ToolResult("hi")

    def test_another_refusal_is_told(self) -> None:
        self.carrier.refuse(wire.INITIALIZE, -32000)
        assert str(self.failureResultOf(self.connecting, Unavailable).value) == "MCP server 's': no (error -32000)"

    def test_a_refusal_does_not_repeat_what_the_server_was_told_in_confidence(self) -> None:
        server = McpServer(headers={"Authorization": Secret("Bearer canary-one"), "X-Key": Secret("canary-two")}, env={"KEY": Secret("canary-three")})
        carrier = Played()
        connecting = Session("s", carrier, self.clock, redact=redactor_of(server)).connect()
        carrier.listener.received(Problem(carrier.last(wire.INITIALIZE)[0], -32000, "not Bearer canary-one, canary-one, canary-two or canary-three"))
        told = str(self.failureResultOf(connecting, Unavailable).value)
        assert told == "MCP server 's': not ***, ***, *** or *** (error -32000)"

    def test_all_pages_are_read(self) -> None:
        self.connect()
        listing = self.session.list_tools()
        self.carrier.answer(wire.LIST, tools("a", cursor="next"))
        assert self.carrier.last(wire.LIST)[1] == {"cursor": "next"}
        self.carrier.answer(wire.LIST, tools("b"))
        assert [tool.name for tool in self.successResultOf(listing)] == ["a", "b"]

    def test_a_list_without_end_is_cut(self) -> None:
        self.connect()
        listing = self.session.list_tools()
        while not listing.called:
            self.carrier.answer(wire.LIST, tools("a", cursor="again"))
        assert self.carrier.methods.count(wire.LIST) == wire.MAX_PAGES
        assert len(self.successResultOf(listing)) == wire.MAX_PAGES

    def test_a_long_list_is_cut(self) -> None:
        self.connect()
        listing = self.session.list_tools()
        self.carrier.answer(wire.LIST, tools(*(f"t{number}" for number in range(200))))
        assert len(self.successResultOf(listing)) == MOST_TOOLS

    def test_a_server_without_tools_is_not_asked_for_them(self) -> None:
        self.carrier.answer(wire.INITIALIZE, {**HELLO, "capabilities": {}})
        assert self.successResultOf(self.session.list_tools()) == ()

    def test_what_the_server_refuses_is_a_result(self) -> None:
        self.connect()
        calling = self.session.call("t", {})
        self.carrier.refuse(wire.CALL, -32602)
        assert self.successResultOf(calling) == ToolResult("no (error -32602)", ok=False)

    def test_a_call_that_is_not_answered_in_time_is_uncertain_and_cancelled(self) -> None:
        self.connect()
        calling = self.session.call("t", {})
        number, _ = self.carrier.last(wire.CALL)
        self.clock.advance(100)
        self.failureResultOf(calling, ToolUncertain)
        assert self.carrier.abandoned == [number]
        cancelled = jsonrpc.decode(self.carrier.sent[-1].message)
        assert isinstance(cancelled, Notification)
        assert (cancelled.method, json.loads(cancelled.params)["requestId"]) == (wire.CANCELLED, number)

    def test_a_call_that_nobody_waits_for_is_cancelled_at_the_server(self) -> None:
        self.connect()
        calling = self.session.call("t", {})
        calling.cancel()
        self.failureResultOf(calling, CancelledError)
        assert self.carrier.methods[-1] == wire.CANCELLED

    def test_a_late_answer_harms_nobody(self) -> None:
        self.connect()
        calling = self.session.call("t", {})
        number, _ = self.carrier.last(wire.CALL)
        self.clock.advance(100)
        self.failureResultOf(calling, ToolUncertain)
        self.carrier.listener.received(Success(number, b"{}"))
        self.carrier.listener.received(Success("x", b"{}"))

    def test_an_answer_that_cannot_be_read_is_uncertain(self) -> None:
        self.connect()
        calling = self.session.call("t", {})
        self.carrier.answer(wire.CALL, {"content": 7})
        self.failureResultOf(calling, ToolUncertain)

    def test_a_call_that_cannot_be_sent_is_unavailable(self) -> None:
        self.connect()
        self.carrier.is_broken = True
        self.failureResultOf(self.session.call("t", {}), Unavailable)

    def test_arguments_that_cannot_be_sent_are_the_models_fault(self) -> None:
        self.connect()
        for arguments in ({"a": "x" * MAX_REQUEST_BYTES}, {"a": "\ud800"}):
            assert not self.successResultOf(self.session.call("t", arguments)).ok
        assert wire.CALL not in self.carrier.methods

    def test_calls_under_way_are_uncertain_when_the_carrier_is_lost_and_later_ones_are_not_sent(self) -> None:
        self.connect()
        calling, watching = self.session.call("t", {}), self.session.changed()
        self.carrier.listener.lost(Unavailable("MCP server 's': the program ended with signal 9"))
        assert str(self.failureResultOf(calling, ToolUncertain).value) == "MCP server 's': the program ended with signal 9"
        self.failureResultOf(watching, Unavailable)
        self.failureResultOf(self.session.changed(), Unavailable)
        self.failureResultOf(self.session.call("t", {}), Unavailable)
        assert self.clock.pending == 0

    def test_changes_are_told_once_also_when_nobody_watched(self) -> None:
        self.connect()
        self.carrier.listener.received(Notification(wire.LIST_CHANGED))
        self.successResultOf(self.session.changed())
        watching = self.session.changed()
        self.assertNoResult(watching)
        self.carrier.listener.received(Notification("notifications/message", b"{}"))
        self.assertNoResult(watching)
        self.carrier.listener.received(Notification(wire.LIST_CHANGED))
        self.successResultOf(watching)

    def test_a_ping_is_answered_and_other_questions_are_refused(self) -> None:
        self.connect()
        self.carrier.listener.received(Request("q1", wire.PING))
        self.carrier.listener.received(Request(7, "sampling/createMessage", b"{}"))
        answers = [jsonrpc.decode(outgoing.message) for outgoing in self.carrier.sent[-2:]]
        assert answers[0] == Success("q1", b"{}")
        assert isinstance(answers[1], Problem)
        assert (answers[1].id, answers[1].code) == (7, METHOD_NOT_FOUND)

    def test_a_quiet_server_is_pinged_and_lost_when_it_does_not_answer(self) -> None:
        self.connect()
        watching = self.session.changed()
        self.clock.advance(BEAT_SECONDS)
        self.carrier.answer(wire.PING, {})
        self.clock.advance(BEAT_SECONDS)
        self.carrier.refuse(wire.PING, METHOD_NOT_FOUND)  # an answer, too
        self.clock.advance(BEAT_SECONDS + PING_SECONDS)
        self.failureResultOf(watching, Unavailable)
        assert self.carrier.methods.count(wire.PING) == 3

    def test_a_busy_server_is_not_pinged(self) -> None:
        self.connect()
        calling = self.session.call("t", {})
        self.clock.advance(BEAT_SECONDS)
        assert wire.PING not in self.carrier.methods
        self.carrier.answer(wire.CALL, text("hi"))
        self.successResultOf(calling)

    def test_a_forgotten_session_is_begun_anew_once_and_the_calls_are_repeated(self) -> None:
        self.connect()
        watching = self.session.changed()
        first, second = self.session.call("a", {}), self.session.call("b", {})
        numbers = [self.carrier.last(wire.CALL)[0] - 1, self.carrier.last(wire.CALL)[0]]
        for number in numbers:
            self.carrier.listener.undelivered(number, SessionGone("MCP server 's' has forgotten the session"))
        assert self.carrier.methods.count(wire.INITIALIZE) == 2
        self.carrier.answer(wire.INITIALIZE, HELLO)
        assert self.carrier.agreements[1:] == [None, Agreed("2025-06-18", has_tools=True)]
        for outgoing in self.carrier.sent[-2:]:
            assert outgoing.id is not None
            self.carrier.listener.received(Success(outgoing.id, json.dumps(text(outgoing.name)).encode()))
        assert (self.successResultOf(first), self.successResultOf(second)) == (ToolResult("a"), ToolResult("b"))
        self.successResultOf(watching)

    def test_a_session_that_is_forgotten_again_and_again_is_given_up(self) -> None:
        self.connect()
        calling = self.session.call("a", {})
        self.carrier.listener.undelivered(self.carrier.last(wire.CALL)[0], SessionGone("gone"))
        self.carrier.answer(wire.INITIALIZE, HELLO)
        self.carrier.listener.undelivered(self.carrier.last(wire.CALL)[0], SessionGone("gone"))
        self.failureResultOf(calling, Unavailable)

    def test_close_ends_everything(self) -> None:
        self.connect()
        calling = self.session.call("t", {})
        self.successResultOf(self.session.close())
        self.failureResultOf(calling, ToolUncertain)
        assert self.carrier.is_closed
        assert self.clock.pending == 0

    def tearDown(self) -> None:
        self.connecting.addErrback(lambda _: None)
        self.session.close()
