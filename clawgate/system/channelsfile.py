"""The people of channels in config.toml. Ring: system edge. Implements `ports.config.ChannelAllowlist`. Source: rantaiclaw.md §7, design §4.11."""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import Deferred, succeed

from clawgate.domain.errors import Invalid
from clawgate.domain.onboarding import ALLOWLIST_KEYS
from clawgate.domain.overlay import at, merged
from clawgate.ports.threads import InThread
from clawgate.system.configfile import ConfigFile, Document, editor, locked, overlay_path, parsed, read_bytes
from clawgate.system.configstore import write_overlay

_SECTION = "channels_config"
_EVERYBODY = "*"


class ChannelsFile:
    """Allowlists and owners, through the one writer of the file; `run` calls a function in a thread."""

    def __init__(self, file: ConfigFile, run: InThread) -> None:
        self._file, self._run = file, run

    def admit(self, channel: str, identity: str, owner: bool) -> Deferred[None]:
        """`ports.config.ChannelAllowlist.admit`."""
        return self._run(lambda: self._admit(channel, identity, owner))

    def _admit(self, channel: str, identity: str, owner: bool) -> None:
        """Where the channel stands: an edit of config.toml below an entry of the overlay would be the newer word, and drop the entry."""
        path = self._file.path
        if not _admit_above(path, channel, identity):
            self._file.edit(partial(_admit, path, channel=channel, identity=identity, owner=owner), only=_SECTION)
        elif owner:
            self._file.edit(partial(_own, identity=identity), only=_SECTION)


class NoFile:
    """For a gateway without a file: whoever is let in stays until it stops."""

    def admit(self, channel: str, identity: str, owner: bool) -> Deferred[None]:
        """There is nothing to write."""
        return succeed(None)


def _admit(path: str, document: Document, *, channel: str, identity: str, owner: bool) -> None:
    section = document.get(_SECTION)
    own = section.get(channel) if isinstance(section, dict) else None
    if not isinstance(section, dict) or not isinstance(own, dict):
        raise Invalid(f"{_SECTION}.{channel}", f"stands not in {path}", "Write the channel into that file")
    _append(own, f"{_SECTION}.{channel}.{ALLOWLIST_KEYS[channel]}", identity)
    if owner:
        _append(section, f"{_SECTION}.approval_owners", identity)


def _admit_above(path: str, channel: str, identity: str) -> bool:
    """Adds somebody to a channel that config.runtime.toml sets; whether it does."""
    with locked(path):
        seen = read_bytes(overlay_path(path))
        above = merged(parsed(overlay_path(path), seen), {})
        own = at(above, (_SECTION, channel))
        if not isinstance(own, dict):
            return False
        entries = own.get(ALLOWLIST_KEYS[channel], [])
        own[ALLOWLIST_KEYS[channel]] = list(entries) if isinstance(entries, list) else []
        _append(own, f"{_SECTION}.{channel}.{ALLOWLIST_KEYS[channel]}", identity)
        write_overlay(path, above, seen)
    return True


def _own(document: Document, *, identity: str) -> None:
    if _SECTION not in document:
        document[_SECTION] = editor().table()
    section = document[_SECTION]
    if not isinstance(section, dict):
        raise Invalid(_SECTION, "is no table", f"Write [{_SECTION}] on a line of its own")
    _append(section, f"{_SECTION}.approval_owners", identity)


def _append(table: dict[str, object], path: str, identity: str) -> None:
    key = path.rpartition(".")[2]
    entries = table.get(key)
    if entries is None:
        table[key] = [identity]
    elif not isinstance(entries, list):
        raise Invalid(path, "is no list", "Write it as a list of texts")
    elif identity not in entries and _EVERYBODY not in entries:
        entries.append(identity)
