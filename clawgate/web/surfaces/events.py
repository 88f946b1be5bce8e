"""`/api/events`: the bus as Server-Sent Events, its history, tickets. Ring: edge (web). Source: construct-realtime.md §7; design §4.17, §6.

A client that does not keep up loses events and is told how many as soon as it takes data again; one that takes nothing for a minute is cut. A client that
comes back with `Last-Event-ID` gets what is remembered of what it missed. Whether an event exists for a caller is decided in `domain.events`.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.caller import Caller, Scope
from clawgate.domain.errors import Overloaded
from clawgate.domain.events import may_see
from clawgate.ports.clock import Clock
from clawgate.services.events import KEPT, Events
from clawgate.services.tickets import TICKET_SECONDS, Tickets
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import events_wire
from clawgate.web.documented import documented
from clawgate.web.fan_out import FanOut
from clawgate.web.router import Router
from clawgate.web.streams import EventStream, StreamAnswer

MOST_STREAMS, MOST_STREAMS_EACH = 2_000, 64
"""In all, and of one credential."""
_MOST_NUMBER = 10**15


class EventsSurface(msgspec.Struct, eq=False, dict=True):
    """Who watches."""

    events: Events
    tickets: Tickets
    clock: Clock
    _open: Counter[str] = msgspec.field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._fan_out = FanOut(self.events, self.clock)

    def register(self, router: Router) -> None:
        """Adds the routes."""
        add = partial(router.add, auth=Scope.READ, limiter="api", dialect=events_wire.refusal)
        add(
            "GET",
            "/api/events",
            self.watch,
            takes_ticket=True,
            summary="What happens, as Server-Sent Events; `Last-Event-ID` repeats what was missed",
        )
        add("GET", "/api/events/history", self.history, summary="What is remembered of what happened, oldest first")
        add("POST", "/api/events/ticket", self.ticket, summary="A ticket for `?ticket=` of an event stream: once, within 30 seconds")

    @documented(query={"last_event_id": int}, gives=("text/event-stream",))
    async def watch(self, call: Call) -> StreamAnswer:
        """A stream without an end."""
        after = _last_seen(call)
        if self._open.total() >= MOST_STREAMS or self._open[call.caller.principal] >= MOST_STREAMS_EACH:
            raise Overloaded(events_wire.TOO_MANY)
        caller = call.caller
        return StreamAnswer(lambda stream: self._follow(stream, caller, after), caller, is_endless=True)

    @documented(query={"after": int, "limit": int})
    async def history(self, call: Call) -> Answer:
        """The events after a number; `last` goes on as `after`."""
        after, limit = call.number("after", 0, most=_MOST_NUMBER), call.number("limit", 100, most=KEPT)
        found = [event for event in self.events.recent(after) if may_see(call.caller, event)][:limit]
        last = found[-1].number if found else min(after, self.events.number)
        missed = self.events.forgotten_since(after)
        return json_answer(200, {"events": [events_wire.numbered(event) for event in found], "last": last, "missed": missed})

    async def ticket(self, call: Call) -> Answer:
        """A ticket for who cannot send headers."""
        return json_answer(200, events_wire.ticket(self.tickets.issue(call.caller).reveal(), TICKET_SECONDS))

    async def _follow(self, stream: EventStream, caller: Caller, after: int) -> None:
        self._open[caller.principal] += 1
        try:
            follower = self._fan_out.add(stream, caller, after)
            try:
                await Deferred()  # until the client leaves, its credential dies or the gateway stops
            finally:
                self._fan_out.remove(follower)
        finally:
            self._open[caller.principal] -= 1
            if not self._open[caller.principal]:
                del self._open[caller.principal]


def _last_seen(call: Call) -> int:
    """The number of the last event that the client has seen, 0 = it has seen none; a header that is no number counts as absent."""
    text = (call.header("last-event-id") or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    return call.number("last_event_id", 0, most=_MOST_NUMBER)
