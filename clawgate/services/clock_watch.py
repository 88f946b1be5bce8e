"""What waits in the store waits by the wall clock; this notices when that is set. Ring: services. Source: design §6, §7 (`reactor.seconds`).

    set back        whatever was put off by the clock as it was before would wait for the whole step too. It is due after its own wait, counted from now: no
                    wait is ever more than doubled, whatever the step
    set forward     what waits is due early; nothing is mended
    at the start    the clock may have been set while nothing ran: what waits is mended as after a step back

A step is a change of what lies between the wall clock and the steady one. There and back between two looks is not seen; what was put off in between is found
now and then, in `_ALWAYS_SECONDS` at the latest. What else goes by the wall clock, and why it may: docs/explanation/promises.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from clawgate.ports.clock import Clock
from clawgate.ports.events import Meter
from clawgate.services.repeating import every

_log = Logger()
_LOOK_SECONDS = 5.0
_ALWAYS_SECONDS = 600.0
_STEP_MS = 2_000
"""Less is the two clocks' own drift, or an NTP daemon that slews."""


class ClockWatch(msgspec.Struct, eq=False):
    """Looks at the two clocks while the gateway runs.

    Attributes:
        mends: take the time as it is now and correct what waits; each tells how much that was.
        wakes: whoever waits for something to be due looks again.
    """

    clock: Clock
    meter: Meter
    mends: Sequence[Callable[[int], Deferred[int]]]
    wakes: Sequence[Callable[[], object]]
    _offset_ms: float = 0.0
    _mended_at: float = 0.0
    _is_set: bool = False
    _loop: Deferred[None] | None = None

    async def start(self) -> None:
        """Mends what a clock did while nothing ran, and begins to look. Raises StoreUnavailable."""
        self._offset_ms = self._offset()
        await self._mend()
        self._loop = every(_LOOK_SECONDS, self.look, self.clock)

    async def stop(self) -> None:
        """Looks no more."""
        if self._loop is not None:
            self._loop.cancel()

    async def look(self) -> None:
        """Compares the clocks, and mends what waits if one was set, or if that was last done long ago. One that fails is made up for by the next."""
        stepped_ms = self._offset() - self._offset_ms
        self._offset_ms += stepped_ms
        if abs(stepped_ms) > _STEP_MS:
            self._is_set = True
            self.meter.count("clock_steps_total")
            _log.warn("the wall clock was set by {seconds:+.1f} s", seconds=stepped_ms / 1000)
        if self._is_set or self.clock.monotonic() - self._mended_at >= _ALWAYS_SECONDS:
            await self._mend()

    async def _mend(self) -> None:
        mended = 0
        for mend in self.mends:
            mended += await mend(self.clock.wall_ms())
        if mended:
            _log.warn("{count} waits had been counted by a clock that was ahead; they are counted from now", count=mended)
        if mended or self._is_set:
            for wake in self.wakes:
                wake()
        self._is_set, self._mended_at = False, self.clock.monotonic()

    def _offset(self) -> float:
        return self.clock.wall_ms() - self.clock.monotonic() * 1000
