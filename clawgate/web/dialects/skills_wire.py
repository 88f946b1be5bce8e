"""JSON of `/api/v1/skills`. Ring: edge, under the domain rule. Source: rantaiclaw.md §4 (codes), §10 (Skills)."""

from __future__ import annotations

from clawgate.domain.errors import GatewayError
from clawgate.domain.skills import AmbiguousSkill, Candidate, Skill, SkillSourceFailed
from clawgate.web.dialects import api_wire
from clawgate.web.dialects.root_wire import Refusal


def refusal(error: GatewayError) -> Refusal:
    """As `api_wire.refusal`, and what only installing can answer."""
    if isinstance(error, AmbiguousSkill):
        return api_wire.failure(409, "ambiguous_skill_slug", str(error), matches=[_match(each) for each in error.candidates])
    if isinstance(error, SkillSourceFailed):
        return api_wire.failure(500, "internal_error", str(error))
    return api_wire.refusal(error)


def skill_item(skill: Skill) -> dict[str, object]:
    """One of the list: tools by name. `origin` and `clawhub` are left out when unknown."""
    manifest = skill.manifest
    item: dict[str, object] = {
        "slug": skill.slug,
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "tags": manifest.tags,
        "tools": [tool.name for tool in manifest.tools],
        "enabled": skill.enabled,
        "active": skill.is_active,
        "reasons": skill.reasons,
    }
    if skill.origin is not None:
        item["origin"] = {"kind": skill.origin.kind, "source": skill.origin.source}
        reference = skill.origin.reference
        if reference is not None:
            item["clawhub"] = {"owner": reference.owner, "slug": reference.slug, "version": skill.origin.version, "reference": str(reference)}
    return item


def skill_object(skill: Skill) -> dict[str, object]:
    """One on its own: tools with their descriptions."""
    tools = [{"name": tool.name, "description": tool.description} for tool in skill.manifest.tools]
    return skill_item(skill) | {"tools": tools}


def _match(each: Candidate) -> dict[str, object]:
    return {
        "owner": each.owner,
        "reference": each.reference,
        "url": each.url,
        "downloads": each.downloads,
        "official": each.official,
    }
