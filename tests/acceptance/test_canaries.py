"""Secrets stay secret (design §6): a daemon that has one in every place where there can be one, every door tried with them, and none of them anywhere."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from argon2 import PasswordHasher
from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from clawgate.testing.gateway import MemoryGateway
from tests.acceptance.canaries import canary, found_in, log_lines, places
from tests.acceptance.daemon import DEADLINE_SECONDS, Answer, Daemon, Listening, QuietHandler, call, until
from tests.certificates import Authority
from tests.web.platform_gate import BODIES, hmac_hex

pytestmark = pytest.mark.acceptance

IN_CONFIG = (
    *(
        "api_key",
        "openai_key",
        "embedding",
        "vision",
        "webhook_secret",
        "control_jwt",
        "ngrok",
        "cloudflare",
        "nodes",
        "hook",
        "hook_old",
        "hook_verify",
    ),
    *("wa_access", "wa_verify", "wa_app", "linq_api", "linq_signing", "nc_app", "nc_webhook", "wati_api", "wati_webhook", "mcp_env", "mcp_header"),
    "subscriber_place",
)
AS_KEYS = ("subscriber", "subscriber_old")
"""Secrets of Standard Webhooks: they stand in the file as base64."""
IN_ENVIRONMENT = {
    "ANTHROPIC_API_KEY": "anthropic_key",
    "GEMINI_API_KEY": "gemini_key",
    "GROQ_API_KEY": "groq_key",
    "CLAWGATE_LINQ_SIGNING_SECRET": "linq_env",
}
PATCHED = ("new_api_key", "new_wati_api", "new_wati_hook", "new_mcp_env", "new_embedding")
PRESENTED = ("password", "bad_bearer", "bad_query", "bad_code", "bad_signature")
MISPLACED = "misplaced"
"""What a caller wrote where no secret belongs: it may come back to that caller and be kept as the title or text that it is, and is in no log."""


class Echo(Listening):
    """A server that refuses everything and says whose key it refuses: as an upstream, a platform and an MCP server."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        echo = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                echo.paths.append(self.path)
                said = " ".join(f"{name}={value}" for name, value in self.headers.items())
                body = json.dumps({"error": {"message": f"Incorrect API key provided: {said}", "code": said, "type": said}, "message": said}).encode()
                with contextlib.suppress(OSError):
                    self.send_response(401)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("WWW-Authenticate", f'Bearer error="{said}"')
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            do_GET = do_PUT = do_DELETE = do_POST

        super().__init__(Handler)


def signing_key(name: str) -> str:
    """A canary as a key of Standard Webhooks."""
    return "whsec_" + base64.b64encode(canary(name).encode()).decode()


def config(echo: str) -> str:
    """A config.toml with a secret wherever there can be one."""
    c = {name: canary(name) for name in IN_CONFIG}
    return f"""
default_provider = "custom:{echo}/v1"
api_key = "{c["api_key"]}"
provider_api_keys = {{ openai = "{c["openai_key"]}" }}

[gateway]
port = 0
pair_rate_limit_per_minute = 0
webhook_rate_limit_per_minute = 0
api_rate_limit_per_minute = 0

[gateway.login]
enabled = true
username = "ada"
password_hash = "{PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(canary("password"))}"

[observability]
log_level = "debug"

[secrets]
encrypt = true

[agent]
max_attempts = 1

[reliability]
channel_max_attempts = 1

[knowledge]
enabled = true
embedding_api_key = "{c["embedding"]}"
vision_api_key = "{c["vision"]}"

[nodes]
enabled = true
auth_token = "{c["nodes"]}"

[terminal]
enabled = true

[control]
enabled = true
port = 0
jwt_secret = "{c["control_jwt"]}"

[tunnel]
provider = "none"

[tunnel.cloudflare]
token = "{c["cloudflare"]}"

[tunnel.ngrok]
auth_token = "{c["ngrok"]}"

[hooks.ci]
verify = "gitlab"
message = "something was built"
secrets = ["{c["hook"]}", "{c["hook_old"]}"]

[hooks.meta]
verify = "meta"
message = "something happened"
secrets = ["{c["hook"]}"]
verify_token = "{c["hook_verify"]}"

[channels_config.webhook]
secret = "{c["webhook_secret"]}"

[channels_config.whatsapp]
access_token = "{c["wa_access"]}"
phone_number_id = "1"
verify_token = "{c["wa_verify"]}"
app_secret = "{c["wa_app"]}"
allowed_numbers = ["*"]
api_base = "{echo}"

[channels_config.linq]
api_token = "{c["linq_api"]}"
from_phone = "+15550001111"
signing_secret = "{c["linq_signing"]}"
allowed_senders = ["*"]
api_base = "{echo}"

[channels_config.nextcloud_talk]
base_url = "{echo}"
app_token = "{c["nc_app"]}"
webhook_secret = "{c["nc_webhook"]}"
allowed_users = ["*"]

[channels_config.wati]
api_token = "{c["wati_api"]}"
webhook_token = "{c["wati_webhook"]}"
allowed_numbers = ["*"]
api_url = "{echo}"

[subscriptions.watching]
url = "{echo}/events/{c["subscriber_place"]}?key={c["subscriber_place"]}"
secret = ["{signing_key("subscriber")}", "{signing_key("subscriber_old")}"]
events = ["*"]
include_answer = true
allow_private = true

[mcp_servers.shouting]
command = "/bin/sh"
args = ["-c", "env; env >&2; exit 3"]
env = {{ SHOUTED = "{c["mcp_env"]}" }}

[mcp_servers.remote]
url = "{echo}/mcp"
headers = {{ Authorization = "Bearer {c["mcp_header"]}", X-Key = "{c["mcp_header"]}" }}
"""


