"""argon2 in a thread. Ring: system edge. Implements `ports.threads.Passwords`. Source: rantaiclaw.md §5 (/login); design §3 (argon2-cffi, threads)."""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import Deferred, execute, fail

from clawgate.domain.errors import Overloaded
from clawgate.domain.secret import Secret
from clawgate.ports.threads import InThread

_MOST_WAITING = 32


def _verified(password: str, phc: str) -> bool:
    from argon2 import PasswordHasher  # imported with the first password: most gateways have no login
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return PasswordHasher().verify(phc, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


class Argon2Passwords:
    """Verifies passwords; one takes about a tenth of a second and the memory that its hash names."""

    def __init__(self, run: InThread = execute) -> None:
        """
        Args:
            run: calls a function in a thread of a pool kept for this.
        """
        self._run = run
        self._waiting = 0

    def verify(self, password: str, phc: Secret) -> Deferred[bool]:
        """`ports.threads.Passwords.verify`."""
        if self._waiting >= _MOST_WAITING:
            return fail(Overloaded(detail="too many passwords are being checked"))
        self._waiting += 1
        return self._run(partial(_verified, password, phc.reveal().strip())).addBoth(self._left)

    def _left(self, result: bool) -> bool:
        self._waiting -= 1
        return result
