"""Something that is looked up again only after a while. Ring: services. Source: design §8 (know what a turn costs)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec
from twisted.internet.defer import Deferred

from clawgate.ports.clock import Clock

_T = TypeVar("_T")


class Cached(msgspec.Struct, Generic[_T], eq=False):
    """The value of `load`, at most `seconds` old.

    While it is loaded again, those who come meanwhile get the value from before; a load that fails is tried again by whoever comes next.
    """

    load: Callable[[], Deferred[_T]]
    clock: Clock
    seconds: float
    _held: list[_T] = []
    _due: float = 0.0
    _generation: int = 0

    async def get(self) -> _T:
        """The value; raises what `load` raises."""
        if self._held and self.clock.monotonic() < self._due:
            return self._held[0]
        return await self.refresh()

    async def refresh(self) -> _T:
        """The value as it is now."""
        generation = self._generation
        self._due = self.clock.monotonic() + self.seconds
        try:
            value = await self.load()
        except BaseException:
            self._due = 0.0
            raise
        if generation == self._generation:
            self._held = [value]
        return value

    def invalidate(self) -> None:
        """It changed: the next to come loads it, and what is being loaded now is not kept."""
        self._held, self._due, self._generation = [], 0.0, self._generation + 1