class Aviary(NamedTuple):
    """A daemon with canaries, the server that repeats them, and what came back."""

    daemon: Daemon
    echo: Echo
    answers: list[tuple[str, bytes]]
    tickets: list[str]

    def ask(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None, *, bare: bool = False) -> Answer:
        answer = call(self.daemon.url, method, path, body, headers) if bare else self.daemon.call(method, path, body, headers)
        self.answers.append((f"{method} {path}", repr(answer.headers).encode() + answer.body))
        return answer


ROUTES = tuple(route for route in MemoryGateway(start=False).gateway.router.routes)


def path_of(path: str) -> str:
    return re.sub(r"<[^>]+>", "no-such-thing", path)


def glimpse(url: str, path: str, token: str, seconds: float = 1.0) -> bytes:
    """The beginning of a stream that does not end."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), DEADLINE_SECONDS) as wire:
        credential = f"Authorization: Bearer {token}\r\n" if token else ""
        wire.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{credential}\r\n".encode())
        wire.settimeout(seconds)
        received = b""
        with contextlib.suppress(TimeoutError):
            while data := wire.recv(65536):
                received += data
        return received


def try_every_route(aviary: Aviary) -> None:
    """Each without a credential, with a wrong one, and with the right one; with a body that is none, and one full of secrets in wrong places."""
    odd = {
        name: canary(MISPLACED)
        for name in ("message", "model", "provider", "title", "name", "url", "level", "schedule", "kind", "status", "code", "content")
    }
    odd |= {"api_token": [canary(MISPLACED)], "linq": {"api_token": [canary(MISPLACED)]}, "env": canary(MISPLACED)}
    for route in ROUTES:
        if route.is_socket or route.path in ("/api/events", "/api/daemon/logs"):
            continue
        path = path_of(route.path)
        query = f"?token={canary('bad_query')}&api_key={canary('bad_query')}&status={canary('bad_query')}&limit={canary('bad_query')}"
        aviary.ask(route.method, path, bare=True)
        aviary.ask(route.method, path + query, odd, {"Authorization": f"Bearer {canary('bad_bearer')}"}, bare=True)
        aviary.ask(route.method, path, odd, {"X-Hub-Signature-256": f"sha256={canary('bad_signature')}"})
        aviary.ask(route.method, path, f'{{"api_key": "{canary(MISPLACED)}'.encode(), {"Content-Type": "application/json"})


def try_sockets(aviary: Aviary) -> None:
    """Tokens in the header, in the query and as a sub-protocol, right and wrong ones."""
    url, token = aviary.daemon.url.replace("http", "ws", 1), aviary.daemon.token
    for route in ROUTES:
        if not route.is_socket:
            continue
        path = path_of(route.path)
        for bearer in (token, canary("bad_bearer")):
            for more in ({"additional_headers": {"Authorization": f"Bearer {bearer}"}}, {"subprotocols": [Subprotocol(f"bearer.{bearer}")]}, {}):
                asked = f"{url}{path}?session_id=s1" + ("" if more else f"&token={bearer}")
                with contextlib.suppress(InvalidHandshake, OSError), connect(asked, proxy=None, open_timeout=5, close_timeout=1, **more) as wire:  # type: ignore[arg-type]  # as `connect` takes them
                    wire.send(json.dumps({"type": "register", "auth": canary(MISPLACED), "content": "hi", "node_id": 1}))
                    with contextlib.suppress(Exception):
                        aviary.answers.append((route.path, str(wire.recv(timeout=0.2)).encode()))


def try_sending(aviary: Aviary) -> None:
    """Deliveries that are genuine, so that a reply is sent and refused by a platform that repeats its token; the agent's own upstream does too."""
    wa, linq, nextcloud = (BODIES[name]("hi") for name in ("whatsapp", "linq", "nextcloud_talk"))
    now = str(int(time.time()))
    random = "r" * 64
    signed: list[tuple[str, bytes, dict[str, str]]] = [
        ("/whatsapp", wa, {"X-Hub-Signature-256": "sha256=" + hmac_hex(canary("wa_app"), wa)}),
        ("/linq", linq, {"X-Webhook-Timestamp": now, "X-Webhook-Signature": hmac_hex(canary("linq_env"), f"{now}.".encode() + linq)}),
        (
            "/nextcloud-talk",
            nextcloud,
            {"X-Nextcloud-Talk-Random": random, "X-Nextcloud-Talk-Signature": hmac_hex(canary("nc_webhook"), random.encode() + nextcloud)},
        ),
        ("/wati", BODIES["wati"]("hi"), {"Authorization": f"Bearer {canary('wati_webhook')}"}),
        ("/hooks/ci", b'{"a":1}', {"X-Gitlab-Token": canary("hook"), "X-Gitlab-Event-UUID": "1"}),
    ]
    for path, body, headers in signed:
        assert aviary.ask("POST", path, body, {"Content-Type": "application/json", **headers}, bare=True).status in (200, 202), path
    for path in ("/whatsapp", "/hooks/meta"):
        for verify in ("wa_verify", "hook_verify", "bad_query"):
            aviary.ask("GET", f"{path}?hub.mode=subscribe&hub.verify_token={canary(verify)}&hub.challenge=1", bare=True)
    secret = {"X-Webhook-Secret": canary("webhook_secret")}
    refused = aviary.ask("POST", "/webhook", {"message": "hi"}, secret)
    assert refused.status >= 500, refused
    for known in (aviary.daemon.token, canary("api_key"), canary("anthropic_key")):
        call(aviary.daemon.url, "GET", f"/nowhere/{known}?x={known}", headers={"User-Agent": known, "Referer": known, "X-Forwarded-For": known})
    aviary.ask("POST", "/api/v1/agent/chat", {"message": "hi"})
    aviary.ask("POST", "/login", {"username": "ada", "password": canary("password") + "!"}, bare=True)
    aviary.ask("POST", "/login", {"username": canary("password"), "password": canary(MISPLACED)}, bare=True)
    aviary.ask("POST", "/pair", None, {"X-Pairing-Code": canary("bad_code")}, bare=True)
    aviary.ask("POST", "/api/pair", {"code": canary("bad_code")}, bare=True)


