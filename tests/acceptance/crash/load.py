"""Everybody who sends messages, at once, until the daemon is gone; and what each of them was promised.

scripts     202; alone, with a key (sometimes sent again under it), or in a conversation
callers     wait for the answer; with a key they ask again until they have it
platforms   Linq and WhatsApp: signed, delivered again until they are told 200, now and then once more; one chat after the other in order
hooks       signed with an id, delivered again until they are told 202, now and then once more
consoles    ask for what somebody has to allow; somebody does
devices     are paired, and revoked
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import random
import threading
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.acceptance.crash.house import HOOK_SECRET, LINQ_SECRET, META_SECRET, House
from tests.acceptance.daemon import Answer, ask_on

CHATS = 8
MODEL_MOODS = ("plain",) * 30 + ("slow", "hang", "fail500", "fail429", "cut", "note", "note", "refuse")
CHANNEL_MOODS = (*MODEL_MOODS, "late", "noack")
_FINAL = (409, 500)
"""It ended without an answer, or a person has to decide: asking again changes nothing."""
_GONE = (OSError, http.client.HTTPException, ValueError)


class Message(NamedTuple):
    """What is sent.

    Attributes:
        line: messages with the same one are in order; "" = alone.
    """

    text: str
    line: str
    path: str
    body: bytes
    headers: dict[str, str]
    accepted: tuple[int, ...]
    key: str = ""


class Ack(NamedTuple):
    """What was promised: the id that was told, "" where none was; the answer, "" while there was none."""

    message: Message
    id: str
    response: str


class Client(threading.Thread):
    """Somebody with a connection, for one life of the daemon."""

    def __init__(self, load: Load, kind: str, number: int) -> None:
        super().__init__(daemon=True, name=f"{kind}-{number}")
        self.load, self.kind = load, kind
        self.random = random.Random(f"{load.seed}-{self.name}-{load.lives}")

    def run(self) -> None:
        parts = urlsplit(self.load.house.daemon.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=40)
        try:
            while not self.load.is_over:
                self.work(connection)
        except _GONE:
            return
        finally:
            connection.close()

    def work(self, connection: http.client.HTTPConnection) -> None:
        raise NotImplementedError

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.load.house.daemon.token}", "Content-Type": "application/json"}


class Approver(Client):
    """Says yes to everything."""

    def work(self, connection: http.client.HTTPConnection) -> None:
        time.sleep(0.05)
        answer = ask_on(connection, "GET", "/api/v1/approvals", headers=self.bearer)
        for question in answer.json["approvals"] if answer.status == 200 else ():
            ask_on(connection, "POST", f"/api/v1/approvals/{question['id']}", {"approve": True}, self.bearer)


class Devices(Client):
    """Pairs a device, and revokes it or not."""

    def work(self, connection: http.client.HTTPConnection) -> None:
        time.sleep(0.1)
        code = ask_on(connection, "POST", "/api/pairing/initiate", {}, self.bearer)
        if code.status != 200:
            return
        paired = ask_on(connection, "POST", "/api/pair", {"code": code.json["pairing_code"], "device_name": "d"})
        if paired.status != 200:
            return
        token, known = paired.json["token"], self.load.devices
        known[token] = True
        if self.random.random() < 0.5:
            listed = ask_on(connection, "GET", "/api/devices", headers={"Authorization": f"Bearer {token}"})
            if listed.status == 200:
                known.pop(token)  # until it is heard, it may be either
                revoked = ask_on(connection, "DELETE", f"/api/devices/{listed.json['devices'][0]['id']}", headers=self.bearer)
                if revoked.status == 200:
                    known[token] = False


class Sender(Client):
    """Somebody with messages; what it had not heard about is sent by the next."""

    def work(self, connection: http.client.HTTPConnection) -> None:
        """Sends a message until it is accepted, if it is one that is sent again."""
        message = self.load.pending.get(self.name) or self._next()
        is_sent_again = message.key != ""
        if is_sent_again:
            self.load.pending[self.name] = message
        self.load.sent(message)
        while True:
            answer = self._once(connection, message)
            if answer.status in message.accepted:
                self.load.acknowledge(message, answer)
                if is_sent_again and self.load.is_sent_again and self.random.random() < 0.1:
                    self._once(connection, message)
            else:
                self.load.refused(answer.status)
                if is_sent_again and answer.status not in _FINAL:
                    if self.load.is_over:
                        return
                    time.sleep(0.05)
                    continue
            self.load.pending.pop(self.name, None)
            return

    def _next(self) -> Message:
        number = self.load.next_number(self.name)
        mood = self.random.choice(CHANNEL_MOODS if self.kind in ("linq", "whatsapp") else MODEL_MOODS)
        make: Callable[[int, str], Message] = getattr(self, f"_{self.kind}")
        return make(number, mood)

    def _once(self, connection: http.client.HTTPConnection, message: Message) -> Answer:
        return ask_on(connection, "POST", message.path, message.body, message.headers | self.load.signature(message))

    # --- what each kind sends

    def _script(self, number: int, mood: str) -> Message:
        kind = self.random.choice(("alone", "keyed", "session"))
        if mood == "refuse":
            kind = "alone"  # what failed for good gives its key back: its copy would be another message
        headers = self.bearer | {"Prefer": "respond-async"}
        line = f"{self.name}.{number % 3}" if kind == "session" else ""
        text = f"{kind}-{line or self.name}-{number}-{mood}"
        headers |= {"X-Session-Id": line} if line else {}
        headers |= {"X-Idempotency-Key": text} if kind == "keyed" else {}
        return Message(text, line, "/webhook", json.dumps({"message": text}).encode(), headers, (202, 200), text if kind == "keyed" else "")

    def _caller(self, number: int, mood: str) -> Message:
        is_keyed = mood not in ("refuse", "fail500", "fail429", "cut", "hang") and self.random.random() < 0.5
        text = f"caller-{self.name}-{number}-{mood}"
        headers = self.bearer | ({"X-Idempotency-Key": text} if is_keyed else {})
        return Message(text, "", "/webhook", json.dumps({"message": text}).encode(), headers, (200,), text if is_keyed else "")

    def _console(self, number: int, mood: str) -> Message:
        text = f"console-{self.name}-{number}-{self.random.choice(('pay', 'pay', 'plain'))}"
        body = json.dumps({"message": text}).encode()
        return Message(text, "", "/api/v1/agent/chat", body, self.bearer | {"X-Idempotency-Key": text}, (200,), text)

    def _linq(self, number: int, mood: str) -> Message:
        chat = f"chat{number % CHATS}"
        text = f"linq-{chat}-{number}-{mood}"
        data = {"chat_id": chat, "from": "+1777", "message": {"id": f"lq{number}", "parts": [{"type": "text", "value": text}]}}
        return Message(
            text, f"linq:{chat}", "/linq", json.dumps({"event_type": "message.received", "data": data}).encode(), {}, (200,), f"lq{number}"
        )

    def _whatsapp(self, number: int, mood: str) -> Message:
        sender = f"1888000{number % CHATS}"
        text = f"whatsapp-{sender}-{number}-{mood}"
        messages = [{"id": f"wa{number}", "from": sender, "text": {"body": text}}]
        body = json.dumps({"entry": [{"changes": [{"value": {"messages": messages}}]}]}).encode()
        return Message(text, f"whatsapp:+{sender}", "/whatsapp", body, {}, (200,), f"wa{number}")

    def _hook(self, number: int, mood: str) -> Message:
        text = f"hook-{self.name}-{number}-{mood if mood != 'refuse' else 'plain'}"
        headers = {"Content-Type": "application/json", "webhook-id": text}
        return Message(text, "", "/hooks/signed", json.dumps({"text": text}).encode(), headers, (202, 200), text)


class Load:
    """All of them, over all lives of the daemon.

    Attributes:
        is_sent_again: whether what was accepted is now and then sent once more.
        acknowledged: what was promised, by text.
        texts: everything that was ever sent.
        pending: by sender, what it has not been told about.
        refusals: how often which status came in place of a promise.
        devices: by token, whether it must be taken; those that nobody knows of are left out.
    """

    SENDERS = (("script", 0), ("script", 1), ("script", 2), ("caller", 0), ("linq", 0), ("whatsapp", 0), ("hook", 0), ("console", 0))

    def __init__(self, house: House, seed: int = 0, *, is_sent_again: bool = True) -> None:
        self.house, self.seed, self.lives, self.is_sent_again = house, seed, 0, is_sent_again
        self.acknowledged: dict[str, Ack] = {}
        self.texts: dict[str, Message] = {}
        self.pending: dict[str, Message] = {}
        self.refusals: dict[int, int] = {}
        self.devices: dict[str, bool] = {}
        self.is_over = False
        self._numbers: dict[str, int] = {}
        self._clients: list[Client] = []
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Lets everybody send to the daemon as it runs now."""
        self.is_over, self.lives = False, self.lives + 1
        self._clients = [Sender(self, kind, number) for kind, number in self.SENDERS]
        self._clients += [Approver(self, "approver", 0), Devices(self, "devices", 0)]
        for client in self._clients:
            client.start()

    def end(self) -> None:
        """Waits until nobody sends any more."""
        self.is_over = True
        for client in self._clients:
            client.join(60)
            assert not client.is_alive(), client.name

    def next_number(self, name: str) -> int:
        self._numbers[name] = self._numbers.get(name, 0) + 1
        return self._numbers[name]

    def sent(self, message: Message) -> None:
        with self._lock:
            self.texts[message.text] = message

    def acknowledge(self, message: Message, answer: Answer) -> None:
        said = answer.json
        with self._lock:
            self.acknowledged.setdefault(message.text, Ack(message, said.get("id", ""), said.get("response") or said.get("text", "")))

    def refused(self, status: int) -> None:
        with self._lock:
            self.refusals[status] = self.refusals.get(status, 0) + 1

    def signature(self, message: Message) -> dict[str, str]:
        """The headers that make a delivery genuine now, by the daemon's clock."""
        stamp = str(int(time.time() + self.house.clock_offset))
        match message.path:
            case "/linq":
                signed = hmac.new(LINQ_SECRET.encode(), f"{stamp}.".encode() + message.body, hashlib.sha256).hexdigest()
                return {"X-Webhook-Timestamp": stamp, "X-Webhook-Signature": f"sha256={signed}"}
            case "/whatsapp":
                return {"X-Hub-Signature-256": "sha256=" + hmac.new(META_SECRET.encode(), message.body, hashlib.sha256).hexdigest()}
            case "/hooks/signed":
                key = base64.b64decode(HOOK_SECRET.removeprefix("whsec_"))
                whole = f"{message.headers['webhook-id']}.{stamp}.".encode() + message.body
                signed = base64.b64encode(hmac.new(key, whole, hashlib.sha256).digest()).decode()
                return {"webhook-timestamp": stamp, "webhook-signature": f"v1,{signed}"}
        return {}
