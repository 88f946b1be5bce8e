"""persona.toml and SYSTEM.md on disk. Ring: system edge; implements `ports.personality.PersonalityFile`. Source: rantaiclaw.md §10 (Personality)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, MutableMapping

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.errors import Conflict, Invalid
from clawgate.domain.personality import Change, Personality, changed, system_text
from clawgate.ports.threads import InThread
from clawgate.system.atomic import replace_file, replace_unchanged
from clawgate.system.configfile import Document, editor, parsed, read_bytes

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

    def change(self, make: Callable[[Personality | None], Personality]) -> Deferred[Personality]:
        """See `PersonalityFile.change`."""
        return self.run(lambda: self._change(make))

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
            self._seen = (mark, _personality(_document(self._path, _content(self._path))))
        return self._seen[1]

    def _change(self, make: Callable[[Personality | None], Personality]) -> Personality:
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        seen = _content(self._path)
        before = None if seen is None else _personality(_document(self._path, seen))
        personality = make(before)
        document = _editable(seen or b"")
        _put(document, personality)
        self._seen = None
        if not replace_unchanged(self._path, editor().dumps(document).encode(), seen):
            raise Conflict(f"{PERSONA_FILE} was changed by somebody else meanwhile; look at it and ask again")
        replace_file(os.path.join(self.directory, SYSTEM_FILE), (system_text(personality) + "\n").encode())
        return personality


def _content(path: str) -> bytes | None:
    with _said():
        return read_bytes(path)


def _document(path: str, content: bytes | None) -> dict[str, object]:
    with _said():
        return parsed(path, content)


@contextlib.contextmanager
def _said() -> Iterator[None]:
    try:
        yield
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


def _editable(content: bytes) -> Document:
    try:
        found: Document = editor().parse(content)
    except editor().exceptions.TOMLKitError as problem:
        raise Conflict(f"{PERSONA_FILE} cannot be changed ({problem}); mend or remove it") from None
    return found


def _put(document: MutableMapping[str, object], personality: Personality) -> None:
    for name, value in msgspec.to_builtins(personality).items():
        if value is None:
            document.pop(name, None)
        else:
            document[name] = value
