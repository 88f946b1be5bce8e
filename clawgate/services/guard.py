"""Limits at the door. Ring: services. Source: design §4.6; construct-realtime.md §2; zeroclaw.md B2 (auth limiter)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from clawgate.domain.caller import Peer
from clawgate.domain.errors import RateLimited
from clawgate.domain.ratelimit import WINDOW_SECONDS, FailureLimiter, SlidingWindow
from clawgate.ports.clock import Clock
from clawgate.ports.events import Meter


class Guard(msgspec.Struct):
    """The sliding windows and the count of failed credentials."""

    windows: Mapping[str, SlidingWindow]
    failures: FailureLimiter
    clock: Clock
    meter: Meter

    def admit(self, limiter: str, peer: Peer) -> None:
        """Counts a request against a window.

        Raises:
            RateLimited: the window is full; `retry_after_seconds` is the window's length, as the contract has it.
        """
        if not peer.is_operator and not self.windows[limiter].allow(peer.client, self.clock.monotonic()):
            raise RateLimited(limiter, int(WINDOW_SECONDS))

    def check_failures(self, peer: Peer) -> None:
        """Refuses a client that failed too often. Asked only once a credential has turned out wrong, so a good one is never blocked by others.

        Raises:
            RateLimited: limiter "auth".
        """
        locked = self.failures.locked_for(peer.client, self.clock.monotonic())
        if locked and not peer.is_local:
            raise RateLimited("auth", locked)

    def refused(self, peer: Peer, surface: str, *, counts: bool) -> None:
        """Notes a bearer that opened nothing.

        Args:
            counts: whether it counts towards the lock. On the API it does not, as upstream: a dashboard that polls with a token just revoked must
                still be able to pair again.

        Raises:
            RateLimited: limiter "auth", for one that counts.
        """
        if counts:
            self.check_failures(peer)
            self.record_failure(peer, surface)
        else:
            self.meter.count("auth_failures_total", surface)

    def record_failure(self, peer: Peer, surface: str) -> None:
        """Counts a wrong credential; a local peer cannot lock itself out."""
        self.meter.count("auth_failures_total", surface)
        if not peer.is_local:
            self.failures.record_failure(peer.client, self.clock.monotonic())
