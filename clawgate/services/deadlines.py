"""Waiting no longer than so long. Ring: services. Source: style.md ("every wait has a deadline from the injected clock")."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall

from clawgate.ports.clock import Clock

_T = TypeVar("_T")


class Expired(Exception):
    """The time ran out before the wait did; whoever waits says what that means."""


async def within(waiting: Deferred[_T], seconds: float, clock: Clock) -> _T:
    """What `waiting` comes to. It is cancelled when the time runs out, and when whoever waits is cancelled.

    Raises:
        Expired: the time ran out, and the cancelled wait had nothing else to say.
        CancelledError: somebody else cancelled.
    """
    if waiting.called and not waiting.paused:
        return await waiting
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        waiting.cancel()

    timer = clock.call_later(seconds, expire)
    try:
        return await waiting
    except CancelledError:
        if expired:
            raise Expired from None
        raise
    finally:
        if timer.active():
            timer.cancel()


class Watch(msgspec.Struct):
    """Waits of one length that nearly all end long before it: they share a timer.

    Attributes:
        seconds: the longest wait.
        problem: what a wait fails with when its time has run out.
    """

    seconds: float
    problem: Callable[[], Exception]
    clock: Clock
    _waits: deque[tuple[float, Deferred[Any]]] = msgspec.field(default_factory=deque)  # until when; Any: of every kind
    _timer: IDelayedCall | None = None

    def over(self, waiting: Deferred[_T]) -> Deferred[_T]:
        """`waiting` itself. Whoever fires it looks first whether it was called, as `shielded` does."""
        if waiting.called:
            return waiting
        self._forget_ended()
        self._waits.append((self.clock.monotonic() + self.seconds, waiting))
        if self._timer is None:
            self._timer = self.clock.call_later(self.seconds, self._look)
        return waiting

    def close(self) -> None:
        """Takes the timer back if nothing waits; nothing more will."""
        self._forget_ended()
        if self._timer is not None and not self._waits:
            self._timer.cancel()
            self._timer = None

    def _forget_ended(self) -> None:
        """Those at the front; the order of ends is about that of beginnings."""
        while self._waits and self._waits[0][1].called:
            self._waits.popleft()

    def _look(self) -> None:
        now, late = self.clock.monotonic(), []
        while self._waits and self._waits[0][0] <= now:
            late.append(self._waits.popleft()[1])
        self._forget_ended()
        self._timer = self.clock.call_later(self._waits[0][0] - now, self._look) if self._waits else None
        for waiting in late:
            if not waiting.called:
                waiting.errback(self.problem())
