"""The configuration's files behind `ports.config.ConfigStore`. Ring: system edge. Source: design §4.11–4.13; rantaiclaw.md §11, §15, §16.

Everything here blocks, a few milliseconds each; `FileConfigStore` runs it in a thread. A preview remembers what it was made of; what is written must still be
made of the same, else it is a `Conflict`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import partial
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from clawgate.domain import overlay
from clawgate.domain.errors import BadRequest, Conflict, GatewayError, Invalid
from clawgate.domain.overlay import Change, Path
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings, environment
from clawgate.domain.settings.edits import Edit, Target, kept
from clawgate.domain.settings.parse import ENCRYPTED
from clawgate.ports.threads import InThread
from clawgate.system.atomic import remove_unchanged, replace_unchanged
from clawgate.system.configfile import (
    ConfigFile,
    editor,
    fingerprint_of,
    key_path,
    locked,
    overlay_path,
    parsed,
    read_bytes,
    read_document,
    resolver,
    settings_of,
)
from clawgate.system.regular import contents_of
from clawgate.system.secrets import SecretBox
from clawgate.system.workspace import directory_of

_log = Logger()
_HEAD = "# Written by clawgate: what was changed while it runs, above config.toml. A later change of the same key in config.toml goes before it.\n\n"
_PENDING = "enc2:pending:"
INDIRECT = (*ENCRYPTED, "file:", "env:")


class FileConfigStore:
    """`run` calls a function in a thread and gives its result; one at a time is enough."""

    def __init__(self, files: ConfigFiles, run: InThread) -> None:
        self._files, self._run = files, run

    def load(self) -> Deferred[Settings]:
        """See `ConfigStore.load`."""
        return self._run(self._files.load)

    def preview(self, edit: Edit) -> Deferred[Settings]:
        """See `ConfigStore.preview`."""
        return self._run(lambda: self._files.preview(edit))

    def write(self, edit: Edit) -> Deferred[str]:
        """See `ConfigStore.write`."""
        return self._run(lambda: self._files.write(edit))


class ConfigFiles(msgspec.Struct, eq=False, dict=True):
    """config.toml and config.runtime.toml.

    Attributes:
        path: of config.toml.
        cwd: whose `.env` is read.
    """

    path: str
    environ: Mapping[str, str]
    cwd: str = "."
    _overlay_seen: bytes | None = None

    def __post_init__(self) -> None:
        self._file = ConfigFile(self.path)

    def follow(self, before: bytes | None, after: bytes) -> None:
        """The list of paired tokens has been written, which is no reason to refuse a change of anything else; in the thread in which all this is called."""
        self._file.follow(before, after)

    def load(self) -> Settings:
        """See `ConfigStore.load`."""
        base, above = self._read()
        settings = self._settings(base, above)
        current = overlay.pruned(base, above)
        if current != above:
            try:
                with locked(self.path):
                    self._write_overlay(current)
            except (GatewayError, OSError) as problem:
                _log.warn("what config.toml has changed since stays in {path}: {problem}", path=overlay_path(self.path), problem=str(problem))
        return settings

    def preview(self, edit: Edit) -> Settings:
        """See `ConfigStore.preview`."""
        self._refuse_overridden(edit)
        base, above = self._read()
        sealed = _Sealed()
        base, above = edited(edit.target, base, above, sealed.changes(filled(edit, base, above)))
        return self._settings(base, above, sealed.resolver(resolver(self.path)))

    def write(self, edit: Edit) -> str:
        """See `ConfigStore.write`."""
        path = overlay_path(self.path)
        base, content = read_document(self.path), read_bytes(path)
        if content != self._overlay_seen:
            raise Conflict(f"{path} changed since it was read")
        above = parsed(path, content)
        settings = self._settings(base, above)
        changes = tuple(Change(change.path, self._stored(settings, change.value)) for change in filled(edit, base, above))
        after, over = edited(edit.target, base, above, changes)
        with _written_files(directory_of(settings), edit.files):
            self._write(edit.target, changes, after, over, above)
        return fingerprint_of(self.path)

    def _write(self, target: Target, changes: tuple[Change, ...], after: dict[str, object], over: dict[str, object], above: object) -> None:
        if target is Target.FILE:
            self._file.edit(lambda document: _change(document, changes), expected=after)
            if over == above:
                return
        with locked(self.path):
            if target is Target.OVERLAY and not self._file.is_as_seen():
                raise Conflict(f"{self.path} changed since it was read")
            self._write_overlay(over)

    def _read(self) -> tuple[dict[str, object], dict[str, object]]:
        path = overlay_path(self.path)
        base = self._file.read()
        self._overlay_seen = read_bytes(path)
        return base, parsed(path, self._overlay_seen)

    def _settings(self, base: Mapping[str, object], above: Mapping[str, object], resolve: Callable[[str, str], str] | None = None) -> Settings:
        return settings_of(self.path, self.environ, base, above, cwd=self.cwd, resolve=resolve)

    def _write_overlay(self, document: Mapping[str, object]) -> None:
        """Under the lock."""
        self._overlay_seen = write_overlay(self.path, document, self._overlay_seen)

    def _stored(self, settings: Settings, value: object) -> object:
        """The value as it is written: secrets encrypted where the settings say so."""
        box = SecretBox(key_path(self.path)) if settings.secrets.encrypt else None
        return mapped(value, lambda secret: box.encrypt(secret.reveal()) if box is not None else secret.reveal())

    def _refuse_overridden(self, edit: Edit) -> None:
        """What the environment says stands above both files; a change would have no effect."""
        for found in environment.overrides(self.environ, {}, file_provider=""):
            for change in edit.changes:
                is_below = found.path.split(".")[: len(change.path)] == list(change.path)
                if is_below and (change.value is None or found.path == ".".join(change.path)):
                    raise Invalid(found.path, f"is set by the variable {found.name}, which stands above the files", f"Unset {found.name}")


def write_overlay(config_path: str, document: Mapping[str, object], seen: bytes | None) -> bytes | None:
    """Makes config.runtime.toml say this; call it under the lock (`configfile.locked`). An overlay that says nothing is no file.

    Args:
        seen: the file that the document was made of; None = there was none.

    Returns:
        The file as it is now.

    Raises:
        Conflict: a hand has changed it since. OSError: it cannot be written.
    """
    path = overlay_path(config_path)
    content = (_HEAD + editor().dumps(document)).encode() if document else None
    is_done = remove_unchanged(path, seen) if content is None else replace_unchanged(path, content, seen)
    if not is_done:
        raise Conflict(f"{path} changed since it was read")
    return content


class _Sealed:
    """Secrets of an edit that are not on disk yet, under marks that nothing else can write."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def changes(self, wanted: tuple[Change, ...]) -> tuple[Change, ...]:
        return tuple(Change(change.path, mapped(change.value, partial(self._seal, change.path))) for change in wanted)

    def _seal(self, path: Path, secret: Secret) -> str:
        text = secret.reveal()
        if text.strip().startswith(INDIRECT):
            raise Invalid(
                overlay.text_of(path), "has a secret that begins like a reference", "Send the secret itself; references are for config.toml"
            )
        self._texts.append(text)
        return f"{_PENDING}{len(self._texts) - 1}"

    def resolver(self, inner: Callable[[str, str], str]) -> Callable[[str, str], str]:
        known = {f"{_PENDING}{number}": text for number, text in enumerate(self._texts)}
        return lambda path, text: known[text] if text in known else inner(path, text)


