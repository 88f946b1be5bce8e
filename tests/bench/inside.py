"""What a request costs in our own code: a whole gateway in memory, no sockets, no threads. `python -m tests.bench.inside health accepted --profile`."""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport

from clawgate.domain.settings import Settings
from clawgate.domain.settings.model import AgentSettings, GatewaySettings
from clawgate.testing.agents import Hang, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway
from tests.bench.asking import BODY

_HOST = b"Host: localhost\r\n"
_SLOTS = 4


class Silent(StringTransport):
    """A connection whose answers nobody keeps."""

    last = b""

    def write(self, data: bytes) -> None:
        """Keeps the last one."""
        self.last = data

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to delay."""


class Inside:
    """One gateway, one connection of this machine, requests one after another. Its agent never answers, so that no turn is measured."""

    def __init__(self) -> None:
        own = GatewaySettings(webhook_rate_limit_per_minute=0, api_rate_limit_per_minute=0)
        agent = ScriptedAgent([Hang()])
        self.gate = MemoryGateway(Settings(gateway=own, agent=AgentSettings(max_concurrent_turns=_SLOTS)), agent=agent)
        bearer = b"Authorization: Bearer %b\r\n" % self.gate.pair().encode()
        head = b"POST /webhook HTTP/1.1\r\n" + _HOST + b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(BODY)
        self.requests = {
            "health": (200, b"GET /health HTTP/1.1\r\n" + _HOST + b"\r\n"),
            "refused": (401, head + b"\r\n" + BODY.encode()),
            "accepted": (202, head + bearer + b"Prefer: respond-async\r\n\r\n" + BODY.encode()),
        }
        address = IPv4Address("TCP", "127.0.0.1", 40_000)
        self._channel: Any = self.gate.site.buildProtocol(address)
        self._transport = Silent(peerAddress=address)
        self._channel.makeConnection(self._transport)

    def ask(self, name: str, count: int) -> None:
        """So many requests of a kind. Raises RuntimeError when the last one had another status."""
        status, request = self.requests[name]
        for _ in range(count):
            self._channel.dataReceived(request)
            self.gate.clock.reactor.advance(0)
        if not self._transport.last.startswith(b"HTTP/1.1 %d " % status):
            raise RuntimeError(f"{name}: {self._transport.last[:100]!r}")

    def cost_us(self, name: str, count: int, rounds: int) -> float:
        """Processor time of one request, microseconds: the best of several rounds."""
        found = []
        for _ in range(rounds):
            begun = time.process_time()
            self.ask(name, count)
            found.append((time.process_time() - begun) / count * 1e6)
        return min(found)


def main() -> int:
    """Prints it."""
    inside = Inside()
    parser = argparse.ArgumentParser(prog="inside", description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(inside.requests), help=", ".join(inside.requests))
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    options = parser.parse_args()
    for kind in options.kinds:
        inside.ask(kind, 200)
        if options.profile:
            profile = cProfile.Profile()
            profile.runcall(inside.ask, kind, 3_000)
            pstats.Stats(profile).sort_stats("tottime").print_stats(40)
        print(f"{kind}: {inside.cost_us(kind, 1_500, 7):.1f} µs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
