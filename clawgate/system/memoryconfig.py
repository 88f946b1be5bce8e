"""A configuration without files: for tests, and for embedders who hand in their settings. Ring: system edge; implements `ports.config.ConfigStore`.

What is changed lasts as long as the object does.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from twisted.internet.defer import Deferred, execute

from clawgate.domain import overlay
from clawgate.domain.errors import Conflict, Invalid
from clawgate.domain.overlay import Change
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.domain.settings.edits import Edit
from clawgate.domain.settings.model import Section
from clawgate.domain.settings.parse import CONFIG_VERSION, build
from clawgate.domain.settings.schema import Table, tree
from clawgate.system.configstore import INDIRECT, edited, filled, mapped


class MemoryConfigStore:
    """Both files, in memory.

    Attributes:
        base, above: what config.toml and config.runtime.toml would say; tests change `base` as a hand would.
        files: of the workspace, by path.
        problem: makes the next writes fail.
        writes: how many succeeded.
    """

    def __init__(self, settings: Settings) -> None:
        self._first = settings
        self.base, self.above = document_of(settings), dict[str, object]()
        self.files: dict[str, str] = {}
        self.problem: OSError | Conflict | None = None
        self.writes = 0

    def load(self) -> Deferred[Settings]:
        """See `ConfigStore.load`."""
        return execute(self.now)

    def preview(self, edit: Edit) -> Deferred[Settings]:
        """See `ConfigStore.preview`."""
        return execute(lambda: self._settings(*self._edited(edit)))

    def write(self, edit: Edit) -> Deferred[str]:
        """See `ConfigStore.write`."""
        return execute(lambda: self._write(edit))

    def now(self) -> Settings:
        """The settings as the documents stand."""
        self.above = overlay.pruned(self.base, self.above)
        return self._settings(self.base, self.above)

    def _write(self, edit: Edit) -> str:
        if self.problem is not None:
            raise self.problem
        self.base, self.above = self._edited(edit)
        self.files |= {"/".join(path): text for path, text in edit.files.items()}
        self.writes += 1
        return self._first.config_fingerprint

    def _edited(self, edit: Edit) -> tuple[dict[str, object], dict[str, object]]:
        changes = tuple(Change(change.path, mapped(change.value, _plain)) for change in filled(edit, self.base, self.above))
        return edited(edit.target, self.base, self.above, changes)

    def _settings(self, base: Mapping[str, object], above: Mapping[str, object]) -> Settings:
        first = self._first
        built = build(base, environ={}, dotenv={}, config_path=first.config_path, state_dir=first.state_dir, overlay=above)
        return msgspec.structs.replace(built, provider_keys=built.provider_keys or first.provider_keys)


def document_of(settings: Settings) -> dict[str, object]:
    """A config.toml that says all that the settings say, secrets in clear."""
    hidden = {} if settings.paired_tokens_present else {"paired_tokens": None}
    document = _table(tree(), settings)
    gateway = document.get("gateway")
    if isinstance(gateway, dict):
        document["gateway"] = {name: value for name, value in gateway.items() if name not in hidden}
    return document | {"clawgate": {"version": CONFIG_VERSION}}


def _table(spec: Table, section: Section) -> dict[str, object]:
    values = {key.name: _value(getattr(section, key.name)) for key in spec.keys}
    for child in spec.tables:
        below = getattr(section, child.name)
        values[child.name] = None if below is None else _table(child, below)
    for family in spec.families:
        values[family.name] = {member: _table(family, below) for member, below in getattr(section, family.name).items()}
    return {name: value for name, value in values.items() if value is not None}


def _value(value: object) -> object:
    plain = mapped(value, lambda secret: secret.reveal())
    return plain if plain != {} and plain != "" else None


def _plain(secret: Secret) -> str:
    text = secret.reveal()
    if text.strip().startswith(INDIRECT):
        raise Invalid("secret", "begins like a reference", "Send the secret itself")
    return text
