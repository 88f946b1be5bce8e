"""Tickets for those who cannot send a header: a browser's EventSource. Ring: services. Source: design §4.17.

    POST /api/events/ticket (bearer) → ticket → GET /api/events?ticket=… once, within 30 s

A ticket is no credential that lasts: it is spent when it is shown, it opens no more than its maker's token does, and it dies with that token. A bearer token
never stands in a URL, where proxies and histories keep it.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from clawgate.domain.caller import Caller
from clawgate.domain.secret import Secret, digest
from clawgate.ports.clock import Clock, Entropy

TICKET_SECONDS = 30
MOST_TICKETS = 1_000


class Tickets(msgspec.Struct, eq=False):
    """Those that are not spent; only their digests are kept, and the oldest gives way when there are too many."""

    clock: Clock
    entropy: Entropy
    _open: OrderedDict[bytes, tuple[float, Caller]] = msgspec.field(default_factory=OrderedDict)

    def issue(self, caller: Caller) -> Secret:
        """A ticket that opens what `caller` may open."""
        ticket = Secret(self.entropy.random_bytes(32).hex())
        self._open[digest(ticket.reveal())] = (self.clock.monotonic() + TICKET_SECONDS, caller)
        while len(self._open) > MOST_TICKETS:
            self._open.popitem(last=False)
        return ticket

    def redeem(self, text: str, client: str) -> Caller | None:
        """Whose ticket this is, seen from `client`; None when it is spent, too old or none. It is spent now."""
        until, caller = self._open.pop(digest(text), (0.0, None))
        if caller is None or self.clock.monotonic() >= until:
            return None
        if caller.expires_ms and caller.expires_ms <= self.clock.wall_ms():
            return None
        return msgspec.structs.replace(caller, client=client)

    def end_of(self, principal: str) -> None:
        """A credential is dead, and with it what it has issued."""
        for key in [key for key, (_, caller) in self._open.items() if caller.principal == principal]:
            del self._open[key]
