"""The rows of the audit log, and the one way to write into it. Ring: ports. Source: domain/audit.py. The errors are those of `ports.stores`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

from clawgate.domain.audit import Action, Deed, Entry, Link, Outcome, Verdict

T = TypeVar("T")


class AuditRows(Protocol):
    """The log as it is kept: entries are added at the end and go, when they are old, from the front; none is ever changed."""

    def append(self, deed: Deed) -> Deferred[Link]:
        """Adds a deed at the end. Operations of other rows that take a `Deed` do the same in their own commit."""

    def head(self) -> Deferred[Link]:
        """The last entry's link; the anchor when there is none."""

    def page(self, since_ms: int, actions: frozenset[str], before: int, limit: int) -> Deferred[tuple[Entry, ...]]:
        """Entries, newest first.

        Args:
            since_ms: no older ones; 0 = all.
            actions: empty = all.
            before: only with smaller numbers; 0 = from the end.
        """

    def verify(self, noted: Link | None) -> Deferred[Verdict]:
        """Looks at every entry, in one reading (`domain.audit.verify`). Raises BadRequest (errback): the noted head has been pruned."""

    def check_end(self, entries: int) -> Deferred[Verdict]:
        """Looks at the newest so many entries only."""

    def prune(self, before_ms: int, now_ms: int, most: int) -> Deferred[int]:
        """Forgets at most `most` entries from the front, while they are older than `before_ms`; the same commit moves the anchor and records it.

        Returns how many went.
        """


class Recorder(Protocol):
    """Writes down what somebody did. Which of the ways a caller takes decides what happens when the log cannot be written."""

    def deed(self, action: Action, actor: str, subject: str = "", outcome: Outcome = Outcome.OK, **detail: object) -> Deed | None:
        """For an operation of the store that writes it in the same commit; None = nothing is recorded."""

    def record(self, action: Action, actor: str, subject: str = "", outcome: Outcome = Outcome.OK, **detail: object) -> Deferred[None]:
        """Fires when it is on disk; errbacks with StoreUnavailable, and then what was to be done must not be."""

    def attempt(self, action: Action, actor: str, subject: str = "", outcome: Outcome = Outcome.OK, **detail: object) -> Deferred[None]:
        """For what happens in any case: never fails, says so in the log. It may be awaited or left alone."""

    def despite(self, deed: Deed | None, write: Callable[[Deed | None], Deferred[T]]) -> Deferred[T]:
        """`write(deed)`; when the store refuses that, `write(None)`: what must happen does, and the missing entry is told loudly."""
