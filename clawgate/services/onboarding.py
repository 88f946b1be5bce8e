"""Codes that let people on channels in, and what becomes of `/bind` and `/claim`. Ring: services. Source: rantaiclaw.md §3, §7, §20.1; design §4.11.

What is changed, in this order, so that a crash in between is made good by the same message coming again:

    1. the use of the code is written down, with who used it (the same person again uses nothing)
    2. config.toml is written
    3. the running channel takes the person up
    4. the message is accepted together with its reply (`services.channel_ingress`)

Codes are kept as facts of the store, under their hash. `pairing_codes.json` of other programs is not read: its codes live for minutes.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.logger import Logger

from clawgate.domain import onboarding
from clawgate.domain.audit import GATEWAY, Action, Outcome
from clawgate.domain.errors import Conflict, StoreUnavailable
from clawgate.domain.onboarding import Command, StoreCode, Verb
from clawgate.domain.ratelimit import FailureLimiter, pairing_limiter
from clawgate.ports.audit import Recorder
from clawgate.ports.clock import Clock, Entropy
from clawgate.ports.config import ChannelAllowlist
from clawgate.ports.events import Meter
from clawgate.ports.journal import Facts
from clawgate.services.audit import NOT_RECORDED

_log = Logger()
KIND = "onboarding_code"
MOST_CODES = 100
_TOTAL_FAILURES = 100
_HOUR_SECONDS = 3600.0


def _total_limiter() -> FailureLimiter:
    return FailureLimiter(attempts=_TOTAL_FAILURES, window_seconds=_HOUR_SECONDS)


class Onboarding(msgspec.Struct):
    """The codes and their use.

    Attributes:
        admitted: lets the running gateway take up what the file says now: channel, identity, whether as an owner.
    """

    facts: Facts
    allowlist: ChannelAllowlist
    clock: Clock
    entropy: Entropy
    meter: Meter
    admitted: Callable[[str, str, bool], None]
    audit: Recorder = NOT_RECORDED
    _senders: FailureLimiter = msgspec.field(default_factory=pairing_limiter)
    _total: FailureLimiter = msgspec.field(default_factory=_total_limiter)
    _lock: DeferredLock = msgspec.field(default_factory=DeferredLock)

    async def issue(self, surface: str, *, ttl_seconds: int, max_uses: int | None = 1, grant_owner: bool = True, issuer: str = "") -> str:
        """A new code as people read it, `XXXX-XXXX`.

        Args:
            surface: the channel it is for, or `domain.onboarding.GATEWAY`.
            max_uses: None = as many as come in time.
            issuer: principal who makes it.

        Raises:
            Conflict: a hundred codes are alive already.
            StoreUnavailable: there is no code.
        """
        now_ms = self.clock.wall_ms()
        if len(await self.facts.all(KIND, now_ms, MOST_CODES)) >= MOST_CODES:
            raise Conflict("There are too many pairing codes; wait until some have expired")
        code = onboarding.code_from(self.entropy.random_bytes(5))
        kept = StoreCode(surface=surface, expires_ms=now_ms + ttl_seconds * 1000, max_uses=max_uses, grant_owner=grant_owner, issuer=issuer)
        await self.audit.record(Action.CODE_ISSUED, issuer or GATEWAY, surface, seconds=ttl_seconds, max_uses=max_uses, grant_owner=grant_owner)
        await self._keep(onboarding.code_hash(code), kept)
        _log.info("a pairing code for {surface} was made", surface=surface)
        return onboarding.shown(code)

    def withdraw(self, device_id: str) -> None:
        """Forgets the codes that a device made which is now revoked: they would bring its thief back."""
        Deferred.fromCoroutine(self._withdraw(device_id)).addErrback(
            lambda failure: _log.warn("codes of {device} were not forgotten: {problem}", device=device_id, problem=failure.getErrorMessage())
        )

    async def _withdraw(self, device_id: str) -> None:
        async with self._lock:  # a use that is being written down would bring the code back
            codes = await self.facts.all(KIND, self.clock.wall_ms(), MOST_CODES)
            for name, kept in codes.items():
                if msgspec.json.decode(kept, type=StoreCode).issuer == device_id:
                    await self.facts.remove(KIND, name)

    async def redeem(self, surface: str, typed: str, identity: str = "") -> StoreCode | None:
        """The code after its use, or None when it lets nobody in here.

        Args:
            typed: as it was presented.
            identity: who presents it; using it again costs them nothing. "" = every use counts.

        Raises:
            StoreUnavailable: nothing was used.
        """
        code = onboarding.normal(typed)
        if not code:
            return None
        async with self._lock:
            name, now_ms = onboarding.code_hash(code), self.clock.wall_ms()
            found = await self.facts.get(KIND, name, now_ms)
            before = None if found is None else msgspec.json.decode(found, type=StoreCode)
            after = None if before is None else onboarding.use(before, surface, identity, now_ms)
            if after is not None and after != before:
                await self._keep(name, after)
            return after

    async def vouch(self, typed: str) -> bool:
        """Uses a code for `POST /pair`; whether it was one. Raises StoreUnavailable: nothing was used."""
        return await self.redeem(onboarding.GATEWAY, typed) is not None

    async def obey(self, channel: str, sender: str, command: Command) -> str | None:
        """What a sender is told after a pairing command; None = nothing, because they guessed too often.

        Raises:
            StoreUnavailable: nothing was used; the message may come again.
        """
        now, guesser = self.clock.monotonic(), f"{channel}:{sender}"
        if self._senders.locked_for(guesser, now) or self._total.locked_for(channel, now):
            _log.warn("a pairing command on {channel} was not looked at: too many wrong codes", channel=channel)
            return None
        code = await self.redeem(channel, command.code, sender) if sender != "*" else None  # listed, it would stand for everybody
        if code is None:
            self._senders.record_failure(guesser, now)
            self._total.record_failure(channel, now)
            if self._senders.locked_for(guesser, now):
                self.audit.attempt(Action.LOCKED_OUT, guesser, channel, Outcome.REFUSED)
            self.meter.count("pairing_failures_total")
            return onboarding.WRONG
        self._senders.forget(guesser)
        is_owner = command.verb is Verb.CLAIM and code.grant_owner
        return await self._admit(channel, sender, command.verb, is_owner)

    async def _admit(self, channel: str, sender: str, verb: Verb, is_owner: bool) -> str:
        by = f"{channel}:{sender}"  # whoever names themselves after a caller of ours is not taken for them
        await self.audit.record(Action.CHANNEL_ADMITTED, by, channel, Outcome.ASKED, owner=is_owner, verb=verb.value)
        try:
            await self.allowlist.admit(channel, sender, is_owner)
        except (CancelledError, StoreUnavailable):
            raise
        except Exception:
            _log.failure("{channel} could not take somebody up: config.toml was not written", channel=channel)
            await self.audit.attempt(Action.CHANNEL_ADMITTED, by, channel, Outcome.FAILED)
            return onboarding.NOT_SAVED
        self.admitted(channel, sender, is_owner)
        await self.audit.attempt(Action.CHANNEL_ADMITTED, by, channel, owner=is_owner)
        _log.info("somebody was let in on {channel} by a code (owner: {owner})", channel=channel, owner=is_owner)
        return onboarding.welcome(verb, is_owner=is_owner)

    async def _keep(self, name: str, code: StoreCode) -> None:
        await self.facts.put(KIND, name, msgspec.json.encode(code).decode(), code.expires_ms)
