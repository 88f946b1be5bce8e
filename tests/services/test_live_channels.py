"""Channels that come and go while replies are on their way (design §1: nothing is lost; §6)."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from road import OPEN_DOOR, agent_of, item, now
from test_delivery_service import arrive, parts, sent
from twisted.internet.defer import Deferred

from clawgate.domain.errors import NotApplied, SendUnavailable, Unavailable
from clawgate.domain.inbox import State
from clawgate.domain.overlay import Change
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.domain.settings.changes import Changes
from clawgate.domain.settings.edits import Edit, Target
from clawgate.domain.settings.model import ChannelsSettings, LinqChannel, McpServer
from clawgate.ports.channels import Channel
from clawgate.ports.parts import Prepared
from clawgate.services.health import Health
from clawgate.services.live_parts import McpPart
from clawgate.services.mcp import McpServers
from clawgate.services.supervisor import Supervisor
from clawgate.testing.agents import ScriptedAgent
from clawgate.testing.case import TestCase
from clawgate.testing.channels import RecordingChannel
from clawgate.testing.clock import ManualClock
from clawgate.testing.gateway import MemoryGateway
from clawgate.testing.mcp import ScriptedMcp

_T = TypeVar("_T")
LINQ = LinqChannel(api_token=Secret("linq-token"), from_phone="+1")


class Road:
    """A gateway with the channel `linq`; every channel that was built is kept."""

    def __init__(self, *, held: bool = False) -> None:
        self.built: list[RecordingChannel] = []
        settings = Settings(gateway=OPEN_DOOR, channels_config=ChannelsSettings(linq=LINQ))
        agent = ScriptedAgent(("ok",), is_held=held)
        self.gate = MemoryGateway(settings, agent=agent, channels=self.channels(settings), edges={"build_channels": self.channels})

    def channels(self, settings: Settings) -> dict[str, Channel]:
        if settings.channels_config.linq is None:
            return {}
        self.built.append(RecordingChannel("linq"))
        return {"linq": self.built[-1]}

    def set(self, value: dict[str, object] | None) -> Changes:
        edit = Edit(target=Target.OVERLAY, changes=(Change(("channels_config", "linq"), value),))
        changing = Deferred.fromCoroutine(self.gate.gateway.live.change(lambda _: edit))
        self.gate.pump()
        return now(changing)

    def remove(self) -> None:
        self.set(None)

    def bring_back(self) -> None:
        self.set({"api_token": Secret("linq-token"), "from_phone": "+2"})
        self.gate.pump()


def test_a_send_under_way_ends_although_its_channel_was_removed() -> None:
    road = Road()
    channel = road.built[0]
    channel.holds = True
    told = arrive(road.gate, channel="linq")
    road.remove()
    assert not channel.stopped
    channel.waiting.pop().callback("receipt")
    road.gate.clock.advance(1)
    assert (parts(road.gate, told), item(road.gate, told).state, channel.stopped) == ([("ok", "sent")], State.DONE, True)


def test_parts_of_a_removed_channel_wait_in_the_outbox_until_it_is_back() -> None:
    road = Road()
    road.built[0].failures = [SendUnavailable()]
    told = arrive(road.gate, channel="linq")
    road.remove()
    road.gate.clock.advance(3600)
    assert parts(road.gate, told) == [("ok", "pending")]
    road.bring_back()
    road.gate.clock.advance(1)
    assert sent(road.built[-1]) == [("t", "ok")]
    assert item(road.gate, told).state is State.DONE


def test_a_reply_that_comes_after_the_removal_waits_too() -> None:
    road = Road(held=True)
    told = arrive(road.gate, channel="linq")
    road.remove()
    agent_of(road.gate).release()
    road.gate.pump()
    assert parts(road.gate, told) == [("ok", "pending")]
    road.bring_back()
    assert sent(road.built[-1]) == [("t", "ok")]


def test_a_changed_channel_sends_what_comes_next_and_the_old_one_ends_its_own() -> None:
    road = Road()
    old = road.built[0]
    old.holds = True
    arrive(road.gate, channel="linq", target="a")
    road.bring_back()
    arrive(road.gate, channel="linq", target="b")
    assert (sent(old), sent(road.built[-1])) == ([("a", "ok")], [("b", "ok")])
    old.waiting.pop().callback("")
    road.gate.clock.advance(1)
    assert old.stopped


def test_a_removed_channel_that_hangs_is_closed_all_the_same() -> None:
    road = Road()
    channel = road.built[0]
    channel.holds = True
    arrive(road.gate, channel="linq")
    road.remove()
    road.gate.clock.advance(31)
    assert channel.stopped


def test_channels_are_in_the_health_before_anything_is_sent() -> None:
    road = Road()
    components = road.gate.gateway.health.snapshot().components
    assert [components[name].status for name in ("channel:linq", "channels", "daemon")] == ["ok", "ok", "ok"]
    assert "channels" in MemoryGateway().gateway.health.snapshot().components
    road.gate.gateway.health.failed("channel:linq", "down")
    road.bring_back()
    assert road.gate.gateway.health.snapshot().components["channel:linq"].last_error is None


def test_a_removed_channel_is_not_in_the_health_any_more() -> None:
    road = Road()
    arrive(road.gate, channel="linq")
    assert "channel:linq" in road.gate.gateway.health.snapshot().components
    road.remove()
    assert "channel:linq" not in road.gate.gateway.health.snapshot().components


def test_a_replaced_channel_is_closed_at_once_when_the_gateway_stops() -> None:
    road = Road()
    road.built[0].holds = True
    arrive(road.gate, channel="linq")
    road.remove()
    assert not road.built[0].stopped
    Deferred.fromCoroutine(road.gate.gateway.live.stop())
    assert road.built[0].stopped


def test_a_channel_that_is_given_back_unchanged_survives_a_refused_change() -> None:
    gate = MemoryGateway(channels={"linq": RecordingChannel("linq")})
    (part,) = [part for part in gate.gateway.live.parts if part.name == "channels"]
    prepared = now(Deferred.fromCoroutine(part.prepare(Settings(), Settings(channels_config=ChannelsSettings(linq=LINQ)))))
    now(Deferred.fromCoroutine(prepared.abandon()))
    assert not gate.edges.channels["linq"].stopped


def servers(**commands: str) -> Settings:
    return Settings(mcp_servers={name: McpServer(command=command) for name, command in commands.items()})


class TestMcpServers(TestCase):
    def setUp(self) -> None:
        self.clock, self.script = ManualClock(), ScriptedMcp()
        self.servers = McpServers(self.script, Supervisor(self.clock, Health(self.clock, 1)), self.clock)
        self.old, self.part = servers(same="a", changed="a", gone="a"), McpPart(self.servers)
        self.successResultOf(self.done(self.servers.start_all(self.old.mcp_servers)))
        self.before = tuple(self.script.opened)

    def tearDown(self) -> None:
        self.successResultOf(self.done(self.servers.stop_all()))
        assert self.clock.pending == 0

    def done(self, work: Coroutine[Any, Any, _T]) -> Deferred[_T]:  # Any: what coroutines are sent
        waiting = Deferred.fromCoroutine(work)
        self.clock.advance(0)
        return waiting

    def prepared(self, new: Settings) -> Deferred[Prepared | None]:
        return self.done(self.part.prepare(self.old, new))

    def running(self) -> dict[str, McpServer]:
        assert {state for state, _ in self.servers.status().values()} == {"Running"}
        found = {each.name: each.server for each in self.script.opened if each.is_open}
        assert list(found) == [each.name for each in self.script.opened if each.is_open], "two of one name"
        return found

    def test_only_what_differs_is_touched(self) -> None:
        new = servers(same="a", changed="b", fresh="a")
        ready = self.successResultOf(self.prepared(new))
        assert ready is not None
        assert self.running() == dict(self.old.mcp_servers) | dict(new.mcp_servers)
        self.successResultOf(self.done(ready.retire()))
        assert self.running() == dict(new.mcp_servers)
        assert [each.name for each in self.before if each.is_open] == ["same"]

    def test_abandoned_it_is_as_before(self) -> None:
        ready = self.successResultOf(self.prepared(servers(changed="b", fresh="a")))
        assert ready is not None
        self.successResultOf(self.done(ready.abandon()))
        assert self.running() == self.old.mcp_servers

    def test_every_server_that_does_not_start_is_named_and_it_is_as_before(self) -> None:
        self.script.problems = dict.fromkeys(("fresh", "changed"), Unavailable("no such program"))
        failing = self.prepared(servers(same="a", changed="b", fresh="a", good="a"))
        failure = self.failureResultOf(failing, NotApplied)
        assert failure.value.errors == {"changed": "no such program", "fresh": "no such program"}
        self.script.problems = {}
        self.clock.advance(60)
        assert self.running() == self.old.mcp_servers

    def test_the_same_servers_are_no_concern(self) -> None:
        assert self.successResultOf(self.prepared(servers(same="a", changed="a", gone="a"))) is None
