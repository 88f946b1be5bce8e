"""Events for subscribers: their rows, and the way out. Ring: ports. Source: domain/subscriptions.py; as `ports.stores` for what a Deferred means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.subscriptions import Answered, Attempt, Effect, Event, Line, Subscriber, Unreached, Wish


class Moved(msgspec.Struct, frozen=True):
    """The committed subscriber after a step, and what follows."""

    subscriber: Subscriber
    effects: tuple[Effect, ...]


class SubscriptionRows(Protocol):
    """Subscribers, what waits for them, and what was tried.

    The outcome of an inbox item is put into line in the commit that makes it the outcome, whoever makes that commit; so are all its subscribers' lines.

    Attributes:
        told: called in the reactor's thread after a commit that may have put something into line.
    """

    told: Callable[[], None]

    def configure(self, wishes: Mapping[str, Wish]) -> Deferred[None]:
        """From this commit on, these subscriptions and no others are given what they ask for. What waits for others stays."""

    def publish(self, kind: str, at_ms: int, data: str) -> Deferred[None]:
        """Puts an event into the line of everybody who asks for its kind. A line that is full misses it, and counts it.

        Args:
            data: a JSON object.
        """

    def add(self, name: str, kind: str, at_ms: int, data: str) -> Deferred[str]:
        """Puts an event into one line, whatever its subscription asks for; returns its id.

        Raises (errback):
            NotFound: no such subscription. Overloaded: its line is full.
        """

    def lines(self) -> Deferred[tuple[Line, ...]]:
        """Every subscriber with its head, by name; also those that are not configured any more."""

    def line(self, name: str) -> Deferred[Line | None]:
        """One of them, or None."""

    def attempts(self, name: str, limit: int) -> Deferred[tuple[Attempt, ...]]:
        """The last attempts of a subscription, newest first."""

    def settle(self, name: str, event: Event, now_ms: int, attempt: Attempt | None = None) -> Deferred[Moved]:
        """Applies `event`; with NEXT, removes the delivery that `attempt` was about. Once there is room again, what was missed is told as an event.

        An attempt at a delivery that is no longer in line is noted and changes nothing else.

        Raises (errback):
            NotFound: no such subscription. Conflict: the event does not apply.
        """

    def mend_waits(self, now_ms: int) -> Deferred[int]:
        """`ports.stores.Inbox.mend_waits` for the heads of lines. Returns how many subscribers had been tried later than now."""

    def drop(self, name: str, *, is_last: bool) -> Deferred[int]:
        """Empties a line, and forgets the subscriber too with `is_last`. Returns how many deliveries went. Raises NotFound."""


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """One request.

    Attributes:
        timeout_seconds: for all of it.
        allow_private: whether it may lead to addresses that are not on the public internet.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout_seconds: float
    allow_private: bool


class Poster(Protocol):
    """The way out."""

    def post(self, outgoing: Outgoing) -> Deferred[Answered | Unreached]:
        """What came of one POST; no redirect is followed. Errbacks only when it is cancelled."""
