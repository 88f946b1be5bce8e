"""The user's config.toml, as far as services may touch it. Ring: ports."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred


class TokenMirror(Protocol):
    """`[gateway] paired_tokens` of config.toml (design §4.10–4.11)."""

    def acknowledge(self, entries: tuple[str, ...]) -> None:
        """The list as it stands in the file has been taken up; `write` refuses only what was changed after this."""

    def write(self, hashes: frozenset[str]) -> Deferred[None]:
        """Makes the list hold exactly these hashes, keeping comments, order of everything else, and the file's mode.

        Raises (errback):
            Conflict: the file changed since it was read. OSError: it cannot be written.
        """
