"""What chat connections are told besides what happens in their session. Ring: edge (web). Source: construct-realtime.md §12.4; zeroclaw.md B5.

As on `/api/events`: for who may read, and by the rules of `domain.events`. These frames have no number and are not repeated for who comes back. A client that
takes nothing misses them and is told how many, so that they never fill up what waits for it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.chat import ChatEvent
from clawgate.domain.events import BusEvent, may_see
from clawgate.ports.sockets import Socket
from clawgate.services.events import Events
from clawgate.web.answers import encoded
from clawgate.web.dialects import chat_frames_wire as wire
from clawgate.web.dialects.chat_frames_wire import Dialect


class Relays(msgspec.Struct, eq=False):
    """All connections share the texts of what was told last: it is written once, however many are told."""

    events: Events
    _last: object = None
    _texts: dict[Dialect, tuple[str, ...]] = {}

    def begin(self, socket: Socket) -> Relay:
        """Tells a connection of what happens from now on."""
        relay = Relay(self, socket)
        socket.watch_flow(relay.flow)
        relay.unwatch = self.events.watch_kinds(wire.RELAYED, relay.told)
        return relay

    def texts(self, dialect: Dialect, what: BusEvent | ChatEvent) -> tuple[str, ...]:
        """The frames of an event; the dialect may have none for it."""
        if what is not self._last:
            self._last, self._texts = what, {}
        if dialect not in self._texts:
            frames = wire.event(dialect, what) if isinstance(what, ChatEvent) else wire.relayed(dialect, what)
            self._texts[dialect] = tuple(encoded(frame).decode() for frame in frames)
        return self._texts[dialect]


class Relay(msgspec.Struct, eq=False):
    """One connection."""

    relays: Relays
    socket: Socket
    unwatch: Callable[[], None] = lambda: None
    _is_slow: bool = False
    _missed: int = 0

    def end(self) -> None:
        """Tells nothing more."""
        self.unwatch()

    def told(self, event: BusEvent) -> None:
        """Something happened."""
        if not (self.socket.caller.may(Scope.READ) and may_see(self.socket.caller, event)):
            return
        for text in self.relays.texts(wire.dialect_of(self.socket.subprotocol), event):
            if self._is_slow:
                self._missed += 1
            else:
                self.socket.send(text)

    def flow(self, is_slow: bool) -> None:
        """The client takes nothing for now, or takes everything again."""
        self._is_slow = is_slow
        if not is_slow and self._missed:
            missed, self._missed = self._missed, 0
            self.socket.send(encoded(wire.lagged(missed)).decode())
