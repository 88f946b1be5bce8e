"""Time, chance and names. Ring: ports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall


class Clock(Protocol):
    """Two clocks and a timer. Waits follow the monotonic clock; what is stored carries wall time."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def wall_ms(self) -> int:
        """Milliseconds since the epoch."""

    def call_later(self, delay_seconds: float, function: Callable[..., object], *args: Any) -> IDelayedCall:
        """Calls `function` once, later, in the context of the caller (contextvars included)."""

    def sleep(self, delay_seconds: float) -> Deferred[None]:
        """Fires after the delay; cancelling it stops the timer."""


class Entropy(Protocol):
    """Randomness for secrets and jitter."""

    def random_bytes(self, count: int) -> bytes:
        """Bytes of a cryptographic generator."""

    def jitter(self) -> float:
        """In [0, 1); for spreading waits, not for secrets."""


class Ids(Protocol):
    """Names for new things."""

    def next_id(self) -> str:
        """A time-ordered id, 16 hexadecimal digits (`domain.ids`)."""

    def go_on_after(self, number: int) -> None:
        """Gives no id up to this one any more: an earlier process gave it, perhaps by a clock that was ahead."""

    def uuid(self) -> str:
        """A random UUID in its usual form."""
