"""Everything that comes and goes leaves no map, list or set longer than it was: each visit below, many times, on one gateway, and a look at every container
of the process. What is kept on purpose is a ring (a deque with a `maxlen`). `make soak` asks the same of memory as a whole, with the real daemon.
"""

from __future__ import annotations

import gc
import hashlib
import hmac
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

from clawgate.agents.offline import OfflineBackend
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.domain.settings.model import GatewaySettings, HookSettings, InboxSettings, MemorySettings, NodesSettings
from clawgate.testing import MemoryGateway
from clawgate.testing.gateway import Response
from clawgate.testing.sockets import SocketClient

ROUNDS = 4
NODE, HOOK = Secret("node-secret"), Secret("hook-secret")
SETTINGS = Settings(
    gateway=GatewaySettings(pair_rate_limit_per_minute=9_000, webhook_rate_limit_per_minute=9_000, api_rate_limit_per_minute=9_000),
    inbox=InboxSettings(retention_secs=60),
    memory=MemorySettings(max_auto_saved=8),
    nodes=NodesSettings(enabled=True, auth_token=NODE),
    hooks={"git": HookSettings(verify="github", secrets=(HOOK,), message="{number}")},
)


class House:
    """A gateway, and who comes to it. Each method is one visit; names differ from visit to visit."""

    def __init__(self) -> None:
        self.gate = MemoryGateway(SETTINGS, agent=OfflineBackend())
        self.token = self.gate.pair()
        self._numbers = count(1)

    def ask(self, method: str, path: str, body: Any = b"", *statuses: int, **options: Any) -> Response:  # as GateClient.begin
        answer = self.gate.client.request(method, path, body, **({"token": self.token} | options))
        assert answer.status in (statuses or (200, 201, 202, 204)), f"{method} {path}: {answer.status} {answer.body!r}"
        return answer

    def name(self) -> str:
        return f"name{next(self._numbers)}"

    def message(self) -> None:
        headers = {"X-Idempotency-Key": self.name(), "X-Session-Id": self.name(), "X-Forwarded-For": "192.0.2.1"}
        for prefer in ({}, {"Prefer": "respond-async"}):
            self.ask("POST", "/webhook", {"message": f"/echo {self.name()}"}, headers=headers | prefer)

    def delivery(self) -> None:
        body = b'{"number": %d}' % next(self._numbers)
        signature = "sha256=" + hmac.new(HOOK.reveal().encode(), body, hashlib.sha256).hexdigest()
        for presented, status in ((signature, 202), (signature, 202), ("sha256=00", 401)):
            headers = {"Content-Type": "application/json", "X-Hub-Signature-256": presented}
            self.ask("POST", "/hooks/git", body, status, 200 if status == 202 else status, headers=headers)

    def stranger(self) -> None:
        peer = f"198.51.100.{next(self._numbers) % 250}"
        self.ask("GET", "/api/v1/status", b"", 401, token=self.name(), peer=peer)
        self.ask("GET", f"/{self.name()}", b"", 404, peer=peer)
        self.ask("PUT", f"/webhook?{self.name()}", b"", 405)
        self.ask("POST", "/webhook", b"x" * 70_000, 413)
        self.ask("POST", "/api/pair", {"code": "000000"}, 403, 401, 400, peer=peer)

    def task(self) -> None:
        path = f"/tasks/{self.ask('POST', '/tasks', {'title': self.name()}).json['id']}"
        self.ask("PUT", path, {"status": "IN_PROGRESS"})
        self.ask("DELETE", path)

    def memory(self) -> None:
        name = self.name()
        self.ask("POST", "/api/v1/memory", {"key": name, "content": "the door is green"})
        self.ask("GET", "/api/v1/memory?q=green")
        self.ask("DELETE", f"/api/v1/memory/{name}")

    def canvas(self) -> None:
        name = self.name()
        watcher = SocketClient(self.gate, f"/ws/canvas/{name}", token=self.token)
        self.ask("POST", f"/api/canvas/{name}", {"content": "x"})
        watcher.close()
        watcher.leave()
        self.ask("DELETE", f"/api/canvas/{name}")

    def subscriber(self) -> None:
        ticket = self.ask("POST", "/api/events/ticket", {}).json["ticket"]
        for stream in (
            self.gate.client.begin("GET", "/api/events", token=self.token),
            self.gate.client.begin("GET", f"/api/events?ticket={ticket}"),
        ):
            self.ask("POST", "/webhook", {"message": "/help"})
            assert stream.events
            stream.leave()

    def chat(self) -> None:
        name = self.name()
        socket = SocketClient(self.gate, f"/ws/chat?session_id={name}", token=self.token)
        socket.send({"type": "connect"})
        socket.send({"type": "message", "content": "/help"})
        assert socket.json[-1]["type"] == "done"
        socket.close()
        socket.leave()
        self.ask("DELETE", f"/api/sessions/{name}")

    def chat_that_breaks_off(self) -> None:
        socket = SocketClient(self.gate, "/ws/chat", token=self.token)
        socket.send({"type": "message", "content": "/help"})
        socket.leave()

    def console(self) -> None:
        session = self.ask("POST", "/api/v1/agent/chat", {"message": "/help"}).json["session_id"]
        stream = self.gate.client.begin("POST", "/api/v1/agent/chat", {"message": "/help"}, token=self.token, headers={"Accept": "text/event-stream"})
        assert stream.events
        stream.leave()
        self.ask("DELETE", f"/api/v1/sessions/{session}")

    def node(self) -> None:
        name = self.name()
        socket = SocketClient(self.gate, "/ws/nodes", token=NODE.reveal())
        socket.send({"type": "register", "node_id": name, "capabilities": [{"name": "a.b", "description": "d"}]})
        calling = self.gate.client.begin("POST", f"/api/nodes/{name}/invoke", {"capability": "a.b"}, token=self.token)
        socket.pump()
        socket.send({"type": "result", "call_id": socket.json[-1]["call_id"], "success": True, "output": "o"})
        assert calling.response.status == 200
        calling.leave()
        socket.leave()

    def device(self) -> None:
        name = self.name()
        guest = self.gate.pair(name=name)
        devices = self.ask("GET", "/api/devices", token=guest).json["devices"]
        self.ask("DELETE", f"/api/devices/{next(one['id'] for one in devices if one['name'] == name)}")
        self.ask("GET", "/api/devices", b"", 401, token=guest)

    def job(self) -> None:
        schedule = {"kind": "cron", "expr": "0 4 * * *"}
        path = f"/api/v1/cron/{self.ask('POST', '/api/v1/cron', {'schedule': schedule, 'job_type': 'agent', 'prompt': '/help'}).json['id']}"
        self.ask("POST", f"{path}/run")
        self.ask("DELETE", path)

    def looks(self) -> None:
        for path in ("/health", "/metrics", "/api/inbox", "/api/v1/sessions", "/api/sessions", "/config", "/api/nodes"):
            self.ask("GET", path)


