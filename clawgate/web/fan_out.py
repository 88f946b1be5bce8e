"""One event for very many streams. Ring: edge (web). Source: design §4.17, §6 (bounded everything).

An event is encoded once, and what comes while the streams rest is sent to each of them in one piece: a piece costs about as much as an event. They rest
twice as long as the last round took, but at most for MOST_REST_SECONDS, so that time is left for everything else on any machine; after a rest
an event is sent at once.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from clawgate.domain.caller import Caller
from clawgate.domain.events import BusEvent, may_see
from clawgate.ports.clock import Clock
from clawgate.services.events import Events
from clawgate.web.answers import encoded
from clawgate.web.dialects import events_wire
from clawgate.web.streams import EventStream, framed

_log = Logger()
MOST_WAITING_BYTES = 256 * 1024
"""For a slow client; what comes then is missed."""
SLOW_SECONDS = 60.0
MOST_ROUND_BYTES = 32 * 1024
"""What waits for the next round; more is sent at once."""
REST_FOR_WORK, MOST_REST_SECONDS = 2.0, 0.05


class FanOut(msgspec.Struct, eq=False):
    """Those who watch the bus, told in rounds."""

    events: Events
    clock: Clock
    _followers: dict[Follower, None] = {}
    _end: Callable[[], None] = lambda: None
    _round: Round = msgspec.field(default_factory=lambda: Round())
    _rests_until: float = 0.0
    _timer: IDelayedCall | None = None

    def add(self, stream: EventStream, caller: Caller, after: int) -> Follower:
        """Tells a stream what happens from now on.

        Args:
            after: what is remembered of the events after this number is told first, 0 = nothing.

        Raises:
            Overloaded: the bus has too many watchers.
        """
        follower = Follower(stream, caller, self.clock, self.events.number)
        if after:
            follower.repeat(self.events.forgotten_since(after), self.events.recent(after))
        if not self._followers:
            self._end = self.events.watch(self._told)
        self._followers[follower] = None
        stream.go_live()
        return follower

    def remove(self, follower: Follower) -> None:
        """Tells it what waits, and nothing more."""
        del self._followers[follower]
        follower.told(self._round)
        follower.stop()
        if not self._followers:
            self._end()
            self._begin_round()

    def _told(self, event: BusEvent) -> None:
        self._round.add(event)
        rest = self._rests_until - self.clock.monotonic()
        if rest <= 0 or self._round.size > MOST_ROUND_BYTES:
            self._tell()
        elif self._timer is None:
            self._timer = self.clock.call_later(rest, self._tell)

    def _tell(self) -> None:
        began, told = self.clock.monotonic(), self._begin_round()
        for follower in tuple(self._followers):
            try:
                if follower in self._followers:  # one that was told before may have ended it
                    follower.told(told)
            except Exception:
                _log.failure("who is told of events broke")
        ended = self.clock.monotonic()
        self._rests_until = ended + min(REST_FOR_WORK * (ended - began), MOST_REST_SECONDS)

    def _begin_round(self) -> Round:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        old, self._round = self._round, Round()
        return old


class Round(msgspec.Struct, eq=False):
    """What is told at once; `size` in bytes."""

    events: list[tuple[BusEvent, bytes]] = []
    size: int = 0
    _pieces: dict[tuple[int, ...], bytes] = {}
    _seen: dict[Caller, tuple[int, ...]] = {}

    def add(self, event: BusEvent) -> None:
        """One event more, before anybody is told."""
        frame = framed(encoded(events_wire.frame(event)), event.number)
        self.events.append((event, frame))
        self.size += len(frame)

    def frames(self, caller: Caller, after: int) -> list[bytes]:
        """What a caller may see of the events after a number."""
        return [frame for event, frame in self.events if event.number > after and may_see(caller, event)]

    def piece(self, caller: Caller) -> bytes:
        """All that a caller may see; those who may see the same share it, or thousands of callers would have a copy each."""
        seen = self._seen.get(caller)
        if seen is None:
            seen = self._seen[caller] = tuple(place for place, (event, _) in enumerate(self.events) if may_see(caller, event))
        found = self._pieces.get(seen)
        if found is None:
            found = self._pieces[seen] = b"".join(self.events[place][1] for place in seen)
        return found


class Follower(msgspec.Struct, eq=False):
    """One client and what it could not be told."""

    stream: EventStream
    caller: Caller
    clock: Clock
    _after: int
    """The last event that happened before it came."""
    _missed: int = 0
    _patience: IDelayedCall | None = None

    def __post_init__(self) -> None:
        self.stream.resumed = self._resumed

    def repeat(self, missed: int, events: tuple[BusEvent, ...]) -> None:
        """Tells what happened before it came, and how much of that is remembered no more."""
        if missed:
            self.stream.data(events_wire.lagged(missed))
        for event in events:
            if may_see(self.caller, event):
                self._put(framed(encoded(events_wire.frame(event)), event.number))

    def told(self, happened: Round) -> None:
        """Something happened."""
        if not happened.events:
            return
        if not self.stream.is_slow and happened.events[0][0].number > self._after:
            self.stream.piece(happened.piece(self.caller))
            return
        for frame in happened.frames(self.caller, self._after):
            self._put(frame)

    def _put(self, frame: bytes) -> None:
        if self.stream.is_slow:
            self._wait()
        if self._missed or self.stream.waiting_bytes > MOST_WAITING_BYTES:
            self._missed += 1
        else:
            self.stream.piece(frame)

    def stop(self) -> None:
        """Nobody is told any more."""
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._patience = None

    def _wait(self) -> None:
        if self._patience is None:
            self._patience = self.clock.call_later(SLOW_SECONDS, self.stream.cut)

    def _resumed(self) -> None:
        self.stop()
        missed, self._missed = self._missed, 0
        if missed:
            self.stream.data(events_wire.lagged(missed))
