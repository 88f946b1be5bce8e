"""A whole gateway in memory, and a client for it. Ring: testing; public, for other people's test suites too.

Real site, router, services and SQLite rows; the clock, chance, the agent and the channels are the test's. A request costs well under a millisecond, so there is
no reason to mock any of it.

    gate = MemoryGateway(agent=ScriptedAgent(["hello"]))
    token = gate.pair()
    assert gate.client.post("/webhook", {"message": "hi"}, token=token).json["response"] == "hello"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from clawgate.domain.caller import is_loopback
from clawgate.domain.messages import MemoryEntry
from clawgate.domain.settings import Settings
from clawgate.domain.settings.findings import Facts
from clawgate.edges import Edges
from clawgate.gateway import Gateway
from clawgate.ports.agents import AgentBackend
from clawgate.ports.channels import Channel
from clawgate.services.memory import Memory
from clawgate.system.attachments import AttachmentDirectory
from clawgate.system.memoryconfig import MemoryConfigStore
from clawgate.system.personafile import PersonaFiles
from clawgate.system.prometheus import NoMeter, PrometheusMeter
from clawgate.system.routesfile import NAME, JsonRoutes
from clawgate.system.skillfiles import SkillDirectory
from clawgate.testing.agents import ScriptedAgent
from clawgate.testing.clock import CountingIds, FixedEntropy, ManualClock
from clawgate.testing.mcp import ScriptedMcp
from clawgate.testing.skills import RecordingSwitch, Scratch, Shelf
from clawgate.testing.store import InlineStore
from clawgate.web.front import FrontSite
from clawgate.web.limits import Limits


class RecordingMirror:
    """A `TokenMirror` that keeps the last list; `problem` makes it fail."""

    def __init__(self) -> None:
        self.hashes: frozenset[str] = frozenset()
        self.problem: OSError | None = None

    def acknowledge(self, entries: tuple[str, ...]) -> None:
        """Nobody else writes here."""

    def write(self, hashes: frozenset[str]) -> Deferred[None]:
        """Takes the list, or fails."""
        if self.problem is not None:
            done: Deferred[None] = Deferred()
            done.errback(self.problem)
            return done
        self.hashes = hashes
        return succeed(None)


class RecordingAllowlist:
    """A `ChannelAllowlist` that keeps who was let in: channel, identity, whether as an owner; `problem` makes it fail."""

    def __init__(self) -> None:
        self.admitted: list[tuple[str, str, bool]] = []
        self.problem: Exception | None = None

    def admit(self, channel: str, identity: str, owner: bool) -> Deferred[None]:
        """Takes somebody up, or fails."""
        if self.problem is not None:
            return fail(self.problem)
        self.admitted.append((channel, identity, owner))
        return succeed(None)


class Response(msgspec.Struct, frozen=True):
    """One answer as it stood on the wire; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # whatever the body holds
        """The decoded body."""
        return msgspec.json.decode(self.body)


