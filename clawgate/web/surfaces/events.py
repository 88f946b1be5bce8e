"""`/api/events`: the bus as Server-Sent Events, its history, tickets. Ring: edge (web). Source: construct-realtime.md §7; design §4.17, §6.

A client that does not keep up loses events and is told how many as soon as it takes data again; one that takes nothing for a minute is cut. A client that
comes back with `Last-Event-ID` gets what is remembered of what it missed. Whether an event exists for a caller is decided in `domain.events`.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from clawgate.domain.caller import Caller, Scope
from clawgate.domain.errors import Overloaded
from clawgate.domain.events import BusEvent, may_see
from clawgate.ports.clock import Clock
from clawgate.services.events import KEPT, Events
from clawgate.services.tickets import TICKET_SECONDS, Tickets
from clawgate.web.answers import Answer, encoded, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import events_wire
from clawgate.web.router import Router
from clawgate.web.streams import EventStream, StreamAnswer

MOST_STREAMS = 500
MOST_STREAMS_EACH = 64
MOST_WAITING = 256 * 1024
"""Bytes that wait for a slow client; what comes then is missed."""
SLOW_SECONDS = 60.0
_MOST_NUMBER = 10**15


@define(eq=False)
class EventsSurface:
    """Who watches."""

    events: Events
    tickets: Tickets
    clock: Clock
    _open: Counter[str] = field(factory=Counter, init=False)
    _encoded: tuple[int, bytes] = field(default=(0, b""), init=False)

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

    async def watch(self, call: Call) -> StreamAnswer:
        """A stream without an end."""
        after = _last_seen(call)
        if self._open.total() >= MOST_STREAMS or self._open[call.caller.principal] >= MOST_STREAMS_EACH:
            raise Overloaded(events_wire.TOO_MANY)
        caller = call.caller
        return StreamAnswer(lambda stream: self._follow(stream, caller, after), caller, is_endless=True)

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
        follower = _Follower(stream, caller, self)
        self._open[caller.principal] += 1
        try:
            if after:
                follower.repeat(after)
            end = self.events.watch(follower.told)
            try:
                await Deferred()  # until the client leaves, its credential dies or the gateway stops
            finally:
                end()
                follower.stop()
        finally:
            self._open[caller.principal] -= 1
            self._open += Counter()  # forgets who has none left

    def encoded(self, event: BusEvent) -> bytes:
        """The event as JSON, made once for all who watch."""
        if self._encoded[0] != event.number:
            self._encoded = (event.number, encoded(events_wire.frame(event)))
        return self._encoded[1]


@define(eq=False)
class _Follower:
    """One client and what it could not be told."""

    stream: EventStream
    caller: Caller
    surface: EventsSurface
    _missed: int = field(default=0, init=False)
    _patience: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.stream.resumed = self._resumed

    def repeat(self, after: int) -> None:
        """What is remembered of the events after a number, and how many are not."""
        missed = self.surface.events.forgotten_since(after)
        if missed:
            self.stream.data(events_wire.lagged(missed))
        for event in self.surface.events.recent(after):
            self.told(event)

    def told(self, event: BusEvent) -> None:
        """Something happened."""
        if not may_see(self.caller, event):
            return
        if self.stream.is_slow:
            self._wait()
        if self._missed or self.stream.waiting_bytes > MOST_WAITING:
            self._missed += 1
        else:
            self.stream.frame(self.surface.encoded(event), event.number)

    def stop(self) -> None:
        """Nobody is told any more."""
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._patience = None

    def _wait(self) -> None:
        if self._patience is None:
            self._patience = self.surface.clock.call_later(SLOW_SECONDS, self.stream.cut)

    def _resumed(self) -> None:
        self.stop()
        missed, self._missed = self._missed, 0
        if missed:
            self.stream.data(events_wire.lagged(missed))


def _last_seen(call: Call) -> int:
    """The number of the last event that the client has seen, 0 = it has seen none; a header that is no number counts as absent."""
    text = (call.header("last-event-id") or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    return call.number("last_event_id", 0, most=_MOST_NUMBER)
