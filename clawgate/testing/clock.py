"""Time, chance and names that a test decides. Ring: testing; implements `ports.clock`."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from clawgate.domain import ids
from clawgate.system.clock import in_context, sleeping

_MAX_CALLS = 100_000


class ManualClock:
    """Stands still until told. `advance` moves both clocks from timer to timer, as real time would; `step_wall` moves the wall clock alone.

    Attributes:
        reactor: the `IReactorTime` behind it, for code that takes one.
    """

    def __init__(self, wall_ms: int = 1_800_000_000_000) -> None:
        self.reactor = Clock()
        self._wall_ms = wall_ms

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self.reactor.seconds()

    def wall_ms(self) -> int:
        """The wall clock: where it was set, plus what was advanced since."""
        return self._wall_ms + round(self.reactor.seconds() * 1000)

    def set_wall(self, wall_ms: int) -> None:
        """Sets the wall clock; also back."""
        self._wall_ms = wall_ms - round(self.reactor.seconds() * 1000)

    def step_wall(self, delta_ms: int) -> None:
        """Moves the wall clock alone, as an administrator or NTP would."""
        self._wall_ms += delta_ms

    def call_later(self, delay_seconds: float, function: Callable[..., object], *args: Any) -> IDelayedCall:  # Any: whatever `function` takes
        """Calls `function` once, when the clock gets there, in the caller's context."""
        return in_context(self.reactor, delay_seconds, function, args)

    def sleep(self, delay_seconds: float) -> Deferred[None]:
        """Fires when the clock gets there; cancelling it stops the timer."""
        return sleeping(self.reactor, delay_seconds)

    def advance(self, seconds: float) -> None:
        """Lets `seconds` pass; every timer sees the time it was set for.

        Raises:
            AssertionError: timers keep setting each other without time passing.
        """
        target = self.reactor.seconds() + seconds
        for _ in range(_MAX_CALLS):
            due = min((call.getTime() for call in self.reactor.getDelayedCalls()), default=target)
            if due >= target:
                break
            self.reactor.advance(max(0.0, due - self.reactor.seconds()))
        else:
            raise AssertionError("the timers never come to rest")
        self.reactor.advance(max(0.0, target - self.reactor.seconds()))

    @property
    def pending(self) -> int:
        """Timers still set: 0 after a clean stop."""
        return len(self.reactor.getDelayedCalls())


class FixedEntropy:
    """The same bytes in the same order for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - meant to be predictable

    def random_bytes(self, count: int) -> bytes:
        """Predictable bytes."""
        return self._random.randbytes(count)

    def jitter(self) -> float:
        """Predictable, in [0, 1)."""
        return self._random.random()


class CountingIds:
    """1, 2, 3, … in the form of ids and UUIDs."""

    def __init__(self) -> None:
        self._ids = self._uuids = 0

    def next_id(self) -> str:
        """The next number as an item id."""
        self._ids += 1
        return ids.to_text(self._ids)

    def go_on_after(self, number: int) -> None:
        """`ports.clock.Ids.go_on_after`."""
        self._ids = max(self._ids, number)

    def uuid(self) -> str:
        """The next number as a UUID."""
        self._uuids += 1
        return str(uuid.UUID(int=self._uuids))