def try_changing(aviary: Aviary) -> None:
    """Secrets that come while it runs, in requests that are taken up and in ones that are refused."""
    assert aviary.ask("PUT", "/api/v1/secrets", {"api_key": canary("new_api_key")}).status == 200
    wati = {"api_token": canary("new_wati_api"), "webhook_token": canary("new_wati_hook"), "allowed_numbers": ["*"], "api_url": aviary.echo.url}
    assert aviary.ask("PATCH", "/config/channels", {"wati": wati}).status == 200
    server = {"command": "/bin/sh", "args": ["-c", "env >&2; exit 1"], "env": {"K": canary("new_mcp_env")}}
    assert aviary.ask("PATCH", "/config/mcp-servers", {"another": server}).status == 200
    aviary.ask("PUT", "/api/v1/config/knowledge", {"embedding_api_key": canary("new_embedding")})
    for body in ({"wati": {"api_token": {"x": canary(MISPLACED)}}}, {"linq": canary(MISPLACED)}, {canary(MISPLACED): {"api_token": "x"}}):
        aviary.ask("PATCH", "/config/channels", body)
    aviary.ask("PATCH", "/config/model", {"provider": f"custom:http://u:{canary(MISPLACED)}@127.0.0.1:9/v1"})
    aviary.ask("PUT", "/api/v1/secrets", {"api_key": [canary(MISPLACED)], "api_url": f"http://u:{canary(MISPLACED)}@[::1"})
    for path in (
        "/config",
        "/config/channels",
        "/config/mcp-servers",
        "/api/v1/config",
        "/api/v1/secrets",
        "/api/v1/config/knowledge",
        "/api/v1/channels",
    ):
        assert aviary.ask("GET", path).status == 200


def problem_of(daemon: Daemon) -> str:
    return str(daemon.call("GET", "/health").json["runtime"]["components"].get("config", {}).get("last_error"))


