"""Other people's clients against a real daemon: every scene of `tests/golden/frames` goes the same way with each of them.

Python's `websockets`, npm's `ws` (`make node-modules`, or Debian's node-ws) and a page of a headless Chromium. Source: construct-realtime.md §0.2 and the
sections that the scenes name; design §4.16-4.18.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.acceptance.daemon import Daemon, Upstream, settings, until
from tests.acceptance.scenes import FOLDER, Peer, Scene, Stage, Unplayable
from tests.acceptance.socket_peers import Browser, PagePeer, PythonPeer, chromium, node

pytestmark = pytest.mark.acceptance
FILES = sorted(FOLDER.glob("*.frames"))
MORE = """
[autonomy]
always_ask = ["memory_store"]
[nodes]
enabled = true
auth_token = "node-secret"
[terminal]
enabled = true
shell = "/bin/sh"
"""


class Elsewhere(BaseHTTPRequestHandler):
    """A page that is none of the gateway's."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>elsewhere</title>")

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def remembers(request: dict[str, Any]) -> dict[str, Any]:  # Any: JSON of the API
    """A model that stores a note when asked to, says so, and repeats everything else."""
    last = request["messages"][-1]
    verb, _, key = str(last["content"]).partition(" ")
    if last["role"] == "tool":
        return {"content": "noted"}
    if verb != "note":
        return {"content": f"re {last['content']}"}
    function = {"name": "memory_store", "arguments": f'{{"key":"{key}","content":"tea"}}'}
    return {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def staged(opening: ExitStack, home: Path, **env: str) -> Stage:
    """A daemon with everything that has a socket, for as long as `opening` is."""
    upstream = opening.enter_context(closing(Upstream()))
    upstream.delta = remembers
    port = free_port()
    config = f'api_url = "{upstream.provider.removeprefix("custom:")}"\n' + settings("moonshot", more=MORE)
    daemon = opening.enter_context(closing(Daemon(home, config, env={"WS_CONTROL_PORT": str(port)} | env)))
    daemon.start().pair()

    def token() -> str:
        lines = [line for line in daemon.printed.splitlines() if line.startswith("   Token    : ")]
        return lines[-1].partition(": ")[2] if lines else ""

    until(token, "the token of the control plane is printed")
    return Stage(daemon, upstream, f"ws://127.0.0.1:{port}", token)


@pytest.fixture(scope="module")
def opening() -> Iterator[ExitStack]:
    with ExitStack() as opening:
        yield opening


@pytest.fixture(scope="module")
def stage(opening: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return staged(opening, tmp_path_factory.mktemp("stage"))


@pytest.fixture(scope="module")
def distrustful(opening: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return staged(opening, tmp_path_factory.mktemp("distrustful"), TRUSTED_CLIENT_IPS="")


@pytest.fixture(scope="module")
def browser(opening: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return opening.enter_context(chromium(tmp_path_factory.mktemp("chromium")))


@pytest.fixture(scope="module")
def elsewhere(opening: ExitStack) -> str:
    server = opening.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere))
    opening.callback(server.shutdown)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


@pytest.fixture(scope="module")
def others(opening: ExitStack) -> ThreadPoolExecutor:
    return opening.enter_context(ThreadPoolExecutor(1))


def peer(name: str, path: Path, stage: Stage, request: pytest.FixtureRequest, opening: ExitStack) -> Peer:
    """A client for one scene; a page is one of the daemon's, but for the control plane, where that forbids itself to connect elsewhere."""
    if name == "websockets":
        return PythonPeer(opening)
    if name == "ws":
        return opening.enter_context(node())
    home = request.getfixturevalue("elsewhere") if path.stem.startswith("control") else f"{stage.daemon.url}/pair/page"
    return PagePeer(request.getfixturevalue("browser"), home)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("client", ["websockets", "ws", "chromium"])
def test_scene(client: str, path: Path, request: pytest.FixtureRequest, others: ThreadPoolExecutor) -> None:
    stage: Stage = request.getfixturevalue("distrustful" if path.stem == "control_untrusted" else "stage")
    expected = path.read_text()
    with ExitStack() as leaving:
        leaving.callback(stage.upstream.gate.set)
        scene = Scene(stage, peer(client, path, stage, request, leaving), others)
        try:
            happened = scene.play(expected)
        except Unplayable as problem:
            pytest.skip(f"{client}: {problem}")
        except Exception as problem:
            problem.add_note("so far:\n" + "\n".join(scene.lines))
            raise
    if os.environ.get("GOLDEN_UPDATE") and client == "websockets":
        path.write_text(happened)
        expected = happened
    assert happened.splitlines() == expected.splitlines()


def test_a_page_of_elsewhere_opens_nothing_even_with_a_token(stage: Stage, browser: Browser, elsewhere: str) -> None:
    page = PagePeer(browser, elsewhere)
    page.open(f"{stage.daemon.url.replace('http', 'ws', 1)}/ws/terminal?token={stage.daemon.token}", [])
    assert page.next() == ("!", "refused")
