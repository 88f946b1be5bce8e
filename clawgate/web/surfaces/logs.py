"""`GET /api/daemon/logs`: the daemon's log as it is written. Ring: edge (web). Source: construct-realtime.md §7.

Lines are those of the log itself: redacted, and of its level. They are looked for twice a second, as upstream does with its file: a line that was pushed would
be written from any thread, and could make another one.
"""

from __future__ import annotations

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.errors import Overloaded
from clawgate.ports.clock import Clock
from clawgate.ports.events import LogLines
from clawgate.web.call import Call
from clawgate.web.dialects import events_wire
from clawgate.web.documented import documented
from clawgate.web.router import Router
from clawgate.web.streams import EventStream, StreamAnswer

MOST_READERS = 16
POLL_SECONDS = 0.5


class LogsSurface(msgspec.Struct, eq=False):
    """Who reads along."""

    lines: LogLines
    clock: Clock
    _readers: int = 0

    def register(self, router: Router) -> None:
        """Adds the route."""
        router.add(
            "GET",
            "/api/daemon/logs",
            self.follow,
            auth=Scope.ADMIN,
            limiter="api",
            dialect=events_wire.refusal,
            takes_ticket=True,
            summary="The daemon's log as Server-Sent Events: its last lines, then what is written",
        )

    @documented(gives=("text/event-stream",))
    async def follow(self, call: Call) -> StreamAnswer:
        """A stream without an end."""
        if self._readers >= MOST_READERS:
            raise Overloaded(events_wire.TOO_MANY)
        return StreamAnswer(self._follow, call.caller, is_endless=True)

    async def _follow(self, stream: EventStream) -> None:
        self._readers += 1
        try:
            if not self.lines.is_fed:
                stream.data(events_wire.no_log(self.clock.wall_ms()))
            last = 0
            while True:
                # A slow client is not written to: what the tail has forgotten when it takes data again is counted.
                last = last if stream.is_slow else self._tell(stream, last)
                await self.clock.sleep(POLL_SECONDS)
        finally:
            self._readers -= 1

    def _tell(self, stream: EventStream, last: int) -> int:
        for line in self.lines.after(last):
            if last and line.number > last + 1:
                stream.data(events_wire.lagged(line.number - last - 1))
            for frame in events_wire.log_frames(line):
                stream.data(frame)
            last = line.number
        return last