class MemoryGateway:
    """One gateway on a clock that stands still.

    Attributes:
        codes: pairing codes that were announced, oldest first.
        scratch: directory of persona.toml and of `skills`.
        shelf: the marketplace of skills.
        switch: where skills are switched on and off.
        mcp: what MCP servers do.
        config: config.toml and its overlay.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        agent: AgentBackend | None = None,
        channels: Mapping[str, Channel] | None = None,
        store: InlineStore | None = None,
        store_image: bytes = b"",
        start: bool = True,
        before: MemoryGateway | None = None,
        edges: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Args:
            edges: further parts of `Edges` by name, in place of its defaults.
        """
        self.settings = settings or Settings()
        self.clock: ManualClock = ManualClock() if before is None else ManualClock(before.clock.wall_ms())
        self.store = store or InlineStore(
            self.clock,
            idempotency_max_keys=self.settings.gateway.idempotency_max_keys,
            high_water=self.settings.inbox.high_water,
            image=store_image,
        )
        self.agent = agent or ScriptedAgent()
        self.mirror: RecordingMirror = RecordingMirror() if before is None else before.mirror
        self.scratch: Scratch = Scratch() if before is None else before.scratch
        self.shelf, self.switch = Shelf(), RecordingSwitch()
        self.mcp: ScriptedMcp = ScriptedMcp() if before is None else before.mcp
        self.allowlist: RecordingAllowlist = RecordingAllowlist() if before is None else before.allowlist
        self.config: MemoryConfigStore = MemoryConfigStore(self.settings) if before is None else before.config
        self.codes: list[str] = []
        ids = CountingIds() if before is None else before.edges.ids
        observed = self.settings.observability
        self.edges: Edges = Edges(
            clock=self.clock,
            entropy=FixedEntropy() if before is None else before.edges.entropy,
            ids=ids,
            meter=NoMeter() if observed.backend == "none" else PrometheusMeter(observed.metrics_namespace),
            store=self.store,
            backend=self.agent,
            channels=channels or {},
            mirror=self.mirror,
            allowlist=self.allowlist,
            memory=Memory(self.store.memory, self.clock, ids),
            skill_files=SkillDirectory(str(self.scratch.path / "skills"), execute, {}, "linux"),
            build_marketplace=lambda _: self.shelf,
            skill_switch=self.switch,
            persona=PersonaFiles(str(self.scratch.path), execute),
            mcp=self.mcp,
            config=self.config,
            routes=JsonRoutes(str(self.scratch.path / NAME), self.clock, execute),
            **(_replaceable(self.scratch) | dict(edges or {})),
        )
        self.gateway = Gateway.build(self.settings, None, self.edges, announce=self.codes.append, pid=4711)
        own = self.settings.gateway
        limits = Limits(max_body_bytes=own.max_body_bytes)
        self.site = FrontSite(self.gateway.web, limits, reactor=self.clock.reactor)
        self.client = GateClient(self)
        if start:
            self.start()

    def start(self) -> None:
        """Starts the gateway's service; it runs when this returns."""
        self.gateway.lifecycle_service().startService()
        self.pump()

    def stop(self) -> Deferred[None]:
        """Stops it; the Deferred fires as the clock is advanced."""
        return self.gateway.lifecycle_service().stopService()

    def restart(self, *, kill: bool = False) -> MemoryGateway:
        """The next process on the same rows and configuration, with the same agent, channels and mirror, on a clock of its own.

        Args:
            kill: this one ends here, as by `kill -9`; otherwise stop it first.
        """
        if kill:
            self.store.kill()
        channels = dict(self.edges.channels)
        settings = self.config.now() if self.config.writes else self.settings
        return MemoryGateway(settings, agent=self.agent, channels=channels, store_image=self.store.image(), before=self)

    def pump(self) -> None:
        """Lets everything happen that needs no time."""
        self.clock.advance(0)

    def pair(self, **body: object) -> str:
        """A token for a new device, by an operator's code; `body` as `POST /admin/paircode/new` takes it."""
        code = self.client.post("/admin/paircode/new", body, peer="operator").json["pairing_code"]
        return str(self.client.post("/api/pair", {"code": code}).json["token"])

    def remembered(self, key: str) -> MemoryEntry | None:
        """What is stored in memory under a key."""
        found: list[MemoryEntry | None] = []
        self.store.memory.get(key).addCallback(found.append)
        return found[0]


def _replaceable(scratch: Scratch) -> dict[str, Any]:  # parts of `Edges` by name, each of its own type
    """Parts that a test may replace."""
    return {
        "facts": lambda settings: succeed(Facts()),
        "attachments": AttachmentDirectory(str(scratch.path / "attachments"), execute),
    }


