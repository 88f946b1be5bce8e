"""Other people's WebSocket clients against a real daemon: npm's `ws` (Debian's node-ws, or on NODE_PATH) and a headless Chromium.

Source: construct-realtime.md §0.2 (tokens and sub-protocols), §10, §12; design §4.16, §4.17.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.acceptance.daemon import DEADLINE_SECONDS, Daemon, settings, until
from tests.acceptance.daemon import call as ask

pytestmark = pytest.mark.acceptance
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NODE_ENV = {"PATH": os.environ["PATH"], "NODE_PATH": os.pathsep.join((os.environ.get("NODE_PATH", ""), "/usr/share/nodejs"))}

TALK = """
const talk = (Socket, url, protocols, messages, isOver) => new Promise((resolve) => {
  const told = {frames: [], chosen: null, code: null};
  const socket = protocols.length ? new Socket(url, protocols) : new Socket(url);
  socket.onopen = () => { told.chosen = socket.protocol; messages.forEach((message) => socket.send(message)); };
  socket.onmessage = (event) => { told.frames.push(event.data); if (isOver(event.data)) socket.close(1000); };
  socket.onerror = () => { told.failed = true; };
  socket.onclose = (event) => { told.code = event.code; resolve(told); };
});
"""
"""What both clients run: opens, sends, keeps what comes, closes when it has seen enough."""
CHAT_OVER = "(text) => JSON.parse(text).type === 'done'"
TERMINAL_OVER = "(text) => false"
CHAT = ['{"type":"connect"}', '{"type":"message","content":"/echo grüße 😀"}']
TERMINAL = ['{"type":"resize","cols":99,"rows":31}', "stty size; printf 'gr\\303\\274\\303\\237e-%d\\n' 42; exit 5\n"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    more = '[terminal]\nenabled = true\nshell = "/bin/sh"\n'
    one = Daemon(tmp_path_factory.mktemp("clients"), settings(more=more)).start()
    try:
        one.pair()
        yield one
    finally:
        one.close()


def place(daemon: Daemon, path: str) -> str:
    return daemon.url.replace("http", "ws", 1) + path


def call(url: str, protocols: list[str], messages: list[str], is_over: str, client: str) -> str:
    return f"(() => {{ {TALK}; return talk({client}, {json.dumps(url)}, {json.dumps(protocols)}, {json.dumps(messages)}, {is_over}); }})()"


def check_chat(told: dict[str, Any], chosen: str) -> None:
    frames = [json.loads(frame) for frame in told["frames"]]
    kinds = [frame["type"] for frame in frames]
    assert (told["chosen"], told["code"]) == (chosen, 1000)
    assert kinds[:2] == ["session_start", "connected"]
    assert (kinds[-1], "grüße 😀" in frames[-1]["full_response"]) == ("done", True)


def check_terminal(told: dict[str, Any]) -> None:
    screen = "".join(told["frames"])
    assert told["code"] == 1000
    assert "31 99" in screen
    assert "grüße-42" in screen
    assert "[sh exited with code 5]" in screen


# --- npm's ws


def node(script: str) -> dict[str, Any]:
    """What a script's promise resolves to."""
    if NODE is None:
        pytest.skip("there is no node")
    if subprocess.run([NODE, "-e", "require.resolve('ws')"], env=NODE_ENV, capture_output=True, timeout=DEADLINE_SECONDS).returncode:
        pytest.skip("node has no package ws: install node-ws, or name where it is in NODE_PATH")
    source = f"const WebSocket = require('ws'); {script}.then((told) => console.log(JSON.stringify(told)))"
    done = subprocess.run([NODE, "-e", source], env=NODE_ENV, capture_output=True, timeout=DEADLINE_SECONDS, check=True)
    return dict(json.loads(done.stdout))


def test_ws_talks_in_a_chat(daemon: Daemon) -> None:
    protocols = ["construct.v1", f"bearer.{daemon.token}"]
    check_chat(node(call(place(daemon, "/ws/chat"), protocols, CHAT, CHAT_OVER, "WebSocket")), "construct.v1")


def test_ws_drives_a_terminal(daemon: Daemon) -> None:
    check_terminal(node(call(place(daemon, f"/ws/terminal?token={daemon.token}"), [], TERMINAL, TERMINAL_OVER, "WebSocket")))


def test_ws_is_refused_without_a_token(daemon: Daemon) -> None:
    told = node(call(place(daemon, "/ws/terminal"), [], TERMINAL, TERMINAL_OVER, "WebSocket"))
    assert (told["frames"], told["code"], told["failed"]) == ([], 1006, True)


# --- Chromium


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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    profile = tmp_path_factory.mktemp("chromium")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"]
    command = [CHROMIUM, *options, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(profile)})
    try:
        port = port_of(profile / "DevToolsActivePort")
        with connect(page_of(port), max_size=None, open_timeout=DEADLINE_SECONDS) as page:
            yield Browser(page)
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


def port_of(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().count("\n"), "Chromium listens")
    return int(path.read_text().split("\n")[0])


def page_of(port: int) -> str:
    """Where the first page is talked to."""
    found: list[str] = []

    def look() -> bool:
        pages = ask(f"http://127.0.0.1:{port}", "GET", "/json/list").json
        found[:] = [page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"]
        return bool(found)

    until(look, "a page is open")
    return found[0]


def test_a_browser_talks_in_a_chat(daemon: Daemon, browser: Browser) -> None:
    browser.go(daemon.url + "/pair/page")
    protocols = ["zeroclaw.v1", f"bearer.{daemon.token}"]
    check_chat(browser.run(call(place(daemon, "/ws/chat"), protocols, CHAT, CHAT_OVER, "WebSocket")), "zeroclaw.v1")


def test_a_browser_drives_a_terminal(daemon: Daemon, browser: Browser) -> None:
    browser.go(daemon.url + "/pair/page")
    check_terminal(browser.run(call(place(daemon, f"/ws/terminal?token={daemon.token}"), [], TERMINAL, TERMINAL_OVER, "WebSocket")))


def test_a_page_of_elsewhere_opens_nothing_even_with_a_token(daemon: Daemon, browser: Browser) -> None:
    browser.go("about:blank")
    told = browser.run(call(place(daemon, f"/ws/terminal?token={daemon.token}"), [], TERMINAL, TERMINAL_OVER, "WebSocket"))
    assert (told["frames"], told["code"], told["failed"]) == ([], 1006, True)
