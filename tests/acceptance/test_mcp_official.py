"""MCP against the official `mcp` package: real processes, real sockets, its server in a child."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from clawgate.domain.errors import ToolUncertain, Unavailable
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import McpServer
from clawgate.domain.tools import ToolContext, ToolResult
from clawgate.services.deadlines import within
from clawgate.services.health import Health
from clawgate.services.mcp import McpServers
from clawgate.services.supervisor import Supervisor
from clawgate.system.clock import SystemClock
from clawgate.system.mcp import Connector
from clawgate.system.mcp_session import Session

pytest.importorskip("mcp.server")
SCRIPT = str(Path(__file__).with_name("mcp_official_server.py"))
SECONDS = 60.0
CONTEXT = ToolContext(principal="p", source="s", conversation=None, idempotency_key="1:1")
STDIO = McpServer(command=sys.executable, args=(SCRIPT, "stdio"))


def clock() -> SystemClock:
    from twisted.internet import reactor

    return SystemClock(reactor)  # type: ignore[arg-type]  # every reactor keeps time


def connector(call_seconds: float = SECONDS) -> Connector:
    from twisted.internet import reactor

    return Connector(reactor, clock(), call_seconds)


async def timed(work: Coroutine[Any, Any, Any]) -> Any:  # Any: whatever the work is
    return await within(Deferred.fromCoroutine(work), SECONDS, clock())


async def eventually(call: Any) -> Any:  # Any: a function of a coroutine
    """Its result, once it no longer says Unavailable."""
    while True:
        try:
            return await call()
        except Unavailable:
            await clock().sleep(0.05)


class Upstream:
    """The official server behind a port."""

    def __init__(self, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.options = options
        self.start()

    def start(self) -> None:
        argv = [sys.executable, "-W", "ignore", SCRIPT, "http", str(self.port), *self.options]
        self.child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        self.child.kill()
        self.child.wait(10)

    @property
    def settings(self) -> McpServer:
        return McpServer(url=f"http://127.0.0.1:{self.port}/mcp", headers={"X-Key": Secret("k")})

    async def session(self, call_seconds: float = SECONDS) -> Session:
        async def connected() -> Session:
            session = connector(call_seconds).open("s", self.settings)
            await session.connect()
            return session

        return await eventually(connected)  # type: ignore[no-any-return]  # as `connected`


@pytest.fixture
def upstream(request: pytest.FixtureRequest) -> Iterator[Upstream]:
    server = Upstream(*getattr(request, "param", ()))
    yield server
    server.kill()


async def exercise(session: Session) -> list[str]:
    """What any server of the package does; returns the names of its tools."""
    names = [tool.name for tool in await session.list_tools()]
    assert await session.call("add", {"a": 1, "b": 2}) == ToolResult("3")
    assert not (await session.call("fail", {})).ok
    assert not (await session.call("no such tool", {})).ok
    return names


@pytest_twisted.ensureDeferred
async def test_official_stdio_server_lists_and_answers() -> None:
    async def work() -> None:
        session = connector().open("s", STDIO)
        await session.connect()
        assert await exercise(session) == ["add", "pid", "variables", "fail", "sleep", "grow"]
        await session.close()

    await timed(work())


@pytest_twisted.ensureDeferred
async def test_a_stdio_server_sees_the_variables_it_is_given_and_no_others() -> None:
    async def work() -> None:
        os.environ["CLAWGATE_API_KEY"] = "secret"
        try:
            session = connector().open("s", McpServer(command=sys.executable, args=(SCRIPT, "stdio"), env={"TOKEN": Secret("t")}))
            await session.connect()
            seen = set((await session.call("variables", {})).text.split())
        finally:
            del os.environ["CLAWGATE_API_KEY"]
        assert seen - {"LC_CTYPE"} == {"PATH", "HOME", "LANG", "TOKEN"}
        await session.close()

    await timed(work())


@pytest.mark.parametrize("upstream", [(), ("json",), ("stateless",)], indirect=True)
@pytest_twisted.ensureDeferred
async def test_official_http_server_lists_and_answers(upstream: Upstream) -> None:
    async def work() -> None:
        session = await upstream.session()
        assert await exercise(session) == ["add", "pid", "variables", "fail", "sleep", "grow"]
        await session.close()

    await timed(work())


@pytest_twisted.ensureDeferred
async def test_official_stdio_server_says_that_its_tools_changed() -> None:
    async def work() -> None:
        session = connector().open("s", STDIO)
        await session.connect()
        await session.list_tools()
        await session.call("grow", {})
        await session.changed()
        assert "grown" in [tool.name for tool in await session.list_tools()]
        await session.close()

    await timed(work())


@pytest_twisted.ensureDeferred
async def test_official_http_server_says_that_its_tools_changed(upstream: Upstream) -> None:
    async def work() -> None:
        session = await upstream.session()
        await session.list_tools()
        news = session.changed()
        while not news.called:  # what is said before the stream of news is open is heard by nobody
            await session.call("grow", {})
            await clock().sleep(0.2)
        await news
        assert "grown" in [tool.name for tool in await session.list_tools()]
        await session.close()

    await timed(work())


@pytest_twisted.ensureDeferred
async def test_a_call_without_an_answer_in_time_is_uncertain_and_the_server_goes_on(upstream: Upstream) -> None:
    async def work() -> None:
        for session in (connector(2.0).open("s", STDIO), await upstream.session(2.0)):
            if session._agreed is None:
                await session.connect()
            with pytest.raises(ToolUncertain):
                await session.call("sleep", {})
            assert (await session.call("add", {"a": 2, "b": 2})).text == "4"
            await session.close()

    await timed(work())


@pytest_twisted.ensureDeferred
async def test_a_killed_stdio_server_is_started_again_and_called_again() -> None:
    async def work() -> None:
        time = clock()
        servers = McpServers(connector(), Supervisor(time, Health(time, 1), 0.05, 1.0), time)
        await servers.try_start("s", STDIO, SECONDS)
        first = int((await servers.call("s__pid", {}, CONTEXT)).text)
        sleeping = servers.call("s__sleep", {}, CONTEXT)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(ToolUncertain):
            await sleeping
        second = int((await eventually(lambda: servers.call("s__pid", {}, CONTEXT))).text)
        assert second != first
        assert servers.status() == {"s": ("Running", None)}
        await servers.stop_all()
        with pytest.raises(ProcessLookupError):
            os.kill(second, 0)

    await timed(work())


@pytest_twisted.ensureDeferred
async def test_an_http_server_that_was_restarted_gets_a_new_session_and_the_call(upstream: Upstream) -> None:
    async def work() -> None:
        session = await upstream.session()
        upstream.kill()
        with pytest.raises(Unavailable):
            await session.call("add", {"a": 1, "b": 2})
        upstream.start()
        fresh = await upstream.session()
        await fresh.close()
        again = connector().open("s", upstream.settings)
        await again.connect()
        again._carrier._session = "0" * 32  # type: ignore[attr-defined]  # as if the server had been restarted under it
        assert await again.call("add", {"a": 1, "b": 2}) == ToolResult("3")
        await again.close()
        await session.close()

    await timed(work())


@pytest_twisted.ensureDeferred
async def test_a_program_that_is_none_of_mcp_is_reported() -> None:
    async def work() -> None:
        cases = {"no-such-program-at-all": "not on the PATH", "false": "ended with exit code 1"}
        for command, why in cases.items():
            session = connector().open("s", McpServer(command=command))
            with pytest.raises(Unavailable, match=why):
                await session.connect()
            await session.close()

    await timed(work())


class Endless(Protocol):
    """A server whose head never ends."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 10_000)


@pytest_twisted.ensureDeferred
async def test_a_head_without_end_is_cut_off() -> None:
    from twisted.internet import reactor

    port = reactor.listenTCP(0, Factory.forProtocol(Endless), interface="127.0.0.1")  # type: ignore[attr-defined]  # every reactor listens

    async def work() -> None:
        session = connector().open("s", McpServer(url=f"http://127.0.0.1:{port.getHost().port}/"))
        with pytest.raises(Unavailable, match="broke off"):
            await session.connect()
        await session.close()

    await timed(work())
    await port.stopListening()
