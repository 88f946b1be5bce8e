"""Skills: what a SKILL.md says, whether it may be used here, and how it is named. Ring: domain. Source: rantaiclaw.md §10 (Skills), §21.

A skill is a directory with a SKILL.md: YAML front matter (name, description, version, tags, tools, requires) and then text for the agent. The directory's name
is the slug; the name in the front matter is the skill's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from clawgate.domain.errors import BadRequest, Conflict, GatewayError

SKILL_FILE = "SKILL.md"
MOST_SKILL_CHARS = 256 * 1024
"""Longest SKILL.md that is read."""
NEEDS_NAME = "SKILL.md needs YAML frontmatter with a non-empty `name:` field"
DISABLED = "disabled in config.toml"
RESERVED = frozenset({"install"})
"""Slugs that are routes."""
_SLUG_CHARS = 64
_PATH_SLUG = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
_OTHERS = re.compile(r"[^a-z0-9]+")
_REFERENCE = re.compile(r"@?(?:([A-Za-z0-9][A-Za-z0-9_.-]{0,63})/)?([A-Za-z0-9][A-Za-z0-9_-]{0,63})\Z")
_OS_NAMES = {"darwin": "macos", "osx": "macos", "mac": "macos", "win32": "windows", "win": "windows"}


class Kind(StrEnum):
    """Where a skill came from."""

    AUTHORED = "authored"
    GIT = "git"
    LOCAL = "local"
    CLAWHUB = "clawhub"
    BUNDLED = "bundled"


class Reference(msgspec.Struct, frozen=True):
    """A skill as a marketplace names it; `owner` may be empty."""

    owner: str
    slug: str

    def __str__(self) -> str:
        return f"@{self.owner}/{self.slug}" if self.owner else self.slug


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is remembered beside SKILL.md of where a skill came from.

    Attributes:
        source: a path, an address or a reference; None = nothing to say.
        owner, slug, version: of a marketplace's skill.
    """

    kind: Kind
    source: str | None = None
    owner: str = ""
    slug: str = ""
    version: str = ""

    @property
    def reference(self) -> Reference | None:
        """The marketplace's name for it; None for what did not come from one."""
        return Reference(self.owner, self.slug) if self.kind is Kind.CLAWHUB and self.slug else None


class SkillTool(msgspec.Struct, frozen=True):
    """A tool that a skill says it brings along."""

    name: str
    description: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The front matter.

    Attributes:
        systems: operating systems it is for, as `linux`, `macos`, `windows`; empty = any.
        binaries: programs it needs on PATH.
        variables: environment variables it needs.
    """

    name: str
    description: str = ""
    version: str = ""
    tags: tuple[str, ...] = ()
    tools: tuple[SkillTool, ...] = ()
    systems: tuple[str, ...] = ()
    binaries: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


class Skill(msgspec.Struct, frozen=True, kw_only=True):
    """One installed skill.

    Attributes:
        slug: name of its directory.
        content: the whole SKILL.md.
        lacks: why it cannot work on this machine, as sentences; empty = it can.
        enabled: what config.toml says, and only that.
    """

    slug: str
    manifest: Manifest
    content: str
    origin: Origin | None = None
    lacks: tuple[str, ...] = ()
    enabled: bool = True

    @property
    def name(self) -> str:
        """The name in the front matter."""
        return self.manifest.name

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the agent is not told of it."""
        return self.lacks if self.enabled else (DISABLED, *self.lacks)

    @property
    def is_active(self) -> bool:
        """Whether the agent is told of it."""
        return not self.reasons

    @property
    def is_authored(self) -> bool:
        """Whether it was written through this gateway, so that it may be read and changed through it."""
        return self.origin is not None and self.origin.kind is Kind.AUTHORED


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A skill that a marketplace offers.

    Attributes:
        url: of its archive.
        sha256: of the archive, lower-case hex; "" = the marketplace does not say.
    """

    owner: str = ""
    slug: str
    reference: str = ""
    url: str
    downloads: int = 0
    official: bool = False
    version: str = ""
    sha256: str = ""


class AmbiguousSkill(Conflict):
    """Several publishers offer a skill of this name; `candidates` holds them all."""

    def __init__(self, slug: str, candidates: tuple[Candidate, ...]) -> None:
        super().__init__(f"`{slug}` is offered by {len(candidates)} publishers; use owner/{slug}")
        self.candidates = candidates


class SkillSourceFailed(GatewayError):
    """What a skill was to come from could not be reached, or what came from it cannot be used; the text is for the caller."""


def lacks(manifest: Manifest, system: str, missing_binaries: Iterable[str], missing_variables: Iterable[str]) -> tuple[str, ...]:
    """Why a skill cannot work on a machine, one sentence each.

    Args:
        system: `linux`, `macos` or `windows`.
        missing_binaries, missing_variables: those of the manifest that this machine does not have.
    """
    found: list[str] = []
    if manifest.systems and system not in manifest.systems:
        found.append(f"wrong OS: requires {' or '.join(manifest.systems)} (this is {system})")
    found += [f"missing binary `{name}`" for name in missing_binaries]
    found += [f"env `{name}` not set" for name in missing_variables]
    return tuple(found)


def system_name(name: str) -> str:
    """The usual name of an operating system: `darwin` is `macos`."""
    name = name.strip().lower()
    return _OS_NAMES.get(name, name)


def slug_of(name: str) -> str:
    """The slug of a name: lower-case ASCII letters and digits, a dash for each run of anything else, at most 64.

    Raises:
        BadRequest: nothing usable is left, or the slug is one of `RESERVED`.
    """
    slug = _OTHERS.sub("-", name.lower()).strip("-")[:_SLUG_CHARS].rstrip("-")
    if not slug or slug in RESERVED:
        raise BadRequest(f"no slug can be made of the name `{name[:_SLUG_CHARS]}`")
    return slug


def checked_slug(text: str) -> str:
    """A slug out of a path, for a route that changes something.

    Raises:
        BadRequest: it is none.
    """
    if not _PATH_SLUG.match(text):
        raise BadRequest("invalid skill slug: use letters, digits, `-` and `_`")
    return text


def parse_reference(text: str) -> Reference:
    """What `slug`, `owner/slug` and `@owner/slug` name.

    Raises:
        BadRequest: it is none of these.
    """
    match = _REFERENCE.match(text.strip())
    if match is None or (text.strip().startswith("@") and not match[1]) or match[2].lower() in RESERVED:
        raise BadRequest("invalid skill reference: use `slug`, `owner/slug` or `@owner/slug`")
    return Reference(match[1] or "", match[2])


def find(skills: Iterable[Skill], wanted: str) -> Skill | None:
    """The skill of a slug, whatever its case; else the one of that name."""
    every, wanted = tuple(skills), wanted.casefold()
    by_slug = next((skill for skill in every if skill.slug.casefold() == wanted), None)
    return by_slug or next((skill for skill in every if skill.name.casefold() == wanted), None)


def in_order(skills: Iterable[Skill]) -> tuple[Skill, ...]:
    """Active ones first, then by name."""
    return tuple(sorted(skills, key=lambda skill: (not skill.is_active, skill.name.casefold(), skill.slug)))
