"""Skills as directories on disk. Ring: system edge; implements `ports.skills.SkillFiles`. Source: rantaiclaw.md §10 (Skills).

    <root>/<slug>/SKILL.md       what the agent reads
    <root>/<slug>/.origin.json   where it came from
    <root>/.new-…  .old-…        being unpacked, being removed; no skill, whatever is in it

A skill appears and disappears by one rename, so that nobody sees half of one. All work is done by `run`, in a thread; there must be one at a time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from clawgate.domain.errors import BadRequest, Conflict, Forbidden, GatewayError, NotFound
from clawgate.domain.skills import MOST_SKILL_CHARS, SKILL_FILE, Kind, Manifest, Origin, Skill, lacks, slug_of, system_name
from clawgate.ports.threads import InThread
from clawgate.system.atomic import replace_file, sync_directory
from clawgate.system.skillarchive import Entry, read_archive, read_directory, read_file

_log = Logger()
ORIGIN_FILE = ".origin.json"
MOST_SKILLS = 512
_MOST_LISTED = 4_096
_MOST_SCANNED_BYTES = 16 * 1024 * 1024
_MOST_ORIGIN_BYTES = 4_096


class _Seen(msgspec.Struct, frozen=True):
    """A SKILL.md as it was read: `mark` changes when the file does."""

    mark: tuple[int, int, int]
    manifest: Manifest
    content: str


class SkillDirectory(msgspec.Struct, eq=False):
    """The skills below one directory, which need not exist.

    Attributes:
        environment: variables that skills may require; also names PATH.
    """

    root: str
    run: InThread
    environment: Mapping[str, str]
    system: str = system_name(sys.platform)
    _seen: dict[str, _Seen] = {}

    def scan(self) -> Deferred[tuple[Skill, ...]]:
        """See `SkillFiles.scan`."""
        return self.run(self._scan)

    def manifest(self, content: str) -> Deferred[Manifest]:
        """See `SkillFiles.manifest`."""
        return self.run(lambda: _manifest_of(content))

    def create(self, slug: str, content: str, origin: Origin) -> Deferred[None]:
        """See `SkillFiles.create`."""
        return self.run(lambda: self._place(slug, (Entry((SKILL_FILE,), content.encode()),), origin))

    def write(self, slug: str, content: str) -> Deferred[None]:
        """See `SkillFiles.write`."""
        return self.run(lambda: self._write(slug, content))

    def remove(self, slug: str) -> Deferred[None]:
        """See `SkillFiles.remove`."""
        return self.run(lambda: self._remove(slug))

    def install_archive(self, content: bytes, slug: str, origin: Origin, most_bytes: int) -> Deferred[Manifest]:
        """See `SkillFiles.install_archive`."""
        return self.run(lambda: self._install(read_archive(content, most_bytes), slug, origin)[1])

    def install_path(self, path: str, most_bytes: int) -> Deferred[Skill]:
        """See `SkillFiles.install_path`."""
        return self.run(lambda: self._install_path(path, most_bytes))

    def _scan(self) -> tuple[Skill, ...]:
        found: list[Skill] = []
        seen, self._seen = self._seen, {}
        total = 0
        for name in self._directories():
            skill = self._skill(name, seen)
            if skill is None:
                continue
            total += len(skill.content)
            if len(found) >= MOST_SKILLS or total > _MOST_SCANNED_BYTES:
                _log.warn("{root} holds more skills than are read; {name} and what follows is left out", root=self.root, name=name)
                break
            found.append(skill)
        return tuple(found)

    def _directories(self) -> list[str]:
        try:
            with os.scandir(self.root) as entries:
                names = [entry.name for entry, _ in zip(entries, range(_MOST_LISTED), strict=False)]
        except FileNotFoundError:
            return []
        except OSError as problem:
            _log.warn("skills in {root} cannot be listed: {problem}", root=self.root, problem=problem.strerror)
            return []
        return sorted(name for name in names if not name.startswith(".") and name.isprintable())

    def _skill(self, slug: str, seen: Mapping[str, _Seen]) -> Skill | None:
        try:
            read = self._read(slug, seen.get(slug))
        except (GatewayError, OSError) as problem:
            _log.debug("{slug} is no skill: {problem}", slug=slug, problem=str(problem))
            return None
        self._seen[slug] = read
        return Skill(slug=slug, manifest=read.manifest, content=read.content, origin=self._origin(slug), lacks=self._lacks(read.manifest))

    def _read(self, slug: str, before: _Seen | None) -> _Seen:
        path = os.path.join(self.root, slug, SKILL_FILE)
        found = os.stat(path)
        mark = (found.st_mtime_ns, found.st_size, found.st_ino)
        if before is not None and before.mark == mark:
            return before
        if not stat.S_ISREG(found.st_mode):
            raise BadRequest(f"{SKILL_FILE} is no regular file")
        content = read_file(os.path.realpath(path), MOST_SKILL_CHARS).decode("utf-8", "replace").replace("\0", "")
        return _Seen(mark, _manifest_of(content), content)

    def _origin(self, slug: str) -> Origin | None:
        """None when nobody knows, or when what is written there is no origin."""
        try:
            return msgspec.json.decode(read_file(os.path.join(self.root, slug, ORIGIN_FILE), _MOST_ORIGIN_BYTES), type=Origin)
        except (OSError, GatewayError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def _lacks(self, manifest: Manifest) -> tuple[str, ...]:
        path = self.environment.get("PATH", os.defpath)
        binaries = [name for name in manifest.binaries if "/" in name or shutil.which(name, path=path) is None]
        variables = [name for name in manifest.variables if not self.environment.get(name)]
        return lacks(manifest, self.system, binaries, variables)

    def _install_path(self, path: str, most_bytes: int) -> Skill:
        if not os.path.isabs(path) or "\0" in path:
            raise BadRequest("path: use an absolute one")
        if not os.path.exists(path):
            raise NotFound("there is nothing at that path")
        if os.path.isdir(path):
            entries = read_directory(path, most_bytes)
        else:
            entries = read_archive(read_file(path, most_bytes), most_bytes)
        origin = Origin(kind=Kind.LOCAL, source=path)
        slug, manifest, content = self._install(entries, "", origin)
        return Skill(slug=slug, manifest=manifest, content=content, origin=origin)

    def _install(self, entries: tuple[Entry, ...], slug: str, origin: Origin) -> tuple[str, Manifest, str]:
        """Slug, manifest and content of what was placed; slug "" = made of the name."""
        raw = next(entry.content for entry in entries if entry.parts == (SKILL_FILE,))
        if len(raw) > MOST_SKILL_CHARS:
            raise BadRequest(f"{SKILL_FILE} is longer than {MOST_SKILL_CHARS} characters")
        content = raw.decode("utf-8", "replace")
        manifest = _manifest_of(content)
        slug = slug or slug_of(manifest.name)
        if any(skill.name.casefold() == manifest.name.casefold() for skill in self._scan()):
            raise Conflict(f"a skill named `{manifest.name}` exists")
        self._place(slug, entries, origin)
        return slug, manifest, content

    def _place(self, slug: str, entries: Iterable[Entry], origin: Origin) -> None:
        """Writes a skill beside its place, then moves it there."""
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        names = os.listdir(self.root)
        if any(name.casefold() == slug.casefold() for name in names):
            raise Conflict(f"a skill `{slug}` exists")
        if sum(not name.startswith(".") for name in names) >= MOST_SKILLS:  # one more would push another out of what is read
            raise Conflict(f"there are {MOST_SKILLS} skills; remove one first")
        self._sweep()
        with self._aside("new") as fresh:
            os.mkdir(fresh, 0o700)
            for entry in entries:
                if entry.parts != (ORIGIN_FILE,):  # what an archive says of its own origin is not believed
                    _write_new(fresh, entry)
            _write_new(fresh, Entry((ORIGIN_FILE,), msgspec.json.encode(origin)))
            sync_directory(fresh)
            os.rename(fresh, os.path.join(self.root, slug))
            sync_directory(self.root)

    def _write(self, slug: str, content: str) -> None:
        directory = os.path.join(self.root, slug)
        path = os.path.join(directory, SKILL_FILE)
        if os.path.islink(directory) or os.path.islink(path):
            raise Forbidden("the skill is a symbolic link; change it where it leads to")
        if not os.path.isfile(path):
            raise NotFound(f"skill `{slug}` not found")
        replace_file(path, content.encode("utf-8", "replace"))

    def _remove(self, slug: str) -> None:
        path = os.path.join(self.root, slug)
        if os.path.islink(path):
            os.unlink(path)
        elif os.path.isdir(path):
            with self._aside("old") as old:
                os.rename(path, old)
        else:
            raise NotFound(f"skill `{slug}` not found")
        sync_directory(self.root)

    def _sweep(self) -> None:
        """Removes what a process that was killed left aside."""
        for name in os.listdir(self.root):
            if name.startswith((".new-", ".old-")):
                shutil.rmtree(os.path.join(self.root, name), ignore_errors=True)

    @contextlib.contextmanager
    def _aside(self, what: str) -> Iterator[str]:
        """A name beside the skills; what is left there at the end goes."""
        path = os.path.join(self.root, f".{what}-{os.urandom(6).hex()}")
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def _manifest_of(content: str) -> Manifest:
    from clawgate.system.frontmatter import manifest_of  # PyYAML: nobody without a skill pays for it

    return manifest_of(content)


def _write_new(directory: str, entry: Entry) -> None:
    path = os.path.join(directory, *entry.parts)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o700 if entry.is_executable else 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(entry.content)
        file.flush()
        os.fsync(file.fileno())
