"""The audit log: written while the gateway works, verified when somebody asks. Ring: services. Source: domain/audit.py; docs/howto/audit.md.

Whoever does something that is recorded asks a `Recorder`:

    same commit     `deed`: pairing, revocation, approvals, tool calls: the entry and the row it is about are committed together
    fail closed     `record`: configuration, commands, logins: no entry, no deed
    in any case     `attempt`, `despite`: revocations, denials, the end of the process, what is already over: without its entry it is said loudly

What strangers can set off at will (lockouts, wrong passwords) is bounded: `attempt` keeps some a minute of each such action, and counts the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain import audit
from clawgate.domain.audit import Action, Deed, Entry, Link, Outcome, Verdict
from clawgate.domain.errors import GatewayError, Overloaded, StoreUnavailable
from clawgate.domain.ratelimit import SlidingWindow
from clawgate.ports.audit import AuditRows, Recorder
from clawgate.ports.clock import Clock
from clawgate.ports.events import ComponentHealth, Meter

_log = Logger()
_T = TypeVar("_T")
COMPONENT = "audit"
CHECKED_AT_START = 1_000
MOST_PAGE = 500
_MOST_PRUNED = 10_000
_DAY_MS = 86_400_000
_STRANGERS = frozenset({Action.LOCKED_OUT, Action.LOGIN, Action.CODE_BURNED})
MOST_OF_STRANGERS_PER_MINUTE = 60


class _Nothing:
    """A `Recorder` that records nothing."""

    def deed(self, action: Action, actor: str, subject: str = "", outcome: Outcome = Outcome.OK, **detail: object) -> Deed | None:
        """None."""
        return None

    def record(self, action: Action, actor: str, subject: str = "", outcome: Outcome = Outcome.OK, **detail: object) -> Deferred[None]:
        """At once."""
        return succeed(None)

    def attempt(self, action: Action, actor: str, subject: str = "", outcome: Outcome = Outcome.OK, **detail: object) -> Deferred[None]:
        """At once."""
        return succeed(None)

    def despite(self, deed: Deed | None, write: Callable[[Deed | None], Deferred[_T]]) -> Deferred[_T]:
        """`write(None)`."""
        return write(None)


NOT_RECORDED: Recorder = _Nothing()
"""For a gateway with `[audit] enabled = false`, and for parts that stand alone."""


class Audit(msgspec.Struct, eq=False):
    """The log of this gateway; a `Recorder`."""

    rows: AuditRows
    clock: Clock
    meter: Meter
    health: ComponentHealth
    retention_days: int
    _was_broken: bool = False
    _is_verifying: bool = False
    _strangers: SlidingWindow = msgspec.field(default_factory=lambda: SlidingWindow(MOST_OF_STRANGERS_PER_MINUTE))

    # --- writing

    def deed(self, action: Action, actor: str, subject: str = "", outcome: Outcome = Outcome.OK, **detail: object) -> Deed:
        """`ports.audit.Recorder.deed`."""
        self.meter.count("audit_entries_total", action.value)
        said = {name: value for name, value in detail.items() if value is not None}
        return audit.deed(self.clock.wall_ms(), action, actor, subject, outcome=outcome, detail=said)

    def record(self, action: Action, actor: str, subject: str = "", outcome: Outcome = Outcome.OK, **detail: object) -> Deferred[None]:
        """`ports.audit.Recorder.record`."""
        deed = self.deed(action, actor, subject, outcome, **detail)
        return self.rows.append(deed).addCallbacks(lambda _: None, self._not_written, errbackArgs=(action,))

    def attempt(self, action: Action, actor: str, subject: str = "", outcome: Outcome = Outcome.OK, **detail: object) -> Deferred[None]:
        """`ports.audit.Recorder.attempt`."""
        if action in _STRANGERS and not self._strangers.allow(action.value, self.clock.monotonic()):
            self.meter.count("audit_left_out_total")
            return succeed(None)
        return self.record(action, actor, subject, outcome, **detail).addErrback(lambda failure: failure.trap(GatewayError) and None)

    def despite(self, deed: Deed | None, write: Callable[[Deed | None], Deferred[_T]]) -> Deferred[_T]:
        """`ports.audit.Recorder.despite`."""

        def without(failure: Failure) -> Deferred[_T]:
            failure.trap(StoreUnavailable)
            self._tell(deed.action if deed is not None else "", failure)
            return write(None)

        return write(deed).addErrback(without)

    def _not_written(self, failure: Failure, action: Action) -> Failure:
        self._tell(action.value, failure)
        return failure

    def _tell(self, action: str, failure: Failure) -> None:
        self.meter.count("audit_failures_total")
        problem = failure.value
        _log.error("{action} is not in the audit log: {problem} {detail}", action=action, problem=str(problem), detail=getattr(problem, "detail", ""))

    # --- looking

    async def page(self, since_ms: int, actions: frozenset[str], before: int, limit: int) -> tuple[Entry, ...]:
        """Entries, newest first (`ports.audit.AuditRows.page`); at most `MOST_PAGE`."""
        return await self.rows.page(since_ms, actions, before, min(limit, MOST_PAGE))

    async def head(self) -> Link:
        """Where the log ends now; to be noted somewhere else."""
        return await self.rows.head()

    async def verify(self, noted: Link | None = None) -> Verdict:
        """Looks at every entry; what a noted head contradicts may be a mistake of whoever noted it, and is told to nobody else.

        Raises:
            BadRequest: the noted head has been pruned. Overloaded: somebody else has it looked at now.
        """
        if self._is_verifying:
            raise Overloaded("the audit log is being verified already")
        self._is_verifying = True
        try:
            verdict = await self.rows.verify(noted)
        finally:
            self._is_verifying = False
        return self._seen(verdict) if noted is None else verdict

    # --- its life

    async def start(self, recorder: Recorder, **about: object) -> None:
        """Looks at the newest entries, and says where the log ends. A broken log is told to health and log; the gateway goes on, and so does the log.

        Args:
            recorder: this, or `NOT_RECORDED`.
        """
        try:
            verdict = self._seen(await self.rows.check_end(CHECKED_AT_START))
        except GatewayError as problem:
            self.health.failed(COMPONENT, str(problem))
            _log.critical("the audit log cannot be read: {problem} {detail}", problem=str(problem), detail=problem.detail)
        else:
            _log.info("the audit log ends at {head}", head=str(verdict.head))
        await recorder.attempt(Action.GATEWAY_STARTED, audit.GATEWAY, "", Outcome.OK, **about)

    async def stop(self, recorder: Recorder) -> None:
        """The last entry, and where the log ends."""
        await recorder.attempt(Action.GATEWAY_STOPPED, audit.GATEWAY)
        try:
            _log.info("the audit log ends at {head}", head=str(await self.rows.head()))
        except GatewayError as problem:
            _log.warn("the end of the audit log is not known: {problem}", problem=str(problem))

    async def prune(self) -> None:
        """Forgets what is older than the retention; 0 days keep everything."""
        if self.retention_days:
            now_ms = self.clock.wall_ms()
            await self.rows.prune(now_ms - self.retention_days * _DAY_MS, now_ms, _MOST_PRUNED)

    def _seen(self, verdict: Verdict) -> Verdict:
        """Tells health and log of a broken chain; of one that holds only after it was broken."""
        if verdict.broken is not None:
            told = f"entry {verdict.broken.seq}: {verdict.broken.why}"
            self.health.failed(COMPONENT, told)
            _log.critical("the audit log has been tampered with: {told}", told=told)
        elif self._was_broken:
            self.health.ok(COMPONENT)
        self._was_broken = verdict.broken is not None
        return verdict
