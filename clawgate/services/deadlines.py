"""Waiting no longer than so long. Ring: services. Source: style.md ("every wait has a deadline from the injected clock")."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred

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
