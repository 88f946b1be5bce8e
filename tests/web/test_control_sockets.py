"""The control plane over its own sockets, in memory (openclaw-enterprise.md §4, §5; design §4.18)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from clawgate.domain.caller import parse_networks
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.domain.settings.model import ControlSettings
from clawgate.testing.agents import ScriptedAgent
from clawgate.testing.gateway import MemoryGateway
from clawgate.web.control_plane import COMPONENT, HANDSHAKE_SECONDS, MOST_CONNECTIONS, MOST_REFUSED_PER_MINUTE, ControlPlaneListener
from clawgate.web.sockets import MOST_MESSAGE_BYTES

GEMINI, MOONSHOT = ("gemini", Secret("g-key")), ("moonshot", Secret("m-key"))
OTHER_TOKEN = "Unauthorised: Token JTI does not match active session — please use the current startup token"


class Transport(StringTransport):
    def abortConnection(self) -> None:
        self.disconnecting = True


class Client:
    """One connection; `replies` are the messages received, decoded."""

    def __init__(self, scene: Scene, peer: str = "127.0.0.1", path: str = "/any/path", subprotocol: str = "") -> None:
        self.scene = scene
        address = (IPv6Address if ":" in peer else IPv4Address)("TCP", peer, 4000)
        self.protocol: Any = scene.listener.buildProtocol(address)
        self.is_turned_away = self.protocol is None
        self.replies: list[Any] = []
        self.status, self._seen = 0, 0
        if self.is_turned_away:
            return
        self.transport = Transport(peerAddress=address)  # type: ignore[no-untyped-call]  # untyped upstream
        self.protocol.makeConnection(self.transport)
        self.wire = ClientProtocol(parse_uri(f"ws://host{path}"), subprotocols=[Subprotocol(subprotocol)] if subprotocol else None, max_size=None)
        self.wire.send_request(self.wire.connect())
        self.out()

    @property
    def close_code(self) -> int | None:
        return None if self.wire.close_rcvd is None else int(self.wire.close_rcvd.code)

    @property
    def close_reason(self) -> str:
        return "" if self.wire.close_rcvd is None else self.wire.close_rcvd.reason

    def out(self) -> None:
        self.protocol.dataReceived(b"".join(self.wire.data_to_send()))
        self.read()

    def read(self) -> None:
        self.scene.gate.pump()
        raw = bytes(self.transport.value())  # type: ignore[no-untyped-call]  # untyped upstream
        self.wire.receive_data(raw[self._seen :])
        self._seen = len(raw)
        for event in self.wire.events_received():
            if isinstance(event, Response):
                self.status = event.status_code
            elif isinstance(event, Frame) and event.opcode.name == "TEXT":
                self.replies.append(msgspec.json.decode(event.data))

    def raw(self, text: str | bytes) -> Any:
        """The reply to a message as it is; None = none came."""
        before = len(self.replies)
        self.wire.send_binary(text) if isinstance(text, bytes) else self.wire.send_text(text.encode())
        self.out()
        assert len(self.replies) <= before + 1
        return self.replies[-1] if len(self.replies) > before else None

    def ask(self, command: str, data: object = None, token: str | None = None) -> Any:
        body = {"token": self.scene.token if token is None else token, "cmd": command} | ({} if data is None else {"data": data})
        return self.raw(msgspec.json.encode(body).decode())

    def leave(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))


class Scene:
    """A gateway with a control plane."""

    def __init__(self, **changed: Any) -> None:
        backends: dict[str, ScriptedAgent] = {}

        def build(settings: Settings) -> ScriptedAgent:
            agent = backends.setdefault(settings.default_provider, ScriptedAgent(name=settings.default_provider))
            self.built.append(settings)
            return agent

        self.built: list[Settings] = []
        self.shown: list[str] = []
        settings = Settings(
            **{"control": ControlSettings(enabled=True), "provider_keys": (GEMINI, MOONSHOT), "default_provider": "offline", **changed}
        )
        self.gate = MemoryGateway(settings, edges={"build_backend": build})
        plane = self.gate.gateway.control
        assert plane is not None
        self.plane = plane
        plane.tokens.announce = lambda token: self.shown.append(token.text.reveal())
        trusted = parse_networks(settings.control.trusted_ips)
        self.listener = ControlPlaneListener(plane, self.gate.clock, self.gate.gateway.health, None, "127.0.0.1", 0, trusted)
        self.token = plane.tokens.current().text.reveal()

    @property
    def live(self) -> Settings:
        return self.gate.gateway.live.settings


@pytest.fixture
def scene() -> Scene:
    return Scene()


# --- the connection


def test_any_path_is_shaken_and_nothing_is_said_before_the_first_message(scene: Scene) -> None:
    client = Client(scene, path="/x?y=z")

    assert (client.status, client.replies) == (101, [])
    assert client.ask("ping") == {"ok": True, "cmd": "ping", "result": {"pong": True, "ts": scene.gate.clock.wall_ms()}}


def test_the_first_offered_subprotocol_is_echoed(scene: Scene) -> None:
    assert Client(scene, subprotocol="whatever").wire.subprotocol == "whatever"


def test_binary_frames_are_read_as_text(scene: Scene) -> None:
    assert Client(scene).raw(msgspec.json.encode({"token": scene.token, "cmd": "ping"}))["ok"] is True


@pytest.mark.parametrize(
    ("peer", "code"), [("127.0.0.1", None), ("::1", None), ("::ffff:127.0.0.1", None), ("10.0.0.1", 1008), ("::ffff:10.0.0.1", 1008)]
)
def test_addresses_are_judged_after_the_handshake(scene: Scene, peer: str, code: int | None) -> None:
    client = Client(scene, peer)

    assert (client.status, client.close_code) == (101, code)
    assert client.close_reason == ("IP not permitted" if code else "")
    assert client.replies == []


def test_an_empty_list_lets_nobody_speak() -> None:
    client = Client(Scene(control=ControlSettings(enabled=True, trusted_ips=())))

    assert client.close_code == 1008


def test_a_message_too_large_is_1009(scene: Scene) -> None:
    client = Client(scene)

    assert client.raw("x" * (MOST_MESSAGE_BYTES + 1)) is None
    assert client.close_code == 1009


def test_strangers_take_no_places_of_trusted_clients(scene: Scene) -> None:
    strangers = [Client(scene, "10.0.0.1") for _ in range(3)]
    friends = [Client(scene) for _ in range(MOST_CONNECTIONS)]

    assert [each.is_turned_away for each in (*strangers, *friends)] == [False] * (3 + MOST_CONNECTIONS)
    assert Client(scene).is_turned_away
    friends[0].leave()
    assert not Client(scene).is_turned_away


def test_mute_connections_give_way_the_oldest_first(scene: Scene) -> None:
    mute = []
    for port in range(MOST_CONNECTIONS):
        protocol: Any = scene.listener.buildProtocol(IPv4Address("TCP", "127.0.0.1", port))
        mute.append(Transport())
        protocol.makeConnection(mute[-1])
    friends = [Client(scene) for _ in range(2)]

    assert [each.is_turned_away for each in friends] == [False, False]
    assert [transport.disconnecting for transport in mute[:3]] == [True, True, False]


def test_a_connection_without_a_handshake_is_ended(scene: Scene) -> None:
    protocol: Any = scene.listener.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
    transport = Transport()
    protocol.makeConnection(transport)
    protocol.dataReceived(b"GET / HTTP/1.1\r\n")
    scene.gate.clock.advance(HANDSHAKE_SECONDS)

    assert transport.disconnecting


NO_HANDSHAKES = (
    b"\x00\xff" * 5000,
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 500,
    b"\x16\x03\x01" * 9,
)


@pytest.mark.parametrize("sent", NO_HANDSHAKES, ids=range(len(NO_HANDSHAKES)))
def test_what_is_no_handshake_is_refused(scene: Scene, sent: bytes) -> None:
    protocol: Any = scene.listener.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
    transport = Transport()
    protocol.makeConnection(transport)
    protocol.dataReceived(sent)
    scene.gate.clock.advance(HANDSHAKE_SECONDS)

    assert transport.disconnecting
    assert not bytes(transport.value()).startswith(b"HTTP/1.1 101")  # type: ignore[no-untyped-call]  # untyped upstream


def test_refused_messages_close_nothing_until_they_are_a_flood(scene: Scene) -> None:
    client = Client(scene)
    replies = [client.raw("garbage") for _ in range(MOST_REFUSED_PER_MINUTE)]

    assert replies == [{"ok": False, "cmd": "(parse error)", "error": "Invalid JSON"}] * MOST_REFUSED_PER_MINUTE
    assert client.raw("garbage") is None
    assert client.close_code == 1008
    assert Client(scene).ask("ping")["ok"] is True


def test_null_is_answered(scene: Scene) -> None:
    error = "Unauthorised: Token validation failed: jwt must be provided"

    assert Client(scene).raw("null") == {"ok": False, "cmd": "(auth)", "error": error}


def test_the_stop_says_goodbye(scene: Scene) -> None:
    client = Client(scene)
    stopping = Deferred.fromCoroutine(scene.listener.stop())
    client.read()

    assert (stopping.called, client.close_code) == (True, 1001)


def test_a_taken_port_is_told_and_ends_nothing(scene: Scene) -> None:
    class Taken:
        def listenTCP(self, port: int, *_: object) -> None:
            raise CannotListenError("127.0.0.1", port, OSError(98, "Address already in use"))

    scene.listener.reactor = Taken()
    with pytest.raises(StopIteration):
        scene.listener.start().send(None)  # type: ignore[attr-defined]  # a coroutine
    assert "cannot listen on 127.0.0.1:0" in (scene.gate.gateway.health.snapshot().components[COMPONENT].last_error or "")


# --- the token


def test_rotation_kills_the_old_token_on_every_socket_and_closes_none(scene: Scene) -> None:
    first, second, old = Client(scene), Client(scene), scene.token
    new = first.ask("rotate_token")["result"]["token"]

    assert [first.ask("ping")["error"], second.ask("ping")["error"]] == [OTHER_TOKEN] * 2
    assert [first.ask("ping", token=new)["ok"], second.ask("ping", token=new)["ok"]] == [True, True]
    assert scene.shown == [old, new]


def test_an_expired_token_is_renewed_by_the_operator_only(scene: Scene) -> None:
    client = Client(scene)
    assert client.ask("ping")["ok"] is True
    scene.gate.clock.advance(24 * 3600)

    assert Client(scene).ask("ping")["error"] == "Unauthorised: Token validation failed: jwt expired"
    token = scene.gate.client.get("/admin/control/token", peer="operator").json["token"]
    assert Client(scene).ask("ping", token=token)["ok"] is True


def _none(scene: Scene) -> str:
    return ""


def _wrong(scene: Scene) -> str:
    return Scene(control=ControlSettings(enabled=True, jwt_secret=Secret("another key " * 4))).token


def _expired(scene: Scene) -> str:
    scene.gate.clock.step_wall(24 * 3600 * 1000)
    return scene.token


def _rotated(scene: Scene) -> str:
    scene.plane.tokens.rotate()
    return scene.token


@pytest.mark.parametrize("is_open", [True, False], ids=["open connection", "new connection"])
@pytest.mark.parametrize("presented", [_none, _wrong, _expired, _rotated])
def test_no_command_is_carried_out_without_the_token_of_the_moment(scene: Scene, presented: Callable[[Scene], str], is_open: bool) -> None:
    client = Client(scene)
    assert client.ask("ping")["ok"] is True
    before = scene.live.default_provider
    token = presented(scene)
    if not is_open:
        client = Client(scene)
    for command, data in (("switch_provider", {"provider": "gemini"}), ("rotate_token", None), ("status", None)):
        answer = client.ask(command, data, token)
        assert (answer["ok"], answer["error"].partition(":")[0]) == (False, "Unauthorised")
    assert scene.live.default_provider == before


def test_a_token_dies_with_its_process_even_when_the_secret_is_set() -> None:
    own = ControlSettings(enabled=True, jwt_secret=Secret("s" * 40))
    first = Scene(control=own)
    second = Scene(control=own)
    second.plane.tokens.rotate()

    assert Client(second).ask("ping", token=first.token)["error"] == OTHER_TOKEN


def test_without_a_secret_or_with_the_examples_there_is_one_key_of_the_process() -> None:
    for secret in (None, Secret(""), Secret("your-jwt-secret-key-here")):
        assert Client(Scene(control=ControlSettings(enabled=True, jwt_secret=secret))).ask("ping")["ok"] is True


def test_only_the_control_socket_shows_the_token(scene: Scene) -> None:
    admin = scene.gate.pair(scopes=["admin"])

    assert scene.gate.client.get("/admin/control/token", peer="operator").json["token"] == scene.token
    assert scene.gate.client.get("/admin/control/token", peer="127.0.0.1").status == 403
    assert scene.gate.client.get("/admin/control/token", token=admin).status == 403


def test_a_gateway_without_a_control_plane_has_no_token() -> None:
    gate = MemoryGateway()

    assert gate.gateway.control is None
    answer = gate.client.get("/admin/control/token", peer="operator")
    assert (answer.status, answer.json) == (404, {"error": "Control plane ([control] enabled) not configured"})


# --- the commands


def test_status_tells_the_provider_of_the_moment(scene: Scene) -> None:
    client = Client(scene)
    scene.gate.clock.advance(2.5)
    status = client.ask("status")["result"]

    assert list(status) == ["provider", "model", "providerKey", "uptimeMs", "nodeEnv"]
    assert (status["provider"], status["providerKey"], status["nodeEnv"], status["uptimeMs"]) == ("offline", "offline", "development", 2500)


def test_switching_is_in_force_for_the_next_turn_and_not_written(scene: Scene) -> None:
    client = Client(scene)
    reply = client.ask("switch_provider", {"provider": "kimi", "model": "moonshot-v1-8k"})

    assert reply == {"ok": True, "cmd": "switch_provider", "result": {"previous": "offline", "active": "kimi", "model": "moonshot-v1-8k"}}
    assert scene.gate.client.post("/webhook", {"message": "hi"}, token=scene.gate.pair()).json["model"] == "moonshot-v1-8k"
    assert (client.ask("status")["result"]["provider"], client.ask("status")["result"]["model"]) == ("Kimi (Moonshot AI)", "moonshot-v1-8k")
    assert scene.gate.config.writes == 0


def test_a_model_given_later_takes_effect(scene: Scene) -> None:
    client = Client(scene)
    for model in ("one", "two"):
        assert client.ask("switch_provider", {"provider": "gemini", "model": model})["result"]["model"] == model
    assert client.ask("switch_provider", {"provider": "gemini"})["result"] == {"previous": "gemini", "active": "gemini", "model": "two"}


def test_switching_without_a_key_changes_nothing() -> None:
    scene = Scene(provider_keys=(GEMINI,))
    client = Client(scene)
    reply = client.ask("switch_provider", {"provider": "kimi"})

    assert reply == {"ok": False, "cmd": "switch_provider", "error": "Command failed: KimiProvider: MOONSHOT_API_KEY is not set"}
    assert client.ask("status")["result"]["providerKey"] == "offline"


def test_status_of_a_provider_without_its_key_fails() -> None:
    scene = Scene(default_provider="gemini", provider_keys=())

    assert Client(scene).ask("status")["error"] == "Command failed: GeminiProvider: GEMINI_API_KEY is not set"


def test_the_key_and_address_of_the_configured_provider_go_to_nobody_else() -> None:
    scene = Scene(default_provider="openai", api_key=Secret("sk-openai"), api_url="https://openai.example/v1")
    Client(scene).ask("switch_provider", {"provider": "gemini"})

    assert [(each.default_provider, each.api_key, each.api_url) for each in scene.built][-1] == ("gemini", None, "")


def test_a_switch_outlives_a_reload_and_ends_with_another_configured_provider(scene: Scene) -> None:
    Client(scene).ask("switch_provider", {"provider": "kimi"})
    token = scene.gate.pair(scopes=["admin"])

    def patch(**body: object) -> None:
        assert scene.gate.client.request("PUT", "/api/v1/config/autonomy", {"level": "full"}, token=token).status == 200

    patch()
    assert scene.live.default_provider == "moonshot"
    answer = scene.gate.client.request("PATCH", "/config/model", {"provider": "gemini"}, token=token)
    assert answer.status == 200
    assert scene.live.default_provider == "gemini"


@pytest.mark.parametrize("keys", [(), (GEMINI, MOONSHOT)])
def test_health_check_says_its_sentence_at_once(keys: tuple[Any, ...]) -> None:
    client = Client(Scene(provider_keys=keys))

    assert client.ask("health_check")["result"] == {"message": "Health check complete — see server logs for details."}
    assert client.ask("ping")["ok"] is True


def test_health_check_asks_each_provider_that_has_a_key(scene: Scene) -> None:
    Client(scene).ask("health_check")

    assert [each.default_provider for each in scene.built] == ["gemini", "moonshot"]


def test_a_message_that_comes_with_the_handshake_is_answered(scene: Scene) -> None:
    protocol: Any = scene.listener.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
    transport = Transport()
    protocol.makeConnection(transport)
    wire = ClientProtocol(parse_uri("ws://host/"))
    wire.send_request(wire.connect())
    masked = b"\x81\x84\0\0\0\0null"
    protocol.dataReceived(b"".join(wire.data_to_send()) + masked)

    answered = bytes(transport.value())  # type: ignore[no-untyped-call]  # untyped upstream
    assert answered.startswith(b"HTTP/1.1 101")
    assert answered.endswith(b'jwt must be provided"}')


@pytest.mark.parametrize("early", [b"\x88\x80\0\0\0\0", b"\xff\xff\xff", b"\x80\x80\0\0\0\0"])
def test_what_comes_too_early_breaks_nothing(scene: Scene, early: bytes) -> None:
    protocol: Any = scene.listener.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
    transport = Transport()
    protocol.makeConnection(transport)
    wire = ClientProtocol(parse_uri("ws://host/"))
    wire.send_request(wire.connect())
    protocol.dataReceived(b"".join(wire.data_to_send()) + early)
    scene.gate.clock.advance(HANDSHAKE_SECONDS)

    assert transport.disconnecting
    assert Client(scene).ask("ping")["ok"] is True


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4, 5, 200])
def test_a_ping_that_comes_with_the_handshake_is_answered_after_it(scene: Scene, cut: int) -> None:
    shaken = b"GET / HTTP/1.1\r\nHost: g\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    shaken += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    sent = shaken + b"\x89\x81\x00\x00\x00\x00p"
    protocol: Any = scene.listener.buildProtocol(IPv4Address("TCP", "127.0.0.1", 4000))
    transport = Transport()  # type: ignore[no-untyped-call]  # untyped upstream
    protocol.makeConnection(transport)
    for piece in (sent[: len(shaken) - cut], sent[len(shaken) - cut :]):
        protocol.dataReceived(piece)
    head, _, rest = bytes(transport.value()).partition(b"\r\n\r\n")  # type: ignore[no-untyped-call]  # untyped upstream
    assert head.startswith(b"HTTP/1.1 101 ")
    assert rest == b"\x8a\x01p"
