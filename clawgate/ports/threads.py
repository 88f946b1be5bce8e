"""Work that would hold up the reactor. Ring: ports. Source: design §3 (threads: pools of our own for argon2 and files)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

from clawgate.domain.secret import Secret
from clawgate.domain.settings.findings import Facts
from clawgate.domain.settings.model import Settings

T = TypeVar("T")


class InThread(Protocol):
    """Calls a function where it holds up nobody; `twisted.internet.defer.execute` does it on the spot, for tests."""

    def __call__(self, function: Callable[[], T], /) -> Deferred[T]:
        """What the function returns or raises."""


class Passwords(Protocol):
    """Checks passwords against their hashes."""

    def verify(self, password: str, phc: Secret) -> Deferred[bool]:
        """Whether the password belongs to an argon2 PHC string; False for a string that is none.

        Raises (errback):
            Overloaded: too many checks wait.
        """


class FileFacts(Protocol):
    """What only files can tell about a configuration."""

    def __call__(self, settings: Settings, /) -> Deferred[Facts]:
        """The facts now. Raises (errback) Invalid when config.toml cannot be read."""
