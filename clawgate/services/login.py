"""The console's login: it verifies and issues nothing. Ring: services. Source: rantaiclaw.md §5 (POST /login)."""

from __future__ import annotations

import hmac
from collections.abc import Callable

import msgspec

from clawgate.domain.audit import Action, Outcome
from clawgate.domain.caller import Peer
from clawgate.domain.errors import LockedOut, NotFound, Unauthenticated
from clawgate.domain.ratelimit import FailureLimiter, pairing_limiter
from clawgate.domain.secret import digest
from clawgate.domain.settings.model import LoginSettings
from clawgate.ports.audit import Recorder
from clawgate.ports.clock import Clock
from clawgate.ports.events import Meter
from clawgate.ports.threads import Passwords
from clawgate.services.audit import NOT_RECORDED


class Login(msgspec.Struct):
    """Whoever knows the name and the password of `[gateway.login]`."""

    settings: Callable[[], LoginSettings]
    passwords: Passwords
    clock: Clock
    meter: Meter
    audit: Recorder = NOT_RECORDED
    _lockout: FailureLimiter = msgspec.field(default_factory=pairing_limiter)

    @property
    def is_required(self) -> bool:
        """Whether a console has to ask."""
        return bool(self.settings().username and self.settings().password_hash)

    @property
    def idle_timeout_seconds(self) -> int:
        """After so long without input a console logs out; 0 = never, and while there is no login."""
        return self.settings().idle_timeout_secs if self.is_required else 0

    async def check(self, username: str, password: str, peer: Peer) -> None:
        """Returns when both are right. A wrong name takes as long as a wrong password.

        Raises:
            LockedOut: this client failed five times; also with the right password.
            NotFound: there is no login. Unauthenticated: wrong name or password. Overloaded: too many checks at once.
            StoreUnavailable: it cannot be recorded.
        """
        settings, now = self.settings(), self.clock.monotonic()
        locked = self._lockout.locked_for(peer.client, now)
        if locked:
            raise LockedOut(locked)
        if not settings.username or not settings.password_hash:
            raise NotFound("Console login is not enabled")
        is_name = hmac.compare_digest(digest(username), digest(settings.username))
        is_password = await self.passwords.verify(password, settings.password_hash)
        if not (is_name and is_password):
            self._lockout.record_failure(peer.client, self.clock.monotonic())
            self.meter.count("auth_failures_total", "login")
            self.audit.attempt(Action.LOGIN, peer.client, "console", Outcome.REFUSED)
            if self._lockout.locked_for(peer.client, self.clock.monotonic()):
                self.audit.attempt(Action.LOCKED_OUT, peer.client, "console", Outcome.REFUSED)
            raise Unauthenticated("login")
        self._lockout.forget(peer.client)
        await self.audit.record(Action.LOGIN, settings.username, "console", client=peer.client)
