"""What must be written down before anything else happens. Ring: services. Source: design §1 (a store that refuses holds up, it loses nothing)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred

from clawgate.domain.errors import StoreUnavailable
from clawgate.ports.clock import Clock

_T = TypeVar("_T")
_RETRY_SECONDS = 1.0


async def written(write: Callable[[], Deferred[_T]], clock: Clock) -> _T:
    """What the write comes to; it is tried again, every second, for as long as the store refuses."""
    while True:
        try:
            return await write()
        except StoreUnavailable:
            await clock.sleep(_RETRY_SECONDS)
