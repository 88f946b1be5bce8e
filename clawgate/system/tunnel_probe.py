"""Asks a custom tunnel's health URL now and then. Ring: system. Source: rantaiclaw.md §2 (`[tunnel.custom] health_url`).

The operator wrote the URL, so it may point anywhere; redirects are not followed and bodies not read.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
from twisted.internet import protocol
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IAgent, IResponse

from clawgate.ports.clock import Clock
from clawgate.ports.events import ComponentHealth

_log = Logger()
EVERY_SECONDS = 30.0
TIMEOUT_SECONDS = 10.0


class Probe(Protocol):
    """Watches a tunnel's health URL while its program runs."""

    def start(self, url: str) -> None:
        """Begins; reports by itself."""

    def stop(self) -> None:
        """Ends; idempotent."""


class HealthProbe(msgspec.Struct, eq=False):
    """Reports `component` well while the URL answers below 500, and failed otherwise."""

    agent: IAgent
    clock: Clock
    health: ComponentHealth
    component: str
    _url: str = ""
    _timer: IDelayedCall | None = None
    _asking: Deferred[None] | None = None

    def start(self, url: str) -> None:
        """Asks after 30 seconds for the first time, then every 30 seconds."""
        self.stop()
        self._url = url
        self._timer = self.clock.call_later(EVERY_SECONDS, self._ask)

    def stop(self) -> None:
        """Asks no more; idempotent."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()

    def _ask(self) -> None:
        self._timer = self.clock.call_later(EVERY_SECONDS, self._ask)
        if self._asking is None or self._asking.called:
            self._asking = Deferred.fromCoroutine(self._answer()).addErrback(_stopped)

    async def _answer(self) -> None:
        request = self.agent.request(b"GET", self._url.encode("ascii", "replace"))
        timer = self.clock.call_later(TIMEOUT_SECONDS, request.cancel)
        try:
            response: IResponse = await request
            response.deliverBody(_HangUp())
            problem = "" if response.code < 500 else f"the health URL answers {response.code}"
        except CancelledError:
            if timer.active():
                raise
            problem = "the health URL does not answer in time"
        except Exception as error:
            problem = f"the health URL cannot be reached: {type(error).__name__}"
        finally:
            if timer.active():
                timer.cancel()
        self._report(problem)

    def _report(self, problem: str) -> None:
        if problem:
            self.health.failed(self.component, problem)
        else:
            self.health.ok(self.component)


def _stopped(failure: Failure) -> None:
    if not failure.check(CancelledError):
        _log.failure("the tunnel's health URL could not be asked", failure)


class _HangUp(protocol.Protocol):
    """Wants no body."""

    def connectionMade(self) -> None:
        """Closes the connection at once."""
        if self.transport is not None:
            self.transport.loseConnection()
