"""Real daemons for tests: started, asked and ended by pid, each with a deadline."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.acceptance.canaries import configured, told

DEADLINE_SECONDS = 40.0
TWISTD = (sys.executable, str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "clawgate")
"""The `twistd` of this environment, in the foreground."""


class Answer(NamedTuple):
    """What came back; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # whatever the body holds
        return json.loads(self.body)


def until(condition: Callable[[], object], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Looks again and again until `condition` holds; fails the test after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def call(
    url: str, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None, *, seconds: float = DEADLINE_SECONDS
) -> Answer:
    """One request on a connection of its own; `body` is sent as JSON unless it is bytes."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    try:
        return ask_on(connection, method, path, body, headers)
    finally:
        connection.close()


def ask_on(connection: http.client.HTTPConnection, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
    """One request on this connection."""
    sent = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        sent["Content-Type"] = "application/json"
    connection.request(method, path, body, sent)
    response = connection.getresponse()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


class Daemon:
    """One daemon over its restarts: a home with config and state, and the process of the moment."""

    def __init__(self, home: Path, config: str = "", *, command: Sequence[str] = TWISTD, env: Mapping[str, str] | None = None) -> None:
        self.home, self.command, self.env = home, tuple(command), dict(env or {})
        home.mkdir(parents=True, exist_ok=True)
        self.config, self.state = home / "config.toml", home / "state"
        self.config.write_text(config or settings())
        self.out, self.err = home / "out.txt", home / "err.txt"
        self.process: subprocess.Popen[bytes] | None = None
        self.token = ""

    def spawn(self, *arguments: str, **more: Any) -> subprocess.Popen[bytes]:  # as subprocess.Popen
        """Starts the process; what it printed before is gone."""
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PYTHONIOENCODING": "utf-8",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        } | self.env
        with self.out.open("wb") as out, self.err.open("wb") as err:
            command = [*self.command, "--config", str(self.config), *arguments]
            self.process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=env, cwd=self.home, **more)
        return self.process

    def start(self, *arguments: str, **more: Any) -> Daemon:  # as subprocess.Popen
        """Starts it and waits until it answers."""
        process = self.spawn(*arguments, **more)

        def is_up() -> bool:
            assert process.poll() is None, f"the daemon ended with {process.returncode}: {self.printed}{self.errors}"
            announced = self.announced
            return announced is not None and announced["pid"] == process.pid

        until(is_up, "the daemon is up")
        until(lambda: self.call("GET", "/health").status == 200, "it answers")
        return self

    @property
    def announced(self) -> dict[str, Any] | None:
        try:
            return dict(json.loads((self.state / "daemon.json").read_text()))
        except (OSError, ValueError):
            return None

    @property
    def url(self) -> str:
        announced = self.announced
        assert announced is not None
        return str(announced["url"])

    @property
    def printed(self) -> str:
        return self.out.read_text("utf-8", "replace")

    @property
    def errors(self) -> str:
        return self.err.read_text("utf-8", "replace")

    def code(self) -> str:
        """The pairing code that it printed."""
        pattern = re.compile(r"X-Pairing-Code: (\d{6})")
        until(lambda: pattern.search(self.printed), "a code is printed")
        return str(pattern.findall(self.printed)[-1])

    def pair(self) -> str:
        """Pairs with the printed code and remembers the token."""
        self.token = str(self.call("POST", "/pair", headers={"X-Pairing-Code": self.code()}).json["token"])
        return self.token

    def call(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request with the token, if there is one."""
        bearer = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return call(self.url, method, path, body, bearer | dict(headers or {}))

    def tell(self, message: str, **headers: str) -> Answer:
        """Sends a message whose outcome is promised; `Idempotency_Key="…"` and `Session_Id="…"` as headers."""
        named = {"X-" + name.replace("_", "-"): value for name, value in headers.items()}
        return self.call("POST", "/webhook", {"message": message}, {"Prefer": "respond-async"} | named)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)

    def ended(self) -> int:
        """Waits for the end; the exit code."""
        assert self.process is not None
        return self.process.wait(DEADLINE_SECONDS)

    def kill(self) -> None:
        """`kill -9`."""
        self.stop(signal.SIGKILL)

    def close(self) -> None:
        """Ends what may still run, and looks for its token and its config's secrets in all that it wrote."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        text = self.config.read_text("utf-8", "replace") if self.config.exists() else ""
        secrets = configured(text) | ({"token": self.token} if self.token else {})
        assert told(secrets, self.out, self.err, self.state) == set()

    def rss_kib(self) -> int:
        """Resident memory now."""
        assert self.process is not None
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1])


def settings(provider: str = "offline", gateway: str = "", more: str = "") -> str:
    """A config.toml that limits nothing and picks a free port."""
    head = f'default_provider = "{provider}"\napi_key = "sk-upstream-canary"\n'
    limits = "pair_rate_limit_per_minute = 0\nwebhook_rate_limit_per_minute = 0\napi_rate_limit_per_minute = 0\n"
    return f"{head}\n[gateway]\nport = 0\n{limits}{gateway}\n{more}\n"


class QuietHandler(BaseHTTPRequestHandler):
    """A handler of `Listening`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def handle_error(self, request: object, client_address: object) -> None:
        """A daemon that was killed hangs up; that is the test's own doing."""


class Listening:
    """An HTTP server in the test's process, a thread for each connection."""

    def __init__(self, handler: type[QuietHandler]) -> None:
        self._listener = _Listener(("127.0.0.1", 0), handler)
        threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.server_address[1]}"

    def close(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()


class Upstream(Listening):
    """An OpenAI-compatible server in the test's process. It counts what it is asked and answers `re <text>`.

    Attributes:
        delay_seconds: before each answer. gate: cleared = answers wait until it is set.
        delta: makes an answer's one piece of a request, both as the API has them.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.delay_seconds = 0.0
        self.delta: Callable[[dict[str, Any]], dict[str, Any]] = lambda request: {"content": f"re {request['messages'][-1]['content']}"}
        self.gate = threading.Event()
        self.gate.set()
        upstream = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                text = request["messages"][-1]["content"]
                upstream.asked.append(text)
                time.sleep(upstream.delay_seconds)
                upstream.gate.wait(DEADLINE_SECONDS * 4)
                chunk = {"id": "c", "object": "chat.completion.chunk", "model": "up-1"}
                delta = {"role": "assistant", **upstream.delta(request)}
                events = [
                    {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
                    {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if "tool_calls" in delta else "stop"}]},
                ]
                body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
                with contextlib.suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Type", "text/event-stream")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body.encode())

        super().__init__(Handler)

    @property
    def provider(self) -> str:
        return f"custom:{self.url}/v1"

    def close(self) -> None:
        self.gate.set()
        super().close()
