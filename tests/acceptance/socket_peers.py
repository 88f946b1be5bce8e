"""The clients that scenes are played with: Python's `websockets`, npm's `ws` in node, and a page of a headless Chromium. Each is a `scenes.Peer`."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.acceptance.daemon import DEADLINE_SECONDS, call, until
from tests.acceptance.scenes import Told

SCRIPT = Path(__file__).with_name("peer.js")
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT_SECONDS = 20.0
"""For the next frame."""


class PythonPeer:
    """`websockets`; event streams over `http.client`."""

    name = "websockets"

    def __init__(self, opening: contextlib.ExitStack) -> None:
        """What it opens is closed with `opening` at the latest."""
        self.opening = opening
        self.kept: list[Told] = []
        self.socket: ClientConnection | None = None
        self.stream: http.client.HTTPResponse | None = None
        self.streaming: http.client.HTTPConnection | None = None
        self.last_id = ""

    def open(self, url: str, protocols: list[str]) -> None:
        self.stream = None
        try:
            offered = [Subprotocol(name) for name in protocols]
            connecting = connect(url, subprotocols=offered or None, proxy=None, open_timeout=DEADLINE_SECONDS, max_size=None)
            self.socket = self.opening.enter_context(connecting)
        except InvalidStatus:
            self.kept.append(("!", "refused"))
        else:
            self.kept.append(("!", f"opened {self.socket.subprotocol or ''}".rstrip()))

    def listen(self, url: str) -> None:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=WAIT_SECONDS)
        connection.request("GET", f"{parts.path}?{parts.query}", headers={"Accept": "text/event-stream"})
        self.streaming, self.stream, self.last_id = connection, connection.getresponse(), ""
        self.opening.callback(connection.close)
        self.opening.callback(self.stream.close)
        self.kept.append(("!", "opened" if self.stream.status == 200 else "refused"))

    def send(self, text: str) -> None:
        assert self.socket is not None
        self.socket.send(text)

    def close(self, code: int) -> None:
        if self.stream is not None and self.streaming is not None:
            self.stream.close()
            self.streaming.close()
            self.kept.append(("!", "closed"))
        elif self.socket is not None:
            self.socket.close(code)

    def next(self) -> Told:
        if self.kept:
            return self.kept.pop(0)
        if self.stream is not None:
            return "<", self._event(self.stream)
        assert self.socket is not None
        try:
            return "<", str(self.socket.recv(timeout=WAIT_SECONDS))
        except ConnectionClosed as over:
            return "!", "closed 1006" if over.rcvd is None else f"closed {over.rcvd.code} {over.rcvd.reason}".rstrip()

    def _event(self, stream: http.client.HTTPResponse) -> str:
        """The next event, as the HTML standard reads a stream."""
        data: list[str] = []
        while line := stream.readline():
            field, _, value = line.decode().rstrip("\n").partition(":")
            if field == "id":
                self.last_id = value.removeprefix(" ")
            elif field == "data":
                data.append(value.removeprefix(" "))
            elif line == b"\n" and data:
                return f"{self.last_id}: " + "\n".join(data)
        raise AssertionError("the stream has ended")


class ScriptPeer:
    """One of those that `peer.js` drives."""

    def open(self, url: str, protocols: list[str]) -> None:
        self._call("open", url, protocols)

    def listen(self, url: str) -> None:
        self._call("listen", url)

    def send(self, text: str) -> None:
        self._call("send", text)

    def close(self, code: int) -> None:
        self._call("close", code)

    def next(self) -> Told:
        mark, text = self._call("next", WAIT_SECONDS)
        return mark, text

    def _call(self, method: str, *parameters: object) -> Any:  # what the method gives
        raise NotImplementedError


class NodePeer(ScriptPeer):
    """`ws`, in a process of node's that is told what to do, one line for each call."""

    name = "ws"

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def _call(self, method: str, *parameters: object) -> Any:  # what the method gives
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([method, *parameters]) + "\n")
        self.process.stdin.flush()
        assert select.select([self.process.stdout], [], [], DEADLINE_SECONDS)[0], "node says nothing"
        told = json.loads(self.process.stdout.readline())
        assert "problem" not in told, told
        return told["value"]


class Browser:
    """One page of a headless Chromium, driven over its DevTools port."""

    def __init__(self, page: ClientConnection) -> None:
        self.page, self.number = page, 0

    def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        """The result of a DevTools command."""
        self.number += 1
        self.page.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self.page.recv(timeout=DEADLINE_SECONDS))
            if told.get("id") == self.number:
                assert "error" not in told, told
                return dict(told["result"])

    def go(self, url: str) -> None:
        self.ask("Page.navigate", url=url)
        until(lambda: self.run(f"document.readyState === 'complete' && location.href === {json.dumps(url)}"), f"{url} is shown")

    def run(self, script: str) -> Any:  # what the script gives
        told = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")


class PagePeer(ScriptPeer):
    """`WebSocket` and `EventSource` of a page."""

    name = "chromium"

    def __init__(self, browser: Browser, home: str) -> None:
        """`home` is the page: what it may open goes by where it comes from."""
        self.browser = browser
        browser.go(home)
        browser.run(f"(() => {{ {SCRIPT.read_text()} }})()")

    def _call(self, method: str, *parameters: object) -> Any:  # what the method gives
        return self.browser.run(f"window.peer.{method}({', '.join(map(json.dumps, parameters))})")


@contextlib.contextmanager
def node() -> Iterator[NodePeer]:
    """Node with `ws`, or the test is skipped."""
    if NODE is None:
        pytest.skip("there is no node")
    places = (str(SCRIPT.with_name("node_modules")), os.environ.get("NODE_PATH", ""), "/usr/share/nodejs")
    env = {"PATH": os.environ["PATH"], "NODE_PATH": os.pathsep.join(filter(None, places))}
    if subprocess.run([NODE, "-e", "require.resolve('ws')"], env=env, capture_output=True, timeout=DEADLINE_SECONDS).returncode:
        pytest.skip("node has no package ws: `make node-modules`, install node-ws, or name where it is in NODE_PATH")
    process = subprocess.Popen([NODE, str(SCRIPT)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    with process:
        try:
            yield NodePeer(process)
        finally:
            process.kill()


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A page of a new Chromium, or the test is skipped."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"]
    command = [CHROMIUM, *options, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(profile)})
    try:
        port = _port(profile / "DevToolsActivePort")
        with connect(_page(port), max_size=None, open_timeout=DEADLINE_SECONDS, proxy=None) as page:
            yield Browser(page)
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


def _port(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().count("\n"), "Chromium listens")
    return int(path.read_text().split("\n")[0])


def _page(port: int) -> str:
    """Where the first page is talked to."""
    found: list[str] = []

    def look() -> bool:
        pages = call(f"http://127.0.0.1:{port}", "GET", "/json/list").json
        found[:] = [page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"]
        return bool(found)

    until(look, "a page is open")
    return found[0]
