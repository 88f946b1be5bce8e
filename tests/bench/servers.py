"""Servers under measurement, each a process of its own pinned to one core."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = _CORES[0], _CORES[-1]
_WAIT_SECONDS = 60.0
_HERE = Path(__file__).parent

PEER = """
import os, sys
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site
class Health(Resource):
    isLeaf = True
    def render_GET(self, request):
        request.setHeader(b"Content-Type", b"application/json")
        return BODY
BODY = sys.argv[2].encode()
site = Site(Health(), parsePOSTFormSubmission=False)
site.log = lambda request: None
reactor.listenTCP(int(sys.argv[1]), site, 1024, "127.0.0.1")
reactor.run()
"""


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, of all cores."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Server(msgspec.Struct, frozen=True):
    """A running server."""

    pid: int
    url: str
    token: str = ""
    start_seconds: float = 0.0

    @property
    def rss_mib(self) -> float:
        """Resident memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    @property
    def cpu_seconds(self) -> float:
        """Processor time that it has used."""
        return cpu_seconds(self.pid)


@contextlib.contextmanager
def daemon(directory: Path, extra: str = "", *, tokens: Sequence[str] = (), upstream: str = "", is_paused: bool = False) -> Iterator[Server]:
    """The real daemon, paired, with its offline agent or an upstream; unlimited, so that the limiter is not what is measured.

    Args:
        directory: its own; a `state` directory that is there already is used.
        extra: further sections of the configuration.
        tokens: those it knows already, instead of pairing.
        upstream: base URL of an OpenAI-compatible server that answers, such as `canned_upstream`'s.
        is_paused: what is accepted waits: four turns that never end have all the places.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "config.toml"
    provider = "command:sleep 3600" if is_paused else f"custom:{upstream}" if upstream else "offline"
    hashes = json.dumps([hashlib.sha256(token.encode()).hexdigest() for token in tokens])
    config.write_text(
        f'default_provider = "{provider}"\ndefault_model = "canned"\napi_key = "sk-bench"\n[clawgate]\nversion = 1\n[gateway]\nport = 0\n'
        f"webhook_rate_limit_per_minute = 0\napi_rate_limit_per_minute = 0\nmax_connections_per_client = 0\npaired_tokens = {hashes}\n"
        + ("[agent]\nmax_concurrent_turns = 4\n" if is_paused else "")
        + extra
    )
    config.chmod(0o600)
    environ = plain_environment()
    twistd = str(Path(sys.executable).parent / "twistd")
    command = pinned(SERVER_CORE, twistd, "-n", "--pidfile=", "clawgate", "--config", str(config))
    started = time.monotonic()
    out = directory / "stdout"  # a file: a pipe that nobody reads would fill with its log, and stop it
    with out.open("w") as log, child(command, stdout=log, env=environ, cwd=directory) as process:
        url = _announced(directory / "state" / "daemon.json", process)
        wait_for(url + "/health", process)
        seconds = time.monotonic() - started
        yield Server(process.pid, url, tokens[0] if tokens else _paired(url, out), seconds)


@contextlib.contextmanager
def canned_upstream() -> Iterator[Server]:
    """`upstream.py` on the load's core; its `url` is OpenAI's base URL, `url.replace("/v1", "/sse/v1")` the one that streams."""
    with child(pinned(LOAD_CORE, sys.executable, str(_HERE / "upstream.py")), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Server(process.pid, f"http://127.0.0.1:{int(process.stdout.readline())}/v1")


@contextlib.contextmanager
def peer(body: str) -> Iterator[Server]:
    """Plain twisted.web answering a constant, at its fastest settings."""
    port = free_port()
    with child(pinned(SERVER_CORE, sys.executable, "-c", PEER, str(port), body), stdout=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        wait_for(url + "/", process)
        yield Server(process.pid, url)


def plain_environment() -> dict[str, str]:
    """Ours for a server: without keys, and so that modules are compiled once, as they are where a package is installed."""
    return {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY") and name != "PYTHONDONTWRITEBYTECODE"}


def pinned(core: int, *command: str) -> list[str]:
    """The command on one core."""
    return ["taskset", "-c", str(core), *command]


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def child(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:  # Any: whatever Popen takes
    """A process that is ended with the block."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _announced(path: Path, process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            told = json.loads(path.read_text())
            if told["pid"] == process.pid:
                return str(told["url"])
        if process.poll() is not None:
            raise RuntimeError(f"the daemon ended with {process.returncode}")
        time.sleep(0.002)
    raise RuntimeError("the daemon did not come up")


def wait_for(url: str, process: subprocess.Popen[str], seconds: float = _WAIT_SECONDS) -> None:
    """Until it answers, with whatever status.

    Raises:
        RuntimeError: it does not, or its process has ended.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # our own loopback URL
                answer.read()
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.002)
    raise RuntimeError(f"{url} did not answer")


def _paired(url: str, out: Path) -> str:
    """Reads the code off the daemon's stdout, as a person would, and pairs."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        found = re.search(r"X-Pairing-Code: (\d{6})", out.read_text())
        if found:
            request = urllib.request.Request(url + "/pair", method="POST", headers={"X-Pairing-Code": found[1]})
            with urllib.request.urlopen(request, timeout=5) as answer:
                return str(json.loads(answer.read())["token"])
        time.sleep(0.01)
    raise RuntimeError("no pairing code was printed")
