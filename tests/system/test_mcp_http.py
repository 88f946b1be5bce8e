"""Streamable HTTP against a server in memory: real requests, real answers, no sockets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from OpenSSL import SSL
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from clawgate.domain.errors import AgentError, ToolUncertain, Unavailable
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import McpServer
from clawgate.domain.tools import ToolResult
from clawgate.system.mcp_http import MESSAGE_CAP_BYTES, NEWS_AGAIN_SECONDS, HttpCarrier
from clawgate.system.mcp_session import Session
from clawgate.system.mcp_wire import STATELESS_VERSION
from clawgate.testing import ManualClock, TestCase

URL = "http://mcp.test/mcp"
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}}
Answer = Callable[[Any, dict[str, Any]], Any]  # Any: a request; its body; what render returns


def result(value: object) -> Answer:
    def answer(request: Any, body: dict[str, Any]) -> bytes:  # Any: as `Answer`
        request.setHeader("content-type", "application/json")
        return json.dumps({"jsonrpc": "2.0", "id": body.get("id"), "result": value}).encode()

    return answer


def status(code: int, content: bytes = b"", **headers: str) -> Answer:
    def answer(request: Any, body: dict[str, Any]) -> bytes:  # Any: as `Answer`
        request.setResponseCode(code)
        for name, value in headers.items():
            request.setHeader(name.replace("_", "-"), value)
        return content

    return answer


def stream(*pieces: bytes, end: bool = True) -> Answer:
    def answer(request: Any, body: dict[str, Any]) -> Any:  # Any: as `Answer`
        request.setHeader("content-type", "text/event-stream")
        for piece in pieces:
            request.write(piece.replace(b"ID", str(body.get("id")).encode()))
        if end:
            request.finish()
        return NOT_DONE_YET

    return answer


HI = {"content": [{"type": "text", "text": "hi"}]}
HI_EVENT = b'event: message\ndata: {"jsonrpc":"2.0","id":ID,"result":{"content":[{"type":"text","text":"hi"}]}}\n\n'


class Server(Resource):
    """An MCP server that answers as told."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.news: list[Any] = []
        self.initialize: Answer = self._hello
        self.call: Answer = result(HI)
        self.get: Answer = status(405)
        self.session = "session-1"

    def _hello(self, request: Any, body: dict[str, Any]) -> bytes:  # Any: as `Answer`
        request.setHeader("Mcp-Session-Id", self.session)
        answer: bytes = result(HELLO)(request, body)
        return answer

    def render(self, request: Any) -> Any:  # Any: as Twisted's
        raw = request.content.read()
        body = json.loads(raw) if raw else {}
        headers = {name.decode().lower(): values[0].decode() for name, values in request.requestHeaders.getAllRawHeaders()}
        method = body.get("method", request.method.decode())
        self.requests.append((method, headers, body))
        if request.method == b"GET":
            self.news.append(request)
            return self.get(request, body)
        if method == "initialize":
            return self.initialize(request, body)
        if method.startswith("notifications/") or request.method == b"DELETE":
            return status(202)(request, body)
        if headers.get("mcp-session-id") not in (None, self.session):
            return status(404)(request, body)
        if method == "tools/call":
            return self.call(request, body)
        return result({"tools": []} if method == "tools/list" else {})(request, body)

    def seen(self, method: str) -> list[tuple[dict[str, str], dict[str, Any]]]:
        return [(headers, body) for each, headers, body in self.requests if each == method]


