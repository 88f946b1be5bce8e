"""Shapes of `/api/subscriptions`. Ring: edge, under the domain rule. Source: docs/howto/subscriptions.md."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from clawgate.domain.settings.model import SubscriptionSettings
from clawgate.domain.subscriptions import Attempt, Condition, Line
from clawgate.domain.times import rfc3339, rfc3339_or_none


def subscription_object(line: Line, own: SubscriptionSettings | None) -> dict[str, object]:
    """A subscription as operators see it; of the URL what carries no secret.

    Args:
        own: None = it is not configured any more.
    """
    subscriber, head = line.subscriber, line.head
    is_due = subscriber.condition is Condition.ACTIVE and head is not None and subscriber.due_ms > 0
    return {
        "name": subscriber.name,
        "state": "removed" if own is None else subscriber.condition if own.enabled else "disabled",
        "reason": subscriber.reason or None,
        "url": None if own is None else _plain(own.url.reveal()),
        "events": None if own is None else list(own.events),
        "queued": subscriber.depth,
        "oldest_at": None if head is None else rfc3339(head.at_ms),
        "missed": subscriber.missed,
        "delivered": subscriber.delivered,
        "attempts": subscriber.attempts,
        "next_attempt_at": rfc3339(subscriber.due_ms) if is_due else None,
        "failing_since": rfc3339_or_none(subscriber.failing_since_ms or None),
        "last_status": subscriber.last_status,
        "last_error": subscriber.last_error or None,
        "last_attempt_at": rfc3339_or_none(subscriber.last_attempt_ms or None),
        "last_success_at": rfc3339_or_none(subscriber.last_success_ms or None),
    }


def whole_object(line: Line, own: SubscriptionSettings | None, attempts: Iterable[Attempt]) -> dict[str, object]:
    """The same with the head of its line and its last attempts, newest first."""
    head = line.head
    waiting = None if head is None else {"id": head.id, "type": head.kind, "timestamp": rfc3339(head.at_ms)}
    return subscription_object(line, own) | {"head": waiting, "recent_attempts": [_attempt_object(attempt) for attempt in attempts]}


def _attempt_object(attempt: Attempt) -> dict[str, object]:
    return {
        "id": attempt.id,
        "type": attempt.kind,
        "attempt": attempt.number,
        "at": rfc3339(attempt.at_ms),
        "duration_ms": attempt.duration_ms,
        "status": attempt.status,
        "error": attempt.error or None,
    }


def _plain(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/…" if parts.path.strip("/") or parts.query else f"{parts.scheme}://{parts.netloc}"
