"""The health URL of a custom tunnel is asked now and then, and never twice at once."""

from __future__ import annotations

from typing import Any

import msgspec
from treq.testing import RequestTraversalAgent
from twisted.internet import error
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource
from twisted.web.server import Request

from clawgate.system.tunnel_probe import HealthProbe
from clawgate.testing.case import TestCase
from clawgate.testing.clock import ManualClock
from clawgate.testing.platforms import BrokenAgent


class Health(msgspec.Struct):
    said: list[str] = []

    def ok(self, component: str) -> None:
        self.said.append("ok")

    def failed(self, component: str, error: str) -> None:
        self.said.append(error)

    def restarted(self, component: str) -> None:
        self.said.append("restarted")


class Site(Resource):
    """Answers with `status`."""

    isLeaf = True
    status = 200
    asked = 0

    def render_GET(self, request: Request) -> Any:
        self.asked += 1
        request.setResponseCode(self.status)
        return b"x" * 1000


class TestProbe(TestCase):
    def setUp(self) -> None:
        self.clock, self.health, self.site = ManualClock(), Health(), Site()

    def probe(self, agent: IAgent) -> HealthProbe:
        made = HealthProbe(agent, self.clock, self.health, "tunnel")
        made.start("http://tunnel.example/health")
        return made

    def test_answer_below_500_is_well_and_above_is_not(self) -> None:
        agent = RequestTraversalAgent(self.site)
        probe = self.probe(agent)
        self.clock.advance(29.0)
        assert self.site.asked == 0
        for status in (200, 404, 502, 200):
            self.site.status = status
            self.clock.advance(30.0)
            agent.flush()
        assert self.health.said == ["ok", "ok", "the health URL answers 502", "ok"]
        probe.stop()
        assert self.clock.pending == 0

    def test_failure_to_connect_is_told_without_details(self) -> None:
        probe = self.probe(BrokenAgent(error.ConnectionRefusedError("secret-host")))
        self.clock.advance(30.0)
        assert self.health.said == ["the health URL cannot be reached: ConnectionRefusedError"]
        probe.stop()

    def test_silence_is_told_after_ten_seconds(self) -> None:
        probe = self.probe(BrokenAgent(None))
        self.clock.advance(39.0)
        assert self.health.said == []
        self.clock.advance(1.0)
        assert self.health.said == ["the health URL does not answer in time"]
        probe.stop()
        assert self.clock.pending == 0

    def test_stop_while_asking_says_nothing_more(self) -> None:
        probe = self.probe(BrokenAgent(None))
        self.clock.advance(31.0)
        probe.stop()
        self.clock.advance(100.0)
        assert self.health.said == []
        assert self.clock.pending == 0
