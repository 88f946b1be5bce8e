r"""Golden transcripts: what is sent and what comes back, byte for byte. One file per surface, `*.golden`, played from top to bottom.

    = title                what this exchange shows; the source in brackets
    @directive             something happens first (see `Player`)
    > request line         the raw request; `{name}` are the player's values, lines end in CR LF in the head and LF in the body
    < status line          the raw answer; what differs from run to run stands in braces

`GOLDEN_UPDATE=1 pytest tests/golden` writes the answers anew; read the difference before you commit it.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
from twisted.internet.error import ConnectionRefusedError

from clawgate.domain.errors import AgentBadRequest
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import (
    ChannelsSettings,
    ControlSettings,
    CronSettings,
    GatewaySettings,
    HookSettings,
    KnowledgeSettings,
    LoginSettings,
    NodesSettings,
    ObservabilitySettings,
    Settings,
    SubscriptionSettings,
    TasksSettings,
    WebhookChannel,
)
from clawgate.testing.agents import Hang, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway
from tests.web.gate import gateway
from tests.web.platform_gate import PlatformGate, hmac_hex, settings_of, with_secret

FOLDER = Path(__file__).parent
COMMON = (FOLDER / "common.txt").read_bytes().replace(b"\n", b"\r\n")
"""The headers that every answer carries, folded into `{common}` where they stand exactly so."""

_VOLATILE: tuple[tuple[bytes, bytes], ...] = (
    (rb"X-Request-Id: [0-9a-f]{12}-[0-9a-f]+", b"X-Request-Id: {request id}"),
    (rb"Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", b"Date: {date}"),
    (rb"zc_[0-9a-f]{64}", b"{new token}"),
    (rb'"token":"eyJ[\w-]+\.[\w-]+\.[\w-]+"', b'"token":"{jwt}"'),
    (rb'"pairing_code":"\d{6}"', b'"pairing_code":"{new code}"'),
    (rb'"code":"[0-9A-Z]{4}-[0-9A-Z]{4}"', b'"code":"{new code}"'),
    (rb'"version":"\d+\.[^"]+"', b'"version":"{version}"'),
    (rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", b"{moment}"),
    (rb"\bmsg_[0-9a-f]{32}\b", b"{webhook id}"),
    (rb"\b[0-9a-f]{64}\b", b"{sha256}"),
    (rb"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", b"{uuid}"),
)


class Exchange(msgspec.Struct):
    """One request and its answer.

    Attributes:
        directives: words of each, without the @.
        request: raw, placeholders not yet filled in.
        answer: raw and normalised.
    """

    title: str
    directives: list[list[str]] = []
    request: bytes = b""
    answer: bytes = b""


def read(path: Path) -> list[Exchange]:
    """The exchanges of a file, in order."""
    exchanges: list[Exchange] = []
    sent: list[bytes] = []
    got: list[bytes] = []

    def finish() -> None:
        if exchanges:
            exchanges[-1].request, exchanges[-1].answer = _joined(sent), _joined(got)
            sent.clear()
            got.clear()

    for line in path.read_bytes().split(b"\n"):
        mark, text = line[:1], line[2:]
        if mark == b"=":
            finish()
            exchanges.append(Exchange(text.decode()))
        elif mark == b"@":
            exchanges[-1].directives.append(line[1:].decode().split())
        elif mark == b">":
            sent.append(text)
        elif mark == b"<":
            got.append(text)
    finish()
    return exchanges


def write(path: Path, exchanges: list[Exchange]) -> None:
    """Writes a file that `read` gives back."""
    blocks = []
    for exchange in exchanges:
        lines = [f"= {exchange.title}".encode(), *(f"@{' '.join(words)}".encode() for words in exchange.directives)]
        lines += [b"> " + line if line else b">" for line in _lines(exchange.request)]
        lines += [b"< " + line if line else b"<" for line in _lines(exchange.answer)]
        blocks.append(b"\n".join(lines) + b"\n")
    path.write_bytes(b"\n".join(blocks))


def _joined(lines: list[bytes]) -> bytes:
    head = lines[: lines.index(b"") + 1] if b"" in lines else lines
    return b"".join(line + b"\r\n" for line in head) + b"\n".join(lines[len(head) :])


def _lines(raw: bytes) -> list[bytes]:
    head, blank, body = raw.partition(b"\r\n\r\n")
    return [*head.split(b"\r\n"), *([b""] if blank else []), *(body.split(b"\n") if body else [])]


def normalised(raw: bytes) -> bytes:
    """An answer without what differs from run to run."""
    raw = raw.replace(COMMON, b"{common}\r\n")
    for pattern, stands_for in _VOLATILE:
        raw = re.sub(pattern, stands_for, raw)
    return raw


_PHC = "$argon2id$v=19$m=8,t=1,p=1$MTIzNDU2Nzg$Ta21akwDrm1r3aD/uyLf7g"
"""Of the password "correct horse"; cheap on purpose."""


def _webhook_secret() -> MemoryGateway:
    return MemoryGateway(Settings(channels_config=ChannelsSettings(webhook=WebhookChannel(secret=Secret("s3cret")))))


def _unsigned() -> PlatformGate:
    return PlatformGate(settings_of(with_secret(None)))


def _triggers(settings: Settings | None = None, agent: ScriptedAgent | None = None) -> MemoryGateway:
    gate = MemoryGateway(settings, agent=agent, start=False)
    route = {"path": "/ci/done", "skill": "ci", "message": "Build of {repo} is {state}"}
    gate.scratch.path.mkdir(parents=True, exist_ok=True)
    (gate.scratch.path / "webhook-routes.json").write_bytes(msgspec.json.encode([route]))
    gate.start()
    return gate


def _hooks(agent: ScriptedAgent | None = None, **changes: object) -> MemoryGateway:
    fields = {"repo": "/repository/full_name"}
    pushed = HookSettings(verify="github", secrets=(Secret("hook_secret"),), message="{repo} was {action}", fields=fields)
    asked = HookSettings(
        verify="standard-webhooks", secrets=(Secret("whsec_" + base64.b64encode(b"hk" * 12).decode()),), message="{text}", respond="sync"
    )
    hooks = {"github": msgspec.structs.replace(pushed, **changes), "ask": asked, "closed": HookSettings(verify="github", message="{x}")}
    return MemoryGateway(Settings(hooks=hooks), agent=agent)


def _subscriptions() -> MemoryGateway:
    ops = SubscriptionSettings(url=Secret("https://ops.example/clawgate?key=k"), secret=(Secret("whsec_" + base64.b64encode(b"sk" * 12).decode()),))
    return MemoryGateway(Settings(subscriptions={"ops": ops, "off": msgspec.structs.replace(ops, enabled=False)}))


GATEWAYS: dict[str, Callable[[], MemoryGateway | PlatformGate]] = {
    "plain": MemoryGateway,
    "unlimited": lambda: gateway(pair_rate_limit_per_minute=0, webhook_rate_limit_per_minute=0),
    "one-a-minute": lambda: gateway(pair_rate_limit_per_minute=1, webhook_rate_limit_per_minute=1, api_rate_limit_per_minute=1),
    "without-pairing": lambda: gateway(require_pairing=False),
    "below-a-prefix": lambda: gateway(path_prefix="/agents"),
    "without-metrics": lambda: MemoryGateway(Settings(observability=ObservabilitySettings(backend="none"))),
    "webhook-secret": _webhook_secret,
    "failing-agent": lambda: MemoryGateway(agent=ScriptedAgent([AgentBadRequest("no")])),
    "hanging-agent": lambda: MemoryGateway(agent=ScriptedAgent([Hang()])),
    "platforms": PlatformGate,
    "platforms-without-secrets": _unsigned,
    "knowledge": lambda: MemoryGateway(Settings(knowledge=KnowledgeSettings(enabled=True))),
    "nodes": lambda: MemoryGateway(Settings(nodes=NodesSettings(enabled=True, auth_token=Secret("node-secret")))),
    "control-plane": lambda: MemoryGateway(Settings(control=ControlSettings(enabled=True))),
    "login": lambda: gateway(login=LoginSettings(username="ann", password_hash=Secret(_PHC))),
    "triggers": _triggers,
    "triggers-one-a-minute": lambda: _triggers(Settings(gateway=GatewaySettings(webhook_rate_limit_per_minute=1))),
    "triggers-failing": lambda: _triggers(agent=ScriptedAgent([AgentBadRequest("no")])),
    "hooks": _hooks,
    "hooks-one-a-minute": lambda: _hooks(rate_limit_per_minute=1),
    "hooks-failing": lambda: _hooks(ScriptedAgent([AgentBadRequest("no")])),
    "subscriptions": _subscriptions,
    "cron-disabled": lambda: MemoryGateway(Settings(cron=CronSettings(enabled=False))),
    "tasks-disabled": lambda: MemoryGateway(Settings(tasks=TasksSettings(enabled=False))),
}


class Player:
    """Plays one file.

    Directives:
        gateway NAME        a new gateway of `GATEWAYS`
        peer ADDRESS        who sends from now on; "operator" for the control socket
        pair SCOPE…         a new token, `{token}`; no scope means all
        code                a new code of the operator's
        device              `{device}` is the device that was paired last
        task NAME           `{NAME}` is the task that was added last
        times N             the request is sent N times; the last answer counts
        wait SECONDS        after the request, time passes
        advance SECONDS     before it
        store broken|well   the disk
        mirror broken|well  config.toml
        fail COMPONENT      a component reports an error
        stop                the gateway begins to stop
    """

    def __init__(self) -> None:
        self.peer = "203.0.113.9"
        self.values: dict[str, str] = {"crlf": "\r\n"}
        self._use(MemoryGateway())

    def play(self, exchange: Exchange) -> bytes:
        """The normalised answer."""
        times, wait = 1, 0.0
        for name, *words in exchange.directives:
            if name == "times":
                times = int(words[0])
            elif name == "wait":
                wait = float(words[0])
            else:
                getattr(self, f"do_{name}")(*words)
        raw = b""
        for _ in range(times):
            pending = self.gate.client.send(self._filled(exchange.request), self.peer)
            if wait:
                self.gate.clock.advance(wait)
                self.gate.pump()
            raw = pending.raw
            pending.close()
        return normalised(raw)

    def _use(self, made: MemoryGateway | PlatformGate) -> None:
        self.gate = made.gate if isinstance(made, PlatformGate) else made
        if isinstance(made, PlatformGate):
            for name in made.platforms:
                made.taking(name, 10)

    def _filled(self, request: bytes) -> bytes:
        head, blank, body = request.partition(b"\r\n\r\n")
        moment = str(self.gate.clock.wall_ms() // 1000)
        self.values |= {"code": self.gate.gateway.pairing.pending_code or "", "now": moment}
        body = self._named(body)
        self.values |= {
            "length": str(len(body)),
            "meta": hmac_hex("app_secret", body),
            "linq": hmac_hex("linq_secret", moment.encode() + b"." + body),
            "hook": hmac_hex("hook_secret", body),
            "standard": base64.b64encode(hmac.digest(b"hk" * 12, f"msg_1.{moment}.".encode() + body, "sha256")).decode(),
            "random": "r" * 64,
            "nextcloud": hmac_hex("nextcloud_secret", b"r" * 64 + body),
        }
        return self._named(head) + blank + body

    def _named(self, data: bytes) -> bytes:
        for name, value in self.values.items():
            data = data.replace(f"{{{name}}}".encode(), value.encode())
        return data

    def do_gateway(self, name: str) -> None:
        """Another gateway, seen by a stranger."""
        self.peer = "203.0.113.9"
        self._use(GATEWAYS[name]())

    def do_peer(self, address: str) -> None:
        self.peer = address

    def do_pair(self, *scopes: str) -> None:
        self.values["token"] = self.gate.pair(scopes=list(scopes))

    def do_code(self) -> None:
        self.gate.client.post("/admin/paircode/new", peer="operator")

    def do_device(self) -> None:
        self.values["device"] = self.gate.client.get("/api/devices", peer="operator").json["devices"][0]["id"]

    def do_task(self, name: str) -> None:
        self.values[name] = self.gate.client.get("/tasks?limit=1", peer="operator").json[0]["id"]

    def do_advance(self, seconds: str) -> None:
        self.gate.clock.advance(float(seconds))
        self.gate.pump()

    def do_store(self, state: str) -> None:
        self.gate.store.break_writes("disk full" if state == "broken" else "")

    def do_mirror(self, state: str) -> None:
        self.gate.mirror.problem = OSError("read-only file system") if state == "broken" else None

    def do_fail(self, component: str) -> None:
        self.gate.gateway.health.failed(component, str(ConnectionRefusedError()))

    def do_stop(self) -> None:
        self.gate.stop()
        self.gate.pump()


def files() -> list[Path]:
    """Every transcript."""
    return sorted(FOLDER.glob("*.golden"))


def is_updating() -> bool:
    """Whether answers are written instead of compared."""
    return os.environ.get("GOLDEN_UPDATE") == "1"
