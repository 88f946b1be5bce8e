"""Work that is done again and again while the gateway runs. Ring: services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from clawgate.ports.clock import Clock

_log = Logger()


def every(seconds: float, work: Callable[[], Awaitable[None]], clock: Clock) -> Deferred[None]:
    """Does `work` each time so many seconds have passed, until it is cancelled; what fails is told to the log and done again the next time."""
    return Deferred.fromCoroutine(_rounds(seconds, work, clock)).addErrback(lambda failure: failure.trap(CancelledError) and None)


async def _rounds(seconds: float, work: Callable[[], Awaitable[None]], clock: Clock) -> None:
    while True:
        await clock.sleep(seconds)
        try:
            await work()
        except CancelledError:
            raise
        except Exception as problem:
            _log.warn("{work} failed: {problem} {detail}", work=work.__qualname__, problem=str(problem), detail=getattr(problem, "detail", ""))
