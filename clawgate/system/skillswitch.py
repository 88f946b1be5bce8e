"""`[skills.entries.<name>] enabled` in config.toml. Ring: system edge; implements `ports.config.SkillSwitch`. Source: rantaiclaw.md §10, §20.10."""

from __future__ import annotations

from collections.abc import MutableMapping

import msgspec
from twisted.internet.defer import Deferred, succeed

from clawgate.domain.errors import Invalid
from clawgate.ports.threads import InThread
from clawgate.system.configfile import ConfigFile, Document, editor


class SkillEntriesFile(msgspec.Struct, eq=False):
    """Writes through `ConfigFile`, which takes the lock, keeps comments, and refuses what it does not understand.

    Attributes:
        path: "" = there is no file; what is switched lasts as long as the process.
    """

    path: str
    run: InThread

    def set_enabled(self, name: str, enabled: bool) -> Deferred[None]:
        """See `SkillSwitch.set_enabled`."""

        def change(document: Document) -> None:
            entry = _below(_below(_below(document, "skills"), "entries"), name)
            entry["enabled"] = enabled

        if not self.path:
            return succeed(None)
        return self.run(lambda: ConfigFile(self.path).edit(change, only="skills"))


def _below(table: MutableMapping[str, object], name: str) -> MutableMapping[str, object]:
    """The table of a name, made when it is missing."""
    if name not in table:
        table[name] = editor().table()
    found = table[name]
    if not isinstance(found, MutableMapping):
        raise Invalid(f"skills: {name}", "is no table", "Write [skills.entries.NAME] on a line of its own")
    return found
