"""What the log says of refused requests: each, until somebody floods us. Ring: edge (web). Source: design §6, §7."""

from __future__ import annotations

from collections import Counter

import msgspec
from twisted.logger import Logger
from twisted.web.server import Request

from clawgate.ports.clock import Clock

_log = Logger()
MOST_A_SECOND = 50
"""Lines; what is refused besides in the same second is one line that counts it, so that nobody fills a disk with 401s, or slows others down by writing them."""
_SHOWN_CHARS = 256


class RefusalLog(msgspec.Struct, eq=False):
    """Notes answers of 400 and above."""

    clock: Clock
    _until: float = 0.0
    _noted: int = 0
    _counted: Counter[int] = msgspec.field(default_factory=Counter)

    def note(self, request: Request, request_id: bytes, status: int, client: str, why: str = "") -> None:
        """One refusal.

        Args:
            client: the client key.
            why: what the answer does not say, "" = nothing more.
        """
        now = self.clock.monotonic()
        if now >= self._until and not self._counted:
            self._until, self._noted = now + 1.0, 0
        if self._noted >= MOST_A_SECOND:
            if not self._counted:
                self.clock.call_later(max(0.0, self._until - now), self._tell_counted)
            self._counted[status] += 1
            return
        self._noted += 1
        _log.info(
            "{id} {method} {path} {status} {client}: {why}" if why else "{id} {method} {path} {status} {client}",
            id=request_id.decode(),
            method=request.method.decode("latin-1")[:16],
            path=request.path.decode("latin-1")[:_SHOWN_CHARS],
            status=status,
            client=client,
            why=why,
        )

    def _tell_counted(self) -> None:
        counted, self._counted = self._counted, Counter()
        statuses = ", ".join(f"{count} × {status}" for status, count in sorted(counted.items()))
        _log.info("{count} more requests were refused within a second: {statuses}", count=counted.total(), statuses=statuses)
