"""Skills: list, read, write, install, switch, remove. Ring: services. Source: rantaiclaw.md §10 (Skills), §21.

Skills change rarely and are asked for in every turn: turns see them at most two seconds old, the API as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.errors import BadRequest, Conflict, Forbidden, NotFound, Overloaded, TooLarge
from clawgate.domain.messages import is_storable
from clawgate.domain.settings.model import SkillEntry, SkillsSettings
from clawgate.domain.skills import (
    MOST_SKILL_CHARS,
    AmbiguousSkill,
    Candidate,
    Kind,
    Origin,
    Reference,
    Skill,
    SkillSourceFailed,
    find,
    in_order,
    parse_reference,
    slug_of,
)
from clawgate.ports.clock import Clock
from clawgate.ports.config import SkillSwitch
from clawgate.ports.skills import Marketplace, SkillFiles
from clawgate.services.cached import Cached
from clawgate.services.events import Events

_T = TypeVar("_T")
FRESH_SECONDS = 2.0


class Skills(msgspec.Struct, eq=False, dict=True):
    """All skills of this gateway."""

    files: SkillFiles
    marketplace: Marketplace
    switch: SkillSwitch
    settings: Callable[[], SkillsSettings]
    clock: Clock
    events: Events
    _switched: dict[str, bool] = {}
    _switched_in: Mapping[str, SkillEntry] | None = None
    _is_installing: bool = False

    def __post_init__(self) -> None:
        self._found: Cached[tuple[Skill, ...]] = Cached(self.files.scan, self.clock, FRESH_SECONDS)

    async def recent(self) -> tuple[Skill, ...]:
        """Every skill, at most two seconds old; active ones first."""
        return self._judged(await self._found.get())

    async def all(self) -> tuple[Skill, ...]:
        """Every skill as it is now; active ones first."""
        return self._judged(await self._found.refresh())

    async def get(self, wanted: str) -> Skill:
        """The skill of a slug, whatever its case, else of a name.

        Raises:
            NotFound: there is none.
        """
        skill = find(await self.all(), wanted)
        if skill is None:
            raise NotFound(f"skill `{wanted}` not found")
        return skill

    async def authored(self, wanted: str) -> Skill:
        """As `get`, only what was written through this gateway.

        Raises:
            NotFound: there is none. Forbidden: it came from elsewhere.
        """
        skill = await self.get(wanted)
        if not skill.is_authored:
            raise Forbidden(f"skill `{skill.slug}` was not written here; only authored skills can be read or changed")
        return skill

    async def create(self, content: str) -> Skill:
        """A new skill out of a SKILL.md.

        Raises:
            BadRequest: it has no front matter with a name, or no slug can be made of that. Conflict: name or slug is taken.
        """
        manifest = await self.files.manifest(_storable(content))
        slug = slug_of(manifest.name)
        existing = await self.all()
        if find(existing, slug) or find(existing, manifest.name):
            raise Conflict(f"a skill named `{manifest.name}` exists")
        await self._changing(self.files.create(slug, content, Origin(kind=Kind.AUTHORED)))
        self.events.publish("skill_created", {"name": manifest.name, "slug": slug})
        return Skill(slug=slug, manifest=manifest, content=content)

    async def rewrite(self, wanted: str, content: str) -> Skill:
        """The authored skill with another SKILL.md; its name stays.

        Raises:
            NotFound, Forbidden: as `authored`. BadRequest: another name, or none.
        """
        skill = await self.authored(wanted)
        manifest = await self.files.manifest(_storable(content))
        if manifest.name != skill.name:
            raise BadRequest(f"the name must stay `{skill.name}`; make a new skill instead")
        await self._changing(self.files.write(skill.slug, content))
        self.events.publish("skill_changed", {"name": skill.name, "slug": skill.slug})
        return skill

    async def set_enabled(self, wanted: str, enabled: bool) -> Skill:
        """The skill, switched on or off in config.toml.

        Raises:
            NotFound: there is none. Conflict, OSError: config.toml cannot be written.
        """
        skill = await self.get(wanted)
        await self.switch.set_enabled(skill.name, enabled)
        self._forget_old_switches()
        self._switched[skill.name] = enabled
        self.events.publish("skill_switched", {"name": skill.name, "enabled": enabled})
        return skill

    async def remove(self, wanted: str) -> Skill:
        """The skill that is gone now. Raises NotFound when there is none."""
        skill = await self.get(wanted)
        await self._changing(self.files.remove(skill.slug))
        self.events.publish("skill_removed", {"name": skill.name, "slug": skill.slug})
        return skill

    async def install(self, reference: str) -> None:
        """Installs from the marketplace; what is installed already stays as it is.

        Raises:
            BadRequest: no reference. NotFound: nobody offers it. AmbiguousSkill: several do.
            Conflict: another skill has its name. SkillSourceFailed: it did not come, or is no skill. Overloaded: one is being installed.
        """
        wanted = parse_reference(reference)
        slug = slug_of(wanted.slug)
        if any(skill.slug.casefold() in (slug, wanted.slug.casefold()) for skill in await self.all()):
            return
        await self._one_at_a_time(lambda: self._install(wanted, slug))
        self.events.publish("skill_installed", {"slug": slug, "source": str(wanted)})

    async def install_path(self, path: str) -> Skill:
        """Installs a directory or an archive of this machine; the caller is an administrator.

        Raises:
            NotFound: nothing is there. BadRequest, TooLarge: it is no skill, or too large. Conflict: name or slug is taken.
        """
        skill = await self._one_at_a_time(lambda: self._changing(self.files.install_path(path, self.settings().max_bytes)))
        self.events.publish("skill_installed", {"name": skill.name, "slug": skill.slug, "source": "local"})
        return skill

    async def _install(self, wanted: Reference, slug: str) -> None:
        chosen = await self._chosen(wanted)
        content = await self.marketplace.download(chosen)
        origin = Origin(kind=Kind.CLAWHUB, source=chosen.reference, owner=chosen.owner, slug=chosen.slug, version=chosen.version)
        try:
            await self._changing(self.files.install_archive(content, slug, origin, self.settings().max_bytes))
        except (BadRequest, TooLarge) as problem:
            raise SkillSourceFailed(f"the archive is no skill: {problem}", detail=problem.detail) from problem

    async def _chosen(self, wanted: Reference) -> Candidate:
        candidates = await self.marketplace.look_up(wanted)
        if not candidates:
            raise NotFound(f"nobody offers a skill `{wanted}`")
        if len(candidates) > 1:
            raise AmbiguousSkill(wanted.slug, candidates)
        return candidates[0]

    async def _one_at_a_time(self, work: Callable[[], Awaitable[_T]]) -> _T:
        if self._is_installing:
            raise Overloaded("a skill is being installed")
        self._is_installing = True
        try:
            return await work()
        finally:
            self._is_installing = False

    async def _changing(self, work: Deferred[_T]) -> _T:
        try:
            return await work
        finally:
            self._found.invalidate()

    def _judged(self, found: tuple[Skill, ...]) -> tuple[Skill, ...]:
        """With what config.toml says of each; what was switched here counts until the settings are read anew."""
        self._forget_old_switches()
        entries = self.settings().entries
        return in_order(msgspec.structs.replace(skill, enabled=self._is_enabled(skill.name, entries)) for skill in found)

    def _is_enabled(self, name: str, entries: Mapping[str, SkillEntry]) -> bool:
        return self._switched.get(name, entries[name].enabled if name in entries else True)

    def _forget_old_switches(self) -> None:
        entries = self.settings().entries
        if self._switched_in is not entries:
            self._switched, self._switched_in = {}, entries


def _storable(content: str) -> str:
    if len(content) > MOST_SKILL_CHARS:
        raise TooLarge(f"SKILL.md is longer than {MOST_SKILL_CHARS} characters")
    if not is_storable(content) or "\0" in content:
        raise BadRequest("SKILL.md holds what is no text")
    return content
