"""The peers, each a process of its own pinned to the server's core, from environments of their own: nothing of theirs is in ours, and they keep their pins."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.bench.servers import SERVER_CORE, Server, child, free_port, pinned, plain_environment, wait_for

ROOT = Path(__file__).parents[3]
LIGHT, LITELLM = ROOT / ".venv-peers" / "bin", ROOT / ".venv-litellm" / "bin"
HOOK_SECRET = "a secret of the bench's"
_APPS = Path(__file__).parent


def versions() -> dict[str, str]:
    """Of what is installed, by name."""
    found: dict[str, str] = {}
    for directory, names in (
        (LIGHT, ("fastapi", "starlette", "uvicorn", "httpx", "aiohttp", "uvloop", "httptools", "pydantic")),
        (LITELLM, ("litellm",)),
    ):
        if (directory / "python").exists():
            code = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
            told = subprocess.run([str(directory / "python"), "-c", code, *names], capture_output=True, text=True, check=True).stdout
            found |= json.loads(told)
    if shutil.which("webhook"):
        found["webhook"] = subprocess.run(["webhook", "-version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    return found


def require_same_python() -> None:
    """Returns if the peers run the interpreter that runs us: some builds of one version are a third slower than others.

    Raises:
        RuntimeError: they run another one.
    """
    for directory in (LIGHT, LITELLM):
        if (directory / "python").exists():
            told = subprocess.run([str(directory / "python"), "-c", "import sys; print(sys.version)"], capture_output=True, text=True, check=True)
            if told.stdout.strip() != sys.version:
                raise RuntimeError(f"{directory.parent.name} has another Python than clawgate: remove it, and call make with the same PYTHON")


@contextlib.contextmanager
def fastapi(directory: Path, upstream: str = "", module: str = "fastapi_app") -> Iterator[Server]:
    """FastAPI on uvicorn, which writes to SQLite as clawgate does; see `fastapi_app.py`, and for the chat socket `chat_app.py`."""
    directory.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(32)
    own = {
        "PEER_TOKEN_SHA256": hashlib.sha256(token.encode()).hexdigest(),
        "PEER_HOOK_SECRET": HOOK_SECRET,
        "PEER_UPSTREAM": upstream,
        "PEER_DATABASE": str(directory / "peer.db"),
    }
    with _uvicorn(module, own, token) as server:
        yield server


@contextlib.contextmanager
def starlette(health: str, refusal: str) -> Iterator[Server]:
    """Bare Starlette on uvicorn, answering these bodies."""
    with _uvicorn("starlette_app", {"PEER_HEALTH": health, "PEER_REFUSAL": refusal}) as server:
        yield server


@contextlib.contextmanager
def aiohttp(health: str, refusal: str) -> Iterator[Server]:
    """aiohttp, answering these bodies."""
    port = free_port()
    command = (_installed(LIGHT, "python", "make .venv-peers/.stamp"), str(_APPS / "aiohttp_app.py"), str(port))
    with _process(command, port, {"PEER_HEALTH": health, "PEER_REFUSAL": refusal}) as server:
        yield server


@contextlib.contextmanager
def litellm(directory: Path, upstream: str) -> Iterator[Server]:
    """LiteLLM's proxy, one worker, with a master key."""
    directory.mkdir(parents=True, exist_ok=True)
    port, key = free_port(), "sk-" + secrets.token_hex(16)
    model = {"model_name": "canned", "litellm_params": {"model": "openai/canned", "api_base": upstream, "api_key": "sk-bench"}}
    config = directory / "litellm.json"  # JSON is YAML
    config.write_text(json.dumps({"model_list": [model], "general_settings": {"master_key": key}, "litellm_settings": {"telemetry": False}}))
    program = _installed(LITELLM, "litellm", "make .venv-litellm/.stamp")
    command = (program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False")
    with _process(command, port, {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}, path="/health/liveliness", seconds=120) as server:
        body, headers = b'{"model": "canned", "messages": [{"role": "user", "content": "wake up"}]}', {"Authorization": f"Bearer {key}"}
        request = urllib.request.Request(f"{server.url}/v1/chat/completions", body, headers | {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=60).close()  # its first answer takes seconds
        yield Server(server.pid, server.url, key)


@contextlib.contextmanager
def go_webhook(directory: Path) -> Iterator[Server]:
    """Debian's `webhook`: `/hooks/bench` checks the signature and then finds that a second rule does not match, so that nothing is started."""
    directory.mkdir(parents=True, exist_ok=True)
    signed = {"match": {"type": "payload-hmac-sha256", "secret": HOOK_SECRET, "parameter": {"source": "header", "name": "X-Signature"}}}
    other = {"match": {"type": "value", "value": "none", "parameter": {"source": "payload", "name": "number"}}}
    hooks = [{"id": "bench", "execute-command": "/bin/true", "trigger-rule": {"and": [signed, other]}}]
    path = directory / "hooks.json"
    path.write_text(json.dumps(hooks))
    port = free_port()
    program = shutil.which("webhook")
    if program is None:
        raise RuntimeError("webhook is needed: apt-get install webhook")
    with _process((program, "-hooks", str(path), "-ip", "127.0.0.1", "-port", str(port)), port, {}) as server:
        yield server


@contextlib.contextmanager
def _uvicorn(module: str, own: Mapping[str, str], token: str = "") -> Iterator[Server]:
    port = free_port()
    where = ("--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
    with _process((_installed(LIGHT, "uvicorn", "make .venv-peers/.stamp"), f"{module}:app", "--app-dir", str(_APPS), *where), port, own) as server:
        yield Server(server.pid, server.url, token)


@contextlib.contextmanager
def _process(command: Sequence[str], port: int, own: Mapping[str, str], *, path: str = "/", seconds: float = 20) -> Iterator[Server]:
    environ = {name: value for name, value in plain_environment().items() if name != "PYTHONPATH"} | dict(own)
    url = f"http://127.0.0.1:{port}"
    with child(pinned(SERVER_CORE, *command), stdout=subprocess.DEVNULL, env=environ) as process:
        wait_for(url + path, process, seconds)
        yield Server(process.pid, url)


def _installed(directory: Path, program: str, remedy: str) -> str:
    found = directory / program
    if not found.exists():
        raise RuntimeError(f"{found.relative_to(ROOT)} is needed: {remedy}")
    return str(found)
