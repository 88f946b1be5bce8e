"""The machine's time, chance and names. Ring: system (edge). Source: design §7, codebases.md T11."""

from __future__ import annotations

import contextvars
import os
import random
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from clawgate.domain import ids
from clawgate.ports.clock import Clock, Entropy

_DRAWN_BYTES = 1024
_UUID_MASK = (1 << 128) - 1 - (0xF << 76) - (0x3 << 62)
_UUID_VERSION_4 = (0x4 << 76) | (0x2 << 62)


def in_context(reactor: IReactorTime, delay_seconds: float, function: Callable[..., object], args: tuple[Any, ...]) -> IDelayedCall:
    """A timer whose call sees the context variables of whoever set it; Twisted's own `callLater` does not do that (T11).

    Args:
        args: whatever `function` takes.
    """
    return reactor.callLater(max(0.0, delay_seconds), contextvars.copy_context().run, function, *args)


def sleeping(reactor: IReactorTime, delay_seconds: float) -> Deferred[None]:
    """Fires after the delay; cancelling it stops the timer."""
    done: Deferred[None] = Deferred(lambda _: timer.cancel())
    timer = reactor.callLater(max(0.0, delay_seconds), done.callback, None)
    return done


class SystemClock:
    """The real clocks, and the reactor's timers."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def call_later(self, delay_seconds: float, function: Callable[..., object], *args: Any) -> IDelayedCall:  # Any: whatever `function` takes
        """Calls `function` once, later, in the caller's context; a delay below 0 is 0."""
        return in_context(self._reactor, delay_seconds, function, args)

    def sleep(self, delay_seconds: float) -> Deferred[None]:
        """Fires after the delay; cancelling it stops the timer."""
        return sleeping(self._reactor, delay_seconds)


class SystemEntropy:
    """The kernel's generator for secrets; a quick one of its own for jitter."""

    def __init__(self) -> None:
        self._jitter = random.Random(os.urandom(16))  # noqa: S311 - spreads waits, guards nothing

    def random_bytes(self, count: int) -> bytes:
        """Bytes of a cryptographic generator."""
        return os.urandom(count)

    def jitter(self) -> float:
        """In [0, 1)."""
        return self._jitter.random()


class SystemIds:
    """Ids of this process: time-ordered, never twice, whatever the wall clock does. For the reactor's thread only."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock, self._entropy, self._previous = clock, entropy, 0
        self._drawn = b""

    def next_id(self) -> str:
        """A time-ordered id, 16 hexadecimal digits."""
        noise = int(self._entropy.jitter() * 0x10000)
        self._previous = ids.next_id(self._previous, self._clock.wall_ms(), noise)
        return ids.to_text(self._previous)

    def go_on_after(self, number: int) -> None:
        """`ports.clock.Ids.go_on_after`."""
        self._previous = max(self._previous, number)

    def uuid(self) -> str:
        """A random UUID (version 4). Bytes are drawn in bulk: a system call for each would cost more than the rest of a message's accept."""
        if not self._drawn:
            self._drawn = self._entropy.random_bytes(_DRAWN_BYTES)
        own, self._drawn = self._drawn[:16], self._drawn[16:]
        digits = (int.from_bytes(own) & _UUID_MASK | _UUID_VERSION_4).to_bytes(16).hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
