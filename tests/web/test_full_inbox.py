"""A full inbox: every door that starts turns says so before it takes anything, and still answers for what it took. Source: design §1, §6."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from clawgate.domain.settings.model import InboxSettings, Settings
from clawgate.system.routesfile import NAME
from clawgate.testing.agents import Answer, Hang, ScriptedAgent
from clawgate.testing.gateway import Response
from clawgate.testing.sockets import SocketClient
from tests.web.chat_room import SESSION, told
from tests.web.platform_gate import BODIES, NAMES, PlatformGate, settings_of
from tests.web.test_hooks_surface import GITHUB, MESSAGES, PUSH, github, standard

ASYNC = {"Prefer": "respond-async"}


class Full:
    """A gateway with every door open, and room for one message, which hangs."""

    def __init__(self, *answers: Answer) -> None:
        base = settings_of(webhook_rate_limit_per_minute=0, api_rate_limit_per_minute=0)
        settings: Settings = msgspec.structs.replace(base, inbox=InboxSettings(high_water=1), hooks={"gh": GITHUB, "std": MESSAGES})
        self.agent = ScriptedAgent(answers or (Hang(),))
        self.house = PlatformGate(settings, self.agent)
        self.gate = self.house.gate
        file = self.gate.scratch.path / NAME
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([{"path": "/ci", "skill": "", "message": "done"}]))
        self.gate.clock.advance(5)
        self.gate.pump()
        self.token = self.gate.pair()

    def fill(self) -> str:
        """The id of the one message that there is room for."""
        answer = self.gate.client.post("/webhook", {"message": "first"}, token=self.token, headers=ASYNC)
        assert answer.status == 202, answer
        return str(answer.json["id"])

    def drain(self) -> None:
        """Nobody wants the first message any more."""
        for item in self.house.items():
            self.gate.client.post(f"/api/inbox/{item['id']}/drop", peer="operator")
        self.house.settle()

    def post(self, path: str, body: Any = b"", **headers: str) -> Response:  # Any: JSON or bytes
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.gate.client.post(path, body, token=self.token, headers=named)

    def hook(self, path: str, event: dict[str, Any], *, is_standard: bool = False) -> Response:  # Any: JSON
        body = json.dumps(event).encode()
        headers = standard(body, self.gate.clock.wall_ms() // 1000) if is_standard else github(body)
        return self.gate.client.post(path, body, headers=headers)


Door = Callable[[Full], Response]
DOORS: dict[str, Door] = {
    "webhook": lambda full: full.post("/webhook", {"message": "hi"}),
    "webhook with a key": lambda full: full.post("/webhook", {"message": "hi"}, X_Idempotency_Key="new"),
    "webhook of a session": lambda full: full.post("/webhook", {"message": "hi", "session_id": "s"}),
    "webhook, async": lambda full: full.post("/webhook", {"message": "hi"}, Prefer="respond-async"),
    "trigger": lambda full: full.post("/triggers/ci"),
    "trigger, async": lambda full: full.post("/triggers/ci", Prefer="respond-async"),
    "hook": lambda full: full.hook("/hooks/gh", PUSH),
    "hook that is waited for": lambda full: full.hook("/hooks/std", {"text": "hi"}, is_standard=True),
    "agent chat": lambda full: full.post("/api/v1/agent/chat", {"message": "hi"}),
    "agent chat, streamed": lambda full: full.post("/api/v1/agent/chat", {"message": "hi", "stream": True}),
    **{name: (lambda full, name=name: full.house.post(name, BODIES[name]("hi"))) for name in NAMES},
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_full_inbox_refuses_before_anything_is_kept(door: Door) -> None:
    full = Full()
    first = full.fill()
    answer = door(full)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert [item["id"] for item in full.house.items()] == [first]
    assert full.agent.calls == 1


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_each_message_that_ends_makes_room_for_one(door: Door) -> None:
    full = Full(Hang(), "second")
    full.fill()
    assert door(full).status == 503
    for name in NAMES:
        full.house.taking(name, 2)
    full.drain()
    assert door(full).status in (200, 202)
    full.house.settle(5)
    assert [item["state"] for item in full.house.items()] == ["dropped", "done"]


@pytest.mark.parametrize("name", ["webhook with a key", "hook", "hook that is waited for", *NAMES])
def test_copy_of_what_was_taken_is_answered_although_the_inbox_is_full(name: str) -> None:
    door, full = DOORS[name], Full("taken", Hang())
    if name in NAMES:
        full.house.taking(name)
    assert door(full).status in (200, 202)
    full.house.settle(5)
    full.fill()
    assert (door(full).status, DOORS["webhook"](full).status) == (200, 503)
    assert [item["state"] for item in full.house.items()] == ["done", "running"]


def test_message_of_a_chat_socket_is_refused_in_its_words_and_the_connection_stays() -> None:
    full = Full(Hang(), "better")
    full.fill()
    client = SocketClient(full.gate, f"/ws/chat?session_id={SESSION}", token=full.token, subprotocols=["construct.v1"])
    client.send({"type": "message", "content": "hi"})
    assert [frame["type"] for frame in told(client)] == ["error"]
    assert len(full.house.items()) == 1
    full.drain()
    client.send({"type": "message", "content": "again"})
    full.house.settle(1)
    assert "better" in json.dumps(told(client))


def test_job_of_the_clock_waits_until_there_is_room() -> None:
    full = Full(Hang(), "tick")
    full.fill()
    job = full.post("/api/v1/cron", {"schedule": {"kind": "every", "every_ms": 3_600_000}, "prompt": "tick"}).json["id"]
    asked = full.gate.client.begin("POST", f"/api/v1/cron/{job}/run", token=full.token)
    full.house.settle(1)
    assert ([item["message"] for item in full.house.items()], asked.is_answered) == (["first"], False)
    full.drain()
    full.house.settle(60)
    assert [(item["message"], item["state"]) for item in full.house.items()[1:]] == [("tick", "done")]
    assert asked.response.status == 200
