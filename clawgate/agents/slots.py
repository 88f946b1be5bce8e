"""How many calls to one backend run at once. Ring: agents. Source: design §3 (HTTP client), §6 (bounded everything)."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred, succeed

from clawgate.domain.errors import AgentOverloaded


class Slots:
    """A semaphore with a bounded line, first come first served.

    Args:
        limit: holders at once.
        waiting_limit: callers in the line; one more is refused.
    """

    def __init__(self, limit: int, waiting_limit: int) -> None:
        self._free = limit
        self._waiting_limit = waiting_limit
        self._waiting: deque[Deferred[None]] = deque()

    def acquire(self) -> Deferred[None]:
        """Fires when the caller holds a slot. Cancelling leaves the line.

        Raises (errback):
            AgentOverloaded: the line is full.
        """
        if self._free:
            self._free -= 1
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._waiting_remove)
        if len(self._waiting) >= self._waiting_limit:
            waiter.errback(AgentOverloaded("too many requests are waiting for the provider", detail=f"{self._waiting_limit} in line"))
        else:
            self._waiting.append(waiter)
        return waiter

    def release(self) -> None:
        """Gives the slot to the first in line."""
        if self._waiting:
            self._waiting.popleft().callback(None)
        else:
            self._free += 1

    def _waiting_remove(self, waiter: Deferred[None]) -> None:
        self._waiting.remove(waiter)
