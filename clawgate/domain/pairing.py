"""The one-time pairing code. Ring: domain. Source: zeroclaw.md A2, B1; design §4.6.

One slot for the whole gateway:

    state   | event      | next    | effect
    --------+------------+---------+---------------------------------------------------------------
    any     | Issue      | active  | —                       (replaces a pending code)
    active  | Try right  | empty   | GRANT                   (one use)
    active  | Try wrong  | active  | REFUSE; BURN and empty when it was the last of the hour's failures
    active  | Try late   | empty   | REFUSE                  (the code has expired)
    empty   | Try        | empty   | REFUSE                  (does not count towards the ceiling: there was no code to guess)

Who may try at all (five failures lock a client for 300 s) is `ratelimit.FailureLimiter`'s matter; the ceiling over all clients is here, because it burns the
code. It never touches a token, and `clawgate pair` issues a new code at any time.
"""

from __future__ import annotations

import hmac
from enum import Enum

import msgspec

from clawgate.domain.caller import ALL_SCOPES, Scope
from clawgate.domain.secret import digest

CODE_DIGITS = 6
_REJECT_FROM = (2**32 // 10**CODE_DIGITS) * 10**CODE_DIGITS
CEILING_FAILURES = 60
CEILING_SECONDS = 3600.0


def code_from(four_bytes: bytes) -> str | None:
    """Six digits from four random bytes, or None when they must be drawn again (rejection keeps the code uniform)."""
    number = int.from_bytes(four_bytes, "little")
    return None if number >= _REJECT_FROM else f"{number % 10**CODE_DIGITS:0{CODE_DIGITS}d}"


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What the bearer of a code will get.

    Attributes:
        name: the device's name chosen by the operator, None = what the client says.
        scopes: bound here, never by the client.
        ttl_seconds: life of the token, 0 = for ever.
        device_type: carried over from a device whose token was rotated, None = what the client says.
        issuer: principal who made the code; it dies with the device that this names.
        until_ms: when the token ends at the latest, 0 = never: nobody hands out what outlives its own credential.
    """

    name: str | None = None
    scopes: frozenset[Scope] = ALL_SCOPES
    ttl_seconds: int = 0
    device_type: str | None = None
    issuer: str | None = None
    until_ms: int = 0

    def is_within(self, scopes: frozenset[Scope], expires_ms: int) -> bool:
        """Whether a credential with these scopes and this end (0 = never) already holds all that this gives."""
        return self.scopes <= scopes and (not expires_ms or 0 < self.until_ms <= expires_ms)


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """The slot: a code or none, and the failures of the last hour (monotonic seconds, oldest first)."""

    code: str | None = None
    grant: Grant = Grant()
    expires: float = 0.0
    failures: tuple[float, ...] = ()

    def pending(self, now: float) -> str | None:
        """The code that could be used now, or None."""
        return self.code if self.code is not None and now < self.expires else None


class Issue(msgspec.Struct, frozen=True):
    """An operator, or the start of an unpaired gateway, makes a code."""

    code: str
    grant: Grant
    ttl_seconds: float


class Try(msgspec.Struct, frozen=True):
    """Somebody presents a code."""

    code: str


class Verdict(Enum):
    """What came of an event."""

    ISSUED = "issued"
    GRANTED = "granted"
    REFUSED = "refused"
    BURNED = "burned"


def step(slot: Slot, event: Issue | Try, now: float) -> tuple[Slot, Verdict]:
    """The slot after `event`. Comparison is on fixed-length digests, in constant time, after trimming both sides."""
    if isinstance(event, Issue):
        fresh = Slot(code=event.code, grant=event.grant, expires=now + event.ttl_seconds, failures=_recent(slot.failures, now))
        return fresh, Verdict.ISSUED
    pending = slot.pending(now)
    wanted = (pending or "").strip()
    if hmac.compare_digest(digest(event.code.strip()), digest(wanted)) and wanted:
        return Slot(failures=slot.failures), Verdict.GRANTED
    return _failed(slot, now, pending)


def _failed(slot: Slot, now: float, pending: str | None) -> tuple[Slot, Verdict]:
    recent = _recent(slot.failures, now)
    if pending is None:
        # Nothing was guessed at. Counted, an idle attacker could doom the next code to burn at its owner's first typing mistake.
        return Slot(failures=recent), Verdict.REFUSED
    failures = (*recent, now)
    if len(failures) >= CEILING_FAILURES:
        return Slot(), Verdict.BURNED
    return msgspec.structs.replace(slot, failures=failures), Verdict.REFUSED


def _recent(failures: tuple[float, ...], now: float) -> tuple[float, ...]:
    return tuple(moment for moment in failures if moment > now - CEILING_SECONDS)
