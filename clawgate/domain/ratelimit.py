"""Who has asked too often. Ring: domain. Source: zeroclaw.md A1.7, B2 (auth limiter); construct-realtime.md §2.

Both limiters are bounded maps with times handed in (monotonic seconds). A denied attempt is not recorded, so a hammering client recovers as soon as
its oldest accepted request leaves the window.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque

WINDOW_SECONDS = 60.0
SWEEP_SECONDS = 300.0
DEFAULT_MAX_KEYS = 10_000


class SlidingWindow:
    """At most `limit` accepted requests per key in any 60 seconds.

    Keys are kept in the order of their last accepted request, so evicting the stalest costs nothing.
    """

    def __init__(self, limit: int, max_keys: int = DEFAULT_MAX_KEYS) -> None:
        """
        Args:
            limit: 0 = unlimited, and nothing is stored.
            max_keys: clients remembered at once; 0 = 10,000.
        """
        self.limit = limit
        self.max_keys = max_keys or DEFAULT_MAX_KEYS
        self._hits: OrderedDict[str, deque[float]] = OrderedDict()
        self._last_sweep = 0.0

    def allow(self, key: str, now: float) -> bool:
        """Whether this request is accepted; if so it counts."""
        if self.limit == 0:
            return True
        if now - self._last_sweep >= SWEEP_SECONDS:
            self._sweep(now)
        hits = self._hits.get(key)
        if hits is None:
            hits = self._admit(key, now)
        cutoff = now - WINDOW_SECONDS
        while hits and hits[0] <= cutoff:
            hits.popleft()
        if len(hits) >= self.limit:
            return False
        hits.append(now)
        self._hits.move_to_end(key)
        return True

    def __len__(self) -> int:
        return len(self._hits)

    def _admit(self, key: str, now: float) -> deque[float]:
        if len(self._hits) >= self.max_keys:
            self._sweep(now)
            if len(self._hits) >= self.max_keys:
                self._hits.popitem(last=False)
        return self._hits.setdefault(key, deque())

    def _sweep(self, now: float) -> None:
        self._last_sweep = now
        cutoff = now - WINDOW_SECONDS
        while self._hits:
            key, hits = next(iter(self._hits.items()))
            if hits and hits[-1] > cutoff:
                return
            del self._hits[key]


class FailureLimiter:
    """Locks a client for `lockout_seconds` once `attempts` failures lie within `window_seconds`.

    Used for bearer failures (`auth_limiter`) and for wrong pairing codes (`pairing_limiter`).
    """

    def __init__(
        self,
        *,
        attempts: int,
        window_seconds: float,
        lockout_seconds: float = 300.0,
        max_keys: int = DEFAULT_MAX_KEYS,
        idle_seconds: float | None = None,
    ) -> None:
        """
        Args:
            attempts: failures that lock.
            window_seconds: failures older than this do not count; infinity = all count until the client was idle.
            lockout_seconds: how long a lock lasts.
            max_keys: clients remembered at once; 0 = 10,000.
            idle_seconds: a client without a failure or lock for so long is forgotten; None = the window, at least 300 s.
        """
        self.attempts, self.window_seconds, self.lockout_seconds = attempts, window_seconds, lockout_seconds
        self.max_keys = max_keys or DEFAULT_MAX_KEYS
        self.idle_seconds = max(window_seconds, SWEEP_SECONDS) if idle_seconds is None else idle_seconds
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._locked_until: OrderedDict[str, float] = OrderedDict()

    def locked_for(self, key: str, now: float) -> int:
        """Whole seconds until `key` may try again, at least 1 while it is locked; 0 when it is free.

        An expired lock is forgotten together with its failures.
        """
        until = self._locked_until.get(key)
        if until is None:
            return 0
        if now >= until:
            del self._locked_until[key]
            self._failures.pop(key, None)
            return 0
        return max(1, int(until - now + 0.999))

    def record_failure(self, key: str, now: float) -> None:
        """Counts a failure; the last allowed one locks."""
        self._expire(key, now)
        failures = self._failures.setdefault(key, deque(maxlen=self.attempts))
        self._failures.move_to_end(key)
        while failures and failures[0] <= now - self.window_seconds:
            failures.popleft()
        failures.append(now)
        if len(failures) >= self.attempts:
            self._locked_until[key] = now + self.lockout_seconds
            self._locked_until.move_to_end(key)
        self._bound(now)

    def forget(self, key: str) -> None:
        """A success clears the client's own failures and nobody else's."""
        self._failures.pop(key, None)
        self._locked_until.pop(key, None)

    def __len__(self) -> int:
        return len(self._failures)

    def _expire(self, key: str, now: float) -> None:
        failures = self._failures.get(key)
        if failures and not self.locked_for(key, now) and now - failures[-1] >= self.idle_seconds:
            self._failures.pop(key, None)

    def _bound(self, now: float) -> None:
        while len(self._failures) > self.max_keys:
            key, _ = self._failures.popitem(last=False)
            self._locked_until.pop(key, None)
        while self._failures:
            key, failures = next(iter(self._failures.items()))
            idle_since = max(failures[-1], self._locked_until.get(key, 0.0)) if failures else 0.0
            if now - idle_since < self.idle_seconds:
                return
            self.forget(key)


def auth_limiter(max_keys: int = DEFAULT_MAX_KEYS) -> FailureLimiter:
    """For bad credentials: 10 failures in 60 s lock a client for 300 s (zeroclaw.md B2)."""
    return FailureLimiter(attempts=10, window_seconds=60.0, max_keys=max_keys)


def pairing_limiter(max_keys: int = DEFAULT_MAX_KEYS) -> FailureLimiter:
    """For wrong pairing codes: 5, whatever the time between them, lock a client for 300 s; 900 s idle clear it (construct-realtime.md §1.1)."""
    return FailureLimiter(attempts=5, window_seconds=math.inf, max_keys=max_keys, idle_seconds=900.0)