def try_bad_files(aviary: Aviary) -> None:
    """A config.toml that cannot be read, and one whose secrets are of the wrong type, taken up by SIGHUP; then the good one again."""
    daemon = aviary.daemon
    good = daemon.config.read_text()
    process = daemon.process
    assert process is not None
    for number, wrong in enumerate(
        (
            re.sub(r'(?m)^api_key = ".*"', f'api_key = "{canary(MISPLACED)}', good, count=1),
            good.replace(f'auth_token = "{canary("ngrok")}"', f'auth_token = ["{canary("ngrok")}"]'),
            good.replace(f'secret = "{canary("webhook_secret")}"', f'secret = {{ x = "{canary(MISPLACED)}" }}'),
        )
    ):
        assert wrong != good
        daemon.config.write_text(wrong)
        process.send_signal(signal.SIGHUP)
        until(lambda: problem_of(daemon) != "None", "the error is told")
        aviary.answers.append(("GET /health", daemon.call("GET", "/health").body))
        command(aviary, "check", *(["--json"] if number else []))
        daemon.config.write_text(good)
        process.send_signal(signal.SIGHUP)
        until(lambda: problem_of(daemon) == "None", "the error is gone")


def command(aviary: Aviary, *words: str) -> subprocess.CompletedProcess[bytes]:
    """A command of the operator; what it says is kept."""
    daemon = aviary.daemon
    env = {"PATH": os.environ["PATH"], "HOME": str(daemon.home), "PYTHONPATH": os.environ.get("PYTHONPATH", "")} | daemon.env
    argv = [sys.executable, "-m", "clawgate", *words, *([] if words[0] == "init" else ["--config", str(daemon.config)])]
    done = subprocess.run(argv, capture_output=True, env=env, cwd=daemon.home, timeout=DEADLINE_SECONDS, check=False)
    aviary.answers.append(("clawgate " + " ".join(words), done.stdout + done.stderr))
    return done


def try_tickets(aviary: Aviary) -> None:
    """One that is used, used again, and one that never is."""
    for _ in range(2):
        aviary.tickets.append(str(aviary.daemon.call("POST", "/api/events/ticket").json["ticket"]))
    path = f"/api/events?ticket={aviary.tickets[0]}"
    for begin in (b"HTTP/1.1 200", b"HTTP/1.1 401"):
        seen = glimpse(aviary.daemon.url, path, "")
        assert seen.startswith(begin)
        aviary.answers.append(("GET /api/events?ticket=", seen))


def try_commands(aviary: Aviary) -> None:
    """What an operator types."""
    for words in ("check --json", "doctor", "devices list", "inbox list --json", "subscriptions list", "subscriptions show watching", "audit show"):
        command(aviary, *words.split())
    items = aviary.ask("GET", "/api/inbox").json
    for item in (items.get("items") or items.get("inbox") or [])[:2]:
        command(aviary, "inbox", "show", str(item["id"]), "--json")
        aviary.ask("GET", f"/api/inbox/{item['id']}")
    command(aviary, "init", "--config", str(aviary.daemon.home / "other.toml"))


@pytest.fixture(scope="module")
def aviary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aviary]:
    echo = Echo()
    environment = {name: canary(secret) for name, secret in IN_ENVIRONMENT.items()}
    daemon = Daemon(tmp_path_factory.mktemp("aviary"), config(echo.url), env=environment)
    made = Aviary(daemon, echo, [], [])
    try:
        daemon.start().pair()
        try_sending(made)
        try_changing(made)
        try_every_route(made)
        try_sockets(made)
        try_bad_files(made)
        try_commands(made)
        try_tickets(made)
        for path in ("/api/daemon/logs", "/api/events"):
            made.answers.append((path, glimpse(daemon.url, path, daemon.token)))
        for path in (
            "/metrics",
            "/health",
            "/readyz",
            "/api/events/history",
            "/api/v1/doctor",
            "/api/v1/status",
            "/api/subscriptions/watching",
            "/api/audit",
        ):
            assert made.ask("GET", path).status in (200, 503), path
        until(lambda: len({path.split("/")[1] for path in echo.paths}) >= 6, "each platform was asked")
        yield made
    finally:
        daemon.close()
        echo.close()


def everything(aviary: Aviary) -> dict[str, str]:
    """Every secret by name: configured, presented, and made by the daemon itself."""
    names = (*IN_CONFIG, *AS_KEYS, *IN_ENVIRONMENT.values(), *PATCHED, *PRESENTED)
    made = {"token": aviary.daemon.token, "key file": (aviary.daemon.home / ".secret_key").read_text().strip()}
    return {name: canary(name) for name in names} | made | {f"ticket {number}": ticket for number, ticket in enumerate(aviary.tickets)}