def filled(edit: Edit, base: Mapping[str, object], above: Mapping[str, object]) -> tuple[Change, ...]:
    """The edit's changes, with what the documents say in the place of `KEEP`."""
    document = overlay.effective(base, above)
    return tuple(kept(document, change) for change in (*edit.changes, *edit.besides))


def edited(
    target: Target, base: Mapping[str, object], above: Mapping[str, object], changes: tuple[Change, ...]
) -> tuple[dict[str, object], dict[str, object]]:
    """Both documents after the changes. What is written to config.toml is the newer word: the overlay says nothing of it any more."""
    if target is Target.OVERLAY:
        return dict(base), overlay.changed(base, above, changes)
    after = overlay.merged(base, {})
    for change in changes:
        if change.value is None:
            overlay.remove(after, change.path)
        else:
            overlay.put(after, change.path, change.value)
    return after, overlay.without(above, (change.path for change in changes))


def _change(document: MutableMapping[str, Any], changes: tuple[Change, ...]) -> None:  # Any: tomlkit's items
    """The same on tomlkit's document, which keeps comments."""
    for change in changes:
        if change.value is None:
            _take(document, change.path)
        else:
            _set(document, change.path, change.value)


def _set(table: MutableMapping[str, Any], path: Path, value: object) -> None:  # Any: as above
    name, *rest = path
    if rest:
        if not isinstance(table.get(name), MutableMapping):
            table[name] = editor().table(is_super_table=True)
        _set(table[name], tuple(rest), value)
    elif isinstance(value, Mapping) and isinstance(table.get(name), MutableMapping):
        below = table[name]
        for old in [key for key in below if key not in value]:
            del below[old]
        for key, entry in value.items():
            _set(below, (str(key),), entry)
    elif table.get(name) != value:
        table[name] = _item(value)


