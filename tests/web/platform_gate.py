"""A gateway with all four channels configured, their platforms in memory, and deliveries signed as the platforms sign them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
from twisted.web.iweb import IAgent

from clawgate.domain.onboarding import ALLOWLIST_KEYS
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import ChannelsSettings, LinqChannel, NextcloudTalkChannel, Settings, WatiChannel, WhatsAppChannel
from clawgate.ports.agents import AgentBackend
from clawgate.testing.agents import ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Response
from clawgate.testing.platforms import Platform, build
from tests.web.gate import check_common, with_gateway

APP_SECRET, SIGNING_SECRET = "app_secret", "linq_secret"
WHATSAPP = WhatsAppChannel(
    access_token=Secret("EAAG-token"),
    phone_number_id="10987654321",
    verify_token=Secret("my-verify-token"),
    app_secret=Secret(APP_SECRET),
    allowed_numbers=("*",),
)
LINQ = LinqChannel(api_token=Secret("linq-token"), from_phone="+15550001111", signing_secret=Secret(SIGNING_SECRET), allowed_senders=("*",))
BOT_SECRET, SHARED_TOKEN = "nextcloud_secret", "wati_token"
NEXTCLOUD = NextcloudTalkChannel(
    base_url="https://cloud.example", app_token=Secret("nc-token"), webhook_secret=Secret(BOT_SECRET), allowed_users=("*",)
)
WATI = WatiChannel(api_token=Secret("wati-api-token"), webhook_token=Secret(SHARED_TOKEN), allowed_numbers=("*",))
NAMES = ("whatsapp", "linq", "nextcloud_talk", "wati")
SIGNING = NAMES[:3]
PATHS = {name: f"/{name}" for name in NAMES} | {"nextcloud_talk": "/nextcloud-talk"}
OURS = {"whatsapp": WHATSAPP, "linq": LINQ, "nextcloud_talk": NEXTCLOUD, "wati": WATI}
SECRETS = {"whatsapp": "app_secret", "linq": "signing_secret", "nextcloud_talk": "webhook_secret", "wati": "webhook_token"}


def settings_of(channels: Mapping[str, Any] = OURS, **changes: object) -> Settings:
    """Settings with these channels, and `[gateway]` changed."""
    return with_gateway(Settings(channels_config=ChannelsSettings(**channels)), **changes)


def with_secret(secret: Secret | None) -> dict[str, Any]:
    """All four, each with another signing secret."""
    return {name: msgspec.structs.replace(own, **{SECRETS[name]: secret}) for name, own in OURS.items()}


def allowing(*senders: str) -> dict[str, Any]:
    """All four, each answering these senders."""
    return {name: msgspec.structs.replace(own, **{ALLOWLIST_KEYS[name]: senders}) for name, own in OURS.items()}


def whatsapp_body(*texts: str, ids: tuple[str | None, ...] = (), sender: str = "1234567890") -> bytes:
    """A delivery with one message per text; ids default to wamid.1, wamid.2, …; None leaves one out."""
    given = ids or tuple(f"wamid.{number}" for number in range(1, len(texts) + 1))
    messages = [
        {"from": sender, "type": "text", "text": {"body": text}, **({"id": message_id} if message_id is not None else {})}
        for text, message_id in zip(texts, given, strict=True)
    ]
    return msgspec.json.encode({"object": "whatsapp_business_account", "entry": [{"changes": [{"value": {"messages": messages}}]}]})


def linq_body(*texts: str, ids: tuple[str | None, ...] = (), sender: str = "1234567890") -> bytes:
    """An event; Linq sends one message at a time."""
    (text,) = texts
    (message_id,) = ids or ("m-1",)
    data = {"chat_id": f"chat-{sender}", "from": sender, "is_from_me": False, "message": {"parts": [{"type": "text", "value": text}]}}
    return msgspec.json.encode({"event_type": "message.received", "data": {**data, **({"message_id": message_id} if message_id is not None else {})}})


def nextcloud_body(*texts: str, ids: tuple[str | None, ...] = (), sender: str = "1234567890") -> bytes:
    """A bot's event; Talk sends one message at a time."""
    (text,) = texts
    (message_id,) = ids or ("1",)
    note = {"type": "Note", "name": "message", "content": msgspec.json.encode({"message": text, "parameters": {}}).decode()}
    note |= {"id": message_id} if message_id is not None else {}
    actor = {"type": "Person", "id": f"users/{sender}", "name": "Ada"}
    return msgspec.json.encode({"type": "Create", "actor": actor, "object": note, "target": {"type": "Collection", "id": f"room{sender}"}})