def leaks(secrets: dict[str, str], pieces: Iterator[tuple[str, bytes]]) -> dict[str, set[str]]:
    """Place by place, which secrets stand there."""
    found: dict[str, set[str]] = {}
    for place, data in pieces:
        if names := found_in(secrets, data):
            found.setdefault(place, set()).update(names)
    return found


def test_the_aviary_is_full(aviary: Aviary) -> None:
    text = config(aviary.echo.url)
    assert [name for name in IN_CONFIG if canary(name) not in text] == []
    assert [name for name in AS_KEYS if signing_key(name) not in text] == []
    answered = {label for label, _ in aviary.answers}
    assert len(answered) > len(ROUTES)
    for shown in ("MCP server shouting: SHOUTED=***", "Linq API error: 401", "the provider refuses the key", "/nowhere/zc_***"):
        assert shown in aviary.daemon.printed
    assert b"Incorrect API key" not in b"".join(body for label, body in aviary.answers if label.startswith("POST /webhook"))


def test_no_secret_is_in_the_log(aviary: Aviary) -> None:
    printed = aviary.daemon.printed + aviary.daemon.errors
    assert "debug" in printed
    assert leaks(everything(aviary) | {MISPLACED: canary(MISPLACED)}, ((line, line.encode()) for line in printed.splitlines() if line)) == {}
    assert aviary.daemon.code() not in re.findall(r"\b\d{6}\b", log_lines(printed))


def test_no_secret_is_in_an_answer(aviary: Aviary) -> None:
    assert leaks(everything(aviary), iter(aviary.answers)) == {}


def test_no_secret_is_in_the_state_directory(aviary: Aviary) -> None:
    assert leaks(everything(aviary), places(aviary.daemon.state)) == {}


def test_no_secret_is_among_the_arguments_of_a_process(aviary: Aviary) -> None:
    process = aviary.daemon.process
    assert process is not None
    running = [Path(f"/proc/{process.pid}")]
    for folder in running:
        for task in folder.glob("task/*/children"):
            running += [Path(f"/proc/{child}") for child in task.read_text().split()]
    assert leaks(everything(aviary), iter((str(folder), (folder / "cmdline").read_bytes()) for folder in running)) == {}


def test_what_was_changed_while_running_is_encrypted_and_the_owners_alone(aviary: Aviary) -> None:
    home = aviary.daemon.home
    files = [home / name for name in ("config.toml", "config.runtime.toml", ".secret_key")]
    written = b"".join(path.read_bytes() for path in files[:2])
    assert found_in({name: canary(name) for name in PATCHED}, written) == set()
    assert written.count(b"enc2:") == len(PATCHED) - 1  # the MCP server did not start, so nothing of it was kept
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in files[1:]} == {path.name: "0o600" for path in files[1:]}


def test_a_crash_leaves_a_stack_without_a_secret(aviary: Aviary) -> None:
    assert aviary.daemon.stop(signal.SIGABRT) == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in aviary.daemon.errors
    assert found_in(everything(aviary), aviary.daemon.errors.encode()) == set()
    assert leaks(everything(aviary), places(aviary.daemon.state)) == {}


def test_a_daemon_that_cannot_start_says_no_secret(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    (cert_path, _), (_, key_path) = authority.issue("one"), authority.issue("other")
    secrets = {f"key line {number}": line for number, line in enumerate(key_path.read_text().splitlines()[1:-1])}
    secrets |= {name: canary(name) for name in ("api_key", "mcp_env")}
    good = f'api_key = "{canary("api_key")}"\n[gateway]\nport = 0\n'
    server = '[mcp_servers.x]\ncommand = "x"\n'
    texts = (
        good + f'[gateway.tls]\nenabled = true\ncert_path = "{cert_path}"\nkey_path = "{key_path}"\n',
        good.replace('"\n', "\n", 1),
        good + server + f'env = ["{canary("mcp_env")}"]\n',
        good.replace(canary("api_key"), "enc2:" + canary("api_key")),
        good + f'host = "0.0.0.0"\n{server}env = {{ K = "{canary("mcp_env")}" }}\n',
    )
    daemons = [Daemon(tmp_path / str(number), text) for number, text in enumerate(texts)]
    for daemon in daemons:
        daemon.spawn()
    assert [daemon.ended() for daemon in daemons] == [78] * len(texts)
    said = [(daemon.printed + daemon.errors).encode() for daemon in daemons]
    assert all(said)
    assert [found_in(secrets, text) for text in said] == [set()] * len(texts)
