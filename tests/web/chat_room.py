"""A session that tests sit in: a gateway, connections, and what they were told."""

from __future__ import annotations

from typing import Any

from clawgate.domain.tools import ToolResult
from clawgate.testing.agents import Answer, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway
from clawgate.testing.sockets import SocketClient
from clawgate.testing.tools import ScriptedTools

SESSION = "11111111-1111-4111-8111-111111111111"
BOTH = ("construct.v1", "zeroclaw.v1")
Frame = dict[str, Any]  # JSON


class Room:
    """A gateway, somebody with a token, and the connections to one session."""

    def __init__(self, *answers: Answer, gate: MemoryGateway | None = None, held: bool = False) -> None:
        self.gate = gate or MemoryGateway(agent=ScriptedAgent(answers or ("hello",), is_held=held))
        self.tools = ScriptedTools(outcomes={"pay": ToolResult("receipt 7")})
        self.gate.gateway.toolbox.add(self.tools)
        self.token = self.gate.pair()

    def join(self, dialect: str = "construct.v1", query: str = f"?session_id={SESSION}", **options: Any) -> SocketClient:  # as SocketClient
        return SocketClient(self.gate, "/ws/chat" + query, **({"token": self.token, "subprotocols": [dialect] if dialect else []} | options))

    def watch(self) -> SocketClient:
        client = self.join()
        client.send({"type": "connect"})
        return client

    @property
    def agent(self) -> ScriptedAgent:
        assert isinstance(self.gate.agent, ScriptedAgent)
        return self.gate.agent

    def get(self, path: str) -> Any:  # JSON
        return self.gate.client.get(path, token=self.token).json

    def messages(self) -> list[tuple[str, str]]:
        return [(line["role"], line["content"]) for line in self.get(f"/api/sessions/{SESSION}/messages")["messages"]]


def say(client: SocketClient, text: str = "hi") -> None:
    client.send({"type": "message", "content": text})


def told(client: SocketClient) -> list[Frame]:
    """The frames of the turns, without their numbers."""
    client.pump()
    return [{name: value for name, value in frame.items() if name != "seq"} for frame in client.json[1:] if frame["type"] != "connected"]


def numbered(client: SocketClient) -> list[Frame]:
    """What came out of the session's numbered events."""
    client.pump()
    return [frame for frame in client.json if frame["type"] not in ("session_start", "connected") and "seq" in frame]


def last_approval(client: SocketClient) -> str:
    client.pump()
    return str([frame for frame in client.json if frame["type"] == "approval_request"][-1]["request_id"])
