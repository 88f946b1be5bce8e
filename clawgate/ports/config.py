"""The configuration's files, as far as services may touch them. Ring: ports. Source: design §4.10–4.12."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from clawgate.domain.settings import Settings
from clawgate.domain.settings.edits import Edit


class TokenMirror(Protocol):
    """`[gateway] paired_tokens` of config.toml (design §4.10–4.11)."""

    def acknowledge(self, entries: tuple[str, ...]) -> None:
        """The list as it stands in the file has been taken up; `write` refuses only what was changed after this."""

    def write(self, hashes: frozenset[str]) -> Deferred[None]:
        """Makes the list hold exactly these hashes, keeping comments, order of everything else, and the file's mode.

        Raises (errback):
            Conflict: the file changed since it was read. OSError: it cannot be written.
        """


class ConfigStore(Protocol):
    """config.toml, config.runtime.toml above it, and the environment above both."""

    def load(self) -> Deferred[Settings]:
        """The settings as the files stand now; drops from the overlay what config.toml has changed since.

        Raises (errback):
            Invalid, InvalidSettings: a file or a setting cannot work.
        """

    def preview(self, edit: Edit) -> Deferred[Settings]:
        """The settings as they would be after `edit`, validated whole; nothing is written.

        Raises (errback):
            Invalid, InvalidSettings: they could not work, or the environment stands above what is to be changed.
        """

    def write(self, edit: Edit) -> Deferred[str]:
        """Writes what was previewed: all of it, or nothing.

        Returns:
            `Settings.config_fingerprint` as it is now.

        Raises (errback):
            Conflict: a file changed since the preview. OSError: it cannot be written. Invalid: it is no TOML any more.
        """


class SkillSwitch(Protocol):
    """`[skills.entries.NAME] enabled` of config.toml."""

    def set_enabled(self, name: str, enabled: bool) -> Deferred[None]:
        """Writes the switch.

        Raises (errback):
            Conflict: the file changed since it was read. Invalid, OSError: it cannot be written.
        """


class ChannelAllowlist(Protocol):
    """Who may talk to a channel, and who owns the gateway on it, in config.toml."""

    def admit(self, channel: str, identity: str, owner: bool) -> Deferred[None]:
        """Adds the identity to the channel's list, with `owner` to `approval_owners` too; one that is there already stays.

        Raises (errback):
            Conflict: the file changed since it was read. Invalid, OSError: it cannot be written.
        """
