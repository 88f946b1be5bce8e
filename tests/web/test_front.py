"""Answers that the gateway's site words itself carry what every answer carries."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from clawgate.testing import MemoryGateway
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.front import FrontSite
from clawgate.web.limits import Limits
from clawgate.web.resource import GatewayResource
from clawgate.web.router import Door
from tests.web.gate import SECURITY
from tests.web.wire import GET, Reply, Wire, replies


def answered(data: bytes, *, is_secure: bool) -> Reply:
    gate = MemoryGateway()
    site = FrontSite(gate.gateway.web, Limits(), is_secure=is_secure, reactor=gate.clock.reactor)
    channel, wire = site.buildProtocol(IPv4Address("TCP", "192.0.2.1", 4000)), Wire(IPv4Address("TCP", "192.0.2.1", 4000))
    assert channel is not None
    channel.makeConnection(wire)
    channel.dataReceived(data)
    (reply,) = replies(wire.value())
    return reply


def common(reply: Reply) -> tuple[dict[str, str], bool, bool]:
    headers = {name.decode(): value.decode() for name, value in reply.headers.items()}
    return {name: headers.get(name, "") for name in SECURITY}, len(headers["x-request-id"]) > 8, "strict-transport-security" in headers


@pytest.mark.parametrize("is_secure", [True, False])
def test_refusal_while_reading_looks_like_every_answer(is_secure: bool) -> None:
    reply = answered(b"nonsense\r\n\r\n", is_secure=is_secure)
    assert (reply.status, common(reply)) == (400, (SECURITY, True, is_secure))


class Breakage(SynchronousTestCase):
    """A resource that breaks, which is logged as an error."""

    def test_answer_to_a_broken_resource_looks_like_every_answer(self) -> None:
        def broken(resource: GatewayResource, request: Request) -> int:
            raise LookupError("broken")

        self.patch(GatewayResource, "render", broken)
        reply = answered(GET, is_secure=True)
        assert (reply.status, common(reply)) == (500, (SECURITY, True, True))
        assert len(self.flushLoggedErrors(LookupError)) == 1

    def test_an_answer_that_cannot_be_sent_is_a_500_and_not_a_wait_without_end(self) -> None:
        waits: Deferred[None] = Deferred()

        async def at_once(call: Call) -> Answer:
            return json_answer(200, {}, (b"Location", b"/a\r\nSet-Cookie: x=1"))

        async def later(call: Call) -> Answer:
            await waits
            return await at_once(call)

        gate = MemoryGateway()
        for path, handler in (("/at-once", at_once), ("/later", later)):
            gate.gateway.web.router.add("GET", path, handler, auth=Door.PUBLIC)
        exchanges = [gate.client.begin("GET", path) for path in ("/at-once", "/later")]
        waits.callback(None)
        assert [exchange.response.status for exchange in exchanges] == [500, 500]
        assert len(self.flushLoggedErrors(ValueError)) == 2