def wati_body(*texts: str, ids: tuple[str | None, ...] = (), sender: str = "1234567890") -> bytes:
    """A message webhook."""
    (text,) = texts
    (message_id,) = ids or ("w-1",)
    event = {"eventType": "message", "type": "text", "owner": False, "waId": sender, "text": text}
    return msgspec.json.encode(event | ({"id": message_id} if message_id is not None else {}))


BODIES = {"whatsapp": whatsapp_body, "linq": linq_body, "nextcloud_talk": nextcloud_body, "wati": wati_body}
RECEIPTS = {
    "whatsapp": b'{"messages":[{"id":"wamid.R"}]}',
    "linq": b'{"message":{"id":"m-R"}}',
    "nextcloud_talk": b'{"ocs":{"data":{"id":7}}}',
    "wati": b'{"result":true,"message":{"whatsappMessageId":"wamid.R"}}',
}


def hmac_hex(secret: str, message: bytes) -> str:
    """Hexadecimal HMAC-SHA256."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


class PlatformGate:
    """The gateway and its platforms.

    Attributes:
        platforms: by channel; each needs a queued answer for every call.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        agent: AgentBackend | None = None,
        *,
        broken: Mapping[str, IAgent] | None = None,
        before: PlatformGate | None = None,
    ) -> None:
        self.settings = settings or (before.settings if before is not None else settings_of())
        self.platforms = {name: Platform() for name in NAMES} if before is None else before.platforms
        own = self.settings.channels_config
        self.randoms = 0 if before is None else before.randoms
        agents = {name: platform.agent for name, platform in self.platforms.items()} | dict(broken or {})
        configured = [name for name in NAMES if getattr(own, name) is not None]
        channels = {name: build(own, agents[name], name) for name in configured}
        if before is None:
            self.gate = MemoryGateway(self.settings, agent=agent or ScriptedAgent(), channels=channels)
        else:
            before.gate.store.kill()
            image = before.gate.store.image()
            self.gate = MemoryGateway(self.settings, agent=agent or before.gate.agent, channels=channels, store_image=image, before=before.gate)
        self.settle()

    def settle(self, seconds: float = 0.0) -> None:
        """Lets time pass and everything happen on both sides."""
        self.gate.clock.advance(seconds)
        for _ in range(5):
            self.gate.pump()
            for platform in self.platforms.values():
                platform.agent.flush()

    def sign(self, name: str, body: bytes, **changes: Any) -> dict[str, str]:
        """The headers of a genuine delivery; `secret`, `at_seconds` differ from the genuine ones."""
        if name == "whatsapp":
            return {"X-Hub-Signature-256": "sha256=" + hmac_hex(changes.get("secret", APP_SECRET), body)}
        if name == "wati":
            return {"Authorization": "Bearer " + changes.get("secret", SHARED_TOKEN)}
        if name == "nextcloud_talk":
            self.randoms += 1
            random = str(changes.get("random", f"{self.randoms:064}"))
            signed = hmac_hex(changes.get("secret", BOT_SECRET), random.encode() + body)
            return {"X-Nextcloud-Talk-Random": random, "X-Nextcloud-Talk-Signature": signed}
        moment = str(changes.get("at_seconds", self.gate.clock.wall_ms() // 1000))
        signed = hmac_hex(changes.get("secret", SIGNING_SECRET), moment.encode() + b"." + body)
        return {"X-Webhook-Timestamp": moment, "X-Webhook-Signature": signed}

    def post(self, name: str, body: bytes, headers: Mapping[str, str] | None = None, peer: str = "203.0.113.9") -> Response:
        """A delivery as it is; signed when `headers` is None."""
        answer = self.gate.client.post(PATHS[name], body, headers=dict(self.sign(name, body) if headers is None else headers), peer=peer)
        check_common(answer)
        self.settle()
        return answer

    def replies(self, name: str) -> list[str]:
        """What the platform was asked to send, in order."""
        if name == "whatsapp":
            return [call.body["text"]["body"] for call in self.platforms[name].calls]
        calls = self.platforms[name].calls
        if name == "nextcloud_talk":
            return [call.body["message"] for call in calls]
        if name == "wati":
            return [unquote(call.uri.partition("messageText=")[2]) for call in calls]
        return [call.body["message"]["parts"][0]["value"] for call in calls]

    def taking(self, name: str, count: int = 1) -> None:
        """The platform takes the next `count` replies."""
        for _ in range(count):
            self.platforms[name].answer(200, RECEIPTS[name])

    def items(self) -> list[dict[str, Any]]:
        """The inbox as the operator sees it, oldest first."""
        return list(reversed(self.gate.client.get("/api/inbox", peer="operator").json["items"]))