class Pending:
    """A request that is under way."""

    def __init__(self, gate: MemoryGateway, protocol: Any, transport: _Transport) -> None:  # protocol: a channel, or what turns a client away
        self._gate, self._protocol, self._transport = gate, protocol, transport
        self._is_closed = False

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended, on either side."""
        return self._is_closed or bool(self._transport.disconnecting)

    def feed(self, data: bytes) -> None:
        """Sends more bytes on the connection."""
        if not self._is_closed:
            self._protocol.dataReceived(data)

    def pause(self) -> None:
        """The client takes nothing more: whoever writes is told so."""
        producer: Any = self._transport.producer  # a push producer, once there is something to write
        producer.pauseProducing()

    def resume(self) -> None:
        """The client takes more again."""
        producer: Any = self._transport.producer  # as above
        producer.resumeProducing()

    @property
    def raw(self) -> bytes:
        """Everything written so far."""
        return bytes(self._transport.value())  # type: ignore[no-untyped-call]  # untyped upstream

    @property
    def events(self) -> list[dict[str, Any]]:  # Any: JSON
        """The data of the Server-Sent Events so far."""
        lines = self.raw.partition(b"\r\n\r\n")[2].split(b"\n")
        return [msgspec.json.decode(line[6:]) for line in lines if line.startswith(b"data: ")]

    @property
    def is_answered(self) -> bool:
        """Whether anything came back."""
        return bool(self.raw)

    def leave(self) -> None:
        """The client closes its connection."""
        self.close()
        self._gate.pump()

    def close(self) -> None:
        """Ends the connection; what follows from that happens at the next pump."""
        self._is_closed = True
        self._protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def response(self) -> Response:
        """The answer. Fails when there is none yet."""
        assert self.is_answered, "no answer yet"
        return parse_response(self.raw)


class GateClient:
    """Sends requests to a `MemoryGateway` through its real site."""

    def __init__(self, gate: MemoryGateway) -> None:
        self._gate = gate

    def begin(
        self,
        method: str,
        path: str,
        body: bytes | Mapping[str, object] = b"",
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        peer: str = "203.0.113.9",
    ) -> Pending:
        """Sends a request on a connection of its own and lets happen what needs no time.

        Args:
            body: raw, or an object sent as JSON.
            peer: the client's address; "operator" comes through the control socket.
        """
        lines = {"Host": "localhost" if is_loopback(peer) else "gate.internal", **({"Authorization": f"Bearer {token}"} if token is not None else {})}
        if not isinstance(body, bytes):
            body, lines = msgspec.json.encode(dict(body)), {**lines, "Content-Type": "application/json"}
        if body or method in ("POST", "PUT", "PATCH"):
            lines["Content-Length"] = str(len(body))
        lines |= headers or {}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body, peer)

    def send(self, data: bytes, peer: str = "203.0.113.9") -> Pending:
        """Sends raw bytes on a connection of its own."""
        address = _address(peer)
        protocol: Any = self._gate.site.buildProtocol(address)
        transport = _Transport(peerAddress=address)  # type: ignore[no-untyped-call]  # untyped upstream
        protocol.makeConnection(transport)
        protocol.dataReceived(data)
        self._gate.pump()
        return Pending(self._gate, protocol, transport)

    def request(self, method: str, path: str, body: bytes | Mapping[str, object] = b"", **options: Any) -> Response:  # as `begin`
        """The answer to a request that needs no time."""
        pending = self.begin(method, path, body, **options)
        response = pending.response
        pending.close()
        return response

    def get(self, path: str, **options: Any) -> Response:  # as `begin`
        """`request("GET", …)`."""
        return self.request("GET", path, **options)

    def post(self, path: str, body: bytes | Mapping[str, object] = b"", **options: Any) -> Response:  # as `begin`
        """`request("POST", …)`."""
        return self.request("POST", path, body, **options)


class _Transport(StringTransport):
    """A transport that can be half-closed and aborted."""

    def loseWriteConnection(self) -> None:
        self.disconnecting = True

    def resumeProducing(self) -> None:
        """Reading goes on after half of it was closed."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to delay."""


def _address(peer: str) -> IAddress:
    if peer == "operator":
        return UNIXAddress(None)
    return IPv6Address("TCP", peer, 40000) if ":" in peer else IPv4Address("TCP", peer, 40000)


def parse_response(raw: bytes) -> Response:
    """The first answer in raw bytes; its body as long as Content-Length says."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Response(int(first.split(" ")[1]), headers, rest[: int(headers.get("content-length", len(rest)))])