def _item(value: object) -> Any:  # Any: one of tomlkit's items
    if not isinstance(value, Mapping):
        return editor().item(value)
    table = editor().table()
    for name, entry in value.items():
        table[str(name)] = _item(entry)
    return table


def _take(table: MutableMapping[str, Any], path: Path) -> None:  # Any: as above
    """Takes a path out, and every table that is empty then, as `overlay.remove` does."""
    name, *rest = path
    if name not in table:
        return
    if not rest:
        del table[name]
    elif isinstance(table[name], MutableMapping):
        _take(table[name], tuple(rest))
        if not table[name]:
            del table[name]


def mapped(value: object, seal: Callable[[Secret], str]) -> object:
    """The value with every secret in it sealed."""
    if isinstance(value, Secret):
        return seal(value)
    if isinstance(value, Mapping):
        return {str(name): mapped(below, seal) for name, below in value.items()}
    if isinstance(value, list | tuple):
        return [mapped(below, seal) for below in value]
    return value


@contextlib.contextmanager
def _written_files(directory: str, files: Mapping[Path, str]) -> Iterator[None]:
    """Writes the files; if that or what follows fails, each is as it was, unless a hand has saved it since."""
    written: list[tuple[str, bytes | None, bytes]] = []
    try:
        for path, text in files.items():
            target, content = _inside(directory, path), text.encode()
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            before = contents_of(target)
            if not replace_unchanged(target, content, before):
                raise Conflict(f"{target} was changed by somebody else meanwhile")
            written.append((target, before, content))
        yield
    except BaseException:
        for target, before, content in reversed(written):
            _restore(target, before, content)
        raise


def _inside(directory: str, path: Path) -> str:
    """The file's real path. Raises BadRequest when a symbolic link leads out of the workspace, or something else stands there."""
    root = os.path.realpath(directory)
    target = os.path.realpath(os.path.join(root, *path))
    # A pipe there would hold up the thread that writes the configuration for good.
    if os.path.commonpath((root, target)) != root or target == root or (os.path.exists(target) and not os.path.isfile(target)):
        raise BadRequest(f"{'/'.join(path)} is no file of the workspace")
    return target


def _restore(path: str, before: bytes | None, content: bytes) -> None:
    try:
        is_back = remove_unchanged(path, content) if before is None else replace_unchanged(path, before, content)
    except OSError as problem:
        _log.error("{path} could not be put back: {problem}", path=path, problem=str(problem))
        return
    if not is_back:
        _log.warn("{path} is not put back: somebody has saved it meanwhile", path=path)
