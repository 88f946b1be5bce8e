"""persona.toml and SYSTEM.md on disk. Ring: system edge; implements `ports.personality.PersonalityFile`. Source: rantaiclaw.md §10 (Personality)."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.errors import Conflict, Invalid
from clawgate.domain.personality import Change, Personality, changed, system_text
from clawgate.ports.threads import InThread
from clawgate.system.atomic import replace_file
from clawgate.system.configfile import Document, editor, read_document

PERSONA_FILE, SYSTEM_FILE = "persona.toml", "SYSTEM.md"


class _OnDisk(msgspec.Struct, frozen=True):
    """persona.toml as people and other programs write it."""

    preset: str | None = None
    name: str | None = None
    timezone: str | None = None
    role: str | None = None
    tone: str | None = None
    avoid: str | None = None
    always_on_kbs: tuple[str, ...] | None = None


class PersonaFiles(msgspec.Struct, eq=False):
    """Both files in one directory."""

    directory: str
    run: InThread
    _seen: tuple[tuple[int, int, int], Personality] | None = None

    def read(self) -> Deferred[Personality | None]:
        """See `PersonalityFile.read`."""
        return self.run(self._read)

    def write(self, personality: Personality) -> Deferred[None]:
        """See `PersonalityFile.write`."""
        return self.run(lambda: self._write(personality))

    @property
    def _path(self) -> str:
        return os.path.join(self.directory, PERSONA_FILE)

    def _read(self) -> Personality | None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise Conflict(f"{PERSONA_FILE} cannot be read ({problem.strerror})") from None
        mark = (found.st_mtime_ns, found.st_size, found.st_ino)
        if self._seen is None or self._seen[0] != mark:
            self._seen = (mark, _personality(_document(self._path)))
        return self._seen[1]

    def _write(self, personality: Personality) -> None:
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        _document(self._path)
        document = _editable(self._path)
        _put(document, personality)
        replace_file(self._path, editor().dumps(document).encode())
        replace_file(os.path.join(self.directory, SYSTEM_FILE), (system_text(personality) + "\n").encode())
        self._seen = None


def _document(path: str) -> dict[str, object]:
    try:
        return read_document(path)
    except Invalid as problem:
        raise Conflict(f"{PERSONA_FILE} {problem.problem}; mend or remove it") from None


def _personality(document: dict[str, object]) -> Personality:
    """The personality; raises Conflict for a value of the wrong shape."""
    try:
        found = msgspec.convert(document, _OnDisk)
        change = Change(**{name: getattr(found, name) for name in Change.__struct_fields__})
        personality = changed(None, change)
    except Exception as problem:  # a preset nobody knows, a text too long, a number where a text belongs
        raise Conflict(f"{PERSONA_FILE} cannot be used: {problem}; mend or remove it") from None
    return msgspec.structs.replace(personality, timezone=found.timezone or "UTC")


def _editable(path: str) -> Document:
    try:
        with open(path, "rb") as file:
            found: Document = editor().parse(file.read())
    except FileNotFoundError:
        found = editor().document()
    except editor().exceptions.TOMLKitError as problem:
        raise Conflict(f"{PERSONA_FILE} cannot be changed ({problem}); mend or remove it") from None
    return found


def _put(document: MutableMapping[str, object], personality: Personality) -> None:
    for name, value in msgspec.to_builtins(personality).items():
        if value is None:
            document.pop(name, None)
        else:
            document[name] = value