VISITS: tuple[Callable[[House], None], ...] = tuple(
    found for name, found in vars(House).items() if name not in ("__init__", "ask", "name") and callable(found)
)


def containers() -> dict[int, tuple[Any, int]]:
    """Every list, dict, set and unbounded deque of the process, by identity, with its length."""
    gc.collect()
    kinds = (list, dict, set, deque)
    return {id(one): (one, len(one)) for one in gc.get_objects() if isinstance(one, kinds) and getattr(one, "maxlen", None) is None}


def growing(work: Callable[[], None]) -> list[str]:
    """What is longer after `work` by at least `ROUNDS`, and once more after it was done again; shortened."""
    before = containers()
    work()
    between = {key: length for key, (_, length) in containers().items() if key in before}
    work()
    after = {key: length for key, (_, length) in containers().items() if key in between}
    grown = [key for key, length in after.items() if between[key] >= before[key][1] + ROUNDS and length >= between[key] + ROUNDS]
    return [f"{type(before[key][0]).__name__} {before[key][1]}, {between[key]}, {after[key]}: {str(before[key][0])[:300]}" for key in grown]


def test_no_map_grows_with_what_comes_and_goes() -> None:
    house = House()

    def day() -> None:
        for _ in range(ROUNDS):
            for visit in VISITS:
                visit(house)
        for _ in range(25):  # longer than sessions, failures and idle rooms are remembered
            house.gate.clock.advance(40)
            house.gate.pump()

    day()  # what is made at the first visit and kept
    assert growing(day) == []


def test_a_container_that_grows_would_be_found() -> None:
    numbers = count()
    leaks: tuple[list[int], set[int], deque[int], dict[Any, Any]] = ([], set(), deque(), {"tracked": []})
    a_list, a_set, a_deque, a_dict = leaks  # the collector does not look at a dict of numbers alone

    def work() -> None:
        for _ in range(ROUNDS):
            number = next(numbers)
            a_list.append(number)
            a_set.add(number)
            a_deque.append(number)
            a_dict[number] = [number]

    found = growing(work)
    for leak in leaks:
        assert any(line.startswith(f"{type(leak).__name__} ") for line in found)
