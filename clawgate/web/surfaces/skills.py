"""`/api/v1/skills`: what the agent can read up on. Ring: edge (web). Source: rantaiclaw.md §10 (Skills)."""

from __future__ import annotations

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.errors import Forbidden, NotFound
from clawgate.domain.skills import checked_slug
from clawgate.services.skills import Skills
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects.extractor_wire import wrong_shape
from clawgate.web.dialects.skills_wire import refusal, skill_item, skill_object
from clawgate.web.documented import documented
from clawgate.web.router import Handler, Recorded, Router

_PATH = "/api/v1/skills"


class NewSkill(msgspec.Struct):
    """`name` is upstream's; the front matter names the skill."""

    content: str
    name: str | None = None


class Content(msgspec.Struct):
    """A whole SKILL.md."""

    content: str


class Enabled(msgspec.Struct):
    """On or off."""

    enabled: bool


class Install(msgspec.Struct):
    """A marketplace's reference; or, for administrators, a directory or an archive of the daemon's machine."""

    slug: str | None = None
    path: str | None = None


class SkillSurface(msgspec.Struct):
    """Reading and writing skills."""

    skills: Skills

    def register(self, router: Router) -> None:
        """Adds the routes."""

        def add(method: str, path: str, handler: Handler, auth: Scope, summary: str) -> None:
            recorded = Recorded.BY_DOOR if method == "GET" else Recorded.ALWAYS
            router.add(method, _PATH + path, handler, auth=auth, limiter="api", dialect=refusal, recorded=recorded, summary=summary)

        add("GET", "", self.list, Scope.READ, "Skills, active ones first")
        add("POST", "", self.create, Scope.WRITE, "Write a skill: a whole SKILL.md")
        add("POST", "/install", self.install, Scope.WRITE, "Install a skill from the marketplace, or from this machine (admin)")
        add("GET", "/<slug>", self.show, Scope.READ, "One skill")
        add("DELETE", "/<slug>", self.remove, Scope.WRITE, "Remove a skill")
        add("PUT", "/<slug>/enabled", self.switch, Scope.WRITE, "Switch a skill on or off")
        add("GET", "/<slug>/content", self.content, Scope.READ, "SKILL.md of a skill that was written here")
        add("PUT", "/<slug>/content", self.rewrite, Scope.WRITE, "Replace that SKILL.md; the name stays")

    async def list(self, call: Call) -> Answer:
        """All of them."""
        items = [skill_item(skill) for skill in await self.skills.all()]
        return json_answer(200, {"skills": items, "count": len(items)})

    async def show(self, call: Call) -> Answer:
        """By slug, else by name."""
        return json_answer(200, skill_object(await self.skills.get(str(call.values["slug"]))))

    @documented(body=NewSkill, statuses=(201,))
    async def create(self, call: Call) -> Answer:
        """What was made of the SKILL.md."""
        skill = await self.skills.create(call.json(NewSkill).content)
        return json_answer(201, {"name": skill.name, "slug": skill.slug, "created": True})

    @documented(body=Install, raises=(NotFound,))
    async def install(self, call: Call) -> Answer:
        """That it is there now."""
        wanted = call.json(Install)
        if wanted.path is not None:
            if not call.caller.may(Scope.ADMIN):
                raise Forbidden("Forbidden — installing a path of this machine needs the scope `admin`", scope=Scope.ADMIN)
            return json_answer(200, {"slug": (await self.skills.install_path(wanted.path)).slug, "installed": True})
        if wanted.slug is None:
            raise wrong_shape("missing field `slug`")
        await self.skills.install(wanted.slug)
        return json_answer(200, {"slug": wanted.slug.strip(), "installed": True})

    @documented(body=Enabled)
    async def switch(self, call: Call) -> Answer:
        """What config.toml says now."""
        slug, enabled = _slug(call), call.json(Enabled).enabled
        skill = await self.skills.set_enabled(slug, enabled)
        return json_answer(200, {"name": skill.name, "enabled": enabled})

    async def remove(self, call: Call) -> Answer:
        """That it is gone."""
        return json_answer(200, {"name": (await self.skills.remove(_slug(call))).name, "removed": True})

    async def content(self, call: Call) -> Answer:
        """The text."""
        skill = await self.skills.authored(_slug(call))
        return json_answer(200, {"slug": skill.slug, "name": skill.name, "content": skill.content})

    @documented(body=Content)
    async def rewrite(self, call: Call) -> Answer:
        """That it is written."""
        slug, content = _slug(call), call.json(Content).content
        skill = await self.skills.rewrite(slug, content)
        return json_answer(200, {"slug": skill.slug, "name": skill.name, "written": True})


def _slug(call: Call) -> str:
    return checked_slug(str(call.values["slug"]))
