"""Capabilities of nodes as agents' tools (construct-realtime.md §5), and who has to be asked."""

from __future__ import annotations

import json

import msgspec
import pytest

from clawgate.domain.approvals import Level, ToolPolicy, Verdict, verdict
from clawgate.domain.errors import ToolUncertain
from clawgate.domain.messages import Attendance, TurnOptions
from clawgate.domain.nodes import CALL_SECONDS, Capability, NotSent, Registration, Result
from clawgate.domain.settings.model import NodesSettings
from clawgate.domain.tools import Tool, ToolContext, ToolResult
from clawgate.services.events import Events
from clawgate.services.node_tools import NodeTools
from clawgate.services.nodes import Nodes
from clawgate.testing.clock import CountingIds, ManualClock

CONTEXT = ToolContext(principal="p", source="webhook", conversation=None, idempotency_key="item:1")


class Link(msgspec.Struct, eq=False):
    """A node that keeps what it is asked."""

    principal: str = "node"
    is_open: bool = True
    asked: list[tuple[str, str, object]] = []

    def invoke(self, call_id: str, capability: str, arguments: str) -> bool:
        self.asked.append((call_id, capability, json.loads(arguments)))
        return self.is_open


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.nodes = Nodes(self.clock, CountingIds(), Events(self.clock), NodesSettings(enabled=True))
        self.link, self.tools = Link(), NodeTools(self.nodes)
        capabilities = (Capability(name="camera.snap", description="Takes a picture"), Capability(name="system.notify", description="Says it"))
        self.nodes.register(self.link, Registration(node_id="kitchen", capabilities=capabilities))

    def tool(self, name: str) -> Tool:
        return next(tool for tool in self.tools.tools() if name in tool.description)

    def call(self, name: str, **arguments: object) -> list[object]:
        found: list[object] = []
        self.tools.call(self.tool(name).name, arguments, CONTEXT).addBoth(found.append)
        return found

    def answer(self, *, success: bool = True, output: str = "", error: str | None = None) -> None:
        self.nodes.answered(self.link, Result(call_id=self.link.asked[-1][0], success=success, output=output, error=error))


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ({"output": "done"}, ToolResult("done")),
        ({"success": False, "output": "half", "error": "broke"}, ToolResult("broke", ok=False)),
        ({"success": False, "output": "half"}, ToolResult("half", ok=False)),
    ],
)
def test_what_the_node_answers_is_the_result(answer: dict[str, str], result: ToolResult) -> None:
    bench = Bench()
    found = bench.call("system.notify", text="hi")
    bench.answer(**answer)  # type: ignore[arg-type]  # as `answer` takes them
    assert found == [result]
    assert bench.link.asked[0][1:] == ("system.notify", {"text": "hi"})


def test_the_models_own_approval_means_nothing_and_is_not_sent() -> None:
    bench = Bench()
    bench.call("camera.snap", approved=True, zoom=2)
    assert bench.link.asked[0][1:] == ("camera.snap", {"zoom": 2})


@pytest.mark.parametrize("level", [Level.FULL, Level.SUPERVISED])
def test_a_camera_asks_somebody_at_every_level(level: Level) -> None:
    bench, options = Bench(), TurnOptions(attendance=Attendance.CONSOLE)
    camera, notify = bench.tool("camera.snap"), bench.tool("system.notify")
    policy = ToolPolicy(level=level, auto_approve=frozenset({camera.name}))
    assert verdict(camera, policy, options) is Verdict.ASK
    assert verdict(notify, policy, options) is (Verdict.ALLOW if level is Level.FULL else Verdict.ASK)
    assert verdict(camera, policy, TurnOptions(attendance=Attendance.NOBODY)) is Verdict.DENY


def failure(found: list[object]) -> tuple[type[object], str]:
    problem = getattr(found[0], "value", None)
    return type(problem), str(problem)


def test_nobody_knows_what_came_of_a_call_without_a_result() -> None:
    bench = Bench()
    slow = bench.call("system.notify")
    bench.clock.advance(CALL_SECONDS)
    dropped = bench.call("system.notify")
    bench.nodes.left(bench.link)
    assert [failure(found)[1] for found in (slow, dropped)] == [
        "Node 'kitchen' invocation timed out after 30s",
        "Node 'kitchen' dropped the invocation channel",
    ]
    assert all(issubclass(failure(found)[0], ToolUncertain) for found in (slow, dropped))
    assert bench.tools.tools() == []


def test_a_call_that_does_not_leave_may_be_made_again() -> None:
    bench = Bench()
    bench.link.is_open = False
    assert failure(bench.call("system.notify"))[0] is NotSent


def test_a_tool_of_a_node_that_is_gone_is_a_result() -> None:
    bench = Bench()
    name = bench.tool("system.notify").name
    bench.nodes.left(bench.link)
    found: list[ToolResult] = []
    bench.tools.call(name, {}, CONTEXT).addCallback(found.append)
    assert not found[0].ok


def test_arguments_with_half_a_character_are_not_sent() -> None:
    bench = Bench()
    assert bench.call("system.notify", text="\ud800") == [ToolResult("the arguments are not valid Unicode", ok=False)]
    assert bench.link.asked == []
