"""Pairing: one-time codes for tokens. Ring: services. Source: zeroclaw.md A2, A3 (/pair), B1; construct-realtime.md §1; design §4.6."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain import pairing
from clawgate.domain.audit import GATEWAY, Action, Outcome
from clawgate.domain.caller import Peer
from clawgate.domain.errors import Conflict, Forbidden, LockedOut, Unauthenticated, Unavailable
from clawgate.domain.pairing import Grant, Slot, Verdict
from clawgate.domain.ratelimit import FailureLimiter, pairing_limiter
from clawgate.ports.audit import Recorder
from clawgate.ports.clock import Clock, Entropy
from clawgate.ports.events import Meter
from clawgate.services.audit import NOT_RECORDED
from clawgate.services.devices import Devices, Issued

_log = Logger()
_MAX_NAME_CHARS = 128
_RENEWAL_RETRY_SECONDS = 60.0
NO_SCOPE = "Forbidden — a token without any scope would open nothing; ask for scopes that you hold"


class Pairing(msgspec.Struct):
    """The code slot of this gateway.

    Attributes:
        announce: shows a code to the operator (the real stdout); never a log.
        is_voucher: uses an on-demand code (`services.onboarding`); asked first, so a good one never counts as a failure (rantaiclaw.md §20.7).
    """

    devices: Devices
    clock: Clock
    entropy: Entropy
    meter: Meter
    required: bool
    code_ttl_seconds: int
    announce: Callable[[str], None]
    is_voucher: Callable[[str], Awaitable[bool]]
    audit: Recorder = NOT_RECORDED
    _slot: Slot = msgspec.field(default_factory=Slot)
    _lockout: FailureLimiter = msgspec.field(default_factory=pairing_limiter)
    _renewal: IDelayedCall | None = None

    async def start(self) -> None:
        """Makes and announces a code when nothing is paired yet and none is pending; keeps one fresh while that is so."""
        if not self.required or await self.devices.any_paired():
            return
        if self.pending_code is None:
            self.announce(self.issue(Grant()))
        self._renew_in(self._slot.expires - self.clock.monotonic())

    def stop(self) -> None:
        """Forgets the code."""
        if self._renewal is not None and self._renewal.active():
            self._renewal.cancel()
        self._slot = Slot()

    def issue(self, grant: Grant, ttl_seconds: int | None = None) -> str:
        """A new code for `grant`, replacing a pending one.

        Raises:
            Conflict: pairing is off.
            Forbidden: the grant holds no scope, so its token would open nothing.
        """
        if not self.required:
            raise Conflict("Pairing is disabled for this gateway")
        if not grant.scopes:
            raise Forbidden(NO_SCOPE)
        code = self._draw()
        life_seconds: float = ttl_seconds or self.code_ttl_seconds
        if grant.until_ms:
            life_seconds = min(life_seconds, (grant.until_ms - self.clock.wall_ms()) / 1000)
        self._slot, _ = pairing.step(self._slot, pairing.Issue(code, grant, life_seconds), self.clock.monotonic())
        issuer = grant.issuer or GATEWAY
        self.audit.attempt(Action.CODE_ISSUED, issuer, "gateway", name=grant.name, scopes=sorted(grant.scopes), seconds=int(life_seconds))
        return code

    def withdraw(self, device_id: str) -> None:
        """Forgets the code that a device made which is now revoked: it would bring its thief back."""
        if self._slot.grant.issuer == device_id:
            self._slot = Slot(failures=self._slot.failures)

    @property
    def pending_grant(self) -> Grant:
        """What the pending code gives."""
        return self._slot.grant

    @property
    def pending_code(self) -> str | None:
        """The code that could be used now, or None."""
        return self._slot.pending(self.clock.monotonic())

    async def pair(self, code: str, peer: Peer, *, name: str | None, device_type: str | None) -> Issued:
        """Exchanges a code for a token.

        Args:
            code: as presented, "" when there was none.
            name, device_type: what the client calls itself; the operator's own name wins, and neither changes what it may do.

        Raises:
            LockedOut: this client failed too often; a right code is refused too.
            Unauthenticated: wrong, used, burned or expired code, or none pending.
            StoreUnavailable: nothing was stored; the code is still good (of an on-demand code, one use may be gone).
        """
        now = self.clock.monotonic()
        locked = self._lockout.locked_for(peer.client, now)
        if locked:
            raise LockedOut(locked)
        if await self.is_voucher(code):
            self._lockout.forget(peer.client)
            return await self._grant(Grant(), peer, name=_clean(name), device_type=_clean(device_type))
        before = self._slot
        self._slot, verdict = pairing.step(before, pairing.Try(code), now)
        if verdict is not Verdict.GRANTED:
            self._refuse(peer, verdict, now)
        self._lockout.forget(peer.client)
        try:
            return await self._grant(before.grant, peer, name=_clean(name), device_type=_clean(device_type))
        except Unavailable:
            if self._slot.code is None:
                self._slot = before
            raise

    async def _grant(self, grant: Grant, peer: Peer, *, name: str | None, device_type: str | None) -> Issued:
        issued = await self.devices.add(
            name=_clean(grant.name) or name,
            device_type=grant.device_type or device_type,
            scopes=grant.scopes,
            ttl_seconds=grant.ttl_seconds,
            until_ms=grant.until_ms,
            address=peer.client,
            by=grant.issuer or GATEWAY,
        )
        _log.info("device {device} paired from {client}", device=issued.device.id, client=peer.client)
        return issued

    def _refuse(self, peer: Peer, verdict: Verdict, now: float) -> None:
        self._lockout.record_failure(peer.client, now)
        self.meter.count("pairing_failures_total")
        if self._lockout.locked_for(peer.client, now):
            self.audit.attempt(Action.LOCKED_OUT, peer.client, "pairing", Outcome.REFUSED)
        if verdict is Verdict.BURNED:
            self.audit.attempt(Action.CODE_BURNED, GATEWAY, "gateway", failures=pairing.CEILING_FAILURES)
            _log.warn(
                "the pairing code was burned after {failures} wrong codes within an hour; run `clawgate pair` for a new one",
                failures=pairing.CEILING_FAILURES,
            )
        raise Unauthenticated("wrong pairing code")

    def _draw(self) -> str:
        code = None
        while code is None:
            code = pairing.code_from(self.entropy.random_bytes(4))
        return code

    def _renew_in(self, seconds: float) -> None:
        self._renewal = self.clock.call_later(seconds, self._renew)

    def _renew(self) -> None:
        Deferred.fromCoroutine(self.start()).addErrback(self._not_renewed)

    def _not_renewed(self, failure: Failure) -> None:
        _log.failure("no new pairing code", failure)
        self._renew_in(_RENEWAL_RETRY_SECONDS)


def _clean(text: str | None) -> str | None:
    """A name as it may be stored: printable, at most 128 characters; blank is none."""
    if text is None:
        return None
    return "".join(character for character in text if character.isprintable()).strip()[:_MAX_NAME_CHARS] or None