class HttpTests(TestCase):
    def setUp(self) -> None:
        self.clock, self.server = ManualClock(), Server()
        self.agent = RequestTraversalAgent(self.server)
        settings = McpServer(url=URL, headers={"Authorization": Secret("Bearer k")})
        self.carrier = HttpCarrier("s", settings, None, self.clock, self.agent)
        self.session = Session("s", self.carrier, self.clock, call_seconds=50)

    def tearDown(self) -> None:
        closing = self.session.close()
        self.agent.flush()
        self.clock.advance(5)
        self.successResultOf(closing)

    def connect(self) -> None:
        connecting = self.session.connect()
        self.agent.flush()
        self.successResultOf(connecting)
        self.agent.flush()

    def call(self) -> Deferred[ToolResult]:
        calling = self.session.call("tool", {"a": 1})
        self.agent.flush()
        return calling

    def test_requests_carry_what_the_protocol_wants(self) -> None:
        self.connect()
        self.successResultOf(self.call())
        hello, _ = self.server.seen("initialize")[0]
        assert (hello["accept"], hello["content-type"]) == ("application/json, text/event-stream", "application/json")
        assert hello["authorization"] == "Bearer k"
        assert "mcp-session-id" not in hello
        headers, body = self.server.seen("tools/call")[0]
        assert (headers["mcp-session-id"], headers["mcp-protocol-version"]) == ("session-1", "2025-11-25")
        assert body["params"] == {"name": "tool", "arguments": {"a": 1}}

    def test_an_answer_may_be_json_or_a_stream(self) -> None:
        self.connect()
        assert self.successResultOf(self.call()) == ToolResult("hi")
        self.server.call = stream(b": comment\n\n", b'data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n', HI_EVENT[:20], HI_EVENT[20:])
        assert self.successResultOf(self.call()) == ToolResult("hi")

    def test_a_stream_that_goes_on_after_the_answer_is_not_waited_for(self) -> None:
        self.connect()
        self.server.call = stream(HI_EVENT, end=False)
        assert self.successResultOf(self.call()) == ToolResult("hi")
        self.agent.flush()

    def test_a_stream_that_ends_before_the_answer_is_uncertain(self) -> None:
        self.connect()
        for end in range(0, len(HI_EVENT) - 1, 7):
            self.server.call = stream(HI_EVENT[:end])
            self.failureResultOf(self.call(), ToolUncertain)

    def test_a_call_that_is_never_answered_is_uncertain_and_cancelled(self) -> None:
        self.connect()
        self.server.call = stream(b": hello\n\n", end=False)
        calling = self.call()
        self.clock.advance(50)
        self.failureResultOf(calling, ToolUncertain)
        self.agent.flush()
        assert len(self.server.seen("notifications/cancelled")) == 1

    def test_a_forgotten_session_is_begun_anew_and_the_call_repeated(self) -> None:
        self.connect()
        self.server.session = "session-2"
        calling = self.call()
        for _ in range(5):
            self.agent.flush()
        assert self.successResultOf(calling) == ToolResult("hi")
        assert [headers["mcp-session-id"] for headers, _ in self.server.seen("tools/call")] == ["session-1", "session-2"]

    def test_a_404_without_a_session_is_a_refusal(self) -> None:
        self.server.session = ""
        self.connect()
        self.server.call = status(404)
        assert str(self.failureResultOf(self.call(), Unavailable).value) == "MCP server 's' refuses with status 404"

    def test_what_is_refused_was_not_done_and_what_broke_is_uncertain(self) -> None:
        self.connect()
        for code, kind in (
            (302, Unavailable),
            (401, Unavailable),
            (429, Unavailable),
            (500, ToolUncertain),
            (503, ToolUncertain),
            (202, ToolUncertain),
        ):
            self.server.call = status(code)
            self.failureResultOf(self.call(), kind)

    def test_the_reason_in_a_refusal_is_read(self) -> None:
        self.connect()
        body = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"bad"}}'
        self.server.call = status(400, body, content_type="application/json")
        assert self.successResultOf(self.call()) == ToolResult("bad (error -32602)", ok=False)

    def test_an_answer_over_the_cap_is_uncertain(self) -> None:
        self.connect()
        self.server.call = status(200, b" " * (MESSAGE_CAP_BYTES + 1), content_type="application/json")
        self.failureResultOf(self.call(), ToolUncertain)
        self.server.call = stream(b"data: " + b"x" * (MESSAGE_CAP_BYTES + 1))
        self.failureResultOf(self.call(), ToolUncertain)

    def test_a_server_that_cannot_be_reached_was_sent_nothing(self) -> None:
        self.connect()

        class Refusing:
            def request(self, *arguments: object) -> Deferred[Any]:  # Any: as `IAgent`
                return fail(ConnectionRefusedError())

        self.carrier.agent = Refusing()
        calling = self.session.call("tool", {})
        assert str(self.failureResultOf(calling, Unavailable).value) == "MCP server 's' cannot be reached"
        self.carrier.agent = self.agent

    def test_a_certificate_that_is_not_trusted_is_told_and_nothing_was_sent(self) -> None:
        self.connect()

        class Distrusting:
            def request(self, *arguments: object) -> Deferred[Any]:  # Any: as `IAgent`
                return fail(ResponseNeverReceived([Failure(SSL.Error([("SSL routines", "", "certificate verify failed")]))]))

        self.carrier.agent = Distrusting()
        error = self.failureResultOf(self.session.call("tool", {}), Unavailable).value
        assert str(error) == "MCP server 's' has a certificate that is not trusted for its name"
        self.carrier.agent = self.agent

    def test_news_come_on_a_stream_of_their_own(self) -> None:
        self.server.get = stream(end=False)
        self.connect()
        watching = self.session.changed()
        self.server.news[0].write(b'data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n\n')
        self.agent.flush()
        self.successResultOf(watching)
        assert self.server.seen("GET")[0][0]["accept"] == "text/event-stream"

    def test_a_stream_of_news_that_ends_is_asked_for_again_unless_there_is_none(self) -> None:
        self.server.get = stream(b": bye\n\n")
        self.connect()
        self.agent.flush()
        self.server.get = status(405)
        for _ in range(3):
            self.clock.advance(NEWS_AGAIN_SECONDS)
            self.agent.flush()
        assert len(self.server.seen("GET")) == 2

    def test_close_says_goodbye_to_the_session(self) -> None:
        self.connect()
        closing = self.session.close()
        self.agent.flush()
        self.successResultOf(closing)
        assert [headers["mcp-session-id"] for headers, _ in self.server.seen("DELETE")] == ["session-1"]
        self.clock.advance(5)
        assert self.clock.pending == 0

    def test_the_stateless_kind_gets_its_headers_and_no_notifications(self) -> None:
        def refuse(request: Any, body: dict[str, Any]) -> bytes:  # Any: as `Answer`
            request.setResponseCode(404)
            request.setHeader("content-type", "application/json")
            return json.dumps({"jsonrpc": "2.0", "id": body["id"], "error": {"code": -32601, "message": "no"}}).encode()

        self.server.initialize = refuse
        self.server.render = self.discover(self.server.render)  # type: ignore[method-assign]  # one answer more
        connecting = self.session.connect()
        for _ in range(3):
            self.agent.flush()
        self.successResultOf(connecting)
        self.successResultOf(self.call())
        headers, body = self.server.seen("tools/call")[0]
        assert (headers["mcp-method"], headers["mcp-name"], headers["mcp-protocol-version"]) == ("tools/call", "tool", STATELESS_VERSION)
        assert body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == STATELESS_VERSION
        assert self.server.seen("notifications/initialized") == self.server.seen("GET") == []

    def discover(self, render: Callable[[Any], Any]) -> Callable[[Any], Any]:  # Any: as Twisted's
        def rendered(request: Any) -> Any:  # Any: as above
            if request.requestHeaders.getRawHeaders("mcp-method") == ["server/discover"]:
                body = json.loads(request.content.read())
                return result({"supportedVersions": [STATELESS_VERSION], "capabilities": {"tools": {}}})(request, body)
            return render(request)

        return rendered


@pytest.mark.parametrize("url", ["ftp://x", "x", "http://", "http://a b"])
def test_a_url_that_is_none_is_unavailable(url: str) -> None:
    carrier = HttpCarrier("s", McpServer(url=url), None, ManualClock(), object())
    session = Session("s", carrier, ManualClock())
    caught: list[Any] = []  # Any: failures
    session.connect().addErrback(caught.append)
    assert caught[0].check(Unavailable)
    assert not caught[0].check(AgentError)
