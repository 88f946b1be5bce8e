"""The tunnel program as a supervised child. Ring: system. Source: zeroclaw.md A1.1 (step 6) and A1.2, rantaiclaw.md §2 (tunnel).

    stopped --start--> running --program ends--> waiting --backoff over--> running
       ^                  |                         |
       +------stop--------+-----------stop----------+

A tunnel that does not come up costs nobody anything: the gateway stays local, health says why, and it is tried again for ever, at most once a minute.
Its whole process group ends with it, with `stop`, and with the daemon.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain.errors import Conflict, Invalid
from clawgate.domain.redaction import Redactor
from clawgate.domain.settings.model import TunnelSettings
from clawgate.ports.clock import Clock, Entropy
from clawgate.ports.events import ComponentHealth
from clawgate.system import tunnel_wire
from clawgate.system.clock import SystemEntropy
from clawgate.system.leashed import LeashedProtocol, how_it_ended, leashed
from clawgate.system.tunnel_probe import HealthProbe, Probe
from clawgate.system.tunnel_wire import Lines, Plan

_log = Logger()
COMPONENT = "tunnel"
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 60.0
STEADY_SECONDS = 60.0
URL_GRACE_SECONDS = 3.0
KILL_AFTER_SECONDS = 5.0
_MAX_ENDED_WAIT_SECONDS = 2.0


class Tunnel(msgspec.Struct, eq=False, kw_only=True):
    """One tunnel, as `[tunnel]` describes it.

    Attributes:
        on_url: called with the public URL whenever it appears or changes.
        environment: what the child may inherit from; None = the process's own.
        probe: watches `tunnel.custom.health_url`; None = one that asks over HTTP.
        url: the public URL while the program runs, else None.
    """

    settings: TunnelSettings
    reactor: Any  # Any: IReactorProcess, and IReactorTCP when a health URL is to be asked
    clock: Clock
    health: ComponentHealth
    on_url: Callable[[str], None]
    entropy: Entropy = msgspec.field(default_factory=SystemEntropy)
    environment: Mapping[str, str] | None = None
    probe: Probe | None = None
    url: str | None = None
    _announced: str = ""
    _plan: Plan | None = None
    _redact: Redactor = msgspec.field(default_factory=Redactor)
    _child: _Child | None = None
    _failures: int = 0
    _started_seconds: float = 0.0
    _timer: IDelayedCall | None = None
    _patience: IDelayedCall | None = None
    _waiter: Deferred[str | None] | None = None

    def start(self, host: str, port: int) -> Deferred[str | None]:
        """Runs the program; fires with the public URL, or with None when there is none within `start_timeout_secs`; then it goes on trying.

        Args:
            host: where the gateway listens.
            port: its real port.

        Raises (errback):
            Invalid: the settings cannot work. A program that is not installed is no such error: it may be, later.
            Conflict: it runs already.
        """
        if self._plan is not None:
            return fail(Conflict("the tunnel runs already"))
        try:
            self._plan = tunnel_wire.plan(self.settings, host, port)
        except Invalid as problem:
            return fail(problem)
        if self._plan is None:
            return succeed(None)
        for _, secret in self._plan.environment:
            self._redact.register(secret)
        self._failures, self._waiter = 0, Deferred()
        waiting = self._waiter
        self._patience = self.clock.call_later(self.settings.start_timeout_secs, self._out_of_patience)
        self._run()
        return waiting

    def stop(self) -> Deferred[None]:
        """Ends the program and everything it started; idempotent."""
        self._plan, self.url, self._announced = None, None, ""
        self._settle(None)
        self._cancel_timer()
        if self.probe is not None:
            self.probe.stop()
        return self._child.end() if self._child is not None else succeed(None)

    def _run(self) -> None:
        plan = self._plan
        if plan is None or self._child is not None:
            return
        self._started_seconds = self.clock.monotonic()
        inherited = tunnel_wire.inherited(os.environ if self.environment is None else self.environment)
        program = shutil.which(plan.argv[0], path=inherited.get("PATH", os.defpath))
        if program is None:
            self._ended(str(Invalid("tunnel.provider", f'the program "{plan.argv[0]}" is not on the PATH', plan.install)))
            return
        environment = {**inherited, **{name: secret.reveal() for name, secret in plan.environment}}
        self._child = child = _Child(self.clock, lambda line: self._line(child, line), lambda why: self._gone(child, why))
        _log.info("starting tunnel {provider}: {program}", provider=plan.provider, program=plan.argv[0])
        try:
            self.reactor.spawnProcess(child, sys.executable, leashed([program, *plan.argv[1:]]), env=environment)
        except OSError as problem:
            self._gone(child, f"cannot be started: {problem.strerror}")
            return
        if plan.health_url:
            self._watch(plan.health_url)

    def _watch(self, url: str) -> None:
        if self.probe is None:
            from twisted.web.client import Agent  # nobody else here needs HTTP

            self.probe = HealthProbe(Agent(self.reactor, connectTimeout=10), self.clock, self.health, COMPONENT)
        self.probe.start(url)

    def _line(self, child: _Child, line: str) -> None:
        plan = self._plan
        if plan is None or child is not self._child:
            return
        _log.debug("tunnel: {line}", line=self._redact.untrusted(line))
        said = tunnel_wire.report(plan, line)
        if said.is_up:
            self.health.ok(COMPONENT)
        if said.url:
            self._has_url(said.url)
        elif said.is_up and self.url is None:
            self._cancel_timer()
            self._timer = self.clock.call_later(URL_GRACE_SECONDS, self._settle, None)

    def _has_url(self, url: str) -> None:
        if url == self.url or (self.url is not None and self.settings.provider == "custom"):
            return  # a custom program may print other URLs later; the first one counts
        self.url = url
        self._cancel_timer()
        _log.info("tunnel is up: {url}", url=url)
        if url != self._announced:
            self._announced = url
            try:
                self.on_url(url)
            except Exception:
                _log.failure("the tunnel's URL could not be announced")
        self._settle(url)

    def _gone(self, child: _Child, why: str) -> None:
        if child is self._child:
            self._child = None
            if self.probe is not None:
                self.probe.stop()
            self._ended(why)

    def _ended(self, why: str) -> None:
        """Waits longer each time, unless the program had run well for a while."""
        self.url = None
        if self._plan is None:
            return
        problem = self._redact.untrusted(why)
        if self.clock.monotonic() - self._started_seconds >= STEADY_SECONDS:
            self._failures = 0
        wait = min(FIRST_WAIT_SECONDS * 2.0 ** min(self._failures, 16), LONGEST_WAIT_SECONDS) * (0.5 + self.entropy.jitter() / 2)
        self._failures += 1
        self.health.failed(COMPONENT, problem)
        _log.warn("tunnel is down: {problem}; trying again in {wait:.1f} s", problem=problem, wait=wait)
        self._cancel_timer()
        self._timer = self.clock.call_later(wait, self._again)

    def _again(self) -> None:
        self.health.restarted(COMPONENT)
        self._run()

    def _out_of_patience(self) -> None:
        if self._waiter is not None:
            seconds = self.settings.start_timeout_secs
            _log.warn("the tunnel shows no public URL after {seconds} s; the gateway goes on without, and it is tried further", seconds=seconds)
            if self._child is not None and self.settings.provider == "custom":
                self.health.ok(COMPONENT)  # such a program need not print one: that it still runs is all that can be known
            elif self._child is not None:
                self.health.failed(COMPONENT, f"no public URL after {seconds} s")
        self._settle(None)

    def _settle(self, url: str | None) -> None:
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        waiter, self._waiter, self._patience = self._waiter, None, None
        if waiter is not None:
            waiter.callback(url)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


class _Child(LeashedProtocol):
    """One run of the program: its lines and its end."""

    def __init__(self, clock: Clock, on_line: Callable[[str], None], on_end: Callable[[str], None]) -> None:
        super().__init__(clock, KILL_AFTER_SECONDS, _MAX_ENDED_WAIT_SECONDS)
        self._on_line, self._on_end = on_line, on_end
        self._streams = {1: Lines(), 2: Lines()}
        self._last_line = ""

    def connectionMade(self) -> None:
        """It runs; it has nothing to read."""
        super().connectionMade()
        if self.transport is not None:
            self.transport.closeStdin()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Output, of either kind."""
        for line in self._streams[childFD].feed(data):
            self._say(line)

    def _say(self, line: str) -> None:
        if line.strip():
            self._last_line = line.strip()
        self._on_line(line)

    def ended(self, reason: Failure) -> None:
        """The last words, and how."""
        for stream in self._streams.values():
            rest = stream.rest()
            if rest:
                self._say(rest)
        self._on_end(f"the program ended with {how_it_ended(reason)}" + (f": {self._last_line}" if self._last_line else ""))
